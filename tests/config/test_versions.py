"""A configuration says everything: another default of a class changes no checkpoint, of whatever version."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import snn_voice_hub as sv
from snn_voice_hub import registry
from snn_voice_hub.config import FORMAT_VERSION
from snn_voice_hub.config.upgrade import _NETWORKS_1, _STEPS
from snn_voice_hub.hub.bundled import bundled_names, bundled_root
from snn_voice_hub.models import Network, SpikingNetwork
from snn_voice_hub.models.layers import Conv1d
from tests.places import EXAMPLES, ROOT

CARDED = ROOT / "model_cards" / "piczak-snn"
SETTINGS = {
    "num_steps": 3,
    "beta": 0.7,
    "learn_beta": True,
    "threshold": 1.2,
    "learn_threshold": True,
    "encoding": "latency",
    "reset": "subtract-before-decay",
    "surrogate": "fast_sigmoid",
    "beta_per_channel": True,
}
# What version 1 left to the class.
VERSION_1 = {
    "num_steps": 5,
    "beta": 0.5,
    "learn_beta": False,
    "threshold": 1.0,
    "learn_threshold": False,
    "encoding": "repeat",
    "reset": "subtract",
    "surrogate": "atan",
    "beta_per_channel": False,
}


class Loose(Network):
    """An architecture of somebody's own, with an argument that has a default."""

    def __init__(self, num_classes: int = 35, width: int = 4, **more: object) -> None:
        super().__init__(num_classes)
        self.width, self.more = width, more
        self.conv = Conv1d(1, width, 3)
        self.fc = torch.nn.Linear(width, num_classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.conv(features).mean(-1))
        return logits


@pytest.fixture(autouse=True)
def _registered() -> None:
    registry.register_architecture(Loose)


