"""A model in other formats, beside its checkpoint on the Hub."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import snn_voice_hub as sv
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.export.formats import write_formats
from snn_voice_hub.hub.beside import PLACES
from tests.hub.publishing import card, command, files, folder, push
from tests.places import ROOT
from tests.sandbox.helpers import Sandbox

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

__all__ = ["folder"]

PUSH = """
import snn_voice_hub as sv
model = sv.SnnVoice.from_pretrained("resmel-snn")
print(model.push_to_hub("me/formats", formats=["onnx", "onnx-int8", "lite", "onnx"]))
"""


@pytest.mark.slow
def test_files_lie_beside_the_weights_and_answer(hub: Sandbox, tmp_path: Path) -> None:
    assert hub.run(PUSH).out.startswith(f"{hub.url}/me/formats/commit/")
    places = ["lite/model.onnx", "onnx/model.onnx", "onnx/model_int8.onnx"]
    there = ["README.md", "config.json", "model.safetensors", *places]
    assert files(hub, "me/formats") == sorted(there)
    text = card(hub, "me/formats", tmp_path)
    assert all(f"| `{place}` | {PLACES[place]} |" in text for place in places)
    assert 'hf_hub_download("me/formats", "onnx/model.onnx")' in text
    sound, _ = sf.read(ROOT / "examples" / "yes.wav", dtype="float32")
    waveforms = np.zeros((1, 16000), np.float32)
    waveforms[0, : len(sound)] = sound[:16000]
    expected = sv.SnnVoice.from_pretrained("resmel-snn").classify(waveforms[0], sample_rate=16000)[0]
    for place in places:
        path = hub.api("me").hf_hub_download("me/formats", place, cache_dir=tmp_path / "files")
        session = onnxruntime.InferenceSession(path)
        labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
        scores = session.run(["scores"], {"waveforms": waveforms})[0][0]
        assert labels[scores.argmax()] == expected.label == "yes"
        assert scores.max() == pytest.approx(expected.score, abs=0.02)


def test_the_command_and_files_of_earlier_weights(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    ran = command(hub, "push", folder, "me/older", "--formats", "onnx")
    assert (ran.code, ran.err) == (0, "")
    assert "onnx/model.onnx" in files(hub, "me/older")
    ran = command(hub, "push", folder, "me/older")
    assert ran.code == 0
    assert "me/older keeps onnx/model.onnx, of the weights that were there before" in ran.err
    assert "Other formats" not in card(hub, "me/older", tmp_path)


def test_refusals_leave_the_hub_alone(hub: Sandbox, folder: Path) -> None:
    ran = command(hub, "push", folder, "me/refused", "--formats", "tflite")
    assert ran.code == 2
    assert "formats='tflite' is not legal" in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not hub.api("me").repo_exists("me/refused")
    with pytest.raises(ConfigError, match="which a network alone has not"):
        sv.TcySNN.from_pretrained("tcy-snn").push_to_hub("me/refused", formats=["onnx"])
    with pytest.raises(ConfigError, match="is no list"):
        sv.SnnVoice.from_pretrained("tcy-snn").push_to_hub("me/refused", formats="onnx")


@pytest.mark.slow
def test_every_format_has_its_place(tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    network = voice.network
    assert isinstance(network, sv.TcySNN)
    found = write_formats(network, voice.config, tmp_path, ["onnx-int8", "lite", "onnx"])
    assert set(found) == set(PLACES)
    assert all(path.stat().st_size > 0 for path in found.values())


def test_plain_pushes_say_nothing(hub: Sandbox, folder: Path) -> None:
    assert push(hub, folder, "me/plain")[0] is None
    assert files(hub, "me/plain") == ["README.md", "config.json", "model.safetensors"]
