"""A teacher may be a file of answers that it gave to the training clips before."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import snn_voice_hub as sv
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.fitting.answers import (
    Answers,
    agreed,
    mixed_answers,
    teacher_of,
    write_answers,
)
from snn_voice_hub.training.fitting.augment import Augmenter
from snn_voice_hub.training.fitting.job import Job
from snn_voice_hub.training.fitting.recipe import Augmentation
from snn_voice_hub.training.fitting.sampling import Draw, Share, Steps
from tests.training.helpers import dataset, recipe, tones

LABELS = ["no", "up", "yes"]


def clips(names: list[str]) -> Clips:
    words = [name.split("/")[-2] for name in names]
    return Clips(np.zeros((len(names), 16_000), np.int16), words, names, [])


def written(path: Path, names: list[str], chances: Any, labels: list[str] = LABELS) -> Path:
    with np.errstate(divide="ignore"):
        write_answers(path, "a wise one", names, labels, np.log(np.array(chances, np.float32)))
    return path


def test_clips_are_found_by_word_and_name_without_the_ending(tmp_path: Path) -> None:
    names = ["yes/anna_1.wav", "no/anna_1.wav"]
    answers = Answers.read(written(tmp_path / "a.npz", names, [[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]]))
    assert answers.name == "a wise one (a.npz)"
    sets = [clips(["corpus/no/anna_1.ogg", "no/otto_1.wav"]), clips(["yes/anna_1.flac"])]
    found = answers.table(sets, LABELS).exp()
    assert torch.allclose(found[0], torch.tensor([0.5, 0.25, 0.25]), atol=1e-3)
    assert found[1].isnan().all()
    assert torch.allclose(found[2], torch.tensor([0.1, 0.2, 0.7]), atol=1e-3)
    with pytest.raises(sv.SnnVoiceError, match="answers none of the clips"):
        answers.table([clips(["yes/otto_1.wav"])], LABELS)


def test_labels_are_matched_by_name(tmp_path: Path) -> None:
    """What the teacher does not know gets no mass, and what the student does not know loses its own."""
    names = ["yes/1.wav", "no/1.wav", "up/1.wav", "no/2.wav"]
    chances = [[0.2, 0.6, 0.2], [0.5, 0.25, 0.25], [0.8, 0.1, 0.1], [1.0, 0.0, 0.0]]
    answers = Answers.read(written(tmp_path / "a.npz", names, chances, ["up", "yes", "no"]))
    table = answers.table([clips([*names, "_unknown_/1.wav"])], ["no", "yes", "_unknown_"])
    assert table[:2].isfinite().all()  # a mean of log-scores must be one
    assert torch.allclose(table[0].exp(), torch.tensor([0.25, 0.75, 0.0]), atol=1e-3)
    assert torch.allclose(table[1].exp(), torch.tensor([0.5, 0.5, 0.0]), atol=1e-3)
    # No mass on any of the student's labels, and a label that the teacher never heard of.
    assert table[3].isnan().all()
    assert table[4].isnan().all()


def test_teachers_agree_by_the_mean_of_their_log_scores() -> None:
    first = torch.tensor([[0.8, 0.1, 0.1], [torch.nan] * 3]).log()
    second = torch.tensor([[0.2, 0.4, 0.4], [torch.nan] * 3]).log()
    heard = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    wanted, known = agreed([], torch.stack([first, second]))
    product = (torch.tensor([0.8, 0.1, 0.1]) * torch.tensor([0.2, 0.4, 0.4])).sqrt()
    assert torch.allclose(wanted[0], product / product.sum())
    assert known.tolist() == [True, False]
    wanted, known = agreed([heard], first[None])
    product = (torch.tensor([0.8, 0.1, 0.1]) * heard[0]).sqrt()
    assert torch.allclose(wanted[0], product / product.sum())
    assert torch.equal(wanted[1], heard[1])
    assert known.tolist() == [True, True]
    # Live teachers alone: the mean of what they say, as it always was.
    other = torch.tensor([[0.1, 0.7, 0.2], [0.3, 0.3, 0.4]])
    wanted, known = agreed([heard, other], None)
    assert torch.allclose(wanted, (heard + other) / 2)
    assert known.all()


def test_a_label_without_mass_stays_without() -> None:
    answers = torch.tensor([[[0.0, -100.0]]])
    wanted, _ = agreed([torch.tensor([[0.5, 0.5]])], answers)
    assert wanted[0, 1] < 1e-9
    wanted, _ = agreed([torch.tensor([[1.0, 0.0]])], torch.tensor([[[-0.1, -2.0]]]))
    assert wanted.isfinite().all()


def test_answers_to_mixed_clips_are_mixed() -> None:
    answers = torch.tensor([[[0.9, 0.1], [0.2, 0.8], [torch.nan, torch.nan], [0.6, 0.4]]]).log()
    other, part = torch.tensor([1, 2, 0, 2]), torch.tensor([0.75, 0.5, 0.75, 1.0])
    mixed = mixed_answers(answers, other, part)[0].exp()
    assert torch.allclose(mixed[0], torch.tensor([0.725, 0.275]))
    assert mixed[1].isnan().all()  # mixed with one that has no answer
    assert mixed[2].isnan().all()
    assert torch.allclose(mixed[3], torch.tensor([0.6, 0.4]))  # not mixed at all


@pytest.mark.parametrize("rank", [0, 1])
def test_each_clip_of_a_batch_comes_with_its_own_answer(rank: int) -> None:
    """Also in a process of several, beside made silence, which has none."""
    r = recipe(silence=0.2, augmentation=Augmentation())
    labels = [*LABELS, "_silence_"]
    draw = Draw(tones(20), tones(3, seed=2), labels, r, 0)
    # An answer that names its clip.
    table = torch.arange(69.0)[:, None].expand(69, 4)
    augmenter = Augmenter(Augmentation(), [], 16_000, 0)
    steps = Steps(draw, augmenter, r, labels, Share(rank, 2), None, torch.stack([table, -table]))
    for step in range(3):
        batch, picks = steps[0, step], draw.picks(0, step)[rank::2]
        answers = batch["answers"]
        assert answers.shape == (2, len(batch["waves"]), 4)
        assert answers[0, : len(picks), 0].tolist() == picks.tolist()
        assert answers[1, : len(picks), 3].tolist() == (-picks).tolist()
        assert batch["targets"][: len(picks)].tolist() == draw.targets[picks].tolist()
        silent = batch["targets"] == 3
        assert answers[:, silent].isnan().all()
        assert not answers[:, ~silent].isnan().any()


def test_a_network_learns_what_the_file_says(tmp_path: Path) -> None:
    """A file that calls every "yes" a "no" and the other way round; the labels count for nothing."""
    pytest.importorskip("lightning")
    from snn_voice_hub.training.fitting.fit import fit

    data = dataset()
    turned = {"yes": "no", "no": "yes", "up": "up"}
    chances = [[float(label == turned[word]) for label in LABELS] for word in data.train.labels]
    path = written(tmp_path / "a.npz", data.train.names, chances)
    job = Job(name="x", recipe=recipe(distil=1.0, epochs=4), teachers=(path,))
    fitted = fit(job, data, tmp_path / "x")
    voice = sv.SnnVoice.from_pretrained(fitted.folder)
    answers = voice(data.train.batch(slice(None))).argmax(1)
    said = [voice.labels[i] for i in answers]
    right = np.mean([turned[word] == found for word, found in zip(data.train.labels, said, strict=True)])
    assert right > 0.8
    assert voice.config.training["teachers"] == ["a wise one (a.npz)"]
    noted = json.loads((fitted.folder / "job.json").read_text())
    assert noted["teachers"] == [str(path.resolve())]
    # Another file of the same name is another teacher; the same one elsewhere is not.
    again = written(tmp_path / "again.npz", data.train.names, chances)
    assert teacher_of(again).digest() == teacher_of(path).digest()
    written(path, data.train.names, [row[::-1] for row in chances])
    with pytest.raises(sv.SnnVoiceError, match="another teacher"):
        fit(Job(name="x", recipe=job.recipe, teachers=(path,)), data, tmp_path / "x", resume=True)


def test_clips_without_an_answer_are_learned_by_their_labels(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    from snn_voice_hub.training.fitting.fit import fit

    data = dataset()
    few = data.train.names[:1]
    path = written(tmp_path / "a.npz", few, [[0.0, 0.0, 1.0]])
    fitted = fit(Job(name="x", recipe=recipe(distil=1.0), teachers=(path,)), data, tmp_path / "x")
    assert fitted.history[-1]["val_top1"] > 0.6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_probs": None}, "has no log_probs"),
        ({"log_probs": np.zeros((1, 3), np.float16)}, r"\[1, 3\] are not 2 times 3"),
        ({"log_probs": np.full((2, 3), np.nan, np.float16)}, "no logarithm"),
        ({"log_probs": np.full((2, 3), 0.5)}, "no logarithm"),
        ({"log_probs": np.full((2, 3), "x")}, "not 2 times 3 numbers"),
        ({"labels": np.array(["no", "no", "yes"])}, "two labels"),
        ({"labels": np.arange(3)}, "labels is no list"),
        ({"labels": np.array([1, 0x110000, 2], "u4").view("U1")}, "labels is no list"),  # no such character
        ({"teacher": np.array([0x110000], "u4").view("U1")}, "teacher is no text"),
        ({"names": np.array(["yes/1.wav", "yes/1.ogg"])}, "two clips"),
        ({"names": np.array(["yes/1.wav", None], object)}, "is no file of answers"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    arrays: dict[str, Any] = {
        "names": np.array(["yes/1.wav", "no/1.wav"]),
        "labels": np.array(LABELS),
        "log_probs": np.full((2, 3), -1.0, np.float16),
    } | change
    path = tmp_path / "a.npz"
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(sv.SnnVoiceError, match=message) as caught:
        Job(name="x", recipe=recipe(), teachers=(path,))
    assert "a.npz" in caught.value.message


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (b"no array", "has no names"),
        (b"\x93NUMPY\1\0\x0a\0{'descr': (", "is no file of answers"),
        (
            b"\x93NUMPY\1\0\x48\0{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904,), }",
            "is no",
        ),
    ],
)
def test_an_array_that_is_none_is_refused(tmp_path: Path, array: bytes, message: str) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("names.npy", array)
    with pytest.raises(sv.SnnVoiceError, match=message):
        Answers.read(path)


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_the_command_refuses_it_before_it_reads_a_clip(tmp_path: Path, content: bytes | None) -> None:
    pytest.importorskip("lightning")
    from snn_voice_hub.cli import app

    path = tmp_path / "a.npz"
    if content is not None:
        path.write_bytes(content)
    command = ["train", "--model", "tcy-snn", "--teacher", str(path)]
    command += ["--data", str(tmp_path / "no-such-clips"), "--out", str(tmp_path / "out")]
    error = CliRunner().invoke(app, command).exception
    assert isinstance(error, sv.SnnVoiceError)
    assert "a.npz" in error.message
