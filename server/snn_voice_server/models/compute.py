"""One thread a device: where models run, away from the event loop."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

from snn_voice_hub import CheckpointError, ConfigError, SnnVoice
from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.inference.decode import usable_cores
from snn_voice_hub.models.pretrained import pick_device
from snn_voice_server.failures import OutOfMemory
from snn_voice_server.queue.places import Limits

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


def logits_of(model: SnnVoice, windows: Sequence[Tensor]) -> Tensor:
    """Logits `[W, C]` on the CPU of W windows `[N]` of one length.

    Raises:
        OutOfMemory: The device has no memory for so many.
    """
    return _on_cpu(lambda listed: model(model.to_device(torch.stack(listed))), list(windows))


def outputs_of(model: SnnVoice, rows: Sequence[Any]) -> Tensor:
    """What the network gives `[R, C]`, on the CPU, for rows that streams have prepared.

    Args:
        model: Theirs.
        rows: See `SnnVoice.run_inputs`.

    Raises:
        OutOfMemory: The device has no memory for so many.
    """
    return _on_cpu(model.run_inputs, rows)


@torch.inference_mode()
def _on_cpu(run: Callable[[Any], Tensor], what: Any) -> Tensor:
    try:
        return run(what).cpu()
    except torch.OutOfMemoryError as error:
        # What the failed batch has taken, and its frames hold, is to be free before a smaller one is tried.
        traceback.clear_frames(error.__traceback__)
        torch.cuda.empty_cache()
        raise OutOfMemory("the device has no memory for this now", hint="send it again later") from error


def check_answers(model: SnnVoice) -> None:
    """Whether a model that was loaded can answer at all, by what it says to silence.

    Raises:
        CheckpointError: Its scores are not finite, or what it says of itself can't be sent.
    """
    silence = torch.zeros(model.config.features.num_samples, dtype=torch.float32, device="cpu")
    if not bool(logits_of(model, [silence]).isfinite().all()):
        raise CheckpointError(
            "the model's scores for silence are not finite", hint="weights and feature_std of a sane size"
        )
    try:
        json.dumps(model.config.to_dict(), ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise CheckpointError(
            "config.json holds text or numbers that JSON can't carry", hint="labels and names in UTF-8"
        ) from error


def load_voice(spec: str, device: str, engine: str, dtype: str) -> SnnVoice:
    """A model that answers, in evaluation mode.

    Args:
        spec: A bundled name, a path or a Hub id.
        device: Where it runs, as PyTorch writes it.
        engine: How its network is run.
        dtype: What the network computes in.

    Raises:
        SnnVoiceError: It can't be loaded, or can't answer.
    """
    voice = SnnVoice.from_pretrained(spec, device=device, engine=engine, dtype=dtype).eval()
    check_answers(voice)
    return voice


def warm_up(voice: SnnVoice, limits: Limits) -> None:
    """Run batches of silence, so that no request waits for what only a first one needs.

    Where each size compiles or allocates anew, these are the powers of two and the largest batch.
    """
    largest = largest_batch(voice.config.features, limits)
    sizes = {1, largest}
    if voice.engine == "compile" or voice.device.type != "cpu":
        sizes.update(1 << bit for bit in range(largest.bit_length()))
    voice.warm_up(*sorted(sizes))


def runs_alone(features: FeatureConfig) -> bool:
    """Whether no two windows of a model with that front end may run together.

    Batch statistics would make an answer depend on the other clips of its batch, and such clips keep their
    own lengths.
    """
    return features.normalization == "batch"


def largest_batch(features: FeatureConfig, limits: Limits) -> int:
    """How many windows of a model with that front end may run together."""
    if runs_alone(features):
        return 1
    return max(1, int(min(limits.batch_windows, limits.batch_seconds / features.seconds)))


def facts_of(model: SnnVoice) -> dict[str, Any]:
    """What only a loaded model knows: `parameters`, `device` and `engine`."""
    # Where it lies on this machine is nobody's business.
    engine = {key: value for key, value in model.engine_info().items() if key != "library"}
    return {"parameters": model.num_parameters(), "device": str(model.device), "engine": engine}


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
    """Keep the garbage collector away from what is there at the start; for the process that serves.

    PyTorch's modules are so many objects that looking at all of them holds up every request for a fifth of a
    second, again and again. What is loaded later is little beside them: a model is some thousand objects, and
    goes with its last reference.
    """
    gc.collect()
    gc.freeze()


def set_threads(threads: int) -> None:
    """Choose how many threads PyTorch uses in this process; 0 chooses by the number of cores.

    Two of its threads on two cores beside the event loop make a single clip several times slower.
    """
    if threads > 0:
        torch.set_num_threads(threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(_MAX_THREADS, usable_cores() - _RESERVED_CORES)))
