"""`snn-voice export`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import snn_voice_hub as sv
from snn_voice_hub.export.nir.files import load
from tests.cli.helpers import invoke, refused
from tests.models.lively import stir

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("nir")


def test_each_format(tmp_path: Path) -> None:
    done = invoke("export", "tcy-snn", "--out", str(tmp_path / "m.onnx"))
    assert "waveforms [batch, 16000] in, scores and logits [batch, 35] out" in done.stdout
    assert "28 of 28 signals equal to 0.0001 of the largest logit" in done.stdout
    assert onnxruntime.InferenceSession(tmp_path / "m.onnx").get_inputs()[0].name == "waveforms"

    done = invoke("export", "tcy-snn", "--to", "nir", "--neurons", "parts", "--out", str(tmp_path / "m.nir"))
    assert "of the spikes equal" in done.stdout
    assert load(tmp_path / "m.nir").architecture == "TcySNN"

    invoke("export", "tcy-snn", "--to", "torch", "--out", str(tmp_path / "m.pt2"))
    assert (tmp_path / "m.pt2").stat().st_size > 10_000
    assert {path.name for path in tmp_path.iterdir()} == {"m.onnx", "m.nir", "m.pt2"}


def test_options_of_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke("export", "m5-cnn", "--features-outside", "--int8")
    assert done.stdout.startswith("m5-cnn-features-int8.onnx: 0.58 MB, features in")
    assert onnxruntime.InferenceSession("m5-cnn-features-int8.onnx").get_inputs()[0].name == "features"


@pytest.mark.slow
def test_no_form_is_written_over_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for form in ((), ("--int8",), ("--to", "nir"), ("--to", "nir", "--neurons", "parts"), ("--to", "torch")):
        invoke("export", "tcy-cnn" if "nir" not in form else "tcy-snn", *form)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"tcy-cnn.onnx", "tcy-cnn-int8.onnx", "tcy-cnn.pt2", "tcy-snn.nir", "tcy-snn-parts.nir"}


def test_a_model_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sv.TcySNN(num_classes=3).save_pretrained("mine")
    assert invoke("export", "mine", "--to", "nir").stdout.startswith("TcySNN.nir: ")


@pytest.mark.slow
def test_a_network_on_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stir(sv.TempoSNN(num_classes=3)).save_pretrained("mine")
    done = invoke("export", "mine", "--step", "--int8")
    assert done.stdout.startswith("TempoSNN-step-int8.onnx: ")
    assert "the frames of one step and a state in, logits [batch, 3] and a state out" in done.stdout
    session = onnxruntime.InferenceSession("TempoSNN-step-int8.onnx")
    assert [given.name for given in session.get_inputs()] == ["frames", "state"]
    assert invoke("export", "mine", "--to", "nir").stdout.startswith("TempoSNN.nir: ")
    assert load(tmp_path / "TempoSNN.nir").encoding == "frames"


def test_a_folder_of_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stir(sv.MicroSNN(num_classes=3)).save_pretrained("mine")
    assert invoke("export", "mine", "--to", "c").stdout.startswith("MicroSNN-c: 1")
    small = ("export", "mine", "--to", "c", "--out", "small", "--int8")
    made = invoke(*small).stdout
    assert re.match(
        r"small: 1\d\d kB of tables, 11\.\d kB of RAM; its README\.md says how to build it\n", made
    )
    assert re.search(r"\nweights: 16 bits in the first \d of 10 layers, 8 in the others\n", made)
    made = invoke(*small, "--wide-layers", "0").stdout
    assert made.startswith("small: 99 kB of tables")
    assert "\nweights: 8 bits each\n" in made
    assert re.search(r"of 28 signals with the same best label|no C compiler", made)
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "MicroSNN-c", "small"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing-here",), "no checkpoint 'nothing-here'"),
        (("tcy-snn", "--to", "pdf"), "--to='pdf' is not legal (one of 'onnx', 'lite', 'nir', 'torch', 'c')"),
        (
            ("tcy-snn", "--to", "nir", "--int8"),
            "--int8 does not go with --to nir (it is for --to onnx and --to lite and --to c)",
        ),
        (("tempo-snn", "--to", "lite", "--step"), "--step does not go with --to lite (it is for --to onnx)"),
        (
            ("tcy-snn", "--to", "torch", "--features-outside"),
            "--features-outside does not go with --to torch",
        ),
        (
            ("tempo-snn", "--int8", "--wide-layers", "3"),
            "--wide-layers does not go with --to onnx (it is for --to c)",
        ),
        (("tempo-snn", "--to", "c", "--wide-layers", "3"), "--wide-layers does not go without --int8"),
        (
            ("tempo-snn", "--to", "c", "--int8", "--wide-layers", "13"),
            "wide_layers=13 is not legal (a whole number from 0 to 12)",
        ),
        (("tcy-snn", "--neurons", "lif"), "--neurons does not go with --to onnx (it is for --to nir)"),
        (("tcy-snn", "--to", "nir", "--neurons", "x"), "--neurons='x' is not legal (one of 'lif', 'parts')"),
        (("tcy-snn", "--to", "c"), "this model can't be exported to C: TcySNN hears windows of sound"),
        (("tempo-cnn", "--to", "c"), "this model can't be exported to C: TempoCNN has no spikes"),
        (("tempo-snn", "--to", "c", "--step"), "--step does not go with --to c (it is for --to onnx)"),
        (("tcy-snn", "--to", "nir", "--step"), "--step does not go with --to nir (it is for --to onnx)"),
        (("tcy-snn", "--step"), "TcySNN can't be exported as one step: it hears a window of sound"),
        (("tcy-cnn", "--to", "nir"), "TcyCNN can't be said in NIR: it has no spiking neurons"),
        (("tcy-snn", "--out", "no/where.onnx"), "no/where.onnx can't be written: there is no folder no"),
        (("tcy-snn", "--to", "torch", "--out", "."), ". can't be written: it is a folder"),
    ],
)
def test_mistakes(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused("export", *arguments)
    assert list(tmp_path.iterdir()) == []
