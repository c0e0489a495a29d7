"""The front end: shapes, independence of batch-mates, silence."""

from __future__ import annotations

import dataclasses
import math
import warnings
from itertools import cycle, islice

import numpy as np
import pytest
import torch
import torchaudio

import snn_voice_hub as sv
from snn_voice_hub import audio
from snn_voice_hub.features import Features, MelPower
from snn_voice_hub.inference.windows import fit
from tests.golden.formulas import waveform
from tests.places import EXAMPLES

PAPER_WAVE = sv.FeatureConfig(kind="waveform", normalization="clip")
PAPER_MEL = sv.FeatureConfig(kind="logmel", normalization="clip")
OURS = sv.ResMelSNN.default_features


def loud_and_quiet() -> torch.Tensor:
    return torch.stack([waveform(0), waveform(1) * 0.01, waveform(2) * 3, waveform(3)])


@pytest.mark.parametrize(
    ("config", "shape"),
    [(PAPER_WAVE, (4, 1, 4000)), (PAPER_MEL, (4, 1, 60, 134)), (OURS, (4, 1, 40, 101))],
    ids=["waveform", "logmel", "resmel"],
)
def test_shapes_and_values(config: sv.FeatureConfig, shape: tuple[int, ...]) -> None:
    x = Features(config)(loud_and_quiet())
    assert x.shape == shape
    assert x.dtype == torch.float32
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("config", [PAPER_WAVE, PAPER_MEL, OURS], ids=["waveform", "logmel", "resmel"])
def test_a_clips_features_do_not_depend_on_its_batch_mates(config: sv.FeatureConfig) -> None:
    features = Features(config)
    waves = loud_and_quiet()
    batch = features(waves)
    for i in range(len(waves)):
        assert (features(waves[i : i + 1])[0] - batch[i]).abs().max() < 1e-6


@pytest.mark.parametrize("config", [PAPER_WAVE, PAPER_MEL, OURS], ids=["waveform", "logmel", "resmel"])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 9, 33])
def test_nor_on_how_many_they_are(config: sv.FeatureConfig, count: int) -> None:
    features = Features(config)
    # Real words beside generated sound: their silences make nearly empty mel bands.
    words = [fit(audio.load(path), 16_000) for path in sorted(EXAMPLES.glob("*.wav"))]
    waves = torch.stack(list(islice(cycle([*words, *loud_and_quiet()]), count)))
    batch = features(waves)
    assert batch.shape[0] == count
    for wave, found in zip(waves, batch, strict=True):
        assert (features(wave.unsqueeze(0))[0] - found).abs().max() < 1e-6


@pytest.mark.parametrize("config", [PAPER_MEL, OURS], ids=["logmel", "resmel"])
def test_mel_power_is_torchaudios(config: sv.FeatureConfig) -> None:
    waves = loud_and_quiet()
    ours = MelPower(config)(waves)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torchaudio.transforms.MelSpectrogram(
            sample_rate=config.mel_rate,
            n_fft=config.n_fft,
            win_length=config.win_length,
            hop_length=config.hop_length,
            n_mels=config.n_mels,
            f_min=config.f_min,
            f_max=config.f_max,
        )(waves)
    assert ours.shape == theirs.shape
    assert ((ours - theirs).abs() <= 1e-6 * theirs).all()


def test_odd_sizes_of_window_and_spectrum() -> None:
    config = sv.FeatureConfig(kind="logmel", n_fft=401, win_length=64, mel_rate=11_025, n_mels=20)
    theirs = torchaudio.transforms.MelSpectrogram(
        sample_rate=11_025, n_fft=401, win_length=64, hop_length=30, n_mels=20
    )(loud_and_quiet())
    ours = MelPower(config)(loud_and_quiet())
    assert ours.shape == theirs.shape
    assert ((ours - theirs).abs() <= 1e-6 * theirs).all()


def test_gradients_reach_the_sound() -> None:
    for config in (PAPER_MEL, OURS):
        waves = loud_and_quiet().requires_grad_()
        Features(config)(waves).square().sum().backward()
        assert waves.grad is not None
        assert torch.isfinite(waves.grad).all()
        assert (waves.grad != 0).any(1).all()


def test_clips_are_fitted_together_as_each_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    for length in (1, 99, 100, 101, 125):
        waves = torch.randn(20, length, generator=generator)
        together = fit(waves, 100)
        assert together.shape == (20, 100)
        assert all(torch.equal(fit(wave, 100), row) for wave, row in zip(waves, together, strict=True))
    quiet_start = torch.cat([torch.zeros(10), torch.ones(100)])
    both = fit(torch.stack([quiet_start, quiet_start.flip(0)]), 100)
    assert torch.equal(both, torch.ones(2, 100))
    assert fit(torch.tensor([1.0, 2, 3, -1]), 3).tolist() == [1, 2, 3]  # the end, where both are as quiet


