"""Packages that the user names, and networks of one's own in commands and in training."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

import snn_voice_hub as sv
from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.packages import (
    VARIABLE,
    import_named_packages,
    name_packages,
    named_packages,
)
from snn_voice_hub.registry import get_architecture
from tests.cli.helpers import invoke, refused
from tests.voice.package_helpers import NETWORK, REGISTERED, announce, imported, lay

# --- what the user names --------------------------------------------------------------------------


def test_named_by_module_by_file_and_in_the_working_directory(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    lay(site, "by_name", REGISTERED.format(name="ByName"))
    lay(here, "by_folder", REGISTERED.format(name="ByFolder"))
    lay(there, "by_file", REGISTERED.format(name="ByFile"))
    monkeypatch.chdir(here)
    name_packages(["by_name, by_folder", "../there/by_file.py"])
    name_packages(["by_name"])
    assert named_packages() == ["by_name", "by_folder", str(there / "by_file.py")]
    assert "by_name" not in sys.modules
    for name in ("ByName", "ByFolder", "ByFile"):
        assert get_architecture(name).__name__ == name
    import_named_packages()
    assert [imported(f, n) for f, n in ((site, "by_name"), (here, "by_folder"), (there, "by_file"))] == [
        1
    ] * 3


def test_a_named_package_is_not_imported_for_what_is_known(site: Path) -> None:
    lay(site, "by_name", REGISTERED.format(name="ByName"))
    name_packages(["by_name"])
    sv.SnnVoice.from_pretrained("m5-snn")
    assert imported(site, "by_name") == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such_package", r"no_such_package \(--import.* can't be imported: No module named"),
        ("no/such/file.py", r"no/such/file\.py .* is not there"),
        ("my-nets", r"my-nets .* is no name of a module"),
        ("../nets", r"\.\./nets .* is no name of a module"),
        ("fails", r"fails .* can't be imported: ZeroDivisionError"),
        ("leaves", r"leaves .* can't be imported: SystemExit"),
        ("json.py", r"json\.py .*: the module json of this Python is .*another file name"),
    ],
)
def test_what_can_not_be_imported_is_said(
    site: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    lay(site, "fails", "1 / 0")
    lay(site, "leaves", "raise SystemExit('usage: leaves')")
    lay(site, "json", "")
    sys.path.remove(str(site))
    monkeypatch.chdir(site)
    monkeypatch.setenv(VARIABLE, name)
    for ask in (import_named_packages, sv.list_architectures, lambda: get_architecture("Unknown")):
        with pytest.raises(sv.ConfigError, match=says) as caught:
            ask()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("before", [True, False])
def test_commands_import_what_they_are_told_to(site: Path, tmp_path: Path, before: bool) -> None:
    lay(site, "by_name", REGISTERED.format(name="ByName"))
    given = ["--import", "by_name"]
    command = [*given, "models", "m5-snn"] if before else ["models", *given, "m5-snn"]
    for helped in ([*command, "--help"], [*given, "--help"]):
        invoke(*helped)
    assert imported(site, "by_name") == 0
    invoke(*command)
    assert imported(site, "by_name") == 1
    assert named_packages() == ["by_name"]


def test_commands_refuse_what_can_not_be_imported(site: Path) -> None:
    assert "no_such_net (--import" in refused("models", "--import", "no_such_net")


# --- training -------------------------------------------------------------------------------------

SPIKING = """
import torch
from snn_voice_hub import SpikingNetwork

class {name}(SpikingNetwork):
    feature_dims = 2
    min_shape = (1, 1)

    def build(self):
        self.lif = self.make_lif()
        self.fc = torch.nn.Linear(1, self.num_classes)

    def layers(self, x, run):
        return run.readout(self.fc, run.fire("lif", self.lif, x).mean((-2, -1)))
"""


@pytest.mark.parametrize(
    ("code", "kind", "rate"), [(NETWORK, "waveform", 4_000), (SPIKING, "logmel", 16_000)]
)
def test_a_network_without_a_recipe_gets_one(site: Path, code: str, kind: str, rate: int) -> None:
    lay(site, "own_net", code.format(name="OwnNet"))
    announce(site, "own-net", "1.2", "OwnNet = own_net:OwnNet")
    shown = yaml.safe_load(invoke("train", "--model", "OwnNet", "--show-recipe").stdout)
    assert shown["architecture"] == "OwnNet"
    assert (shown["features"]["kind"], shown["features"]["feature_rate"]) == (kind, rate)
    get_architecture("OwnNet").check_front_end(FeatureConfig(**shown["features"]))
    steps = ["train", "--model", "OwnNet", "--num-steps", "3", "--show-recipe"]
    if code is SPIKING:
        assert yaml.safe_load(invoke(*steps).stdout)["network"] == {"num_steps": 3}
    else:
        assert "OwnNet has no time steps" in refused(*steps)


def test_an_architecture_of_ours_may_be_named_too(site: Path) -> None:
    shown = yaml.safe_load(invoke("train", "--model", "HjhSCNN", "--show-recipe").stdout)
    assert (shown["architecture"], shown["features"]["kind"]) == ("HjhSCNN", "logmel")


def test_what_can_not_be_trained_is_said(site: Path, tmp_path: Path) -> None:
    assert "there is no model 'OwnNet'" in refused("train", "--model", "OwnNet")
    lay(site, "broken", "import no_such_dependency")
    announce(site, "broken", "1", "OwnNet = broken:OwnNet")
    assert "No module named 'no_such_dependency'" in refused("train", "--model", "OwnNet")
    recipe = tmp_path / "other.yaml"
    recipe.write_text(invoke("train", "--model", "tcy-cnn", "--show-recipe").stdout)
    said = refused("train", "--model", "tcy-snn", "--recipe", str(recipe), "--show-recipe")
    assert f"{recipe} is for TcyCNN, not TcySNN" in said
