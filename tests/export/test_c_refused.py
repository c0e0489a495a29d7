"""What is refused on the way to C, and what is left of it on the disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

import snn_voice_hub as sv
from snn_voice_hub.config import SILENCE, UNKNOWN
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.export.c import checking
from snn_voice_hub.export.c.files import export_c
from tests.export.helpers import Slowing, config_of
from tests.models.lively import lively, stir


@pytest.mark.parametrize(
    ("name", "why", "hint"),
    [
        ("resmel-snn", "ResMelSNN hears windows of sound", "--to onnx"),
        ("tempo-cnn", "TempoCNN has no spikes", "spiking twin"),
    ],
)
def test_what_goes_by_windows_or_has_no_spikes(name: str, why: str, hint: str, tmp_path: Path) -> None:
    model = sv.SnnVoice.from_pretrained(name, engine="torch")
    with pytest.raises(SnnVoiceError, match=why) as caught:
        export_c(model.network, model.config, tmp_path / "c")
    assert hint in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_layers_that_step_more_rarely(tmp_path: Path) -> None:
    network = stir(Slowing(7)).eval()
    with pytest.raises(SnnVoiceError, match="stem steps at another pace than the network"):
        export_c(network, config_of(lively("TempoSNN", num_classes=7)), tmp_path / "c")


@pytest.mark.parametrize(
    ("features", "why"),
    [
        ({"waveform_mean": 0.1}, "waveforms from which a mean is subtracted"),
        ({"zero_below": -1.0}, "features that are set to 0"),
        ({"n_fft": 500}, "n_fft=500 is no power of 2"),
        ({"win_length": 512, "hop_length": 100}, "windows that reach into sound that comes later"),
    ],
)
def test_front_ends_of_another_kind(features: dict[str, Any], why: str, tmp_path: Path) -> None:
    network = lively("MicroSNN", num_classes=7)
    config = config_of(network)
    config = dataclasses.replace(config, features=dataclasses.replace(config.features, **features))
    with pytest.raises(SnnVoiceError, match=why):
        export_c(network, config, tmp_path / "c")


def test_no_words(tmp_path: Path) -> None:
    network = lively("MicroSNN", num_classes=2)
    with pytest.raises(SnnVoiceError, match="no words to listen for"):
        export_c(network, config_of(network, [SILENCE, UNKNOWN]), tmp_path / "c")


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = lively("MicroSNN", num_classes=7)
    config = config_of(network)
    monkeypatch.setattr(checking, "find_c_compiler", lambda: None)
    other = tmp_path / "other"
    other.mkdir()
    made = export_c(network, config, other)  # an empty one
    assert made.compared is None
    names = {path.name for path in other.iterdir()}
    assert {"README.md", "main.c", "model.c", "model.h", "snn_voice.c", "snn_voice.h"} < names
    (other / "mine.c").write_text("int mine;\n")
    (other / "model.c").write_text("")
    export_c(network, config, other)
    assert (other / "model.c").stat().st_size > 100_000
    assert (other / "mine.c").read_text() == "int mine;\n"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("all of it")
    (tmp_path / "file").write_text("")
    for name, why in (
        ("full", "it holds something else"),
        ("file", "it is a file"),
        ("none/c", "there is no folder"),
    ):
        with pytest.raises(SnnVoiceError, match=why) as caught:
            export_c(network, config, tmp_path / name)
        assert "--out names a folder" in str(caught.value.hint)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("compiler", ["false", "true", "no-such-compiler"])
def test_what_can_not_be_built_is_not_written(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler)
    network = lively("MicroSNN", num_classes=7)
    with pytest.raises(SnnVoiceError, match="can't be built and run"):
        export_c(network, config_of(network), tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(checking.find_c_compiler() is None, reason="no C compiler")
def test_what_answers_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = lively("MicroSNN", num_classes=7)
    config = config_of(network)

    class Other(sv.MicroSNN):
        """Its layers are not those that its wiring tells of."""

        def layers(self, x: torch.Tensor, run: Any) -> torch.Tensor:
            return -super().layers(x, run)

    other = stir(Other(7)).eval()
    with pytest.raises(SnnVoiceError, match="does not answer as PyTorch does"):
        export_c(other, config, tmp_path / "c")
    assert list(tmp_path.iterdir()) == []