def test_clip_normalisation_is_blind_to_loudness_and_fixed_is_not() -> None:
    wave = waveform(0).unsqueeze(0)
    for config in (PAPER_WAVE, PAPER_MEL):
        features = Features(config)
        assert (features(wave) - features(wave * 0.5)).abs().max() < 1e-3
    ours = Features(OURS)
    # A tenth of the amplitude is a hundredth of the power; the offset swallows some of it.
    drop = (ours(wave) - ours(wave * 0.1)).max() * OURS.feature_std
    assert math.log(100) * 0.9 < drop <= math.log(100) + 1e-3


def test_clip_normalisation_standardises() -> None:
    x = Features(PAPER_WAVE)(loud_and_quiet())
    assert torch.allclose(x.mean(-1), torch.zeros(4, 1), atol=1e-5)
    assert torch.allclose(x.std(-1), torch.ones(4, 1), atol=1e-3)


@pytest.mark.parametrize("normalization", ["clip", "batch"])
@pytest.mark.parametrize("ignore_below", [None, -2.0])
@pytest.mark.parametrize("zero_below", [None, -1.0])
def test_bands_are_standardised_over_what_is_no_silence(
    normalization: str, ignore_below: float | None, zero_below: float | None
) -> None:
    config = sv.FeatureConfig(
        kind="logmel", normalization=normalization, ignore_below=ignore_below, zero_below=zero_below
    )
    power = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(1)) ** 3
    power[1] /= 1000  # silence, but for one value
    power[1, 2, 3] = 0.5
    found = Features(config).of_power(power, 1e-3)[:, 0].numpy()
    x = np.log(power.double().numpy() + 1e-3)
    kept = x > (-np.inf if ignore_below is None else ignore_below)
    if normalization == "batch":
        wanted = (x - x[kept].mean()) / x[kept].std(ddof=1)
    else:
        clips = list(zip(x, kept, strict=True))
        wanted = np.stack([(c - c[k].mean()) / max(float(c[k].std()), 0.01) for c, k in clips])
    if zero_below is not None:
        assert (wanted < zero_below).any()
        wanted[wanted < zero_below] = 0
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("normalization", ["clip", "batch"])
def test_where_all_is_silence_the_bands_are_finite(normalization: str) -> None:
    config = sv.FeatureConfig(kind="logmel", normalization=normalization, ignore_below=0.0)
    found = Features(config).of_power(torch.rand(2, 4, 5) / 100, 1e-3)
    assert torch.isfinite(found).all()


def test_a_batch_is_standardised_as_a_whole_however_quiet() -> None:
    waves = loud_and_quiet() * 1e-3
    x = Features(sv.FeatureConfig(kind="waveform", normalization="batch", feature_rate=16_000))(waves)
    assert x.mean().abs() < 1e-5
    assert x.std().item() == pytest.approx(1)


def test_columns_of_a_log_mel_are_those_of_their_frames() -> None:
    config = dataclasses.replace(OURS, waveform_mean=0.1, waveform_std=0.5, zero_below=1.0)
    features, wave = Features(config), waveform(0)
    whole = features(wave.unsqueeze(0))[0, 0]
    around = config.n_fft // 2
    padded = torch.nn.functional.pad(wave.view(1, -1), (around, around), mode="reflect")[0]
    columns = features.of_frames(padded.unfold(0, config.n_fft, config.hop_length))
    assert columns.shape == whole.shape
    assert (columns - whole).abs().max() < 1e-5
    assert (columns == 0).any()


@pytest.mark.parametrize("kind", ["waveform", "logmel"])
@pytest.mark.parametrize("normalization", ["fixed", "clip", "batch"])
def test_digital_silence_is_finite(kind: str, normalization: str) -> None:
    features = Features(sv.FeatureConfig(kind=kind, normalization=normalization))
    assert torch.isfinite(features(torch.zeros(2, 16_000))).all()


def test_fixed_constants_are_used() -> None:
    plain = Features(sv.FeatureConfig(kind="waveform"))
    scaled = Features(sv.FeatureConfig(kind="waveform", waveform_mean=0.1, waveform_std=0.5))
    wave = waveform(0).unsqueeze(0)
    assert torch.allclose(scaled(wave), (plain(wave) - 0.1) / 0.5)


def test_the_front_end_adds_nothing_to_a_checkpoint() -> None:
    assert list(Features(PAPER_MEL).state_dict()) == []


@pytest.mark.parametrize(
    "bad", [torch.zeros(16_000), torch.zeros(2, 0), torch.zeros(1, 9, dtype=torch.int16)]
)
def test_a_wrong_shape_is_an_error(bad: torch.Tensor) -> None:
    with pytest.raises(sv.AudioError, match="waveforms have shape"):
        Features(PAPER_WAVE)(bad)


@pytest.mark.parametrize("rate", [4_000, 6_000, 8_000, 12_000, 22_050])
def test_resampling_is_torchaudios(rate: int) -> None:
    waves = loud_and_quiet()
    ours = Features(sv.FeatureConfig(kind="waveform", feature_rate=rate))(waves)[:, 0]
    theirs = torchaudio.functional.resample(waves, 16_000, rate)
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 5e-5
