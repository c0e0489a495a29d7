"""Many clips, one after the other; and a network whose scores are no numbers."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from snn_voice_lite import AudioError, CheckpointError, Voice
from snn_voice_lite.voice import Clip

from tests.places import EXAMPLES

YES, GO = EXAMPLES / "yes.wav", EXAMPLES / "go.wav"
SILENCE = np.zeros(16_000, np.float32)


@pytest.fixture(scope="module")
def voice() -> Voice:
    return Voice()


def test_many_are_answered_in_order_and_none_is_taken_before_its_turn(voice: Voice) -> None:
    taken = []

    def clips() -> Iterator[Path]:
        for path in (YES, GO, YES):
            taken.append(path)
            yield path

    answers = voice.classify_each(clips(), top_k=1)
    assert taken == []
    for number, expected in enumerate(("yes", "go", "yes"), 1):
        (found,) = next(answers)  # type: ignore[misc]
        assert found.label == expected
        assert len(taken) == number
    assert list(answers) == []


def test_one_that_can_not_be_used_keeps_its_place(voice: Voice, tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    clips: list[Clip] = [YES, np.zeros(0, np.float32), bad, GO]
    asked = {"sample_rate": 16_000, "top_k": 1, "on_error": "return"}
    first, empty, text, last = voice.classify_each(clips, **asked)  # type: ignore[arg-type]
    assert [found[0].label for found in (first, last) if not isinstance(found, AudioError)] == ["yes", "go"]
    assert isinstance(empty, AudioError)
    assert isinstance(text, AudioError)
    assert str(empty).startswith("clip 1: ")
    assert str(bad) in str(text)  # a path says by itself which it is
    assert "clip 2" not in str(text)
    answers = voice.classify_each(clips, sample_rate=16_000)
    next(answers)
    with pytest.raises(AudioError, match="clip 1: ") as caught:
        next(answers)
    assert caught.value.code == empty.code


def test_errors_can_be_copied_and_sent_to_other_processes(voice: Voice) -> None:
    with pytest.raises(AudioError) as caught:
        voice.classify(np.zeros(0, np.float32), sample_rate=16_000)
    error = caught.value
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is AudioError
        assert (str(again), again.message, again.hint, again.code) == (
            str(error),
            error.message,
            error.hint,
            error.code,
        )


def spoiled(name: str, folder: Path) -> Path:
    """A bundled file whose logits are NaN."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(files("snn_voice_lite") / "models" / f"{name}.onnx"))
    nodes = model.graph.node
    (place,) = [i for i, node in enumerate(nodes) if "logits" in node.output]
    outputs = nodes[place].output
    outputs[list(outputs).index("logits")] = "finite"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(np.nan), "nan"))
    nodes.insert(place + 1, onnx.helper.make_node("Mul", ["finite", "nan"], ["logits"]))
    onnx.save(model, folder / "spoiled.onnx")
    return folder / "spoiled.onnx"


@pytest.mark.parametrize("name", ["resmel-snn", "tempo-snn"])
def test_scores_that_are_no_numbers_are_the_models_fault_and_said_to_be(name: str, tmp_path: Path) -> None:
    voice = Voice(spoiled(name, tmp_path))
    with pytest.raises(CheckpointError, match="no score is finite, not even for silence"):
        voice.classify(YES)
    stream = voice.stream(sample_rate=16_000, gate=None)
    with pytest.raises(CheckpointError, match="no score is finite, not even for silence"):
        stream.feed(SILENCE)
