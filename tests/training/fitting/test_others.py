"""What `_unknown_` is learned from, and what is put around words; and how sound is sent."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import snn_voice_hub as sv
from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.spoken import extent
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.clips.negatives import Negatives, NegativeSound
from snn_voice_hub.training.fitting.augment import Augmenter
from snn_voice_hub.training.fitting.channel import CODECS, band_limited, clipped, coded, in_room
from snn_voice_hub.training.fitting.fit import Job, fit
from snn_voice_hub.training.fitting.module import validation_of
from snn_voice_hub.training.fitting.others import Others
from snn_voice_hub.training.fitting.recipe import Augmentation, Mixture
from snn_voice_hub.training.fitting.recipes import fine_tuning
from snn_voice_hub.training.fitting.sampling import Draw, Share, Steps
from snn_voice_hub.training.measuring.listening import with_point
from tests.training.helpers import dataset, recipe, tones

RATE = 16_000
LABELS = ["no", "up", "yes", "_silence_", "_unknown_"]
EVERYTHING = Augmentation(
    noise=0.5, context=0.5, rir=0.5, music=0.5, babble=0.5, band=0.5, clipping=0.5, codec=0.2
)


def hum(hertz: float, seconds: float) -> npt.NDArray[np.int16]:
    time = np.arange(round(seconds * RATE)) / RATE
    return np.round(8000 * np.sin(2 * np.pi * hertz * time)).astype(np.int16)


@pytest.fixture(scope="module")
def negatives() -> Negatives:
    """Speech hums at 3 kHz, single words at 4 kHz."""
    rir = np.zeros(800, np.int16)
    rir[[100, 400]] = 32_000, 16_000
    return Negatives(
        (
            NegativeSound("long", "speech", hum(3000, 5.0), "ann"),
            NegativeSound("short", "speech", hum(3000, 0.6), "ben"),
            NegativeSound("word", "words", hum(4000, 0.5), "cid"),
            NegativeSound("tune", "music", hum(5000, 2.0)),
            NegativeSound("room", "rir", rir),
        ),
        RATE,
    )


def loudest(wave: npt.NDArray[np.float32]) -> int:
    """Hz, of a clip of one second."""
    return int(np.abs(np.fft.rfft(wave)).argmax())


def one_clip(start: float, end: float) -> Clips:
    """A word between two times, of which the second half sounds higher."""
    wave = 0.001 * np.random.default_rng(0).standard_normal(RATE)
    first, middle, last = (round(t * RATE) for t in (start, (start + end) / 2, end))
    wave[first:middle] += 0.3 * np.sin(2 * np.pi * 500 * np.arange(middle - first) / RATE)
    wave[middle:last] += 0.3 * np.sin(2 * np.pi * 2000 * np.arange(last - middle) / RATE)
    return Clips((wave * 32767).astype(np.int16)[None], ["yes"], ["yes/a.wav"], [])


def only(**weights: float) -> Mixture:
    """Pieces stand for what needs no negatives; a little of them has to be there."""
    return Mixture(**({"speech": 0, "words": 0, "pieces": 0, "joined": 0, "reversed": 0} | weights))


def test_a_word_is_found_by_its_loudness() -> None:
    first, last = extent(one_clip(0.3, 0.8).waveforms[0].astype(np.float32) / 32768)
    assert first == pytest.approx(0.3 * RATE, abs=160)
    assert last == pytest.approx(0.8 * RATE, abs=160)
    assert extent(np.zeros(RATE, np.float32)) == (0, RATE)


def test_a_piece_is_less_than_half_of_a_word_at_the_edge() -> None:
    others = Others(one_clip(0.3, 0.8), None, LABELS, only(pieces=1))
    for row in others.clips(20, np.random.default_rng(0)).numpy():
        heard = np.flatnonzero(np.abs(row) > 0.05)
        assert heard.min() < 400 or heard.max() >= RATE - 400
        assert 0.05 * RATE < heard.max() - heard.min() < 0.25 * RATE
        # Its first part at the window's end, its last one at the beginning.
        assert (loudest(row) < 1000) == (heard.max() >= RATE - 400)


def test_words_are_joined_end_to_beginning() -> None:
    others = Others(one_clip(0.3, 0.8), None, LABELS, only(joined=1))
    for row in others.clips(10, np.random.default_rng(0)).numpy():
        # Only where one meets the other both are heard.
        spectrum = np.abs(np.fft.rfft(row))
        assert spectrum[450:550].max() > 20
        assert spectrum[1950:2050].max() > 20
        high, low = (
            np.convolve(row, np.exp(2j * np.pi * f * np.arange(160) / RATE), "same") for f in (2000, 500)
        )
        assert np.abs(high).argmax() < np.abs(low).argmax()


def test_words_that_stay_the_same_are_not_turned_round() -> None:
    clips = one_clip(0.1, 0.5)
    others = Others(clips, None, LABELS, only(reversed=1))
    turned = others.clips(1, np.random.default_rng(0))[0].numpy()
    assert np.array_equal(turned, clips.waveforms[0, ::-1].astype(np.float32) / 32768)
    wow = Clips(clips.waveforms, ["wow"], ["wow/a.wav"], [])
    left = Others(wow, None, ["wow"], only(reversed=1, pieces=1e-9)).clips(5, np.random.default_rng(0))
    assert not any(np.array_equal(row.numpy(), turned) for row in left)


def test_the_mixture_is_of_what_there_is(negatives: Negatives) -> None:
    everything = Others(
        tones(5), negatives, LABELS, Mixture(speech=1, words=1, pieces=1, joined=0, reversed=0)
    )
    heard = [loudest(row) for row in everything.clips(300, np.random.default_rng(0)).numpy()]
    for pitch in (3000, 4000):
        assert 70 < sum(abs(h - pitch) < 20 for h in heard) < 130
    assert everything.can_surround
    nothing = Others(tones(5), None, LABELS, Mixture())
    assert not nothing.can_surround
    assert all(loudest(row) < 2500 for row in nothing.clips(50, np.random.default_rng(0)).numpy())


def test_speech_around_a_word_leaves_the_word(negatives: Negatives) -> None:
    word = one_clip(0.4, 0.7).waveforms[0].astype(np.float32) / 32768
    others = Others(tones(5), negatives, LABELS, Mixture())
    rng = np.random.default_rng(0)
    for _ in range(10):
        around = others.surrounded(word, rng)
        first, last = round(0.39 * RATE), round(0.71 * RATE)
        assert np.array_equal(around[first:last], word[first:last])
        assert np.abs(around - word)[:first].max() > 0.02 or np.abs(around - word)[last:].max() > 0.02


def test_a_step_depends_on_seed_epoch_and_step_alone(negatives: Negatives) -> None:
    clips = tones(20)
    plan = recipe(batch_size=20, silence=0.1, unknown=0.3, augmentation=EVERYTHING)
    draw = Draw(clips, None, LABELS, plan, seed=0)
    rooms = torch.zeros(1, 400)
    rooms[0, [0, 200]] = 1.0

    def steps(share: Share) -> Steps:
        others = Others(clips, negatives, LABELS, plan.mixture)
        music = [torch.from_numpy(negatives.sounds[3].wave)]
        augmenter = Augmenter(
            EVERYTHING, [torch.randn(20_000)], RATE, 0, music=music, rooms=rooms, speech=others.speech
        )
        augmenter.noises = [torch.linspace(-1, 1, 20_000)]
        return Steps(draw, augmenter, plan, LABELS, share, others=others)

    one = steps(Share())
    batch = one[2, 3]
    one[0, 0]
    assert torch.equal(batch["waves"], one[2, 3]["waves"])
    assert torch.equal(batch["waves"], steps(Share())[2, 3]["waves"])
    assert not torch.equal(batch["waves"], one[2, 4]["waves"])
    assert batch["waves"].shape == (20, RATE)
    assert torch.isfinite(batch["waves"]).all()
    assert batch["targets"][12:].tolist() == [4] * 6 + [3] * 2
    assert all(target < 3 for target in batch["targets"][:12])
    parts = [steps(Share(rank, 3))[2, 3]["targets"] for rank in range(3)]
    assert torch.equal(torch.cat(parts).sort().values, batch["targets"].sort().values)


def test_new_augmentations_are_off_unless_asked_for() -> None:
    waves = tones(4).batch(slice(None))
    plain = Augmenter(Augmentation(noise=0.0), [], RATE, 1).waveforms(waves)
    full = Augmenter(
        Augmentation(noise=0.0),
        [],
        RATE,
        1,
        music=[torch.randn(20_000)],
        rooms=torch.ones(1, 100),
        speech=lambda rng: np.ones(RATE, np.float32),
    )
    assert torch.equal(plain, full.waveforms(waves))


def test_what_stays_where_it_is() -> None:
    wave = torch.zeros(4, RATE)
    wave[:, -400:] = 0.5
    moved = Augmenter(Augmentation(shift=0.25, speed=0, gain_db=(0, 0), noise=0), [], RATE, 0).waveforms(
        wave, 2
    )
    assert torch.allclose(moved[2:, :-1], wave[2:, :-1], atol=1e-6)
    assert not torch.allclose(moved[:2], wave[:2])


def test_a_room_adds_its_echo_and_keeps_time_and_loudness() -> None:
    x = torch.zeros(1, RATE)
    x[0, 1000] = 1.0
    room = torch.zeros(1, 3000)
    room[0, 500], room[0, 2500] = 1.0, 0.5
    heard = in_room(x, room)[0]
    assert int(heard.argmax()) == 1000
    assert float(heard[3000] / heard[1000]) == pytest.approx(0.5, abs=1e-4)
    assert float(heard.square().sum()) == pytest.approx(1.0, rel=1e-3)


def test_a_band_is_what_is_left() -> None:
    time = torch.arange(RATE) / RATE
    x = sum(torch.sin(2 * torch.pi * f * time) for f in (100, 1000, 6000))
    assert isinstance(x, torch.Tensor)
    left = torch.fft.rfft(
        band_limited(x[None], torch.tensor([[300.0]]), torch.tensor([[3400.0]]), RATE)[0]
    ).abs()
    assert left[[100, 1000, 6000]].div(RATE / 2).tolist() == pytest.approx([0, 1, 0], abs=1e-3)


def test_clipping_cuts_peaks() -> None:
    x = torch.tensor([[0.1, -0.8, 0.4]])
    assert torch.allclose(clipped(x, torch.tensor([[0.5]])), torch.tensor([[0.1, -0.4, 0.4]]))


@pytest.mark.parametrize("codec", range(len(CODECS)))
def test_a_codec_leaves_the_word(codec: int) -> None:
    wave = tones(1).batch(slice(0, 1))[0]
    back = coded(wave, codec, RATE)
    assert back.shape == wave.shape
    assert not torch.equal(back, wave)
    assert float(torch.corrcoef(torch.stack([wave, back]))[0, 1]) > 0.9


def test_unknown_words_are_measured_apart() -> None:
    logits = torch.tensor([[9.0, 0, 0], [0, 9, 0], [0, 0, 9], [0, 0, 9], [9, 0, 0]])
    words = ["no", "yes", "_unknown_", "_unknown_", "_unknown_"]
    labels = ["no", "yes", "_unknown_"]
    found = validation_of(logits, words, labels, unknown=0.4)
    assert (found.top1, found.covered) == (1.0, 1.0)
    assert found.unknown == pytest.approx(2 / 3)
    assert found.loss == pytest.approx(0.6 * 0.0 + 0.4 * 3.0, abs=0.01)
    together = validation_of(logits, words, labels)
    assert together.top1 == pytest.approx(0.8)
    assert together.unknown is None


@pytest.mark.slow
def test_the_point_is_chosen_with_the_fastest_engine_and_the_seed_of_the_run(
    negatives: Negatives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[tuple[str, int]] = []

    def watched(voice: sv.SnnVoice, *given: Any) -> VoiceConfig:
        chosen.append((voice.engine, given[-1]))
        return with_point(voice, *given)

    monkeypatch.setattr("snn_voice_hub.training.fitting.fit.with_point", watched)
    job = Job(name="tones", recipe=recipe(unknown=0.3, epochs=1), seed=5)
    fit(job, dataset(), tmp_path / "run", negatives=negatives, kept=negatives, accelerator="cpu")
    assert chosen == [("auto", 5)]


@pytest.mark.slow
def test_a_run_with_negatives_goes_on_with_the_same_only(negatives: Negatives, tmp_path: Path) -> None:
    job = Job(name="tones", recipe=recipe(silence=0.1, unknown=0.3, epochs=1, augmentation=EVERYTHING))
    fitted = fit(job, dataset(), tmp_path / "run", negatives=negatives, kept=negatives, accelerator="cpu")
    voice = sv.SnnVoice.from_pretrained(fitted.folder)
    assert voice.labels == LABELS
    assert voice.config.detection is not None
    assert voice.config.metrics["listening_validation"]["words"]["false_alarms"]["speech"] <= 10
    again = fit(job, dataset(), tmp_path / "run", negatives=negatives, resume=True)
    assert again.history == fitted.history
    fewer = Negatives(negatives.sounds[1:], RATE)
    with pytest.raises(SnnVoiceError, match="another set of negatives"):
        fit(job, dataset(), tmp_path / "run", negatives=fewer, resume=True)
    # Whoever trains it further keeps both classes, with negatives or without.
    further = fine_tuning(voice.config, 60)
    assert further.extra_labels == ["_silence_", "_unknown_"]
    # Without negatives no operating point can be chosen: the one that it began with stays.
    point = dataclasses.replace(voice.config.detection, threshold=0.77, thresholds={"no": 0.9})
    dataclasses.replace(voice.config, detection=point).save(fitted.folder / "config.json")
    alone = Job(
        name="further", recipe=dataclasses.replace(job.recipe, mixture=Mixture()), start=fitted.folder
    )
    found = fit(alone, dataset(), tmp_path / "further", accelerator="cpu")
    after = sv.SnnVoice.from_pretrained(found.folder)
    assert after.labels == LABELS
    assert after.config.detection == dataclasses.replace(point, thresholds={})


def test_a_batch_needs_room_for_words() -> None:
    with pytest.raises(ConfigError, match="leave no room"):
        recipe(silence=0.5, unknown=0.5)
    with pytest.raises(ConfigError, match="needs an augmentation"):
        recipe(unknown=0.2, augmentation=None)
    with pytest.raises(ConfigError, match="nothing that is made of the words"):
        Mixture(pieces=0, joined=0, reversed=0)
