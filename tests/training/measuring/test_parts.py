"""The parts of an evaluation: figures, noise and shifts, the confusion table."""

from __future__ import annotations

import csv
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub.errors import MissingExtraError
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.measuring.confusion import Confusion
from snn_voice_hub.training.measuring.held_out import load_recordings
from snn_voice_hub.training.measuring.metrics import accuracy, expected_calibration_error
from snn_voice_hub.training.measuring.robustness import mix, noise_pieces, robustness, shift
from tests.slowness import mostly_slow

LABELS = ["yes", "no", "up", "_silence_"]


def logits_of(*answers: str) -> Tensor:
    return torch.stack([8.0 * torch.eye(4)[LABELS.index(answer)] for answer in answers])


def clips_of(count: int, names: list[str] | None = None) -> Clips:
    rng = np.random.default_rng(0)
    waves = (3000 * rng.standard_normal((count, 16_000))).astype(np.int16)
    return Clips(waves, ["yes"] * count, names or [f"yes/{i}.wav" for i in range(count)], [])


# --- figures --------------------------------------------------------------------------------------


def test_ranks_and_words_that_the_model_does_not_know() -> None:
    logits = torch.tensor([[3.0, 2, 1, 0], [3, 2, 1, 0], [3, 2, 1, 0], [3, 2, 1, 0]])
    figures = accuracy(logits, ["yes", "no", "_silence_", "zebra"], LABELS, 1.0)
    assert (figures["top1"], figures["top2"], figures["top5"]) == (0.3333, 0.6667, 0.6667)
    assert figures["unknown_words"] == {"zebra": 1}
    # What is no word is no word's accuracy.
    assert (figures["clips"], figures["no_word"]) == (3, {"clips": 1, "taken_for_a_word": 1.0})
    assert "no_word" not in accuracy(logits, ["yes"] * 4, LABELS, 1.0)
    silent = accuracy(torch.tensor([[0.0, 0, 1, 2]]), ["_silence_"], LABELS, 1.0)
    assert (silent["top1"], silent["no_word"]) == (None, {"clips": 1, "taken_for_a_word": 0.0})
    assert "unknown_words" not in accuracy(logits, ["yes"] * 4, LABELS, 1.0)


def test_calibration_before_is_that_of_temperature_one() -> None:
    logits = torch.randn(300, 4) * 3
    words = [LABELS[i] for i in torch.randint(4, (300,))]
    figures = accuracy(logits, words, LABELS, 2.5)
    assert figures["calibration_error_before"] == accuracy(logits, words, LABELS, 1.0)["calibration_error"]
    assert figures["calibration_error"] != figures["calibration_error_before"]
    # By hand: two clips of confidence 0.9, one of them right, and two of 0.6, both right.
    scores, right = torch.tensor([0.9, 0.9, 0.6, 0.6]), torch.tensor([True, False, True, True])
    assert expected_calibration_error(scores, right, 10) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


def test_precision_recall_and_f1_of_each_word() -> None:
    words = ["yes", "yes", "yes", "no", "zebra"]
    table = Confusion.of(logits_of("yes", "yes", "no", "no", "up"), words, LABELS).per_word()
    assert table == {
        "no": {"precision": 0.5, "recall": 1.0, "f1": 0.6667, "clips": 1},
        "up": {"precision": 0.0, "recall": None, "f1": 0.0, "clips": 0},  # answered, never said
        "yes": {"precision": 1.0, "recall": 0.6667, "f1": 0.8, "clips": 3},
        "zebra": {"precision": None, "recall": 0.0, "f1": 0.0, "clips": 1},  # said, never answered
    }


# --- confusion ------------------------------------------------------------------------------------


def test_confusion_counts_and_its_csv() -> None:
    words = ["no", "yes", "yes", "a,b"]
    confusion = Confusion.of(logits_of("no", "yes", "no", "_silence_"), words, LABELS)
    assert confusion.words == ["yes", "no", "a,b"]  # the model's order, then the unknown
    assert confusion.counts.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert list(csv.reader(confusion.to_csv().splitlines())) == [
        ["said", *LABELS],
        ["yes", "1", "1", "0", "0"],
        ["no", "0", "1", "0", "0"],
        ["a,b", "0", "0", "0", "1"],
    ]


@pytest.mark.parametrize("count", mostly_slow([2, 36, 200], 2, 36))
def test_the_picture_grows_with_the_words_and_stays_drawable(tmp_path: Path, count: int) -> None:
    pytest.importorskip("matplotlib")
    labels = [f"word{i}$" for i in range(count)]
    Confusion.of(torch.eye(count), labels, labels).draw(tmp_path / "c.png", "title with $ and _")
    data = (tmp_path / "c.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", data[16:24])
    # Room for a name of nine points (14 dots) on each row and column, as long as there are not too many.
    assert min(width, height) >= 14 * min(count, 200)
    assert max(width, height) <= 4400


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    confusion = Confusion.of(logits_of("no"), ["no"], LABELS)
    with pytest.raises(MissingExtraError, match=r"snn-voice-hub\[plots\]"):
        confusion.draw(tmp_path / "c.png", "")
    assert not list(tmp_path.iterdir())


