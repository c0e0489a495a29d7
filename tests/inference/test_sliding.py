"""Features by frames, against those of whole windows."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
import torch

import snn_voice_hub as sv
from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.features import Features
from snn_voice_hub.inference.hearing.sliding import SlidingLogMel, log_mels

CONFIG = sv.ResMelSNN(2).default_features


def speech_like(seconds: float) -> npt.NDArray[np.float32]:
    """Loud and soft, with nearly empty bands and digital silence, where rounding shows most."""
    rng = np.random.default_rng(0)
    n = round(seconds * CONFIG.sample_rate)
    axis = np.arange(n) / CONFIG.sample_rate
    tone = np.sin(2 * np.pi * 180 * axis * (1 + 0.1 * axis))
    loud = (np.sin(2 * np.pi * 1.3 * axis) > 0) * 0.4
    wave = loud * tone + 0.001 * rng.standard_normal(n)
    wave[n // 3 : n // 3 + 4_000] = 0.0
    return wave.astype(np.float32)


@pytest.mark.parametrize("hop", [160, 1_600, 3_200, 16_000])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"n_fft": 400, "win_length": 400},
        {"n_fft": 401, "win_length": 301},
        {"hop_length": 80},
        {"waveform_mean": 0.1, "waveform_std": 0.5, "zero_below": -1.0},
    ],
    ids=str,
)
def test_features_are_those_of_the_whole_window(hop: int, change: dict[str, object]) -> None:
    config = dataclasses.replace(CONFIG, **change)  # type: ignore[arg-type]
    features = Features(config)
    wave = speech_like(4.0 if hop < 16_000 else 6.0)
    sliding = SlidingLogMel(features, hop)
    compared = 0
    for begin in range(0, len(wave) - config.num_samples + 1, hop):
        window = wave[begin : begin + config.num_samples]
        whole = features(torch.from_numpy(window)[None])
        taken = log_mels([sliding.take(window, begin)])[0]
        assert taken.shape == whole.shape[1:]
        assert float((taken - whole[0]).abs().max()) <= 1e-6
        compared += 1
    assert compared >= 5


def test_windows_may_be_left_out() -> None:
    """As those of silence are."""
    features, wave = Features(CONFIG), speech_like(6.0)
    sliding = SlidingLogMel(features, 1_600)
    for begin in (1_600, 3_200, 8_000, 9_600, 9_600 + 16_000, 60_800):
        window = wave[begin : begin + CONFIG.num_samples]
        difference = log_mels([sliding.take(window, begin)])[0] - features(torch.from_numpy(window)[None])[0]
        assert float(difference.abs().max()) <= 1e-6


def test_windows_may_come_later_than_those_after_them() -> None:
    features, wave = Features(CONFIG), speech_like(8.0)
    sliding = SlidingLogMel(features, 1_600, back=5 * 1_600)
    for begin in (-8_000, 0, 9_600, 8_000, 4_800, 1_600, 11_200, 64_000, 56_000, 60_800):
        window = np.pad(wave, (16_000, 0))[begin + 16_000 :][: CONFIG.num_samples]
        difference = log_mels([sliding.take(window, begin)])[0] - features(torch.from_numpy(window)[None])[0]
        assert float(difference.abs().max()) <= 1e-6


def test_only_the_new_frames_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    features, wave = Features(CONFIG), speech_like(2.0)
    counts = []
    of_frames = features.of_frames

    def counted(frames: torch.Tensor) -> torch.Tensor:
        counts.append(len(frames))
        return of_frames(frames)

    monkeypatch.setattr(features, "of_frames", counted)
    sliding = SlidingLogMel(features, 1_600)
    for begin in range(0, 16_000, 1_600):
        log_mels([sliding.take(wave[begin : begin + 16_000], begin)])
    assert counts == [101] + [14] * 9
    counts.clear()
    sliding = SlidingLogMel(features, 1_600, back=8_000)
    for begin in (0, 9_600, 8_000, 4_800, 11_200):
        log_mels([sliding.take(wave[begin : begin + 16_000], begin)])
    assert counts == [101, 64, 4, 4, 14]


def test_windows_of_many_streams_are_computed_together() -> None:
    features, wave = Features(CONFIG), speech_like(8.0)
    streams = [SlidingLogMel(features, hop) for hop in (160, 1_600, 1_600, 3_200, 1_600, 4_800)]
    for begin in (0, 4_800, 9_600):
        starts = [begin + 9_600 * i for i in range(len(streams))]
        windows = [wave[start : start + CONFIG.num_samples] for start in starts]
        rows = [one.take(window, at) for one, window, at in zip(streams, windows, starts, strict=True)]
        difference = log_mels(rows) - features(torch.from_numpy(np.stack(windows)))
        assert float(difference.abs().max()) <= 1e-6


def test_what_failed_is_computed_again() -> None:
    features, wave = Features(CONFIG), speech_like(2.0)
    sliding = SlidingLogMel(features, 1_600)
    sliding.take(wave[:16_000], 0)  # for which nothing was computed
    window = wave[1_600:17_600]
    difference = log_mels([sliding.take(window, 1_600)])[0] - features(torch.from_numpy(window)[None])[0]
    assert float(difference.abs().max()) <= 1e-6


@pytest.mark.parametrize(
    ("config", "hop", "fits"),
    [
        (CONFIG, 1_600, True),
        (CONFIG, 1_700, False),
        (dataclasses.replace(CONFIG, normalization="clip"), 1_600, False),
        (dataclasses.replace(CONFIG, feature_rate=8_000, mel_rate=8_000, f_max=None), 1_600, False),
        (dataclasses.replace(CONFIG, n_fft=16_384), 1_600, False),
        (sv.M5SNN(2).default_features, 1_600, False),
        (sv.HjhSNN(2).default_features, 1_600, False),
    ],
)
def test_where_frames_are_of_one_window_alone_it_is_not_used(
    config: FeatureConfig, hop: int, fits: bool
) -> None:
    assert SlidingLogMel.fits(config, hop) is fits
