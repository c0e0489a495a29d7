"""One thread a device: where models run, away from the event loop."""

from __future__ import annotations

import asyncio
import gc
import os
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from snn_voice_hub import ConfigError, SnnVoice
from snn_voice_hub.models.pretrained import pick_device
from snn_voice_server.failures import OutOfMemory

T = TypeVar("T")

# Kept from PyTorch: the event loop and the threads that decode need one.
_RESERVED_CORES = 1
_MAX_THREADS = 4


class Device:
    """A device and its thread. PyTorch spreads one computation over the cores or the GPU; two would fight.

    Args:
        name: As PyTorch writes it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        # It is one thread that stays, because a new one would have to start PyTorch's threads again.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"snn-voice-{name}")

    async def do(self, work: Callable[[], T]) -> T:
        """Run something in the device's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Let the thread end with what it is at."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def run(self, model: SnnVoice, windows: Sequence[Tensor]) -> Tensor:
        """Logits `[W, C]` on the CPU of W windows `[N]`, in the device's thread.

        Raises:
            OutOfMemory: The device has no memory for so many.
        """
        return await self.do(lambda: logits_of(model, windows))


@torch.inference_mode()
def logits_of(model: SnnVoice, windows: Sequence[Tensor]) -> Tensor:
    """Logits `[W, C]` on the CPU of W windows `[N]` of one length.

    Raises:
        OutOfMemory: The device has no memory for so many.
    """
    try:
        logits: Tensor = model(model.to_device(torch.stack(list(windows))))
        return logits.cpu()
    except torch.OutOfMemoryError as error:
        # What the failed batch has taken, and its frames hold, is to be free before a smaller one is tried.
        traceback.clear_frames(error.__traceback__)
        torch.cuda.empty_cache()
        raise OutOfMemory("the device has no memory for this now", hint="send it again later") from error


def resolve_devices(text: str) -> list[str]:
    """The devices that a setting names: "auto", one or several with commas, or "cuda" for every GPU.

    Raises:
        ConfigError: There is no such device.
    """
    names: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        device = pick_device(part)
        if part in ("auto", "cuda") and device.type == "cuda":
            names += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        else:
            names.append(str(device))
    if not names:
        raise ConfigError("device is empty", hint="auto, cpu, mps, cuda, cuda:0 or cuda:0,cuda:1")
    if len(set(names)) < len(names):
        raise ConfigError(f"device={text!r} names one device twice", hint="each once")
    return names


def settle() -> None:
    """Keep the garbage collector away from what has been loaded; for the process that serves.

    PyTorch's modules are so many objects that looking at all of them holds up every request for a tenth of a
    second, again and again.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def set_threads(threads: int) -> None:
    """Choose how many threads PyTorch uses in this process; 0 chooses by the number of cores.

    Two of its threads on two cores beside the event loop make a single clip several times slower.
    """
    if threads > 0:
        torch.set_num_threads(threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(_MAX_THREADS, cores() - _RESERVED_CORES)))