# --- noise and shifts -----------------------------------------------------------------------------


def test_noise_comes_at_its_ratio() -> None:
    waves, noise = torch.randn(3, 16_000), 7 * torch.randn(3, 16_000)
    for snr in (20, 10, 0):
        added = mix(waves, noise, snr) - waves
        ratio = 10 * torch.log10(waves.square().mean(1) / added.square().mean(1))
        assert torch.allclose(ratio, torch.full((3,), float(snr)), atol=0.01)
    assert mix(torch.zeros(1, 8), torch.ones(1, 8), 0).abs().max() == 0  # no ratio to silence


def test_shifts_bring_in_zeros() -> None:
    wave = torch.tensor([[1.0, 2, 3, 4]]).repeat(5, 1)
    moved = shift(wave, [0, 1, -1, 4, -9])
    assert moved.tolist() == [[1, 2, 3, 4], [0, 1, 2, 3], [2, 3, 4, 0], [0] * 4, [0] * 4]


def test_short_recordings_are_repeated_and_silent_ones_told() -> None:
    short = torch.tensor([0.1, -0.2, 0.3])
    half = torch.cat([torch.zeros(20), 0.1 * torch.ones(20)])
    pieces, silent = noise_pieces(
        {"short": short, "half": half, "silent": torch.zeros(50), "empty": torch.zeros(0)}, 10
    )
    assert silent == ["empty", "silent"]
    assert all(len(piece) == 10 and piece.abs().max() > 0 for piece in pieces)
    assert pieces[-1].tolist() == short.repeat(4)[:10].tolist()
    assert len(pieces) == 1 + 4  # of `half`: from sample 15, 20, 25 and 30


def test_recordings_that_cannot_be_read_are_listed(tmp_path: Path) -> None:
    sf.write(tmp_path / "hum.wav", 0.1 * np.ones(8_000), 8_000)
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    found, skipped = load_recordings(tmp_path, sample_rate=16_000)
    assert list(found) == ["hum"]
    assert len(found["hum"]) == 16_000
    assert [name for name, _ in skipped] == ["bad.wav"]
    (tmp_path / "hum.wav").unlink()
    with pytest.raises(sv.SnnVoiceError, match=r"no readable recording \(1 skipped\)"):
        load_recordings(tmp_path, sample_rate=16_000)


class _Heard(sv.SnnVoice):
    """Keeps what it is given."""

    def forward(self, waveforms: Tensor) -> Tensor:
        self.kept.append(waveforms)
        return super().forward(waveforms)


def _heard(name: str, clips: Clips, recordings: dict[str, Tensor] | None = None) -> list[Tensor]:
    model = _Heard.from_pretrained(name, engine="torch")
    model.kept = []
    robustness(model, clips, recordings)
    return list(model.kept)


def test_every_model_hears_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = {"hum": torch.randn(40_000), "hiss": torch.randn(40_000)}
    clips = clips_of(6)
    first = _heard("m5-snn", clips, noise)
    assert len(first) == 3 + 3 + 3
    torch.manual_seed(99)
    second = _heard("tcy-cnn", clips, dict(reversed(noise.items())))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    # What a clip gets depends on its word and file alone, not on its neighbours or its place in a tar.
    alone = Clips(clips.waveforms[4:5], ["yes"], ["./test/yes/4.wav"], [])
    assert all(torch.equal(a[4:5], b) for a, b in zip(first, _heard("m5-snn", alone, noise), strict=True))
    monkeypatch.setattr("snn_voice_hub.training.measuring.robustness.SEED", 1)
    assert not torch.equal(first[0], _heard("m5-snn", clips, noise)[0])


def test_shifts_stay_within_a_tenth_of_a_second() -> None:
    clips = clips_of(8)
    drawn, earlier, later = _heard("m5-snn", clips)[-3:]
    moved = []
    for wave, original in zip(drawn, clips.batch(slice(None)), strict=True):
        fits = [by for by in range(-1600, 1601) if torch.equal(shift(original[None], [by])[0], wave)]
        moved += fits
    assert len(moved) == 8  # each by one whole number of samples
    assert len(set(moved)) > 4
    waves = clips.batch(slice(None))
    assert torch.equal(earlier, shift(waves, [-1600] * 8))
    assert torch.equal(later, shift(waves, [1600] * 8))


def test_noise_without_a_usable_recording_is_told() -> None:
    told: list[str] = []
    model = sv.SnnVoice.from_pretrained("m5-snn", engine="torch")
    figures = robustness(model, clips_of(2), {"mute": torch.zeros(9)}, told=told.append)
    assert set(figures) == {"white_noise", "shift"}
    assert told == ["mute is silent and is not added as noise"]
    assert set(figures["white_noise"]) == {"20_db", "10_db", "0_db"}
