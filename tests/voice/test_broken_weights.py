"""Weights that are no numbers, or of another type: refused by name, and not blamed on the sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import snn_voice_hub as sv
from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.registry import check_checkpoint
from tests.cli.helpers import refused
from tests.places import ROOT
from tests.voice.saving_helpers import WORDS, made, set_to

BROKEN = {
    "nan": (lambda t: t * float("nan"), r"model\.safetensors: fc\.weight holds [\d,]+ NaN of"),
    "infinite": (lambda t: t / 0, r"fc\.weight holds"),
    "int8": (lambda t: t.char(), r"fc\.weight is int8 \(legal is float32, float16, bfloat16, float64"),
    "int64": (lambda t: t.long(), r"fc\.weight is int64"),
    "bool": (lambda t: t > 0, r"fc\.weight is bool"),
    "float8": (lambda t: t.to(torch.float8_e4m3fn), r"fc\.weight is float8_e4m3fn"),
}


@pytest.mark.parametrize(("change", "said"), BROKEN.values(), ids=BROKEN)
def test_files_of_broken_weights_are_refused_by_name(
    change: Callable[[torch.Tensor], torch.Tensor], said: str, folder: Path
) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    save_file(weights | {"fc.weight": change(weights["fc.weight"])}, path)
    for door in (sv.SnnVoice.from_pretrained, sv.TcySNN.from_pretrained, check_checkpoint):
        with pytest.raises(CheckpointError, match=said):
            door(folder)


def test_the_commands_say_which_weights_are_no_numbers(folder: Path, tmp_path: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    save_file(weights | {"fc.bias": torch.full((3,), float("nan"))}, path)
    sound = str(ROOT / "examples" / "yes.wav")
    for command in (
        ["classify", "--model", str(folder), sound],
        ["export", str(folder), "--out", str(tmp_path / "x.onnx")],
        ["push", str(folder), "me/broken"],
    ):
        assert "fc.bias holds 3 NaN of 3 values" in refused(*command)


def test_float64_becomes_float32_and_says_so(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    voice = made().double()
    voice.save_pretrained(tmp_path / "double")
    assert "mine: weights in float64 are taken as float32" in caplog.text
    assert {t.dtype for t in load_file(tmp_path / "double" / "model.safetensors").values()} == {
        torch.float32,
        *{t.dtype for t in voice.network.state_dict().values() if not t.is_floating_point()},
    }
    caplog.clear()
    weights = {
        key: t.double() if t.is_floating_point() else t for key, t in voice.network.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors")
    assert sv.SnnVoice.from_pretrained(folder).dtype == torch.float32
    assert "weights in float64 are taken as float32" in caplog.text
    weights["fc.bias"][0] = 1e300
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"fc\.bias has values past the range of float32"):
        sv.SnnVoice.from_pretrained(folder)


def test_weights_that_float16_can_not_hold_are_not_made_infinite(tmp_path: Path) -> None:
    voice = made()
    set_to(1e6)(voice)
    voice.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"fc\.weight has values past the range of float16"):
        sv.SnnVoice.from_pretrained(tmp_path, dtype="float16")


@pytest.mark.parametrize("on_error", ["raise", "return"])
def test_a_broken_network_is_not_blamed_on_the_sound(on_error: str) -> None:
    voice = made()
    wave = torch.randn(16_000)
    set_to(float("nan"), "fc.bias")(voice)
    for clips in (wave, [wave, wave]):
        with pytest.raises(CheckpointError, match=r"mine: fc\.bias holds 1 NaN of 3 values"):
            voice.classify(clips, sample_rate=16_000, on_error=on_error)
    with pytest.raises(CheckpointError, match=r"mine: fc\.bias holds 1 NaN"):
        voice.warm_up()
    # All weights are finite, and no sound is heard in them.
    voice = made("M5CNN")
    voice.network.state_dict()["cnn.0.bn.running_var"].fill_(-1)
    with pytest.raises(CheckpointError, match="no score is finite, not even for silence"):
        voice.warm_up()
    with pytest.raises(CheckpointError, match="no score is finite, not even for silence"):
        voice.classify(wave, sample_rate=16_000, on_error=on_error)


def test_a_sound_network_is_not_blamed_for_the_sound() -> None:
    voice = sv.SnnVoice(sv.M5CNN(num_classes=3), {"kind": "waveform"}, WORDS, engine="torch").eval()
    voice.network.half()
    quiet, loud = torch.randn(16_000), torch.randn(16_000) * 1e11
    voice.warm_up()
    for clips in (loud, [quiet, loud]):
        with pytest.raises(sv.AudioError, match="is so loud that its scores are not finite"):
            voice.classify(clips, sample_rate=16_000, function_to_apply="sigmoid")
    good, bad = voice.classify([quiet, loud], sample_rate=16_000, on_error="return")
    assert isinstance(good, list)
    assert isinstance(bad, sv.AudioError)
    assert str(bad).startswith("clip 1: ")
    assert bad.code == "not_finite"
