"""A batch that the device has no memory for: the service halves it, answers all of it, and goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from snn_voice_server.queue.places import Limits
from torch import Tensor

from benchmarks.gpu_check.clock import LeftOut, WrongAnswer, finish
from benchmarks.gpu_check.load import Queued, ask, check_rows
from benchmarks.gpu_check.sound import clips
from snn_voice_hub.hub.bundled import DEFAULT_MODEL
from snn_voice_hub.voice import SnnVoice


class Cramped(SnnVoice):
    """A model on a device whose memory holds a few clips only; for the CPU, which swaps before it refuses."""

    holds = 1 << 30

    def forward(self, waveforms: Tensor) -> Tensor:
        """See `SnnVoice.forward`."""
        if len(waveforms) > self.holds:
            raise torch.OutOfMemoryError(f"{len(waveforms)} clips, and room for {self.holds}")
        return super().forward(waveforms)


@contextmanager
def _room_for(voice: Cramped, count: int, device: torch.device) -> Iterator[None]:
    """Let the device hold about so many clips at once, and not many more."""
    if device.type != "cuda":
        voice.holds = count
        try:
            yield
        finally:
            del voice.holds
        return
    with torch.inference_mode():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        voice(voice.to_device(clips(count)))
        finish(device)
    needed = torch.cuda.max_memory_reserved(device)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 1.1 * needed / total), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        torch.cuda.empty_cache()


async def _asked(queued: Queued, voice: Cramped, sound: Tensor, device: torch.device) -> list[Tensor]:
    async with queued as entry:
        # Only now: warming up is to find the room that it needs.
        with _room_for(voice, len(sound) // 4, device):
            found = await ask(entry, list(sound))
        return [found, await ask(entry, list(sound[:8]))]


def halved(device: torch.device, count: int) -> str:
    """Ask for so many clips in one batch where there is room for a quarter of them.

    Returns:
        How it went, in a sentence.

    Raises:
        LeftOut: There was room after all.
        WrongAnswer: Answers are missing, or others.
    """
    voice = Cramped.from_pretrained(DEFAULT_MODEL, device=str(device)).requires_grad_(False)
    sound = clips(count)
    with torch.inference_mode():
        eighths = torch.split(sound, max(1, count // 8))
        wanted = torch.cat([voice(voice.to_device(part)).float().cpu() for part in eighths])
    queued = Queued([voice], Limits(batch_windows=count, queue_windows=4 * count))
    found, after = asyncio.run(_asked(queued, voice, sound, device))
    if len(found) != count:
        raise WrongAnswer(f"{len(found)} answers for {count} clips after the device ran out of memory")
    check_rows(found, wanted, "after the device ran out of memory")
    check_rows(after, wanted[:8], "once there was memory again")
    failures = queued.watcher.failures
    if not failures:
        raise LeftOut(f"{count} clips had room where a quarter of them was to fill it")
    if set(failures) != {"out_of_memory"}:
        raise WrongAnswer(f"runs failed of {', '.join(sorted(set(failures)))}")
    sizes = queued.watcher.batches
    how = "" if device.type == "cuda" else " (imitated: on a CPU nothing refuses)"
    return (
        f"{count:,} clips in one request, room for about {count // 4:,}{how}: {len(failures)} runs failed, "
        f"then batches of {max(sizes[:-1]):,}; every clip answered as alone, and the next request, too."
    )
