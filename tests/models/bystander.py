"""A thread that runs modules of its own while others trace, and watches `nn.Module`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def bystander() -> Iterator[None]:
    """Fails at the end if the class was seen changed, or if a plain layer did not do its work meanwhile."""
    right = (nn.Module.__call__, nn.Module.__getattr__)
    layer, x = nn.Linear(3, 3), torch.ones(1, 3)
    wanted = layer(x)
    stop, begun = threading.Event(), threading.Event()
    seen: list[object] = []

    def watch() -> None:
        while not stop.is_set():
            if (nn.Module.__call__, nn.Module.__getattr__) != right:
                seen.append("nn.Module is changed")
            try:
                if not torch.equal(layer(x), wanted):
                    seen.append("another answer")
            except Exception as error:
                seen.append(error)
            begun.set()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        begun.wait(10)
        yield
    finally:
        stop.set()
        thread.join()
    assert seen[:3] == []
    assert (nn.Module.__call__, nn.Module.__getattr__) == right
