"""What tensors are where nobody said: float32 on the CPU, not what torch's globals say at the moment.

The default dtype is one for the whole process, and other code in it may set it at any time, for a moment or
for good; a default device and inference mode belong to the thread. What this package makes itself says its
dtype and device. Layers of others (PyTorch's, torchaudio's, those of a network of one's own) are made inside
`float32_on_cpu()`.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, TypedDict

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Kind(TypedDict):
    """What torch's functions that make tensors are told."""

    dtype: torch.dtype
    device: str


FLOAT32: Final[Kind] = {"dtype": torch.float32, "device": "cpu"}

# By torch's own rule these are of the default dtype unless they are told another.
_FLOATS: frozenset[Callable[..., Any]] = frozenset(
    (
        *(torch.empty, torch.zeros, torch.ones, torch.eye, torch.rand, torch.randn),
        *(torch.linspace, torch.logspace, torch.empty_permuted, torch.empty_strided),
        *(torch.bartlett_window, torch.blackman_window, torch.hamming_window),
        *(torch.hann_window, torch.kaiser_window, torch.fft.fftfreq, torch.fft.rfftfreq),
    )
)
# And these only where they are made of Python's floats.
_BY_VALUE: frozenset[Callable[..., Any]] = frozenset(
    (torch.tensor, torch.as_tensor, torch.asarray, torch.scalar_tensor, torch.full, torch.arange)
)
_WHOLE: frozenset[Callable[..., Any]] = frozenset(
    (torch.randint, torch.randperm, torch.tril_indices, torch.triu_indices)
)


class _Making(TorchFunctionMode):
    """Completes the calls that make tensors; of this thread alone, unlike `torch.set_default_dtype`."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func in _FLOATS or func in _BY_VALUE or func in _WHOLE:
            self.complete(func, args, given)
        return func(*args, **given)

    def complete(self, func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> None:
        raise NotImplementedError


class _Float32OnCpu(_Making):
    def complete(self, func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> None:
        values = (*args, *given.values())
        # What is made of a tensor stays where that is.
        if given.get("device") is None and not any(isinstance(v, torch.Tensor) for v in values):
            given["device"] = "cpu"
        if given.get("dtype") is None and (func in _FLOATS or any(map(_is_float, values))):
            given["dtype"] = torch.float32


class _OnMeta(_Making):
    """Makes every tensor on the meta device, also those that are to be elsewhere."""

    def complete(self, func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> None:
        given["device"] = "meta"


def on_meta() -> TorchFunctionMode:
    """A context inside which tensors have no values, and what fills them draws no random numbers."""
    return _OnMeta()


def _is_float(value: object) -> bool:
    """Whether torch makes a tensor of its default dtype of a value."""
    if isinstance(value, list | tuple):
        return any(map(_is_float, value))
    return type(value) is float


@contextlib.contextmanager
def float32_on_cpu() -> Iterator[None]:
    """Inside, tensors that say neither dtype nor device are float32 on the CPU, and can learn later on."""
    # Tensors that are made under inference mode can never take part in training.
    with torch.inference_mode(False), _Float32OnCpu():
        yield


def tensors_of(network: nn.Module) -> Iterator[Tensor]:
    """The parameters of a network, then its buffers."""
    return itertools.chain(network.parameters(), network.buffers())


def device_of(network: nn.Module) -> torch.device:
    """Where a network is."""
    return next((tensor.device for tensor in tensors_of(network)), torch.device("cpu"))


def dtype_of(network: nn.Module) -> torch.dtype:
    """What a network computes in."""
    return next((t.dtype for t in tensors_of(network) if t.is_floating_point()), torch.float32)


def autocasts(device: torch.device) -> bool:
    """Whether autocast chooses the dtype of operations on a device, in this thread."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


@contextlib.contextmanager
def no_autocast(device: torch.device) -> Iterator[None]:
    """Inside, operations on a device compute in the dtype of their tensors: on CUDA float32 is no TF32."""
    with contextlib.ExitStack() as settled:
        if device.type == "cuda":
            settled.enter_context(_WHOLE_FLOAT32)
        if autocasts(device):
            settled.enter_context(torch.autocast(device.type, enabled=False))
        yield


class _WholeFloat32:
    """Inside, convolutions and products of matrices on CUDA compute float32 with all of its bits.

    By default cuDNN's convolutions round to the 10 bits of TF32: enough for a CNN, but a membrane that lies
    near its threshold is then on the other side of it. The setting is one for the whole process, so it is put
    back when the last of the threads that are inside has left.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[tuple[Any, str]] = []

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                # Not `allow_tf32`, the older name: reading that raises where somebody has used the newer.
                convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
                settings = (convolutions, torch.backends.cuda.matmul)
                self._before = [(setting, setting.fp32_precision) for setting in settings]
                self._set("ieee")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._set()

    def _set(self, precision: str | None = None) -> None:
        for setting, before in self._before:
            if before not in _WHOLE_ALREADY:
                setting.fp32_precision = precision or before


_WHOLE_ALREADY: Final = ("ieee", "none")
_WHOLE_FLOAT32: Final = _WholeFloat32()


@contextlib.contextmanager
def as_usual() -> Iterator[None]:
    """Inside, code of others computes as where nobody has changed torch's settings."""
    with contextlib.ExitStack() as settled:
        for kind in ("cpu", "cuda"):
            settled.enter_context(no_autocast(torch.device(kind)))
        # Not always: every call of torch's costs a few microseconds more inside.
        if torch.get_default_dtype() != torch.float32 or torch.get_default_device().type != "cpu":
            settled.enter_context(float32_on_cpu())
        yield
