"""Many clips: bounded memory, threads that end, streams that are read in order."""

from __future__ import annotations

import io
import os
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from snn_voice_hub import audio
from snn_voice_hub.inference import decode
from snn_voice_hub.inference.ends import Ends
from tests.inference.helpers import (
    CONFIG,
    LONGEST,
    SIZE,
    all_end,
    clip_of,
    decoders,
    make,
    run,
    samples,
    wav,
    with_cores,
    write_clips,
)

cores = pytest.fixture(autouse=True, params=[1, 4], ids=["one-core", "four-cores"])(with_cores)


@pytest.fixture
def waves(monkeypatch: pytest.MonkeyPatch) -> LiveWaves:
    return LiveWaves(monkeypatch)


class LiveWaves:
    """Counts the waveforms that were loaded and are still held."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lock = threading.Lock()
        self.clips = self.samples = self.most_clips = self.most_samples = 0
        load = audio.load

        def counted(*args: Any, **options: Any) -> Tensor:
            wave = load(*args, **options)
            self.add(1, len(wave))
            weakref.finalize(wave.untyped_storage(), self.add, -1, -len(wave))
            return wave

        monkeypatch.setattr(audio, "load", counted)

    def add(self, clips: int, length: int) -> None:
        with self.lock:
            self.clips += clips
            self.samples += length
            self.most_clips = max(self.most_clips, self.clips)
            self.most_samples = max(self.most_samples, self.samples)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"))


# --- memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("listed", [True, False])
def test_few_clips_are_held_however_many_there_are(waves: LiveWaves, listed: bool) -> None:
    clip, batch_size = wav(0), 10
    clips: Any = islice(cycle([clip]), 400)
    answers = make(batch_size=batch_size).each([*clips] if listed else clips)
    for answered, _ in enumerate(answers, 1):
        assert waves.clips <= 2 * batch_size + 1, answered
    assert waves.most_clips <= 2 * batch_size + 1


@pytest.mark.parametrize("kind", ["str", "bytes", "array", "stream"])
def test_little_sound_is_held_however_long_clips_are(
    waves: LiveWaves, monkeypatch: pytest.MonkeyPatch, folder: Path, kind: str, cores: int
) -> None:
    room = 2 * LONGEST
    monkeypatch.setattr(decode, "MAX_SAMPLES", room)
    clips = [clip_of(folder, kind, i % 4, LONGEST) for i in range(60)]
    answers = list(make(batch_size=3).each(clips))  # as many windows as a clip has
    assert answers[:4] == [make().one(clip_of(folder, kind, seed, LONGEST)) for seed in range(4)]
    # What waits, what threads were at when the room was full, and what is being answered.
    assert waves.most_samples <= room + (cores + 2) * LONGEST


def test_encoded_bytes_count_as_held(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, clip = 0, wav(0)
    monkeypatch.setattr(decode, "MAX_SAMPLES", 3 * len(clip) // 4)

    def clips() -> Iterator[bytes]:
        nonlocal taken
        for taken in range(1, 100):  # noqa: B007
            yield clip

    for answered, _ in enumerate(make(batch_size=12).each(clips()), 1):
        assert taken - answered < 12 + 4


def test_windows_run_in_batches_and_share_the_clips_memory() -> None:
    sizes: list[int] = []

    def watched(windows: Tensor) -> Tensor:
        sizes.append(len(windows))
        return run(windows)

    clips = [samples(0, 100 * SIZE), samples(1), samples(2, 100 * SIZE)]
    make(watched, batch_size=7).one(clips[0])
    list(make(watched, batch_size=7).each(clips))
    assert max(sizes) == 7
    split = Ends(CONFIG).split(torch.zeros(100 * SIZE))
    assert len({window.untyped_storage().data_ptr() for window in split.windows}) == 1
    assert len(split.windows) == len(split.begins) > 1


# --- threads ----------------------------------------------------------------------------------------


def test_an_early_end_waits_for_no_thread(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    load, clips = audio.load, [wav(seed) for seed in range(30)]
    free = threading.Event()

    def slow(clip: Any, **options: Any) -> Tensor:
        if threading.current_thread() in decoders() and clip in clips[8:]:
            assert free.wait(60)
        return load(clip, **options)

    monkeypatch.setattr(audio, "load", slow)
    answers = make(batch_size=4).each(clips)
    for _ in range(5):
        next(answers)
    assert len(decoders()) == cores - 1
    answers.close()  # type: ignore[attr-defined]
    assert len(decoders()) == cores - 1  # still at it, and nobody waited
    free.set()
    all_end()


def test_an_interrupt_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def interrupted(windows: Tensor) -> Tensor:
        calls.append(len(windows))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(make(interrupted, batch_size=4).each([wav(seed) for seed in range(30)]))
    assert calls == [4]

    def clips() -> Iterator[bytes]:
        yield wav(0)
        raise KeyboardInterrupt

    load, loads = audio.load, 0

    def loading(clip: Any, **options: Any) -> Tensor:
        nonlocal loads
        loads += 1
        if loads == 3:
            raise KeyboardInterrupt
        return load(clip, **options)

    # What waits is neither loaded nor answered first.
    monkeypatch.setattr(audio, "load", loading)
    with pytest.raises(KeyboardInterrupt):
        list(make(interrupted).each(clips()))
    assert loads == 0
    with pytest.raises(KeyboardInterrupt):
        list(make(interrupted).each([wav(seed) for seed in range(4)]))
    assert calls == [4]


def test_no_thread_is_started_where_none_is_needed(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    started: list[int] = []

    def executor(threads: int, **_: Any) -> ThreadPoolExecutor:
        started.append(threads)
        return ThreadPoolExecutor(threads)

    monkeypatch.setattr(decode, "ThreadPoolExecutor", executor)
    make().one(wav(0))
    list(make().each([wav(0)]))
    list(make().each(iter([wav(0)])))
    list(make().each([samples(0), samples(1), io.BytesIO(wav(2))]))
    assert started == []
    list(make().each([wav(0), wav(1)]))
    assert started == ([] if cores == 1 else [cores - 1])


def test_short_uncompressed_clips_are_not_worth_a_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cores: int
) -> None:
    started: list[int] = []

    def executor(threads: int, **_: Any) -> ThreadPoolExecutor:
        started.append(threads)
        return ThreadPoolExecutor(threads)

    monkeypatch.setattr(decode, "ThreadPoolExecutor", executor)
    monkeypatch.setattr(decode, "SHORT_BYTES", 1 << 18)
    path = tmp_path / "clip.WAV"
    path.write_bytes(wav(0))
    answers = list(make().each([path, str(path), wav(1), wav(2)]))
    assert started == []
    assert answers[0] == answers[1]
    monkeypatch.setattr(decode, "SHORT_BYTES", 100)
    assert list(make().each([path, str(path), wav(1), wav(2)])) == answers
    assert started == ([] if cores == 1 else [cores - 1])


def test_a_thread_for_each_core_but_one_up_to_four(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, threads in ((1, 0), (2, 1), (4, 3), (64, 4)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, n=cores: set(range(n)), raising=False)
        assert decode.decoding_threads() == threads
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert decode.decoding_threads() == 0


# --- what must be read in order ---------------------------------------------------------------------


class Feed(io.RawIOBase):
    """A stream of several sound files: each ends with an empty read, as after Ctrl-D in a terminal."""

    def __init__(self, files: list[bytes]) -> None:
        super().__init__()
        self.parts = [part for file in files for part in (file, b"")]
        self.readers: set[str] = set()

    def read(self, _size: int = -1) -> bytes:
        self.readers.add(threading.current_thread().name)
        return self.parts.pop(0)


def test_the_same_stream_may_come_several_times() -> None:
    feed = Feed([wav(seed) for seed in range(20)])
    clips: list[Any] = [clip for seed in range(20) for clip in (feed, wav(seed))]
    answers = list(make(batch_size=6).each(clips))
    assert answers[::2] == answers[1::2] == [make().one(wav(seed)) for seed in range(20)]
    assert feed.readers == {threading.current_thread().name}


def test_a_buffer_may_be_filled_again() -> None:
    def clips() -> Iterator[Any]:
        array = np.zeros(SIZE, np.int16)
        encoded = bytearray(wav(0))
        for seed in range(9):
            array[:] = samples(seed)
            yield array
            encoded[:] = wav(seed)
            yield memoryview(bytes(encoded)) if seed % 2 else encoded

    answers = list(make(batch_size=4).each(clips()))
    assert answers[::2] == answers[1::2] == [make().one(wav(seed)) for seed in range(9)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read_before_the_next_clip(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[wav(1)], daemon=True)  # waits for a reader

    def clips() -> Iterator[Any]:
        yield wav(0)
        writer.start()
        yield pipe
        writer.join(20)
        assert not writer.is_alive()
        yield wav(2)

    assert list(make().each(clips())) == [make().one(wav(seed)) for seed in range(3)]
