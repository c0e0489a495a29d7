"""Checkpoints whose weights take half the space."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import snn_voice_hub as sv
from snn_voice_hub.errors import CheckpointError, ConfigError
from tests.export.helpers import recordings
from tests.slowness import mostly_slow


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


CASTS: dict[str, Any] = {
    "half": lambda m: m.half(),
    "bfloat16": lambda m: m.bfloat16(),
    "to": lambda m: m.to(torch.float16),
    "to a device": lambda m: m.to("cpu", torch.bfloat16),
    "double": lambda m: m.double(),
    "back": lambda m: m.half().float(),
}


@pytest.mark.parametrize("cast", CASTS)
@pytest.mark.parametrize("name", mostly_slow(["m5-snn", "tcy-snn", "resmel-cnn"], "tcy-snn", "resmel-cnn"))
def test_a_model_is_cast_as_it_is_loaded(name: str, cast: str, tmp_path: Path) -> None:
    """The network takes the dtype, the front end keeps float32, and the engine is made of the new weights."""
    voice = sv.SnnVoice.from_pretrained(name)
    waves = recordings()[:3]
    with torch.no_grad():
        full = voice(waves)
        assert CASTS[cast](voice) is voice
        found = voice(waves)
    assert found.dtype == torch.float32
    assert {kernel.dtype for kernel in voice.features.buffers()} <= {torch.float32}
    wanted = sv.SnnVoice.from_pretrained(name, engine="torch")
    if cast == "double":
        assert voice.dtype == torch.float64
        assert torch.allclose(found, full, rtol=1e-3, atol=1e-3 * float(full.abs().max()))
    elif cast == "back":
        wanted.network.half().float()
        with torch.no_grad():
            assert torch.allclose(found, wanted(waves), atol=1e-4 * float(full.abs().max()))
        assert not torch.equal(found, full)
    else:
        wanted = sv.SnnVoice.from_pretrained(name, dtype=voice.dtype, engine="torch")
        with torch.no_grad():
            assert torch.equal(found, wanted(waves))
    voice.save_pretrained(tmp_path)
    again = sv.SnnVoice.from_pretrained(tmp_path, dtype="float32" if cast == "double" else voice.dtype)
    kept = "float32" if cast == "double" else str(voice.dtype).removeprefix("torch.")
    assert again.config.dtype == kept
    for model in (copy.deepcopy(voice), pickle.loads(pickle.dumps(voice))):
        with torch.no_grad():
            assert torch.equal(model(waves), found)
    clip = waves[0].numpy()
    assert voice.energy(clip, sample_rate=16_000).clips == 1
    if isinstance(voice.network, sv.SpikingNetwork):
        assert voice.classify(clip, sample_rate=16_000, early_exit=0.9)[0].steps is not None
        with voice.record_spikes(mem=True) as recorded, torch.no_grad():
            voice(waves)
        assert recorded.logits.dtype == recorded.features.dtype == torch.float32


def test_features_of_another_dtype_are_refused() -> None:
    network = sv.M5SNN.from_pretrained("m5-snn").half()
    assert network(torch.zeros(1, 1, 4000, dtype=torch.float16)).dtype == torch.float16
    for features in (torch.zeros(1, 1, 4000), torch.zeros(1, 1, 4000, dtype=torch.float16, device="meta")):
        with pytest.raises(ConfigError, match="M5SNN computes in float16 on cpu and got features in"):
            network(features)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        sv.M5CNN(3).eval()(torch.zeros(1, 1, 4000, dtype=torch.bfloat16))
