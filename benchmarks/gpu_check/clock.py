"""Time of a device that works by itself while the program goes on, and how much is left of a budget."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

# What ends the program for good where a part hangs, beyond its budget.
_GRACE_SECONDS = 20.0


class WrongAnswer(Exception):  # noqa: N818  (it has been given)
    """What was computed is not what is right: the check ends."""


class LeftOut(Exception):  # noqa: N818  (it has been)
    """A part can't be done here, or there is no time for it; the text says why."""


def finish(device: torch.device) -> None:
    """Wait until a device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, to the end of what it has started."""
    finish(device)
    began = time.perf_counter()
    call()
    finish(device)
    return time.perf_counter() - began


@dataclass
class Rate:
    """Calls that were repeated for a while.

    Attributes:
        calls: How many.
        seconds: All of them together.
    """

    calls: int
    seconds: float

    @property
    def each(self) -> float:
        """Seconds of one."""
        return self.seconds / self.calls


def repeated(call: Callable[[], object], device: torch.device, seconds: float, warmup: int = 3) -> Rate:
    """Repeat a call, without waiting for the device between two of them.

    Args:
        call: What is timed; it may only start work on the device.
        device: Where.
        seconds: For how long, about.
        warmup: Calls before: a first one allocates, and chooses kernels.
    """
    for _ in range(warmup):
        call()
    once = max(seconds_of(call, device), 1e-6)
    calls = max(1, min(10_000, round(seconds / once)))
    return Rate(calls, seconds_of(lambda: [call() for _ in range(calls)], device))


def kernel_share(call: Callable[[], object], device: torch.device, calls: int = 10) -> float | None:
    """Which share of the time of some calls the device computes in; None where that can't be seen.

    Args:
        call: What is looked at.
        device: Where; on a CPU it is the time inside of PyTorch's operations.
        calls: How often.
    """
    cuda = device.type == "cuda"
    activities = [torch.profiler.ProfilerActivity.CPU]
    if cuda:
        activities = [torch.profiler.ProfilerActivity.CUDA]
    try:
        call()
        plain = seconds_of(lambda: [call() for _ in range(calls)], device)
        with torch.profiler.profile(activities=activities) as profile:
            watched = seconds_of(lambda: [call() for _ in range(calls)], device)
    except RuntimeError:  # no counters for who is not the machine's owner
        return None
    name = "self_device_time_total" if cuda else "self_cpu_time_total"
    busy = 1e-6 * sum(float(getattr(event, name, 0.0)) for event in profile.key_averages())
    # Watching costs time between the kernels, and none in them.
    return min(1.0, busy / (plain if cuda else watched)) if busy else None


@dataclass
class Budget:
    """The time of all parts, and of the one that runs.

    Args:
        seconds: Of all together.

    Attributes:
        began: By the monotonic clock.
    """

    seconds: float
    began: float = field(default_factory=time.monotonic)
    _end: float = field(default=0.0, init=False)

    @property
    def left(self) -> float:
        """Seconds for all that comes."""
        return self.began + self.seconds - time.monotonic()

    def begin_part(self, most: float, least: float) -> None:
        """Give a part its time.

        Args:
            most: Seconds that it may take.
            least: What it takes at least.

        Raises:
            LeftOut: So much is not left.
        """
        if self.left < least:
            raise LeftOut(
                f"{max(0.0, self.left):.0f} s were left of {self.seconds:.0f}, and it takes {least:.0f}"
            )
        self._end = time.monotonic() + min(most, self.left)

    @property
    def part_left(self) -> float:
        """Seconds for the rest of the part."""
        return self._end - time.monotonic()

    def watch(self, last_words: Callable[[str], None]) -> Callable[[], None]:
        """End the process where it has taken longer than the budget: a hang is a result, too.

        Args:
            last_words: Is told why, before.

        Returns:
            Ends the watch.
        """

        def over() -> None:
            last_words(f"**It did not end within {self.seconds + _GRACE_SECONDS:.0f} seconds.**")
            sys.stdout.flush()
            os._exit(1)

        timer = threading.Timer(self.left + _GRACE_SECONDS, over)
        timer.daemon = True
        timer.start()
        return timer.cancel
