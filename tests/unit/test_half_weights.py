"""Checkpoints whose weights take half the space."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from export_helpers import recordings
from safetensors.torch import load_file

import snn_voice_hub as sv
from snn_voice_hub.errors import CheckpointError, ConfigError


@pytest.mark.parametrize("dtype", ["float16", torch.bfloat16])
def test_half_on_the_disk_and_float32_in_memory(dtype: str | torch.dtype, tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained("m5-snn", engine="torch")
    assert voice.save_pretrained(tmp_path / "full") is None
    voice.save_pretrained(tmp_path / "half", dtype=dtype)
    name = "float16" if dtype == "float16" else "bfloat16"
    sizes = [(tmp_path / n / "model.safetensors").stat().st_size for n in ("half", "full")]
    assert sizes[0] < 0.52 * sizes[1]
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == name
    assert json.loads((tmp_path / "full" / "config.json").read_text())["dtype"] == "float32"
    weights = load_file(tmp_path / "half" / "model.safetensors")
    assert {t.dtype for t in weights.values()} == {getattr(torch, name), torch.int64}

    again = sv.SnnVoice.from_pretrained(tmp_path / "half", engine="torch")
    assert again.dtype == torch.float32
    assert again.config.dtype == name
    for key, value in voice.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[key], value.to(weights[key].dtype).to(value.dtype))
    with torch.no_grad():
        best = [m(recordings()).argmax(1) for m in (voice, again)]
    assert int((best[0] == best[1]).sum()) >= 14
    assert voice.dtype == torch.float32  # saving changes nothing
    # What is saved next is what is in memory.
    again.save_pretrained(tmp_path / "again")
    assert sv.M5SNN.from_pretrained(tmp_path / "again").save_pretrained(tmp_path / "bare") is None
    for folder in ("again", "bare"):
        assert json.loads((tmp_path / folder / "config.json").read_text())["dtype"] == "float32"


def test_a_model_that_computes_in_half_saves_half(tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn", dtype="float16")
    voice.save_pretrained(tmp_path)
    assert dataclasses.replace(voice.config, dtype="float16") == sv.SnnVoice.from_pretrained(tmp_path).config
    assert sv.TcySNN.from_pretrained(tmp_path, dtype="float16").fc.weight.dtype == torch.float16


def test_what_does_not_fit(tmp_path: Path) -> None:
    network = sv.TcySNN()
    network.fc.weight.data[3, 7] = -1e5
    with pytest.raises(CheckpointError, match=r"fc\.weight has values past the range of float16"):
        network.save_pretrained(tmp_path, dtype="float16")
    assert list(tmp_path.iterdir()) == []
    network.save_pretrained(tmp_path, dtype="bfloat16")
    with pytest.raises(ConfigError, match="dtype='int4' is not legal"):
        network.save_pretrained(tmp_path, dtype="int4")
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"bfloat16"', '"int4"'))
    with pytest.raises(ConfigError, match="dtype='int4' is not legal"):
        sv.TcySNN.from_pretrained(tmp_path)
