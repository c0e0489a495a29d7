"""Clips that follow one another in one stream."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub.features import Features
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.training.clips.data import as_int16
from snn_voice_hub.training.clips.negatives import Negatives, NegativeSound
from snn_voice_hub.training.fitting.chains import Chain
from snn_voice_hub.training.fitting.fit import Job, fit
from snn_voice_hub.training.fitting.recipe import Mixture
from snn_voice_hub.training.fitting.teaching import Teacher, TrainedModel
from tests.models.lively import lively
from tests.slowness import mostly_slow
from tests.training.helpers import dataset, recipe

LABELS = ["no", "up", "yes"]


@pytest.fixture(scope="module")
def network() -> Framed:
    found = lively("TempoSNN", num_classes=7)
    assert isinstance(found, Framed)
    return found


def clips(count: int) -> Tensor:
    return torch.randn(count, 16_000, generator=torch.Generator().manual_seed(1)) * 0.1


def unchanged(x: Tensor) -> Tensor:
    return x


@torch.no_grad()
def test_the_first_clips_are_heard_as_if_alone(network: Framed) -> None:
    waves = clips(8)
    chain = Chain.of(waves, 4, 50, seed=3)
    assert sorted(chain.order.flatten().tolist()) == list(range(8))
    features = Features(network.default_features)
    logits, _ = chain.answers(network.forward_steps(chain.spectrograms(features, unchanged)))
    alone = network(features(waves))
    first = chain.order[0]
    torch.testing.assert_close(logits[first], alone[first], rtol=0, atol=1e-4)
    later = chain.order[1:].flatten()
    assert not torch.allclose(logits[later], alone[later], atol=1e-2)


@torch.no_grad()
def test_answers_are_those_of_the_stream(network: Framed) -> None:
    waves = clips(6)
    chain = Chain.of(waves, 3, 50, seed=3)
    features = Features(network.default_features)
    logits, between = chain.answers(network.forward_steps(chain.spectrograms(features, unchanged)))
    outputs = network.forward_steps(features(chain.waves))
    for place in range(3):
        expected = outputs[50 * place : 50 * (place + 1)].sum(0)
        torch.testing.assert_close(logits[chain.order[place]], expected, rtol=0, atol=1e-4)
    first = 50 * chain.link + chain.offset
    assert between is not None
    torch.testing.assert_close(between, outputs[first : first + 50].sum(0), rtol=0, atol=1e-4)
    windows = chain.between(320)
    assert torch.equal(windows, chain.waves[:, first * 320 : first * 320 + 16_000])


def test_batches_of_any_size_are_chained() -> None:
    for count, length in ((7, 4), (1, 4), (9, 4), (128, 4)):
        chain = Chain.of(clips(count), 4, 50, seed=0)
        assert chain.order.numel() == count
        assert len(chain.order) <= length
        assert 1 <= chain.offset < 50
        assert chain.waves.shape == (count // len(chain.order), len(chain.order) * 16_000)
    one = Chain.of(clips(7), 4, 50, seed=0)
    assert len(one.order) == 1, "7 clips make no streams of equal length"


def test_each_clip_is_changed_by_itself(network: Framed) -> None:
    seen = []

    def blanked(x: Tensor) -> Tensor:
        seen.append(x.shape)
        return torch.zeros_like(x)

    chain = Chain.of(clips(8), 4, 50, seed=3)
    x = chain.spectrograms(Features(network.default_features), blanked)
    assert seen == [(8, 1, 40, 100)]
    assert x.shape == (2, 1, 40, 401)
    assert not x[..., :400].any()


def test_the_order_follows_from_the_seed() -> None:
    first, again, other = (Chain.of(clips(8), 4, 50, seed) for seed in (1, 1, 2))
    assert torch.equal(first.waves, again.waves)
    assert (first.offset, first.link) == (again.offset, again.link)
    assert not torch.equal(first.order, other.order)


# --- a teacher that hears the streams -----------------------------------------------------------------


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One whose steps are those of `TempoSNN`, and one that hears windows."""
    folder = tmp_path_factory.mktemp("teachers")
    for name in ("TempoCNN", "ResMelCNN"):
        sv.SnnVoice(lively(name, num_classes=3), labels=LABELS).save_pretrained(folder / name)
    return {name: folder / name for name in ("TempoCNN", "ResMelCNN")}


