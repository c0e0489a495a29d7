"""Words that were taught, said in six orders, and other speech heard once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import snn_voice_hub as sv
from benchmarks import taught
from snn_voice_hub.config import DetectionConfig
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.clips.negatives import Negatives, NegativeSound

RATE = 16_000
HOURS = 0.05


def tone(pitch: int, seconds: float = 0.5) -> np.ndarray:
    return (10_000 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * RATE)) / RATE)).astype(np.int16)


@pytest.fixture
def voice(monkeypatch: pytest.MonkeyPatch) -> sv.SnnVoice:
    """Hears a tone of 500 Hz, and none of another pitch; silence is none either."""
    torch.manual_seed(0)
    model = sv.SnnVoice(sv.M5SNN(num_classes=2, num_steps=1), labels=["lumos", "_unknown_"]).eval()
    model.config = dataclasses.replace(model.config, detection=DetectionConfig(threshold=0.5, refractory=1.6))
    assert model.sample_rate == RATE

    def logits(_: sv.SnnVoice, waveforms: torch.Tensor) -> torch.Tensor:
        spectrum = torch.fft.rfft(waveforms).abs()
        strength = 20 * spectrum[:, 495:506].amax(1) / (spectrum.square().sum(1).sqrt() + 1e-6) - 6
        return torch.stack([strength, -strength], 1)

    monkeypatch.setattr(sv.SnnVoice, "__call__", logits)
    return model


def test_misses_are_told_of_each_order_and_alarms_of_the_speech(voice: sv.SnnVoice) -> None:
    # Two of eight say something else.
    waves = [np.pad(tone(500 if n < 6 else 900), RATE // 4) for n in range(8)]
    clips = Clips(np.stack(waves), ["lumos"] * 8, [f"lumos/{n}" for n in range(8)], [])
    talk = np.zeros(round(HOURS * 3600 * RATE), np.int16)
    for second in (20, 90, 150):
        talk[second * RATE : second * RATE + RATE // 2] = tone(500)
    speech = Negatives((NegativeSound("talk", "speech", talk),), RATE)
    shares, alarms, hours = taught.measured(voice, clips, [], speech)
    assert shares == {20: [0.25] * 6, 10: [0.25] * 6}
    assert (alarms, hours) == (pytest.approx(60), pytest.approx(HOURS))


def test_each_order_is_another_over_another_piece_of_noise(
    voice: sv.SnnVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[np.ndarray] = []
    monkeypatch.setattr(taught, "hear", lambda _, wave: heard.append(wave))
    clips = Clips(
        np.stack([np.pad(tone(300 + 50 * n), RATE // 4) for n in range(6)]), ["lumos"] * 6, ["a"] * 6, []
    )
    steps = np.repeat(np.linspace(0.1, 1, 60, dtype=np.float32), RATE)
    said = [said for _, said in taught.in_orders(voice, clips, [steps], 20)]
    assert len({tuple(word.start for word in order) for order in said}) == taught.ORDERS
    assert len({round(float(wave[0]), 4) for wave in heard}) == taught.ORDERS


def test_shares_are_told_with_the_least_and_the_most() -> None:
    assert taught.spread([0.1, 0.2, 0.6]) == "30.0 (10.0-60.0)"
    assert taught.kept_back({"missed": {"recordings": 0.25, "synthetic voices": 0.0}}) == (
        "recordings 25.0, synthetic voices 0.0"
    )
    assert taught.kept_back(None) == ""


def test_from_folders_to_a_table(voice: sv.SnnVoice, tmp_path: Path) -> None:
    voice.save_pretrained(tmp_path / "spell")
    for folder, pitch, seconds in (("clips", 500, 0.5), ("talk", 900, 3.0)):
        (tmp_path / folder).mkdir()
        for n in range(3):
            wave = np.pad(tone(pitch, seconds), RATE)
            soundfile.write(tmp_path / folder / f"s{n}_nohash_0.wav", wave, RATE)
    (tmp_path / "clips" / "broken.wav").write_text("no sound")
    given = ["--heard", tmp_path / "spell", tmp_path / "clips", "--speech", tmp_path / "talk"]
    told = ["--about", "By three people.", "--out", tmp_path / "out", "--malloc", "default"]
    taught.main([*map(str, given), *map(str, told)])
    text = (tmp_path / "out" / "taught.md").read_text()
    assert "By three people." in text
    row = next(line for line in text.splitlines() if "lumos" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:5] == ["lumos", "3", "1", "0.5 for 0 s"]
    assert cells[5:8] == ["0.0 (0.0-0.0)", "0.0 (0.0-0.0)", "0.0"]
