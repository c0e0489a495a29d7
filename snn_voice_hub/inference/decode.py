"""Clips -> waveforms, decoded by a few threads while the network computes."""

from __future__ import annotations

import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self, TypeAlias

from torch import Tensor

from snn_voice_hub.audio import AudioSource
from snn_voice_hub.errors import AudioError

Loaded: TypeAlias = Tensor | AudioError

# Sound that waits takes at most so much memory (64 MiB), and beyond it what the threads are at.
MAX_SAMPLES = 1 << 24

# Uncompressed sound of up to so many bytes (eight seconds at 16 kHz) is decoded in less time than it takes to
# hand it to a thread and to wait for each other: lists of one-second clips took 15 % longer with a thread.
SHORT_BYTES = 1 << 18
_UNCOMPRESSED = (".wav", ".aif", ".aiff", ".aifc")

# Samples that stay as they are: whole numbers, and floating point.
_PLAIN_WAV = (1, 3)

_MAX_THREADS = 4
_BYTES_A_SAMPLE = 4


def usable_cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def decoding_threads() -> int:
    """How many threads may decode: one for each core but that of the network, and at most four.

    With as many as cores they would keep the network from its own.
    """
    return min(_MAX_THREADS, usable_cores() - 1)


def decodes_at_once(data: bytes, sample_rate: int) -> bool:
    """Whether these bytes become a waveform in a fraction of a millisecond.

    They do if they are a short WAV file whose samples need no decoding and no other sample rate. Anything
    else is to be expected of the rest: compressed sound of one minute has as few bytes, and an odd rate needs
    a filter of many megabytes.

    Args:
        data: Of a sound file.
        sample_rate: The one that is wanted, in Hz.
    """
    if len(data) > SHORT_BYTES or not (data.startswith(b"RIFF") and data[8:16] == b"WAVEfmt "):
        return False
    encoding, rate = int.from_bytes(data[20:22], "little"), int.from_bytes(data[24:28], "little")
    return encoding in _PLAIN_WAV and rate == sample_rate


@dataclass
class _Waiting:
    """A clip that was taken from the caller and not yet asked for.

    Attributes:
        index: Its place.
        clip: The clip.
        samples: How much memory it holds, in samples.
        found: Its waveform or error, or None to come: nobody has loaded it.
    """

    index: int
    clip: AudioSource
    samples: int = 0
    found: Future[Loaded | None] | None = None


class ReadAhead:
    """The waveforms of clips, in their order, decoded by threads before they are asked for.

    Threads get only what can't change and can't block: `bytes`, and paths of regular files. All else (a file
    object, an array that its owner may fill again) is read before the next clip is taken. A thread is started
    for the second clip of that kind at the earliest.

    Args:
        clips: The clips; they are taken in the thread that calls `fill` and `next`.
        load: Place and clip -> waveform `[N]` or error; called by several threads.
        threads: At most so many; with none, clips are loaded where they are asked for.
    """

    def __init__(
        self, clips: Iterable[AudioSource], load: Callable[[int, AudioSource], Loaded], threads: int
    ) -> None:
        self._clips = iter(clips)
        self._load = load
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[_Waiting] = deque()
        self._taken = 0
        self._ended = False
        self._error: Exception | None = None
        self._samples = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Not waited for: each thread ends with the clip that it is at, and who interrupts wants to be gone.
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def fill(self, count: int) -> None:
        """Take clips until `count` wait, or there are no more, or those that wait hold `MAX_SAMPLES`."""
        while not self._ended and len(self._waiting) < count and self._samples < MAX_SAMPLES:
            try:
                clip = next(self._clips)
            except StopIteration:
                self._ended = True
            except Exception as error:  # its place is behind the clips that came before it
                self._ended, self._error = True, error
            else:
                self._waiting.append(self._take(clip))

    def next(self) -> Loaded | None:
        """The next clip's waveform or error; None at the end.

        Raises:
            Exception: What the iterable of clips has raised.
        """
        self.fill(1)
        if not self._waiting:
            if self._error is not None:
                raise self._error
            return None
        item = self._waiting.popleft()
        found = None if item.found is None else item.found.result()
        self._hold(item, -item.samples)
        return self._load(item.index, item.clip) if found is None else found

    def _take(self, clip: AudioSource) -> _Waiting:
        item = _Waiting(self._taken, clip)
        self._taken += 1
        if not _can_wait(clip):
            item.found = Future()
            try:
                item.found.set_result(self._load_ahead(item))
            except Exception as error:
                item.found.set_exception(error)
            return item
        if isinstance(clip, bytes):
            self._hold(item, len(clip) // _BYTES_A_SAMPLE)
        # The first clip is asked for at once, so a thread would gain nothing.
        if self._threads > 0 and item.index > 0 and _takes_long(clip):
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="snn-voice-decode")
            item.found = self._pool.submit(self._load_if_room, item)
        return item

    def _load_if_room(self, item: _Waiting) -> Loaded | None:
        # How long a clip is shows when it is decoded. Long ones are left to who asks for them.
        return self._load_ahead(item) if self._samples < MAX_SAMPLES else None

    def _load_ahead(self, item: _Waiting) -> Loaded:
        found = self._load(item.index, item.clip)
        if isinstance(found, Tensor):
            self._hold(item, len(found))
        return found

    def _hold(self, item: _Waiting, samples: int) -> None:
        with self._lock:
            item.samples += samples
            self._samples += samples


def _takes_long(clip: AudioSource) -> bool:
    """Whether a clip that can wait is worth a thread."""
    if isinstance(clip, bytes):
        return len(clip) > SHORT_BYTES or clip[:4] not in (b"RIFF", b"FORM")
    path = os.fsdecode(clip)  # type: ignore[arg-type]  # bytes or a path, since it can wait
    try:
        return not path.lower().endswith(_UNCOMPRESSED) or os.path.getsize(path) > SHORT_BYTES  # noqa: PTH202
    except OSError:
        return False


def _can_wait(clip: AudioSource) -> bool:
    """Whether a clip stays as it is, and reading it ends."""
    if isinstance(clip, str | os.PathLike):
        try:
            return stat.S_ISREG(os.stat(clip).st_mode)  # noqa: PTH116  (of a str, without a Path)
        except (OSError, ValueError, TypeError):
            return False  # it has no sound to wait for
    return isinstance(clip, bytes)