@pytest.fixture
def other_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release in which spiking networks and front ends have other defaults."""
    parameters = list(inspect.signature(SpikingNetwork.__init__).parameters.values())[1:]
    assert {p.name: p.default for p in parameters} == {"num_classes": 35} | VERSION_1
    new = tuple(SETTINGS.get(p.name, 35) for p in parameters)
    monkeypatch.setattr(SpikingNetwork.__init__, "__defaults__", new)
    assert sv.M5SNN(2).reset == "subtract-before-decay"
    front = sv.FeatureConfig.__init__
    monkeypatch.setitem(front.__kwdefaults__, "n_mels", 40)
    monkeypatch.setitem(front.__kwdefaults__, "sample_rate", 8_000)
    assert sv.FeatureConfig(kind="logmel", num_samples=8_000).n_mels == 40


def written(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "config.json").read_text())
    assert isinstance(config, dict)
    return config


def save_1(model: sv.SnnVoice, folder: Path, *, network: dict[str, Any], features: dict[str, Any]) -> None:
    """A folder as releases with version 1 wrote it."""
    model.save_pretrained(folder)
    config = written(folder) | {"network": network, "features": features, "format_version": 1}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("name", [*bundled_names(), "piczak-snn"])
def test_our_own_files_say_every_argument(name: str) -> None:
    folder = CARDED if name == "piczak-snn" else bundled_root() / name
    config = written(folder)
    assert config["format_version"] == FORMAT_VERSION
    cls = registry.get_architecture(config["architecture"])
    assert set(config["network"]) == set(inspect.signature(cls).parameters)
    assert sv.VoiceConfig.load(folder / "config.json").to_json() == (folder / "config.json").read_text()


def test_another_default_changes_no_bundled_model(request: pytest.FixtureRequest) -> None:
    spiking = ["m5-snn", "tcy-snn"]
    clip = EXAMPLES / "yes.wav"
    before = [sv.SnnVoice.from_pretrained(name, engine="torch").classify(clip) for name in spiking]
    request.getfixturevalue("other_defaults")
    after = [sv.SnnVoice.from_pretrained(name, engine="torch").classify(clip) for name in spiking]
    assert after == before


@pytest.mark.parametrize("changes", [{}, {"num_steps": 2}, {"reset": "subtract-before-decay", "beta": 0.9}])
def test_version_1_means_what_it_meant(
    tmp_path: Path, changes: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    network = sv.TcySNN(3, **(VERSION_1 | changes))
    model = sv.SnnVoice(network, {"kind": "logmel"}, ["a", "b", "c"]).eval()
    clip = 0.1 * torch.randn(2, 16_000)
    wanted = model(clip)
    save_1(model, tmp_path, network=changes, features={"kind": "logmel"})
    request.getfixturevalue("other_defaults")
    again = sv.SnnVoice.from_pretrained(tmp_path)
    assert torch.equal(again(clip), wanted)
    assert again.config == model.config
    bare = sv.TcySNN.from_pretrained(tmp_path)
    assert bare.arguments() == {"num_classes": 3} | VERSION_1 | changes
    again.save_pretrained(tmp_path / "new")
    bare.save_pretrained(tmp_path / "bare")
    assert written(tmp_path / "new")["network"] == {"num_classes": 3} | VERSION_1 | changes
    assert written(tmp_path / "new") == written(tmp_path / "bare")
    assert written(tmp_path / "new")["format_version"] == FORMAT_VERSION


def test_every_built_in_network_of_version_1_opens() -> None:
    for name in _NETWORKS_1:
        cls = registry.get_architecture(name)
        old = sv.VoiceConfig(
            architecture=name, network={}, features=cls.default_features, labels=["a", "b"]
        ).to_dict()
        config = sv.VoiceConfig.from_dict(old | {"format_version": 1})
        more = VERSION_1 if issubclass(cls, SpikingNetwork) else {}
        assert config.network == {"num_classes": 2} | more
        assert config.format_version == FORMAT_VERSION


def test_an_architecture_of_ones_own_keeps_its_defaults_in_version_1(tmp_path: Path) -> None:
    model = sv.SnnVoice(Loose(2), labels=["a", "b"]).eval()
    clip = torch.randn(1, 16_000)
    save_1(model, tmp_path, network={}, features={"kind": "waveform", "normalization": "clip"})
    again = sv.SnnVoice.from_pretrained(tmp_path)
    assert torch.equal(again(clip), model(clip))
    assert again.config.network == {"num_classes": 2, "width": 4}
    # Whoever only writes figures into it can't know the class, and says nothing that is not so.
    config = sv.VoiceConfig.load(tmp_path / "config.json")
    assert (config.format_version, config.network) == (1, {"num_classes": 2})
    again.save_pretrained(tmp_path)
    assert written(tmp_path)["network"] == {"num_classes": 2, "width": 4}
    assert written(tmp_path)["format_version"] == FORMAT_VERSION


@pytest.mark.parametrize("name", [*VERSION_1, "num_classes"])
def test_the_newest_version_says_every_argument(tmp_path: Path, name: str) -> None:
    sv.SnnVoice(sv.TcySNN(2), labels=["a", "b"]).save_pretrained(tmp_path)
    config = written(tmp_path)
    del config["network"][name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    for cls in (sv.SnnVoice, sv.TcySNN):
        with pytest.raises(sv.ConfigError, match=rf"field network\.{name} is missing"):
            cls.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["temperature", "features.n_mels", "features.zero_below"])
def test_the_newest_version_says_all_that_answers_depend_on(name: str) -> None:
    config = sv.SnnVoice(sv.TcySNN(2), labels=["a", "b"]).config.to_dict()
    inside, _, last = name.rpartition(".")
    del (config[inside] if inside else config)[last]
    with pytest.raises(sv.ConfigError, match=rf"field {name} is missing"):
        sv.VoiceConfig.from_dict(config)


def test_version_2_has_no_operating_point() -> None:
    new = sv.SnnVoice(sv.TcySNN(2), labels=["a", "b"]).config
    old = {name: value for name, value in new.to_dict().items() if name != "detection"}
    assert sv.VoiceConfig.from_dict(old | {"format_version": 2}) == new


def test_every_older_version_has_a_step() -> None:
    assert sorted(_STEPS) == list(range(1, FORMAT_VERSION))


# --- arguments ------------------------------------------------------------------------------------


def test_arguments_are_all_that_the_constructor_takes() -> None:
    assert sv.M5SNN(4, beta=0.25).arguments() == {"num_classes": 4} | VERSION_1 | {"beta": 0.25}
    assert Loose(width=3, depth=[1, 2]).arguments() == {"num_classes": 35, "width": 3, "depth": [1, 2]}
    found = sv.M5SNN(4).arguments()
    found["beta"] = 0.1
    assert sv.M5SNN(4).arguments()["beta"] == 0.5


@pytest.mark.parametrize("value", [torch.ones(2), object(), float("nan"), {1: 2}, 2**70, "\ud800"])
def test_an_argument_that_json_cant_hold_is_not_lost(value: object) -> None:
    with pytest.raises(sv.ConfigError, match="Loose: argument extra can't be saved"):
        Loose(2, extra=value).arguments()
    # A default in place of the value that was given would be another network.
    with pytest.raises(sv.ConfigError, match="argument beta can't be saved"):
        Scaled(2, torch.tensor(0.9)).arguments()


class Scaled(Loose):
    """One whose argument may be a tensor, and has a default that is none."""

    def __init__(self, num_classes: int = 35, beta: object = 0.5) -> None:
        super().__init__(num_classes)
        self.beta = beta


class Unchecked(Loose):
    """A constructor that raises what Python raises."""

    def __init__(self, num_classes: int = 35, width: int = 4, groups: int = 1) -> None:
        super().__init__(num_classes, width)
        self.inner = torch.nn.Conv1d(width, width, 1, groups=groups)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"width": "4"}, "network.width='4'"),
        ({"width": [1]}, r"network\.width=\[1\]"),
        ({"groups": 3}, "network.groups=3"),
        ({"groups": 0}, "network.groups=0"),
        ({"width": -1}, "network.width=-1"),
    ],
)
def test_what_a_foreign_constructor_raises_names_architecture_and_argument(
    arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(sv.ConfigError, match=rf"Unchecked can't be made with {named}: \w+Error: "):
        Unchecked.from_arguments({"num_classes": 2} | arguments)
