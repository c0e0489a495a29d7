"""Sound as other libraries hand it out, through every door of a model."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from snn_voice_lite.samples import are_several

import snn_voice_hub as sv
from snn_voice_hub import audio
from snn_voice_hub.errors import AudioError, ConfigError
from tests.audio.helpers import encode, fails, noise
from tests.places import EXAMPLES

RATE = 22_050
X = noise(RATE, 1)
STEREO = np.stack([X, -X / 2], axis=1)
INTEGERS = (X * 32768).astype(np.int16)


class Decoder:
    """What `datasets` 4 holds in the place of a sound."""

    def __init__(self, samples: torch.Tensor, fails: bool = False) -> None:
        self.samples, self.fails = samples, fails

    def get_all_samples(self) -> SimpleNamespace:
        """All of it, as torchcodec has it."""
        if self.fails:
            raise RuntimeError("no such\ncodec")
        return SimpleNamespace(data=self.samples, sample_rate=RATE)


@pytest.mark.parametrize(
    "clip",
    [
        (X, RATE),  # soundfile, librosa
        (RATE, X),  # scipy, gradio
        (X, float(RATE)),
        (np.int64(RATE), X),
        (torch.from_numpy(X), RATE),
        (torch.from_numpy(X).unsqueeze(0), RATE, "yes", "a speaker", 0),  # a data set of torchaudio
        (X.tolist(), RATE),
        {"array": X, "sampling_rate": RATE, "path": "gone.wav"},  # datasets
        {"raw": X, "sampling_rate": RATE},  # transformers
        {"array": X.tolist(), "sample_rate": RATE},
        {"array": torch.from_numpy(X), "sampling_rate": torch.tensor(RATE)},  # datasets.with_format("torch")
        (X, np.array(RATE)),
        {"audio": {"array": X, "sampling_rate": RATE}, "label": 3},  # a row
        Decoder(torch.from_numpy(X).unsqueeze(0)),
        {"audio": Decoder(torch.from_numpy(X).unsqueeze(0)), "label": 3},
        SimpleNamespace(data=torch.from_numpy(X), sample_rate=RATE),
    ],
    ids=range(16),
)
def test_samples_with_their_rate(clip: Any) -> None:
    expected = audio.load(X, sample_rate=RATE)
    assert torch.equal(audio.load(clip), expected)
    assert torch.equal(audio.load(clip, sample_rate=8000), expected)  # their own rate counts
    assert not are_several(clip)
    assert are_several([clip, clip])
    assert are_several((clip, clip))


def test_encoded_sound_in_a_dict(tmp_path: Path) -> None:
    data = encode(X, RATE, subtype="FLOAT")
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    expected = audio.load(data)
    for clip in (
        {"bytes": data, "path": "a.wav"},
        {"bytes": None, "path": str(path)},
        {"path": path},
        {"audio": {"bytes": data, "path": None}, "label": 0},
        {"audio": str(path)},
    ):
        assert torch.equal(audio.load(clip), expected)
    assert "gone.wav" in fails("not_found", {"bytes": None, "path": "gone.wav"}).message


def test_the_longer_side_is_the_time() -> None:
    """soundfile, scipy and gradio have `[samples, channels]`, the others `[channels, samples]`."""
    expected = audio.load(STEREO.T, sample_rate=RATE)
    for clip in ((STEREO, RATE), (RATE, STEREO), (STEREO.T, RATE), {"array": STEREO, "sampling_rate": RATE}):
        assert torch.equal(audio.load(clip), expected)
    fails("bad_shape", STEREO, sample_rate=RATE)  # nobody said that it has a rate beside it


def test_integers_keep_their_scale() -> None:
    expected = audio.load(INTEGERS, sample_rate=RATE)
    assert torch.equal(audio.load((RATE, INTEGERS)), expected)
    assert torch.equal(audio.load({"raw": INTEGERS, "sampling_rate": RATE}), expected)
    assert torch.allclose(expected, audio.load((X, RATE)), atol=1e-3)
    fails("bad_dtype", ([1, 2, 3], RATE))  # of Python's numbers nobody knows the scale


def test_what_is_no_sound() -> None:
    for clip in ({}, {"path": None}, {"label": 3, "text": "yes"}, {"audio": {"audio": X}}):
        error = fails("bad_type", clip)
        assert "sampling_rate" in error.hint
        assert all(key in error.message for key in clip)
    assert "sample_rate" in fails("no_sample_rate", {"array": X}).hint
    assert torch.equal(audio.load({"array": X}, sample_rate=RATE), audio.load((X, RATE)))
    fails("bad_sample_rate", (X, 5))
    fails("bad_sample_rate", {"array": X, "sampling_rate": "high"})
    fails("bad_shape", {"array": [[0.5], [0.5, 0.5]], "sampling_rate": RATE})
    fails("bad_shape", ([[0.5], [0.5, 0.5]], RATE))
    assert "no such codec" in fails("unreadable", Decoder(torch.zeros(1), fails=True)).hint
    assert "classify_each" in fails("bad_type", iter([])).hint


def test_every_door_takes_them(default_model: sv.SnnVoice) -> None:
    model = default_model
    path = EXAMPLES / "yes.wav"
    samples, rate = sf.read(path)
    integers, _ = sf.read(path, dtype="int16")
    clips: list[Any] = [
        (samples, rate),
        (rate, integers),
        {"array": samples, "sampling_rate": rate},
        {"bytes": path.read_bytes(), "path": None},
        Decoder(torch.from_numpy(audio.load(path, target_rate=RATE).numpy()).unsqueeze(0)),
    ]
    wanted = model.classify(path)
    for clip in clips[:4]:
        assert model.classify(clip) == wanted
    assert model.classify(clips[4])[0].label == "yes"
    assert [answer[0].label for answer in model.classify(clips)] == ["yes"] * 5
    assert [answer[0].label for answer in model.classify(tuple(clips))] == ["yes"] * 5
    assert [answer[0].label for answer in model.classify_each(iter(clips))] == ["yes"] * 5
    assert model.classify_windows(clips[0]) == model.classify_windows(path)
    assert model.classify(clips[1], early_exit=0.9)[0].label == "yes"
    with model.record_spikes() as rec:
        model.classify(clips[0])
    assert rec.clips == [0]
    assert model.energy(clips[0], twin=False) == model.energy(path, twin=False)
    assert model.energy(clips[:2], twin=False).clips == 2
    with pytest.raises(AudioError, match="clip 1"):
        model.classify([clips[0], rate])


@pytest.mark.parametrize("name", ["sampling_rate", "sr", "rate", "orig_sr", "fs"])
def test_the_rate_by_another_name(default_model: sv.SnnVoice, name: str) -> None:
    calls = [default_model.classify, default_model.classify_windows, default_model.energy]
    for call in (*calls, lambda clip, **rate: list(default_model.classify_each([clip], **rate))):
        with pytest.raises(ConfigError, match=f"{name}=.*sample_rate="):
            call(X, **{name: RATE})
    with pytest.raises(ConfigError, match=r"topk=.*top_k"):
        default_model.classify(X, sample_rate=RATE, topk=3)


@pytest.mark.parametrize("clip", ["yes.wav", Path("yes.wav"), b"RIFF", {"array": X}, io.BytesIO(b"a\nb"), 5])
def test_one_clip_where_many_are_taken(default_model: sv.SnnVoice, clip: Any) -> None:
    with pytest.raises(AudioError, match=r"classify_each\(\) takes an iterable.*classify\(\)"):
        next(default_model.classify_each(clip))


@pytest.mark.parametrize("clip", ["yes.wav", Path("yes.wav"), b"RIFF", X, io.BytesIO(), (X, RATE), [X], None])
def test_a_model_that_is_called_says_classify(default_model: sv.SnnVoice, clip: Any) -> None:
    with pytest.raises(AudioError, match="classify") as caught:
        default_model(clip)
    assert type(clip).__name__ in caught.value.message
