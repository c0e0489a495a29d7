"""Saving and loading: one folder, two doors, strict in both directions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import snn_voice_hub as sv
from snn_voice_hub.hub.bundled import bundled_names, bundled_root
from snn_voice_hub.hub.checkpoints import resolve, split_revision
from tests.models.lively import BUNDLED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    voice = sv.SnnVoice(
        sv.M5SNN(num_classes=3, num_steps=2, beta=0.7, learn_beta=True),
        sv.FeatureConfig(kind="waveform", normalization="clip"),
        ["yes", "no", "_silence_"],
        temperature=1.5,
        name="mine",
        description="three words",
        license="MIT",
    )
    voice.save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return list(left) == list(right) and all(torch.equal(left[key], right[key]) for key in left)


def test_a_folder_opens_by_both_doors(folder: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    voice = sv.SnnVoice.from_pretrained(folder)
    network = sv.M5SNN.from_pretrained(str(folder))
    assert isinstance(voice.network, sv.M5SNN)
    assert same(voice.network, network)
    assert not voice.training
    assert not network.training
    assert voice.labels == ["yes", "no", "_silence_"]
    assert (voice.config.temperature, network.num_steps, network.learn_beta) == (1.5, 2, True)
    assert "snn.0.conv.weight" in load_file(folder / "model.safetensors")  # the bare network's names
    # The network saves the features and labels that it was loaded with.
    network.save_pretrained(tmp_path / "again")
    again = sv.SnnVoice.from_pretrained(tmp_path / "again")
    assert again.config == voice.config
    assert same(again.network, voice.network)
    wave = torch.randn(2, 16_000)
    with torch.inference_mode():
        assert torch.equal(again(wave), voice(wave))


@pytest.mark.parametrize("name", [n for n in BUNDLED if not n.startswith("Piczak")])
def test_every_architecture_made_by_hand_can_be_saved_and_used(name: str, tmp_path: Path) -> None:
    network = getattr(sv, name)()
    network.save_pretrained(tmp_path)
    voice = sv.SnnVoice.from_pretrained(tmp_path)
    assert len(voice.labels) == 35
    assert same(voice.network, network)
    assert len(voice.classify(torch.randn(16_000), sample_rate=16_000)) == 5


def test_your_own_architecture(tmp_path: Path) -> None:
    class Tiny(sv.ConvNetwork):
        def __init__(self, num_classes: int = 2, width: int = 4) -> None:
            self.width = width
            super().__init__(num_classes)

        def build(self) -> None:
            self.conv = torch.nn.Conv1d(1, self.width, 9, 4)
            self.fc = torch.nn.Linear(self.width, self.num_classes)

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return self.fc(self.conv(features).relu().mean(-1))  # type: ignore[no-any-return]

    network = Tiny(width=6)
    voice = sv.SnnVoice(network, {"kind": "waveform"}, labels=["a", "b"])
    with pytest.raises(sv.ConfigError, match="architecture 'Tiny' is not known"):
        voice.save_pretrained(tmp_path / "x")
    sv.register_architecture(Tiny)
    voice.save_pretrained(tmp_path / "x")
    again = sv.SnnVoice.from_pretrained(tmp_path / "x")
    assert isinstance(again.network, Tiny)
    assert again.network.width == 6
    assert same(again.network, network)


def test_labels_must_fit() -> None:
    with pytest.raises(sv.ConfigError, match="2 labels for a network of 3 classes"):
        sv.SnnVoice(sv.TcySNN(num_classes=3), labels=["a", "b"])
    with pytest.raises(sv.ConfigError, match="unknown or missing field"):
        sv.SnnVoice(sv.TcySNN(num_classes=1), {"kind": "logmel", "mels": 3}, labels=["a"])


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_file_of_weights_opens_with_the_configuration_beside_it(folder: Path) -> None:
    voice = sv.SnnVoice.from_pretrained(folder)
    path = folder / "model.safetensors"
    assert same(sv.SnnVoice.from_pretrained(path).network, voice.network)
    # Another epoch's weights under another name, by path and by name.
    weights = load_file(path)
    weights["fc.bias"] += 1
    save_file(weights, folder / "epoch=3.safetensors")
    for other in (
        sv.SnnVoice.from_pretrained(folder / "epoch=3.safetensors"),
        sv.SnnVoice.from_pretrained(folder, filename="epoch=3.safetensors"),
    ):
        assert torch.equal(other.network.state_dict()["fc.bias"], weights["fc.bias"])
    assert same(sv.SnnVoice.from_pretrained(folder.parent, subfolder="mine").network, voice.network)
    with pytest.raises(sv.CheckpointError, match="go with a folder"):
        sv.SnnVoice.from_pretrained(path, subfolder="x")
    with pytest.raises(sv.CheckpointError, match="m5-snn is bundled and has no revision"):
        sv.SnnVoice.from_pretrained("m5-snn", revision="main")
    with pytest.raises(sv.CheckpointError, match="m5-snn is bundled and has no revision"):
        sv.SnnVoice.from_pretrained("m5-snn@v1.0")


def test_a_damaged_checkpoint_is_named(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    path = folder / "model.safetensors"

    save_file({k: v for k, v in weights.items() if k != "fc.bias"}, path)
    with pytest.raises(sv.CheckpointError, match=r"lacks fc\.bias"):
        sv.SnnVoice.from_pretrained(folder)
    save_file(weights | {"extra": torch.zeros(1)}, path)
    with pytest.raises(sv.CheckpointError, match="has unknown extra"):
        sv.M5SNN.from_pretrained(folder)
    save_file(weights | {"fc.bias": torch.zeros(4)}, path)
    with pytest.raises(sv.CheckpointError, match=r"fc\.bias has shape \[4\], the network wants \[3\]"):
        sv.SnnVoice.from_pretrained(folder)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(sv.CheckpointError, match="no readable safetensors file"):
        sv.SnnVoice.from_pretrained(folder)
    path.unlink()
    with pytest.raises(sv.CheckpointError, match=r"has no model\.safetensors"):
        sv.SnnVoice.from_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(sv.CheckpointError, match=r"no checkpoint of this library \(wanted: config\.json and"):
        sv.SnnVoice.from_pretrained(folder)


def test_a_bad_configuration_is_named(folder: Path) -> None:
    edit(folder, network={"num_steps": 2, "steps": 3})
    with pytest.raises(sv.ConfigError, match=r"no argument network\.steps \(legal: num_classes, num_steps"):
        sv.SnnVoice.from_pretrained(folder)
    edit(folder, network={"num_steps": 0})
    with pytest.raises(sv.ConfigError, match="num_steps=0"):
        sv.SnnVoice.from_pretrained(folder)
    edit(folder, network={}, architecture="M6SNN")
    with pytest.raises(sv.ConfigError, match="did you mean"):
        sv.SnnVoice.from_pretrained(folder)
    edit(folder, format_version=99)
    with pytest.raises(sv.ConfigError, match="pip install --upgrade"):
        sv.SnnVoice.from_pretrained(folder)


def test_another_class_names_the_right_one(folder: Path) -> None:
    with pytest.raises(sv.CheckpointError, match=r"M5SNN\.from_pretrained"):
        sv.TcySNN.from_pretrained(folder)


def test_what_is_not_there_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(sv.CheckpointError, match="did you mean 'm5-snn'"):
        resolve("m5-sn")
    with pytest.raises(sv.CheckpointError, match="bundled model: resmel-snn"):
        resolve("zzzzzz")
    with pytest.raises(sv.CheckpointError, match="not in the cache"):
        sv.SnnVoice.from_pretrained("nobody/nothing", cache_dir=tmp_path, local_files_only=True)
    (tmp_path / "a.safetensors").write_bytes(b"x")
    with pytest.raises(sv.CheckpointError, match=r"no config\.json beside"):
        resolve(tmp_path / "a.safetensors")
    with pytest.raises(sv.ConfigError, match="device='gpu'"):
        sv.SnnVoice.from_pretrained(device="gpu")


def test_saving_overwrites_and_keeps_a_readme(folder: Path) -> None:
    (folder / "README.md").write_text("my own words")
    voice = sv.SnnVoice.from_pretrained(folder)
    with torch.no_grad():
        voice.network.fc.bias.add_(1.0)  # type: ignore[union-attr, operator]
    voice.save_pretrained(folder)
    assert same(sv.SnnVoice.from_pretrained(folder).network, voice.network)
    assert (folder / "README.md").read_text() == "my own words"


def test_the_card_shows_only_what_is_known(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert "library_name: snn-voice-hub" in card
    assert "pipeline_tag: audio-classification" in card
    assert "2 words: yes, no." in card
    assert "| measured" not in card


@pytest.mark.parametrize("name", bundled_names())
def test_bundled_checkpoints_say_where_they_come_from(name: str) -> None:
    config = sv.VoiceConfig.load(bundled_root() / name / "config.json")
    assert config.name == name
    assert config.description
    assert config.data[0]["license"] == "CC-BY-4.0"
    assert "Warden" in config.data[0]["attribution"]
    (info,) = sv.list_models(name)
    voice = sv.SnnVoice.from_pretrained(name)
    assert info.architecture == type(voice.network).__name__
    assert info.parameters == voice.num_parameters()
    assert info.size == (bundled_root() / name / "model.safetensors").stat().st_size <= 8_000_000
    assert info.accuracy == config.metrics["test"]["top1"]
    if name.endswith("snn"):
        assert info.num_steps == config.network["num_steps"]
        rates = config.metrics["test"]["spike_rates"].values()
        assert all(0 < rate < 1 for rate in rates)


def test_the_default_is_bundled_and_first() -> None:
    names = [info.name for info in sv.list_models()]
    assert names[0] == "resmel-snn"
    assert {"m5-snn", "m5-cnn"} <= set(names)
    assert all("snn" in info.name for info in sv.list_models("*snn*"))
    assert sv.list_models("nothing") == []


def test_a_revision_is_part_of_a_name_where_no_path_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert split_revision("me/words@v1.0") == ("me/words", "v1.0")
    assert split_revision("me/words@refs/pr/1") == ("me/words", "refs/pr/1")
    assert split_revision("me/words@v1", "v1") == ("me/words", "v1")
    assert split_revision("me/words", "v1") == ("me/words", "v1")
    for whole in ("me/words", "m5-snn", "not/a/repository@v1", "./me@home/words", ""):
        assert split_revision(whole) == (whole, None)
    for wrong in ("me/words@", "m5-snn@"):
        with pytest.raises(sv.CheckpointError, match="names no revision"):
            split_revision(wrong)
    with pytest.raises(sv.CheckpointError, match="two revisions"):
        split_revision("me/words@v1", "v2")
    shutil.copytree(bundled_root() / "tcy-snn", "runs/words@home")
    assert split_revision("runs/words@home") == ("runs/words@home", None)
    assert sv.SnnVoice.from_pretrained("runs/words@home").config.name == "tcy-snn"
    for asked in (("runs/words@home", "v1"), ("runs/words@v1", None)):
        Path("runs/words").mkdir(exist_ok=True)
        with pytest.raises(sv.CheckpointError, match="is on this disk and has no revision"):
            sv.SnnVoice.from_pretrained(asked[0], revision=asked[1])