def test_who_can_be_followed_along_a_stream(network: Framed, teachers: dict[str, Path]) -> None:
    features = Features(network.default_features)
    along, apart = (Teacher(TrainedModel.of(path), LABELS) for path in teachers.values())
    assert along.fits(network, features)
    assert not apart.fits(network, features)
    assert not along.fits(apart.network, features)
    slower = Features(dataclasses.replace(network.default_features, hop_length=320))
    assert not along.fits(network, slower)


@torch.no_grad()
def test_what_is_said_along_a_stream(teachers: dict[str, Path]) -> None:
    source = TrainedModel.of(teachers["TempoCNN"])
    teacher = Teacher(source, LABELS[::-1])
    waves = Chain.of(clips(6), 3, 50, seed=3).waves
    told = teacher.along(waves)
    assert told.shape == (26, 2, 3)
    outputs = teacher.network.forward_steps(teacher.features(waves))[..., [2, 1, 0]]
    for place in (0, 7, 25):
        expected = outputs[4 * place : 4 * place + 50].sum(0).softmax(-1)
        torch.testing.assert_close(told[place], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("teacher", "matters"), mostly_slow([("TempoCNN", True), ("ResMelCNN", False)], first=1)
)
def test_it_is_followed_with_its_weight(
    teachers: dict[str, Path], tmp_path: Path, teacher: str, matters: bool
) -> None:
    pytest.importorskip("lightning")
    losses = {}
    for along in (0.0, 0.5, 1.0):
        made = recipe(
            architecture="TempoSNN", network={}, features=None, epochs=1, steps=1, chain=2, along=along
        )
        job = Job(name="x", recipe=made, teachers=(str(teachers[teacher]),))
        (row,) = fit(job, dataset(8, 2), tmp_path / str(along)).history
        losses[along] = row["train_loss"]
    if not matters:
        assert losses[0.0] == losses[0.5] == losses[1.0]
        return
    assert losses[1.0] - losses[0.5] == pytest.approx(losses[0.5] - losses[0.0], abs=2e-4)
    assert losses[1.0] - losses[0.0] > 0.5  # three words: log 3 and more where one is sure of others


# --- other speech that goes on ------------------------------------------------------------------------


def test_windows_of_a_stream_stay_in_their_order(network: Framed) -> None:
    waves = clips(6)
    chain = Chain.going_on(waves, 3)
    assert torch.equal(chain.waves, waves.view(2, -1))
    features = Features(network.default_features)
    torch.testing.assert_close(chain.spectrograms(features, unchanged), features(chain.waves))


@pytest.mark.parametrize("running", mostly_slow([0.0, 0.5], first=1))
def test_no_word_is_to_be_heard_in_other_speech(tmp_path: Path, running: float) -> None:
    pytest.importorskip("lightning")
    made = recipe(
        architecture="TempoSNN",
        network={},
        features=None,
        epochs=3,
        steps=6,
        chain=2,
        running=running,
        unknown=0.1,
        mixture=Mixture(speech=0.0, words=0.0),
        lr=0.01,
    )
    speech = as_int16(np.sin(np.arange(64_000) * 0.2) * np.random.default_rng(0).random(64_000) * 0.3)
    heard = Negatives((NegativeSound("a.wav", "speech", speech, "ann"),), 16_000)
    fit(Job(name="x", recipe=made), dataset(8, 2), tmp_path / "x", negatives=heard)
    model = sv.SnnVoice.from_pretrained(tmp_path / "x")
    scores = model.scores_along(speech.astype(np.float32) / 32768, hop=0.2)[0][5:]
    words = [model.labels.index(word) for word in LABELS]
    assert (scores[:, words].sum(1).mean() < 0.2) == bool(running)
