"""`SnnVoice.classify`: every door gives one answer for one clip."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from snn_voice_lite.answers import best, combine
from snn_voice_lite.windows import starts
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub import audio
from snn_voice_hub.inference.ends import ClassifyOptions
from snn_voice_hub.inference.windows import fit, split
from tests.places import EXAMPLES

FILES = sorted(EXAMPLES.glob("*.wav"))


def word_of(path: Path) -> str:
    return path.stem.split("_")[0]


def close(a: list[sv.Prediction], b: list[sv.Prediction], tolerance: float = 1e-4) -> bool:
    left, right = {p.label: p.score for p in a}, {p.label: p.score for p in b}
    return left.keys() == right.keys() and all(abs(left[k] - right[k]) <= tolerance for k in left)


# --- the examples are understood --------------------------------------------------------------------


def test_there_are_examples() -> None:
    assert len(FILES) >= 4


@pytest.mark.parametrize("path", FILES, ids=[p.stem for p in FILES])
def test_the_default_model_understands_the_examples(default_model: sv.SnnVoice, path: Path) -> None:
    (top,) = default_model.classify(path, top_k=1)
    assert top.label == word_of(path)
    assert top.score > 0.5


def test_silence_and_noise_are_no_word(default_model: sv.SnnVoice) -> None:
    rng = np.random.default_rng(0)
    for gain in (0.0, 1e-4, 1e-2, 0.1):
        noise = (gain * rng.standard_normal(16_000)).astype(np.float32)
        assert default_model.classify(noise, sample_rate=16_000, min_score=0.5) == []
        assert default_model.classify(noise, sample_rate=16_000, top_k=1)[0].label == "_silence_"


# --- one answer for one clip ------------------------------------------------------------------------


def test_path_bytes_stream_array_and_tensor_agree(default_model: sv.SnnVoice) -> None:
    path = FILES[0]
    samples, rate = sf.read(path, dtype="int16")
    wanted = default_model.classify(path)
    with path.open("rb") as stream:
        assert close(default_model.classify(stream), wanted, 1e-6)
    for clip in (str(path), path.read_bytes()):
        assert close(default_model.classify(clip), wanted, 1e-6)
    for array in (samples, samples.astype(np.float32) / 32768, torch.from_numpy(samples)):
        assert close(default_model.classify(array, sample_rate=rate), wanted, 1e-6)
    stereo = np.stack([samples, samples])
    assert close(default_model.classify(stereo, sample_rate=rate), wanted, 1e-6)


def test_alone_and_in_any_batch(default_model: sv.SnnVoice) -> None:
    clips = [*FILES, *reversed(FILES)]
    alone = [default_model.classify(clip) for clip in clips]
    for batch_size in (1, 3, 32):
        together = default_model.classify(clips, batch_size=batch_size)
        assert len(together) == len(clips)
        assert all(close(a, b) for a, b in zip(alone, together, strict=True))


def test_the_same_call_twice_is_bit_equal(default_model: sv.SnnVoice) -> None:
    assert default_model.classify(FILES) == default_model.classify(FILES)


def test_forward_is_raw_logits_of_the_same_answer(default_model: sv.SnnVoice) -> None:
    wave = audio.load(FILES[0], target_rate=default_model.sample_rate)
    with torch.inference_mode():
        logits = default_model(fit(wave, 16_000).unsqueeze(0))
    assert logits.shape == (1, len(default_model.labels))
    scores = (logits[0] / default_model.config.temperature).softmax(0)
    top = default_model.classify(FILES[0], top_k=1)[0]
    assert scores.max().item() == pytest.approx(top.score, abs=1e-5)
    raw = default_model.classify(FILES[0], top_k=1, function_to_apply="none")[0]
    assert raw.score == pytest.approx(logits.max().item(), abs=1e-4)


def test_forward_pads_cuts_and_refuses(default_model: sv.SnnVoice) -> None:
    wave = audio.load(FILES[0])[:12_000].unsqueeze(0)
    with torch.inference_mode():
        padded = torch.nn.functional.pad(wave, (0, 4000))
        assert torch.equal(default_model(wave), default_model(padded))
        assert default_model(torch.zeros(1, 20_000)).shape == (1, len(default_model.labels))
        with pytest.raises(sv.AudioError, match="exceed the model's window"):
            default_model(torch.zeros(1, 20_001))
        with pytest.raises(sv.AudioError, match="shape"):
            default_model(torch.zeros(16_000))


def test_threads_share_a_model(default_model: sv.SnnVoice) -> None:
    wanted = [default_model.classify(path) for path in FILES]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert all(
                close(a, b) for a, b in zip(pool.map(default_model.classify, FILES), wanted, strict=True)
            )


@pytest.mark.parametrize("encoding", ["rate", "latency"])
def test_drawn_encodings_depend_on_the_clip_alone(encoding: str) -> None:
    torch.manual_seed(1)
    voice = sv.SnnVoice(
        sv.M5SNN(num_classes=4, encoding=encoding), labels=["a", "b", "c", "d"], temperature=5.0
    ).eval()
    clips = [torch.randn(16_000) * gain for gain in (0.1, 1.0, 0.01)]
    together = voice.classify(clips, sample_rate=16_000, top_k=4)
    torch.manual_seed(2)
    for clip, answer in zip(clips, together, strict=True):
        assert close(voice.classify(clip, sample_rate=16_000, top_k=4), answer)


def test_batch_normalisation_of_the_paper_still_answers_clip_by_clip() -> None:
    voice = sv.SnnVoice(
        sv.M5CNN(num_classes=2), {"kind": "waveform", "normalization": "batch"}, labels=["a", "b"]
    ).eval()
    clips = [torch.randn(16_000) * gain for gain in (0.1, 1.0)]
    together = voice.classify(clips, sample_rate=16_000)
    assert together == [voice.classify(clip, sample_rate=16_000) for clip in clips]
    with torch.inference_mode():
        both = voice(torch.stack(clips))
        assert not torch.allclose(both[0], voice(clips[0].unsqueeze(0))[0])


# --- options ------------------------------------------------------------------------------------------


def test_top_k_and_min_score(default_model: sv.SnnVoice) -> None:
    assert len(default_model.classify(FILES[0])) == 5
    everything = default_model.classify(FILES[0], top_k=1000)
    assert len(everything) == len(default_model.labels)
    assert [p.score for p in everything] == sorted((p.score for p in everything), reverse=True)
    assert sum(p.score for p in everything) == pytest.approx(1, abs=1e-4)
    (sure,) = default_model.classify(FILES[0], min_score=0.5)
    assert sure.label == word_of(FILES[0])
    assert default_model.classify(FILES[0], min_score=1.0) == []
    logits = default_model.classify(FILES[0], min_score=-2.0, function_to_apply="none")
    assert logits[0].label == sure.label
    sigmoid = default_model.classify(FILES[0], function_to_apply="sigmoid", top_k=1000)
    assert all(0 <= p.score <= 1 for p in sigmoid)


def test_words_only_leaves_out_what_is_no_word(default_model: sv.SnnVoice) -> None:
    silence = torch.zeros(60_000)
    answers: dict[bool, Any] = {}
    for only in (False, True):
        options: ClassifyOptions = {"sample_rate": 16_000, "words_only": only}
        together = default_model.classify([silence, silence[:16_000]], **options, top_k=1000)
        answers[only] = together
        assert list(default_model.classify_each([silence], **options, top_k=1000)) == together[:1]
        windows = default_model.classify_windows(silence, **options, top_k=1000)
        assert len(windows) > 3
        assert {p.label for w in windows for p in w.predictions} == {p.label for p in together[0]}
    for everything, words in zip(answers[False], answers[True], strict=True):
        assert everything[0].label == "_silence_"
        assert words == [p for p in everything if not p.label.startswith("_")]
        assert len(words) == 35
        assert sum(p.score for p in words) < 0.5
    # Three words, though no word is among the best labels; none only where `min_score` says so.
    few = default_model.classify(silence, sample_rate=16_000, top_k=3, words_only=True)
    assert few == answers[True][0][:3]
    both = default_model.classify(
        FILES[0], sample_rate=16_000, top_k=3, min_score=few[0].score, words_only=True
    )
    assert both[0].label == word_of(FILES[0])
    assert default_model.classify(silence, sample_rate=16_000, min_score=0.9, words_only=True) == []


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"words_only": 1}, "words_only=1"),
        ({"top_k": 0}, "top_k=0"),
        ({"top_k": 2.0}, "top_k=2.0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"min_score": float("nan")}, "min_score=nan"),
        ({"min_score": 2}, r"min_score=2 .*from 0 to 1"),
        ({"min_score": -1}, "min_score=-1"),
        ({"min_score": 1.1, "function_to_apply": "sigmoid"}, "min_score=1.1"),
        ({"min_score": float("inf"), "function_to_apply": "none"}, "min_score=inf"),
        ({"function_to_apply": "relu"}, "function_to_apply='relu'"),
        ({"on_error": "ignore"}, "on_error='ignore'"),
    ],
)
def test_an_illegal_option_is_named(default_model: sv.SnnVoice, options: dict[str, Any], field: str) -> None:
    for clips in (FILES[0], [FILES[0]]):
        with pytest.raises(sv.ConfigError, match=field):
            default_model.classify(clips, **options)


def test_a_bad_clip_in_a_list(default_model: sv.SnnVoice, tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"this is no sound")
    with pytest.raises(sv.AudioError, match=r"bad\.wav"):
        default_model.classify([FILES[0], bad, FILES[1]])
    with pytest.raises(sv.AudioError, match="clip 1: "):
        default_model.classify([FILES[0], b"no sound"])
    for batch_size in (1, 2, 32):
        answers = default_model.classify(
            [FILES[0], bad, b"", FILES[1]], on_error="return", batch_size=batch_size, top_k=1
        )
        assert [type(a).__name__ for a in answers] == ["list", "AudioError", "AudioError", "list"]
        assert "bad.wav" in str(answers[1])
        assert answers[3][0].label == word_of(FILES[1])  # type: ignore[index]
    assert isinstance(default_model.classify(bad, on_error="return"), sv.AudioError)


def test_many_is_a_list_and_may_be_empty_or_lazy(default_model: sv.SnnVoice) -> None:
    assert default_model.classify([]) == []
    assert default_model.classify((FILES[0],)) == default_model.classify([FILES[0]])
    seen: list[int] = []

    def clips() -> Any:
        for index in range(10):
            seen.append(index)
            yield FILES[index % 2]

    answers = default_model.classify_each(clips(), batch_size=2)
    next(answers)
    assert len(seen) == 2  # nothing is read ahead of its batch
    assert len(list(answers)) == 9


# --- windows ------------------------------------------------------------------------------------------


def spoken_at(path: Path, start: float, length: float) -> Tensor:
    """The word of a file inside a longer, otherwise silent clip."""
    wave = audio.load(path)
    clip = torch.zeros(round(length * 16_000))
    begin = round(start * 16_000)
    clip[begin : begin + len(wave)] = wave[: len(clip) - begin]
    return clip


def test_a_word_in_a_long_clip_is_found(default_model: sv.SnnVoice) -> None:
    clip = spoken_at(FILES[0], 2.0, 5.0)
    top = default_model.classify(clip, sample_rate=16_000, top_k=1)[0]
    assert top.label == word_of(FILES[0])
    windows = default_model.classify_windows(clip, sample_rate=16_000, top_k=1)
    assert [(w.start, w.end) for w in windows] == [(s / 2, s / 2 + 1) for s in range(9)]
    best_window = max(windows, key=lambda w: w.predictions[0].score * (w.predictions[0].label == top.label))
    assert best_window.start in (1.5, 2.0, 2.5)
    assert windows[0].predictions[0].label == "_silence_"
    assert default_model.classify(torch.zeros(80_000), sample_rate=16_000, top_k=1)[0].label == "_silence_"


def test_the_last_window_ends_with_the_clip(default_model: sv.SnnVoice) -> None:
    windows = default_model.classify_windows(torch.zeros(26_000), sample_rate=16_000)
    assert [w.start for w in windows] == [0.0, 0.5, 0.625]
    assert windows[-1].end == pytest.approx(26_000 / 16_000)
    short = default_model.classify_windows(torch.zeros(8_000), sample_rate=16_000)
    assert [(w.start, w.end) for w in short] == [(0.0, 0.5)]
    with pytest.raises(sv.ConfigError, match="hop_seconds"):
        default_model.classify_windows(torch.zeros(8_000), sample_rate=16_000, hop_seconds=0)


@settings(max_examples=200, deadline=None)
@given(length=st.integers(1, 500), size=st.integers(1, 100), hop=st.integers(1, 80), cut=st.integers(0, 30))
def test_windows_cover_every_sample_once_or_more(length: int, size: int, hop: int, cut: int) -> None:
    begins = starts(length, size, hop, cut)
    assert begins == sorted(set(begins))
    windows, again = split(torch.arange(1.0, length + 1), size, hop, cut)
    assert again == begins
    assert windows.shape == (len(begins), size)
    if len(begins) == 1:
        assert length <= size + cut
    else:
        assert begins[-1] + size == length
        # A hop beyond the window leaves gaps on purpose; otherwise nothing is skipped.
        gaps = [b - a for a, b in pairwise(begins)]
        assert max(gaps) <= hop
        for begin, window in zip(begins, windows, strict=True):
            assert window[0].item() == begin + 1


def test_a_little_surplus_is_cut_at_the_quieter_end() -> None:
    loud_end = torch.cat([torch.zeros(10), torch.ones(100)])
    assert torch.equal(fit(loud_end, 100), torch.ones(100))
    assert torch.equal(fit(loud_end.flip(0), 100), torch.ones(100))
    assert torch.equal(fit(torch.ones(3), 5), torch.tensor([1.0, 1, 1, 0, 0]))


def test_words_are_combined_by_maximum_and_silence_by_minimum() -> None:
    rows = np.array([[0.1, 0.0, 0.9], [0.7, 0.1, 0.2]], np.float32)
    assert combine(rows, ["yes", "no", "_silence_"]).tolist() == pytest.approx([0.7, 0.1, 0.2])
    # Silence first, then another word: both are no word, and what they have together counts.
    apart = np.array([[0.02, 0.96, 0.02], [0.06, 0.04, 0.9]], np.float32)
    together = combine(apart, ["yes", "_silence_", "_unknown_"])
    assert together[0] == pytest.approx(0.06)
    assert together[1:].tolist() == pytest.approx([0.94 * 1.0 / 1.92, 0.94 * 0.92 / 1.92])
    ranked = best(np.array([0.2, 0.2, 0.6], np.float32), ["a", "b", "_silence_"], 2, None)
    assert [p.label for p in ranked] == ["_silence_", "a"]


def test_a_clip_that_is_too_long_is_refused(default_model: sv.SnnVoice) -> None:
    with pytest.raises(sv.AudioError, match="longer than 2 s"):
        default_model.classify(torch.zeros(48_000), sample_rate=16_000, max_seconds=2)


# --- files of every kind ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"),
     ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16")],
)  # fmt: skip
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_word_survives_its_codec(
    default_model: sv.SnnVoice, container: str, subtype: str, rate: int
) -> None:
    for path in FILES[:3]:
        wave = audio.load(path, target_rate=rate).numpy()
        buffer = io.BytesIO()
        sf.write(buffer, wave, rate, format=container, subtype=subtype)
        assert default_model.classify(buffer.getvalue(), top_k=1)[0].label == word_of(path)


def test_what_a_model_says_of_itself(default_model: sv.SnnVoice) -> None:
    assert default_model.sample_rate == 16_000
    assert default_model.device == torch.device("cpu")
    assert default_model.num_parameters() == sum(p.numel() for p in default_model.parameters())
    assert len(default_model.labels) == default_model.config.network["num_classes"]
    assert isinstance(default_model.network, sv.SpikingNetwork)
    names = {type(m).__name__ for m in default_model.network.modules()}
    assert not names & {"ReLU", "MaxPool1d", "MaxPool2d"}


def test_absurd_amplitudes_are_an_error_and_large_ones_are_not(default_model: sv.SnnVoice) -> None:
    wave = torch.randn(16_000)
    with pytest.raises(sv.AudioError, match="are no sound"):
        default_model.classify(wave * 1e15, sample_rate=16_000)
    for name in ("resmel-snn", "m5-snn"):
        answer = sv.SnnVoice.from_pretrained(name).classify(wave * 1e10, sample_rate=16_000, top_k=100)
        assert sum(p.score for p in answer) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("dtype", ["float16", torch.bfloat16])
def test_a_network_can_compute_in_half_precision(
    dtype: str | torch.dtype, default_model: sv.SnnVoice
) -> None:
    voice = sv.SnnVoice.from_pretrained(dtype=dtype)
    assert default_model.dtype == torch.float32
    assert str(voice.dtype).removeprefix("torch.") == str(dtype).removeprefix("torch.")
    # The front end keeps its precision: a logarithm of half-precision power is no feature.
    assert all(tensor.dtype == torch.float32 for tensor in voice.features.buffers())
    waveforms = torch.zeros(1, 16_000)
    assert voice(waveforms).dtype == torch.float32
    for path in EXAMPLES.glob("*.wav"):
        (best,) = voice.classify(path, top_k=1)
        assert best.label == path.stem
        # A spike more or less: a word that is in doubt moves by as much.
        assert best.score == pytest.approx(default_model.classify(path, top_k=1)[0].score, abs=0.15)
    with pytest.raises(sv.ConfigError, match="dtype='int8' is not legal"):
        sv.SnnVoice.from_pretrained(dtype="int8")
    network = sv.TcySNN.from_pretrained("tcy-snn", dtype=dtype)
    assert network(torch.zeros(1, 1, 60, 134, dtype=voice.dtype)).dtype == voice.dtype
