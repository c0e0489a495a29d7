"""PyTorch's tracers (`torch.export`, `torch.compile`), run so that other threads do not notice.

While they trace, they replace `nn.Module.__call__` and `__getattr__` for the whole process: whoever runs a
module in another thread then runs through the tracer, and two tracers at a time may leave the class changed
for good. What they replace it by does nothing under these two tracers, so in a thread of ours it is left out.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch.fx import _symbolic_trace

# Held while PyTorch traces a network, which also sets flags of the whole process.
_LOCK = threading.Lock()
_here = threading.local()


@contextlib.contextmanager
def tracing() -> Iterator[None]:
    """Around whatever traces: one thread at a time, without gradients, inference mode or autocast."""
    with (
        _LOCK,
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
        modules_alone(),
    ):
        yield


@contextlib.contextmanager
def modules_alone() -> Iterator[None]:
    """Around compiled code that may be compiled again: in this thread no tracer changes `nn.Module`."""
    _install()
    before = getattr(_here, "alone", False)
    _here.alone = True
    try:
        yield
    finally:
        _here.alone = before


class _Patcher(_symbolic_trace._Patcher):
    """Replaces what its tracer asks for, except in `nn.Module`."""

    def patch_method(
        self, cls: type, name: str, new_fn: Callable[..., Any], deduplicate: bool = True
    ) -> None:
        if cls is not nn.Module:
            super().patch_method(cls, name, new_fn, deduplicate)


def _install() -> None:
    """Let tracers in threads that are inside `modules_alone` use `_Patcher`; others keep PyTorch's own."""
    fx: Any = _symbolic_trace
    usual: Callable[[], AbstractContextManager[Any]] = fx._new_patcher
    if getattr(usual, "leaves_modules_alone", False):
        return

    def patcher() -> AbstractContextManager[Any]:
        return _Patcher() if getattr(_here, "alone", False) else usual()

    patcher.leaves_modules_alone = True  # type: ignore[attr-defined]
    fx._new_patcher = patcher
