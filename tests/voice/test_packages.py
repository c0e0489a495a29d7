"""Architectures of other packages: found when asked for, named in configurations, never imported by one."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import snn_voice_hub as sv
from snn_voice_hub.config import ArchitecturePackage
from snn_voice_hub.hub.endpoint import endpoint_files
from snn_voice_hub.install import REQUIREMENT_NOTE
from snn_voice_hub.packages import (
    package_of,
)
from snn_voice_hub.registry import ARCHITECTURES, find_architecture, get_architecture
from tests.voice.package_helpers import NETWORK, REGISTERED, announce, fresh, imported, lay, saved

# --- what installed packages announce -------------------------------------------------------------


@pytest.mark.parametrize("entry", ["OwnNet = own_net:OwnNet", "whatever = own_net"])
def test_a_package_is_imported_when_its_architecture_is_asked_for(site: Path, entry: str) -> None:
    lay(site, "own_net", (NETWORK if ":" in entry else REGISTERED).format(name="OwnNet"))
    announce(site, "own-net", "1.2", entry)
    assert find_architecture("M5SNN") is sv.M5SNN
    assert imported(site, "own_net") == 0
    assert get_architecture("OwnNet").__module__ == "own_net"
    assert "OwnNet" in sv.list_architectures()
    assert imported(site, "own_net") == 1
    assert package_of(get_architecture("OwnNet")) == ArchitecturePackage(
        module="own_net", name="own-net", version="1.2"
    )


def test_listing_imports_them_all(site: Path) -> None:
    before = sv.list_architectures()
    lay(site, "own_a", NETWORK.format(name="OwnA"))
    lay(site, "own_b", REGISTERED.format(name="OwnB"))
    announce(site, "own-a", "1", "OwnA = own_a:OwnA")
    announce(site, "own-b", "1", "own_b = own_b")
    assert sv.list_architectures() == sorted([*before, "OwnA", "OwnB"])


@pytest.mark.parametrize(
    ("code", "entry", "says"),
    [
        ("import no_such_dependency", "Own = broken:Own", "No module named 'no_such_dependency'"),
        ("class Own(:", "Own = broken:Own", "SyntaxError"),
        ("1 / 0", "Own = broken", "ZeroDivisionError: division by zero"),
        ("raise RuntimeError('two\\nlines')", "Own = broken", "RuntimeError: two lines"),
        ("raise SystemExit(3)", "Own = broken", "SystemExit: 3"),
        ("", "Own = broken:Own", "has no attribute 'Own'"),
        ("class Own: pass", "Own = broken:Own", "is no architecture"),
        ("def own(): pass", "Own = broken:own", "neither a class nor a module"),
        (
            REGISTERED.format(name="M5SNN"),
            "Own = broken",
            "an architecture named M5SNN is registered already",
        ),
    ],
)
def test_a_broken_package_says_why_and_breaks_no_other(site: Path, code: str, entry: str, says: str) -> None:
    lay(site, "broken", code)
    lay(site, "sound", NETWORK.format(name="Sound"))
    announce(site, "broken", "1", entry)
    announce(site, "sound", "1", "Sound = sound:Sound")
    assert "Sound" in sv.list_architectures()
    assert get_architecture("Sound").__module__ == "sound"
    with pytest.raises(sv.ConfigError) as caught:
        get_architecture("Own")
    assert f"the entry point {entry} can't be loaded" in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(sv.ConfigError, match=r"did you mean 'M5SNN'\?"):
        get_architecture("M5SNNN")


# --- what a configuration says --------------------------------------------------------------------


def test_a_checkpoint_says_where_its_architecture_is_from(site: Path, tmp_path: Path) -> None:
    lay(site, "own_net", NETWORK.format(name="OwnNet"))
    announce(site, "own-net", "1.2", "OwnNet = own_net:OwnNet")
    config = saved("OwnNet", tmp_path / "mine")
    assert config["architecture_package"] == {"module": "own_net", "name": "own-net", "version": "1.2"}
    card = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    assert "import own_net  # OwnNet, of own-net 1.2" in card
    assert re.search(r"^pip install .* own-net==1\.2( |$)", card, re.MULTILINE)
    assert "snn-voice --import own_net classify" in card
    network = get_architecture("OwnNet")
    network.from_pretrained(tmp_path / "mine").save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == config


def test_our_own_architectures_need_no_package(site: Path, tmp_path: Path) -> None:
    assert saved("TcySNN", tmp_path / "ours")["architecture_package"] is None
    card = (tmp_path / "ours" / "README.md").read_text(encoding="utf-8")
    assert "--import" not in card
    assert "pip install" in card
    assert "==" not in card


@pytest.mark.slow
def test_a_module_that_is_in_no_package_is_named_alone(site: Path, tmp_path: Path) -> None:
    lay(site, "loose_net", REGISTERED.format(name="LooseNet"))
    importlib.import_module("loose_net")
    config = saved("LooseNet", tmp_path / "mine")
    assert config["architecture_package"] == {"module": "loose_net", "name": None, "version": None}
    card = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    assert "import loose_net  # LooseNet, of the file loose_net.py, which is needed" in card
    assert "pip install" in card
    assert "==" not in card
    assert "snn-voice --import loose_net classify" in card


@pytest.mark.parametrize(
    ("file", "module", "hint"),
    [
        ("/home/me/train_mine.py", "train_mine", "--import train_mine, in Python: import train_mine"),
        (None, "__main__", "put it into a file, and --import that file"),
    ],
)
def test_a_class_of_a_script_can_be_saved_and_says_so(
    site: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    file: str | None,
    module: str,
    hint: str,
) -> None:
    main = type(sys)("__main__")
    main.__spec__ = None
    if file is not None:
        main.__file__ = file
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec(REGISTERED.format(name="ScriptNet"), main.__dict__)
    config = saved("ScriptNet", tmp_path / "mine")
    assert config["architecture_package"] == {"module": module, "name": None, "version": None}
    assert "ScriptNet is in no installed package" in caplog.text
    assert sv.SnnVoice.from_pretrained(tmp_path / "mine").labels == ["a", "b"]
    with fresh():
        ARCHITECTURES.pop("ScriptNet")
        with pytest.raises(sv.ConfigError) as caught:
            sv.SnnVoice.from_pretrained(tmp_path / "mine")
    assert hint in str(caught.value)


def test_what_a_configuration_names_is_told_and_not_imported(site: Path, tmp_path: Path) -> None:
    lay(site, "evil_net", REGISTERED.format(name="EvilNet"))
    config = saved("TcyCNN", tmp_path / "theirs")
    config["architecture"] = "EvilNet"
    config["architecture_package"] = {"module": "evil_net", "name": "evil-net", "version": "6.6"}
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(config))
    with pytest.raises(sv.ConfigError) as caught:
        sv.SnnVoice.from_pretrained(tmp_path / "theirs")
    assert str(caught.value) == (
        "architecture 'EvilNet' is not known: it is of the package evil-net 6.6 (if you trust its makers: "
        "pip install evil-net==6.6, or --import evil_net, in Python: import evil_net)"
    )
    assert imported(site, "evil_net") == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("module", "os; rm -rf x"),
        ("module", "mynets\x1b[2J"),
        ("module", ""),
        ("module", "mynets\n"),
        ("name", "-r http://x"),
        ("name", "mynets --no-deps x"),
        ("name", "mynets @ https://example.org/x.whl"),
        ("name", "a" * 300),
        ("version", "1.0 evil"),
        ("version", "1.0\u202e"),
        ("version", 1.0),
    ],
)
def test_names_that_are_none_are_refused(tmp_path: Path, field: str, value: object) -> None:
    sv.SnnVoice(sv.TcyCNN(num_classes=1), labels=["a"]).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["architecture_package"] = {"module": "mynets", "name": "mynets", "version": "1.0"} | {field: value}
    path.write_text(json.dumps(config))
    with pytest.raises(sv.ConfigError, match=rf"architecture_package\.{field}="):
        sv.SnnVoice.from_pretrained(tmp_path)


def test_another_packages_architecture_of_the_same_name_is_refused(site: Path, tmp_path: Path) -> None:
    lay(site, "own_net", NETWORK.format(name="OwnNet"))
    announce(site, "own_net", "1.2", "OwnNet = own_net:OwnNet")
    config = saved("OwnNet", tmp_path / "mine")
    path = tmp_path / "mine" / "config.json"
    for name, fits in (("Own.Net", True), ("other-nets", False)):
        config["architecture_package"]["name"] = name
        path.write_text(json.dumps(config))
        if fits:
            sv.SnnVoice.from_pretrained(tmp_path / "mine")
            continue
        with pytest.raises(sv.ConfigError, match=r"of the package other-nets 1\.2 is wanted, and .* own_net"):
            sv.SnnVoice.from_pretrained(tmp_path / "mine")


@pytest.mark.slow
def test_an_argument_that_another_version_has_is_told_with_both_versions(site: Path, tmp_path: Path) -> None:
    lay(site, "own_net", NETWORK.format(name="OwnNet"))
    announce(site, "own-net", "1.2", "OwnNet = own_net:OwnNet")
    config = saved("OwnNet", tmp_path / "mine")
    config["architecture_package"]["version"] = "2.0"
    config["network"]["width"] = 3
    (tmp_path / "mine" / "config.json").write_text(json.dumps(config))
    with pytest.raises(sv.ConfigError) as caught:
        sv.SnnVoice.from_pretrained(tmp_path / "mine")
    assert "has no argument network.width" in str(caught.value)
    assert "saved with the package own-net 2.0, and here is the package own-net 1.2" in str(caught.value)


def test_a_checkpoint_of_another_class_is_not_taken_for_ours(tmp_path: Path) -> None:
    sv.TcyCNN(num_classes=2).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["architecture_package"] = {"module": "mynets", "name": None, "version": None}
    path.write_text(json.dumps(config))
    with pytest.raises(sv.ConfigError, match=r"of the module mynets is wanted, .* of snn-voice-hub"):
        sv.SnnVoice.from_pretrained(tmp_path)


def test_what_nobody_else_could_open_is_not_saved(site: Path, tmp_path: Path) -> None:
    lay(site, "own_net", NETWORK.format(name="OwnNet"))
    module = importlib.import_module("own_net")
    network = module.OwnNet(num_classes=2)
    with pytest.raises(sv.ConfigError, match="OwnNet is not registered"):
        network.save_pretrained(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()

    class Inherits(sv.TcyCNN):
        pass

    with pytest.raises(sv.ConfigError, match="Inherits is not registered"):
        Inherits(num_classes=2).save_pretrained(tmp_path / "mine")
    announce(site, "own-net", "1.2", "OwnNet = own_net:OwnNet")
    network.save_pretrained(tmp_path / "mine")
    assert isinstance(sv.SnnVoice.from_pretrained(tmp_path / "mine").network, module.OwnNet)


def test_a_definition_that_runs_again_takes_the_place_of_the_first(site: Path) -> None:
    lay(site, "notebook", REGISTERED.format(name="Cell"))
    module = importlib.import_module("notebook")
    first = get_architecture("Cell")
    importlib.reload(module)
    assert get_architecture("Cell") is module.Cell is not first


def test_an_endpoint_installs_the_package() -> None:
    package = ArchitecturePackage(module="own_net", name="own-net", version="1.2")
    ours = f"{REQUIREMENT_NOTE}\nsnn-voice-hub>={sv.__version__}"
    for theirs, after in (
        (None, f"{ours}\nown-net==1.2\n"),
        ("snn-voice-hub>=0.0.9\nown-net==1.1\n", f"{ours}\nown-net==1.2\n"),
        ("snn-voice-hub==0.1.0\nOwn_Net[fast]>=1\n", "snn-voice-hub==0.1.0\nOwn_Net[fast]>=1\n"),
        ("own-net-extras\n", f"own-net-extras\n{ours}\nown-net==1.2\n"),
    ):
        files = endpoint_files("me/x", Path("/nowhere"), _remote(theirs), package)
        assert files["requirements.txt"].decode() == after


def _remote(requirements: str | None) -> Callable[[str], bytes | None]:
    files = {} if requirements is None else {"requirements.txt": requirements.encode()}
    return files.get
