"""What nobody's model is called, at every door that takes the name of one: one line says so, at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from snn_voice_server.models.naming import check_sources, sources_of

import snn_voice_hub as sv
from snn_voice_hub.cli import main
from snn_voice_hub.hub import local
from snn_voice_hub.hub.bundled import bundled_root
from snn_voice_hub.hub.checkpoints import resolve
from snn_voice_hub.hub.loading import Loading
from snn_voice_hub.hub.publish import pull_folder, push_folder
from snn_voice_hub.hub.remote.search import search_models
from snn_voice_hub.training.fitting.teaching import TrainedModel
from tests.places import EXAMPLES

TCY = bundled_root() / "tcy-snn"
NAMES = {
    "empty": "",
    "NUL": "a\0b",
    "half a pair": "\ud800",
    "long": "x" * 5000,
    "long id": f"owner/{'x' * 5000}",
    "long path": "x/" * 5000,
    "of no user": "~nobody-of-that-name/model",
    "control characters": "\x1b[2J\nforged",
    "owner without name": "owner/",
    "up": "../..",
    "current folder": ".",
    "no repository": "a..b/c--d",
}
DOORS: dict[str, Callable[[str, Path], object]] = {
    "from_pretrained": lambda name, _: sv.SnnVoice.from_pretrained(name),
    "a network": lambda name, _: sv.TcySNN.from_pretrained(name),
    "resolve": lambda name, _: resolve(name, Loading(local_files_only=True)),
    "service": lambda name, _: check_sources(sources_of([name])),
    "teacher": lambda name, _: TrainedModel.of(name),
    "pull": lambda name, tmp: pull_folder(name, tmp / "pulled"),
    "push a folder": lambda name, _: push_folder(name, "me/x", token="hf_x"),
    "push to": lambda name, _: push_folder(TCY, name, token="hf_x"),
}
COMMANDS = (
    ["classify", str(EXAMPLES / "yes.wav"), "--model", "NAME"],
    ["card", "NAME"],
    ["pull", "NAME", "out"],
    ["pull", "tcy-snn", "NAME"],
    ["push", "NAME", "me/x"],
    ["push", str(TCY), "NAME"],
    ["evaluate", "--model", "NAME", "--data", "none"],
)


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current folder without a checkpoint, two folders deep."""
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("door", DOORS)
def test_a_name_that_is_none(name: str, door: str, tmp_path: Path) -> None:
    with pytest.raises(sv.SnnVoiceError) as caught:
        DOORS[door](NAMES[name], tmp_path)
    told = str(caught.value)
    assert told.isprintable()
    assert len(told) < 900


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_to_pull_into(name: str, tmp_path: Path) -> None:
    inside = Path.cwd()
    if name in ("current folder", "owner without name", "control characters", "no repository", "of no user"):
        return  # these can be made
    (inside / "file").touch()
    with pytest.raises(sv.SnnVoiceError):
        pull_folder("tcy-snn", NAMES[name])
    assert [path.name for path in inside.iterdir()] == ["file"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", ["empty", "long", "long id", "up"])
def test_commands(
    name: str, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    monkeypatch.setattr(sys, "argv", ["snn-voice", *(NAMES[name] if a == "NAME" else a for a in command)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("snn-voice: error: ")
    assert told.count("\n") == 1


def test_names_that_are_devices(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ckpt")
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "config.json").write_bytes((TCY / "config.json").read_bytes())
    (tmp_path / "zero.ckpt").symlink_to("/dev/zero")
    for name in ("pipe.ckpt", "pipe.safetensors", "zero.ckpt"):
        for given in (tmp_path / name, str(tmp_path / name)):
            with pytest.raises(sv.CheckpointError, match="is a device"):
                sv.SnnVoice.from_pretrained(given)
    with pytest.raises(sv.CheckpointError, match="has no file"):
        sv.SnnVoice.from_pretrained(tmp_path, filename="pipe.ckpt")


def test_a_folder_with_what_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sv.SnnVoice.from_pretrained("tcy-snn").save_pretrained(tmp_path / "b" / "model")
    (tmp_path / "a" / "locked").mkdir()
    scan = os.scandir

    def refuse(path: str) -> object:
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert sv.SnnVoice.from_pretrained(tmp_path).labels  # the rest is looked through
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(sv.CheckpointError, match="may not be read"):
        sv.SnnVoice.from_pretrained(tmp_path)


def test_a_folder_with_too_much_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        (tmp_path / f"folder{number}").mkdir()
    monkeypatch.setattr(local, "_MAX_ENTRIES", 10)
    with pytest.raises(sv.CheckpointError, match="more than 10 files and folders"):
        sv.SnnVoice.from_pretrained(tmp_path)
    sv.SnnVoice.from_pretrained("tcy-snn").save_pretrained(tmp_path)
    assert sv.SnnVoice.from_pretrained(tmp_path).labels


@pytest.mark.parametrize("revision", ["", "a\0", "../../x", "\ud800", "x" * 5000, "a\nb"])
def test_a_revision_that_is_none(revision: str) -> None:
    for offline in (False, True):
        with pytest.raises(sv.CheckpointError, match="no revision") as caught:
            resolve("owner/name", Loading(revision=revision, local_files_only=offline))
        assert caught.value.code == "no_revision"
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("query", ["a\0", "\ud800", "x" * 5000])
def test_a_query_that_is_none(query: str) -> None:
    with pytest.raises(sv.CheckpointError, match="can't be searched for"):
        search_models(query)


@pytest.mark.parametrize("token", ["", "hf_a\nb", "hf_ä", "hf_a b"])
def test_a_token_that_is_none_is_not_shown(token: str) -> None:
    with pytest.raises(sv.CheckpointError) as caught:
        resolve("owner/name", Loading(token=token))
    assert caught.value.code == "no_access"
    assert not token or token not in str(caught.value)
