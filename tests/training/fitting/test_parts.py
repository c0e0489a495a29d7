"""Training and its parts, on sound made here."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

import snn_voice_hub as sv
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.training.clips.corpus import speaker
from snn_voice_hub.training.clips.data import load_clips
from snn_voice_hub.training.clips.sources import load_dataset
from snn_voice_hub.training.fitting.augment import Augmenter
from snn_voice_hub.training.fitting.average import Average
from snn_voice_hub.training.fitting.fit import Job, fit
from snn_voice_hub.training.fitting.module import both
from snn_voice_hub.training.fitting.recipe import Augmentation, Recipe
from snn_voice_hub.training.fitting.recipes import RECIPES
from snn_voice_hub.training.fitting.sampling import Draw, Share, Steps
from snn_voice_hub.training.measuring.metrics import accuracy, expected_calibration_error, fit_temperature
from snn_voice_hub.training.measuring.release import release
from tests.golden.formulas import waveform

WORDS = {"yes": 300.0, "no": 900.0, "up": 2500.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tars in the layout that training wants: tones stand for words."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    time = np.arange(16_000) / 16_000
    for split, count in (("train", 40), ("val", 6), ("test", 6)):
        with tarfile.open(folder / f"{split}.tar", "w") as archive:
            for word, pitch in WORDS.items():
                for n in range(count if word != "up" else count // 2):
                    tone = np.sin(2 * np.pi * pitch * rng.uniform(0.9, 1.1) * time) * np.hanning(16_000)
                    wave = 0.3 * tone + 0.01 * rng.standard_normal(16_000)
                    path = folder / "clip.wav"
                    sf.write(path, wave, 16_000)
                    archive.add(path, f"{word}/{n:02d}_nohash_0.wav")
    with tarfile.open(folder / "background_noise.tar", "w") as archive:
        for name in ("exercise_bike", "running_tap", "pink_noise"):
            path = folder / "clip.wav"
            sf.write(path, 0.1 * rng.standard_normal(48_000), 16_000)
            archive.add(path, f"_background_noise_/{name}.wav")
    path.unlink()
    return folder


def test_a_run_is_released_as_a_checkpoint(data: Path, tmp_path: Path) -> None:
    import dataclasses

    run = tmp_path / "run"
    recipe = dataclasses.replace(RECIPES["tcy-snn"], epochs=4, batch_size=10, silence=0.2, lr=0.05)
    fit(Job(name="tcy-snn", recipe=recipe), load_dataset(data, cache=tmp_path / "cache"), run)
    config = release(run, data, tmp_path / "out")
    voice = sv.SnnVoice.from_pretrained(tmp_path / "out")
    assert voice.labels == ["no", "up", "yes", "_silence_"]
    assert voice.config == config
    assert config.metrics["test"]["clips"] == 15
    assert config.metrics["test"]["top1"] > 0.6  # a third by chance
    assert config.metrics["test"]["cpu_ms_one_clip"] > 0
    assert set(config.metrics["test"]["false_alarms"]) == {"digital_silence", "exercise_bike", "running_tap"}
    assert config.training["epochs"] == 4


def test_data_are_cached_and_bad_files_listed(data: Path, tmp_path: Path) -> None:
    clips = load_clips(data / "val.tar", tmp_path)
    again = load_clips(data / "val.tar", tmp_path)
    assert np.array_equal(clips.waveforms, again.waveforms)
    assert (clips.labels, clips.names) == (again.labels, again.names)
    assert len(clips) == 15
    assert speaker("yes/ab12_nohash_3.wav") == "ab12"
    folder = tmp_path / "folder"
    (folder / "yes").mkdir(parents=True)
    (folder / "yes" / "a.wav").write_bytes(b"x")
    (folder / "stray.wav").write_bytes(b"x")
    with pytest.raises(sv.SnnVoiceError, match=r"no readable clip \(2 skipped\)"):
        load_clips(folder)
    with pytest.raises(sv.SnnVoiceError, match="does not exist"):
        load_clips(tmp_path / "none.tar")
    with pytest.raises(sv.SnnVoiceError, match="neither a folder nor a tar"):
        load_clips(folder / "yes" / "a.wav")


def test_rare_words_are_drawn_more_often_than_they_occur(data: Path) -> None:
    import dataclasses

    clips = load_clips(data / "train.tar")
    recipe = dataclasses.replace(RECIPES["tcy-snn"], class_power=0.0, batch_size=60)

    def shares(recipe: Recipe, epoch: int = 0) -> torch.Tensor:
        draw = Draw(clips, None, sorted(WORDS), recipe, seed=0)
        picks = np.concatenate([draw.picks(epoch, step) for step in range(60)])
        return torch.bincount(draw.clips(picks)[1]) / len(picks)

    assert (shares(recipe) - 1 / 3).abs().max() < 0.04
    often = dataclasses.replace(recipe, class_power=1.0, synthetic=0.0)
    draw = Draw(clips, clips, sorted(WORDS), often, seed=0)
    drawn = np.concatenate([draw.picks(0, step) for step in range(60)])
    assert drawn.max() < len(clips)  # the synthetic ones have no weight
    assert (
        torch.bincount(draw.clips(drawn)[1]) / len(drawn) - torch.tensor([0.4, 0.2, 0.4])
    ).abs().max() < 0.04
    # Without synthetic clips and with the power 1, each clip comes once an epoch.
    small = dataclasses.replace(recipe, class_power=1.0, batch_size=10)
    draw = Draw(clips, None, sorted(WORDS), small, seed=0)
    assert draw.steps == 10
    for epoch in (0, 1):
        heard = np.concatenate([draw.picks(epoch, step) for step in range(draw.steps)])
        assert sorted(heard) == list(range(100))
    assert not np.array_equal(draw.picks(0, 0), draw.picks(1, 0))
    # Epochs of a given length draw as they need to.
    draw = Draw(clips, None, sorted(WORDS), dataclasses.replace(small, steps=25), seed=0)
    assert draw.steps == 25
    assert len(draw.picks(3, 24)) == 10


@pytest.mark.parametrize("silence", [0.0, 0.2])
def test_processes_share_a_batch(data: Path, silence: float) -> None:
    import dataclasses

    clips = load_clips(data / "train.tar")
    labels = [*sorted(WORDS), "_silence_"]
    recipe = dataclasses.replace(RECIPES["tcy-snn"], batch_size=15, silence=silence)
    draw = Draw(clips, None, labels, recipe, seed=0)
    augmenter = Augmenter(Augmentation(noise=0.0), [], 16_000, 0)
    key = (1, 2)
    alone = Steps(draw, augmenter, recipe, labels, Share())[key]
    parts = [Steps(draw, augmenter, recipe, labels, Share(rank, 4))[key] for rank in range(4)]
    assert sum(len(part["targets"]) for part in parts) == len(alone["targets"]) == 15
    heard = torch.cat([part["targets"] for part in parts])
    assert torch.equal(heard.sort().values, alone["targets"].sort().values)
    assert len({part["seed"] for part in parts}) == 4
    again = Steps(draw, augmenter, recipe, labels, Share())[key]
    assert torch.equal(again["waves"], alone["waves"])


def test_the_average_follows_the_weights() -> None:
    network = sv.TcyCNN()
    average = Average(network, decay=0.5)
    with torch.no_grad():
        network.fc.weight.fill_(1.0)
    for _ in range(30):
        average.update(network)
    assert torch.allclose(average.network.fc.weight, torch.ones(35, 100), atol=1e-4)  # type: ignore[arg-type]
    assert average.network is not network


def test_augmentation_changes_what_it_says() -> None:
    wave = torch.stack([waveform(i) for i in range(4)])

    def changed(**settings: object) -> torch.Tensor:
        off = {"shift": 0.0, "speed": 0.0, "gain_db": (0.0, 0.0), "noise": 0.0}
        return Augmenter(Augmentation(**(off | settings)), [], 16_000, seed=1).waveforms(wave)  # type: ignore[arg-type]

    assert (changed() - wave)[:, :-1].abs().max() < 1e-6
    quieter = changed(gain_db=(-6.0206, -6.0206))
    assert (quieter - wave / 2)[:, :-1].abs().max() < 1e-4
    assert not torch.allclose(changed(shift=0.1), wave, atol=1e-2)
    noises = [torch.randn(40_000)]
    noisy = Augmenter(
        Augmentation(shift=0, speed=0, gain_db=(0, 0), noise=1.0, snr_db=(10, 10)), noises, 16_000, 1
    )
    added = (noisy.waveforms(wave) - wave)[:, :-1]
    ratio = 10 * torch.log10(wave.square().mean(1) / added.square().mean(1))
    assert (ratio - 10).abs().max() < 0.5
    quiet = noisy.silence(32, 16_000)
    assert quiet.abs().max() <= 1
    assert torch.isfinite(quiet).all()
    spectrograms = torch.randn(4, 1, 40, 101)
    masked = Augmenter(Augmentation(bands=8), [], 16_000, 0).features(spectrograms)
    blanked = [row for clip in masked for row in clip[0] if (row == row[0]).all()]
    assert 1 <= len(blanked) <= 32
    assert (masked != spectrograms).sum() == 101 * len(blanked)


def test_music_alone_is_no_word_either() -> None:
    """A third of the sound in which nobody speaks is music, up to half an octave away from the recording."""
    beeps = (8_000 * torch.sin(torch.arange(4_000) * 2 * torch.pi * 1_000 / 16_000)).to(torch.int16)
    augmenter = Augmenter(Augmentation(), [], 16_000, 0, music=[beeps])
    clips = torch.cat([augmenter.silence(1, 16_000) for _ in range(200)])
    spectra = torch.fft.rfft(clips).abs()
    loudest = spectra.argmax(1)
    tone = spectra.amax(1) > 0.2 * spectra.norm(dim=1)
    heard = loudest[tone & (loudest > 600)]
    assert 45 < len(heard) < 95
    assert 690 < heard.min() < 800
    assert 1_250 < heard.max() < 1_430


def test_mixed_clips_hold_both_words_in_their_parts() -> None:
    # Tones of whole periods, one on each frequency, so that the amplitude of each can be read off.
    time = torch.arange(16_000) / 16_000
    tones = torch.stack([0.02 * 2**i * torch.sin(2 * torch.pi * 100 * (i + 1) * time) for i in range(5)])
    augmenter = Augmenter(Augmentation(mixup=0.7), [], 16_000, 3)
    seen = 0
    for seed in range(20):
        augmenter.reseed(seed)
        waves, other, part = augmenter.mixed(tones)
        heard = 2 * torch.fft.rfft(waves).abs() / 16_000
        for i in range(5):
            if part[i] == 1:
                assert torch.equal(waves[i], tones[i])
                continue
            seen += 1
            assert 0.5 <= part[i] < 1
            assert other[i] != i
            own, theirs = (float(heard[i, 100 * (int(n) + 1)]) for n in (i, other[i]))
            assert theirs / (own + theirs) == pytest.approx(1 - float(part[i]), abs=1e-4)
            assert waves[i].square().mean().sqrt() == pytest.approx(
                float(tones[i].square().mean().sqrt()), rel=1e-3
            )
    assert 0.3 < seen / 100 < 0.8


def test_a_mixed_batch_is_learned_by_both_its_words(data: Path) -> None:
    import dataclasses

    clips = load_clips(data / "train.tar")
    labels = [*sorted(WORDS), "_silence_"]
    mixing = dataclasses.replace(
        RECIPES["tcy-snn"], batch_size=20, silence=0.2, augmentation=Augmentation(mixup=1.0)
    )
    draw = Draw(clips, None, labels, mixing, seed=0)
    assert mixing.augmentation is not None
    steps = Steps(draw, Augmenter(mixing.augmentation, [], 16_000, 0), mixing, labels, Share())
    batch = steps[(0, 0)]
    assert torch.equal(batch["waves"], steps[(0, 0)]["waves"])
    assert batch["part"][16:].tolist() == [1.0] * 4
    shares = both(batch, len(labels))
    assert shares.shape == (20, len(labels))
    assert torch.allclose(shares.sum(1), torch.ones(20))
    for row, target, second, part in zip(
        shares, batch["targets"], batch["others"], batch["part"], strict=True
    ):
        assert float(row[target]) == pytest.approx(1.0 if target == second else float(part))
    plain = {"targets": batch["targets"]}
    assert both(plain, len(labels)) is batch["targets"]


@pytest.mark.parametrize(
    ("name", "value"), [("mixup", 1.5), ("noise", -0.1), ("bands", -1), ("shift", "far")]
)
def test_an_augmentation_that_makes_no_sense(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"augmentation\.{name}="):
        Augmentation(**{name: value})  # type: ignore[arg-type]


def test_figures() -> None:
    labels = ["yes", "no", "up", "marvin"]
    logits = torch.tensor([[9.0, 1, 0, 0], [0, 9, 1, 0], [9, 8, 0, 0], [0, 0, 0, 9.0], [9, 0, 0, 0]])
    figures = accuracy(logits, ["yes", "no", "no", "marvin", "unheard"], labels, 1.0)
    assert figures["top1"] == 0.6
    assert figures["top5"] == 0.8
    assert figures["covered_mean"] == 0.75  # yes 1/1, no 1/2
    assert figures["thin_top1"] == 0.5  # marvin right, the unknown word wrong
    assert (figures["clips"], figures["covered_words"], figures["thin_clips"]) == (5, 2, 2)


def test_temperature_undoes_a_scale_and_calibrates() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 5, generator=generator) * 2
    targets = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits * 3, targets) == pytest.approx(3, rel=0.1)
    assert fit_temperature(logits, targets) == pytest.approx(1, rel=0.1)
    # Where all are right or all are wrong the best temperature is 0 or infinite, and neither can be used.
    for scale in (0.1, 0.3, 1.0, 4.0):
        assert 0.05 <= fit_temperature(torch.eye(3) * scale, torch.arange(3)) < 1
        assert fit_temperature(torch.eye(3) * scale, torch.tensor([1, 2, 0])) == 20
    # A dozen that are right say little, thousands say what they said before.
    assert 0.5 < fit_temperature(torch.eye(12) * 4, torch.arange(12), prior=10.0) < 1
    assert fit_temperature(logits * 3, targets, prior=10.0) == pytest.approx(3, rel=0.1)
    top, guess = logits.softmax(1).max(1)
    assert expected_calibration_error(top, guess == targets) < 0.03
    sure, _ = (logits * 3).softmax(1).max(1)
    assert expected_calibration_error(sure, guess == targets) > 0.1
