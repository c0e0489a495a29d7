"""Many clips: each is answered as if alone, in order, and none is taken long before its turn."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub import audio
from snn_voice_hub.inference import decode
from tests.inference.helpers import (
    LONGEST,
    RATE,
    SIZE,
    clip_of,
    each_into,
    make,
    run,
    samples,
    wav,
    with_cores,
    write_clips,
)
from tests.places import EXAMPLES

cores = pytest.fixture(autouse=True, params=[1, 4], ids=["one-core", "four-cores"])(with_cores)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"))


# --- the same answers, in order ---------------------------------------------------------------------


KINDS = ("path", "str", "bytes", "array", "stream", "bytearray", "bad bytes", "no file", "empty array")
recipes = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.sampled_from([1, SIZE, LONGEST])), max_size=40
)


def alone(recipe: list[tuple[str, int, int]], folder: Path, **options: Any) -> list[Any]:
    """What each clip is answered by itself; errors as text, with the place where a list names it."""
    found: list[Any] = []
    for place, (kind, seed, length) in enumerate(recipe):
        clip = clip_of(folder, kind, seed, length)
        answer = make(on_error="return", **options).one(clip)
        if isinstance(answer, sv.AudioError):
            found.append(str(answer) if kind == "no file" else f"clip {place}: {answer}")
        else:
            found.append(answer)
    return found


def text(answer: Any) -> Any:
    return str(answer) if isinstance(answer, sv.AudioError) else answer


@settings(max_examples=60, deadline=None)
@given(
    recipe=recipes,
    batch_size=st.integers(1, 12),
    listed=st.booleans(),
    room=st.sampled_from([1, 999, 1 << 24]),
)
def test_any_mix_of_clips_is_answered_like_each_alone(
    folder: Path, recipe: list[tuple[str, int, int]], batch_size: int, listed: bool, room: int
) -> None:
    wanted = alone(recipe, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "MAX_SAMPLES", room)
        clips: Any = (clip_of(folder, *item) for item in recipe)
        clips = list(clips) if listed else clips
        answers = list(make(on_error="return", batch_size=batch_size).each(clips))
        assert [text(answer) for answer in answers] == wanted

        bad = next((i for i, answer in enumerate(wanted) if isinstance(answer, str)), None)
        clips = [clip_of(folder, *item) for item in recipe]
        found: list[Any] = []
        if bad is None:
            each_into(found, make(batch_size=batch_size).each(clips))
        else:
            with pytest.raises(sv.AudioError) as raised:
                each_into(found, make(batch_size=batch_size).each(clips))
            assert str(raised.value) == wanted[bad]
        assert found == wanted[:bad]


def test_a_real_model_answers_a_list_like_each_clip(default_model: sv.SnnVoice) -> None:
    files = sorted(EXAMPLES.glob("*.wav"))
    clips: list[Any] = [*files, b"no sound", *(path.read_bytes() for path in files), *reversed(files)]
    wanted = [default_model.classify(path) for path in [*files, *files, *reversed(files)]]
    for batch_size in (3, 32):
        answers: list[Any] = default_model.classify(clips, batch_size=batch_size, on_error="return")
        assert isinstance(answers.pop(len(files)), sv.AudioError)
        for answer, alone in zip(answers, wanted, strict=True):
            assert answer[0].label == alone[0].label
            assert answer[0].score == pytest.approx(alone[0].score, abs=1e-4)


def test_threads_decode_every_format_as_one_thread_does() -> None:
    wave = audio.load(EXAMPLES / "yes.wav").numpy()
    clips = []
    for container, subtype in [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
                               ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16")]:  # fmt: skip
        buffer = io.BytesIO()
        sf.write(buffer, wave, RATE, format=container, subtype=subtype)
        clips += [buffer.getvalue(), buffer.getvalue()[:-9]] * 4
    wanted = [loaded(clip) for clip in clips]
    with ThreadPoolExecutor(8) as pool:
        for found, one in zip(pool.map(loaded, clips), wanted, strict=True):
            assert torch.equal(found, one) if isinstance(one, Tensor) else found == one


def loaded(clip: bytes) -> Tensor | str:
    try:
        return audio.load(clip, target_rate=8000)
    except sv.AudioError as error:
        return str(error)


# --- laziness ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_an_endless_iterable_is_taken_little_by_little(batch_size: int) -> None:
    clip, taken = wav(0), 0

    def clips() -> Iterator[bytes]:
        nonlocal taken
        for taken in count(1):  # noqa: B007
            yield clip

    answers = make(batch_size=batch_size).each(clips())
    next(answers)
    assert taken == batch_size
    for answered in range(2, 40):
        next(answers)
        assert taken - answered < 2 * batch_size
        assert batch_size > 1 or taken == answered
    answers.close()  # type: ignore[attr-defined]


def test_a_clip_may_be_made_from_the_answer_before_it() -> None:
    said: list[Any] = []

    def clips() -> Iterator[bytes]:
        for seed in range(9):
            assert len(said) == seed
            yield wav(seed)

    for answer in make(batch_size=1).each(clips()):
        said.append(answer)
    assert said == [make().one(wav(seed)) for seed in range(9)]


def test_what_the_iterable_raises_comes_after_the_answers() -> None:
    failure = ValueError("no more")

    def clips() -> Iterator[bytes]:
        yield from (wav(seed) for seed in range(7))
        raise failure

    for batch_size in (1, 2, 3, 7, 32):
        found: list[Any] = []
        with pytest.raises(ValueError, match="no more") as raised:
            each_into(found, make(batch_size=batch_size).each(clips()))
        assert raised.value is failure
        assert found == [make().one(wav(seed)) for seed in range(7)]


def test_what_loading_raises_beside_audio_errors_comes_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    load, clips = audio.load, [wav(seed) for seed in range(9)]

    def fail(clip: Any, **options: Any) -> Tensor:
        if clip == clips[5]:
            raise MemoryError("full")
        return load(clip, **options)

    monkeypatch.setattr(audio, "load", fail)
    found: list[Any] = []
    with pytest.raises(MemoryError, match="full"):
        each_into(found, make(batch_size=3, on_error="return").each(clips))
    assert len(found) == 5


@pytest.mark.parametrize("batch_size", [1, 2, 4, 32])
def test_a_clip_that_the_network_refuses_is_an_error_at_its_place(batch_size: int) -> None:
    clips = [wav(seed, LONGEST if seed == 3 else SIZE) for seed in range(7)]
    refused = {0, 3, 4}
    quiet = [samples(seed, LONGEST if seed == 3 else SIZE)[:20] for seed in refused]

    def picky(windows: Tensor) -> Tensor:
        for window in windows:
            if any(np.array_equal((window[:20] * 32_768).numpy(), begin) for begin in quiet):
                raise sv.AudioError("no such sound for me", code="silence")
        return run(windows)

    answers = list(make(picky, on_error="return", batch_size=batch_size).each(clips))
    wanted = [make().one(clip) for clip in clips]
    for seed, answer in enumerate(answers):
        if seed in refused:
            assert isinstance(answer, sv.AudioError)
            assert (answer.message, answer.code) == (f"clip {seed}: no such sound for me", "silence")
        else:
            assert answer == wanted[seed]
    found: list[Any] = []
    with pytest.raises(sv.AudioError, match="clip 0: no such sound"):
        each_into(found, make(picky, batch_size=batch_size).each(clips))
    alone = make(picky, on_error="return").one(clips[0])
    assert isinstance(alone, sv.AudioError)
    assert alone.message == "no such sound for me"
    with pytest.raises(sv.AudioError, match=r"^no such sound"):
        make(picky, on_error="return").windows(clips[3], 0.5)


def test_a_recording_leaves_out_what_the_network_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    model = sv.SnnVoice(sv.TcySNN(num_classes=3, num_steps=2), labels=["a", "b", "c"]).eval()
    forward = sv.SnnVoice.forward

    def picky(self: sv.SnnVoice, waveforms: Tensor) -> Tensor:
        if bool((waveforms.abs().amax(-1) == 0).any()):
            raise sv.AudioError("silence", code="silence")
        return forward(self, waveforms)

    monkeypatch.setattr(sv.SnnVoice, "forward", picky)
    sound = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
    clips = [sound, np.zeros_like(sound), sound * 0.5]
    with model.record_spikes() as rec:
        answers = model.classify(clips, sample_rate=16_000, on_error="return")
    assert [isinstance(answer, sv.AudioError) for answer in answers] == [False, True, False]
    assert rec.clips == [0, 2]
