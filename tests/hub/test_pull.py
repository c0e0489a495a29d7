"""Pulling, searching, and the commands `push`, `pull`, `card` and `models --hub`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

import snn_voice_hub as sv
from snn_voice_hub.hub.bundled import bundled_root
from snn_voice_hub.hub.cards.page import make_card
from tests.hub.publishing import PUSH, WORDS, card, command, folder, heads, one_line, push
from tests.sandbox.helpers import Sandbox

__all__ = ["folder"]


def test_pull_brings_a_plain_folder(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    push(hub, folder, "me/pulled", private=True)
    out = tmp_path / "a" / "out"
    ran = hub.run(PUSH + f"print(json.dumps(str(pull_folder('me/pulled', {str(out)!r}))))")
    assert ran.value == str(out)
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert not any(path.is_symlink() for path in out.iterdir())
    assert (out / "config.json").read_bytes() == (folder / "config.json").read_bytes()
    assert (out / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert (out / "README.md").read_text() == card(hub, "me/pulled", tmp_path)
    again = f"print(json.dumps(refusal(lambda: str(pull_folder('me/pulled', {str(out)!r})))))"
    code, message = hub.run(PUSH + again).value
    assert (code, "is not an empty folder" in message) == ("not_empty", True)
    # Pushed back, it changes nothing.
    before = heads(hub, "me/pulled")
    assert push(hub, out, "me/pulled")[0] is None
    assert heads(hub, "me/pulled") == before


def test_pull_takes_a_revision_and_a_subfolder(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    files = {f"small/{path.name}": path for path in (bundled_root() / "tcy-snn").iterdir()}
    commit = hub.push("me/many", {**files, "README.md": "All of them."})
    hub.push("me/many", {"small/README.md": "The small one."})
    snippet = (
        PUSH
        + f"""
out = {str(tmp_path)!r}
pull_folder("me/many", out + "/now", Loading(subfolder="small"))
pull_folder("me/many", out + "/then", Loading(subfolder="small", revision={commit!r}))
pull_folder("me/many", out + "/cached", Loading(subfolder="small", local_files_only=True))
pull_folder("tcy-snn", out + "/bundled")
"""
    )
    hub.run(snippet)
    assert (tmp_path / "now" / "README.md").read_text() == "The small one."
    generated = make_card(sv.VoiceConfig.load(tmp_path / "then" / "config.json"), "me/many")
    assert (tmp_path / "then" / "README.md").read_text() == str(generated)
    assert (tmp_path / "cached" / "README.md").read_text() == "The small one."
    assert load_file(tmp_path / "bundled" / "model.safetensors").keys()
    assert 'from_pretrained(".")' in (tmp_path / "bundled" / "README.md").read_text()


def test_search_finds_this_librarys_models(hub: Sandbox, folder: Path) -> None:
    push(hub, folder, "me/findable-one")
    push(hub, bundled_root() / "m5-cnn", "me/findable-two", private=True)
    hub.push("me/findable-three", {"README.md": "---\nlibrary_name: timm\n---\nx"})
    snippet = (
        PUSH
        + """
import dataclasses
print(json.dumps([dataclasses.asdict(found) for found in search_models("findable")]))
"""
    )
    found = {entry["id"]: entry for entry in hub.run(snippet).value}
    assert sorted(found) == ["me/findable-one", "me/findable-two"]
    one, two = found["me/findable-one"], found["me/findable-two"]
    assert (one["spiking"], two["spiking"]) == (True, False)
    assert (one["private"], two["private"]) == (False, True)
    assert (one["license"], len(one["updated"])) == ("mit", 10)
    assert [entry["id"] for entry in hub.run(snippet, user=None).value] == ["me/findable-one"]


def test_progress_bars_can_be_switched_off(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    snippet = (
        'import os; del os.environ["HF_HUB_DISABLE_PROGRESS_BARS"]'
        + PUSH
        + f"""
from huggingface_hub.utils import are_progress_bars_disabled
push_folder({str(folder)!r}, "me/quiet-QUIET", quiet=QUIET)
pull_folder("me/quiet-QUIET", {str(tmp_path)!r} + "/QUIET", quiet=QUIET)
assert not are_progress_bars_disabled()
"""
    )
    loud, quiet = (hub.run(snippet.replace("QUIET", str(quiet))) for quiet in (False, True))
    assert "it/s" in loud.err
    assert quiet.err == ""


# --- the command line -----------------------------------------------------------------------------


def test_commands(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    pushed = command(hub, "push", folder, "me/by-command", "--private", "--message", "Hello", "--quiet")
    assert pushed.code == 0, pushed.err
    assert pushed.out.startswith(f"{hub.url}/me/by-command/commit/")
    assert heads(hub, "me/by-command")[0] == "Hello"
    assert hub.api().model_info("me/by-command").private
    assert "no right to write to nobody/x" in one_line(command(hub, "push", folder, "nobody/x"))
    assert "hf auth login" in one_line(command(hub, "push", folder, "me/x", user=None))
    out = tmp_path / "out"
    pulled = command(hub, "pull", "me/by-command", out, "--revision", "main")
    assert (pulled.code, pulled.out) == (0, f"{out}\n"), pulled.err
    assert "is not an empty folder" in one_line(command(hub, "pull", "me/by-command", out))
    again = tmp_path / "again"
    assert command(hub, "pull", "me/by-command@main", again).code == 0
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (again / name).read_bytes() == (out / name).read_bytes()
    rows = json.loads(command(hub, "models", "--hub", "by-command", "--json").out)
    assert [row["id"] for row in rows] == ["me/by-command"]
    assert "me/by-command (private)" in command(hub, "models", "--hub", "").out
    assert "matches 'zzz'" in one_line(command(hub, "models", "--hub", "zzz"))
    assert json.loads(command(hub, "models", "--hub", "zzz", "--json").out) == []


@pytest.mark.slow
def test_the_card_command(hub: Sandbox, folder: Path) -> None:
    shown = command(hub, "card", folder, "--repo-id", "me/x")
    assert shown.out == str(make_card(sv.VoiceConfig.load(folder / "config.json"), "me/x"))
    # The examples of a name load that name; those of a folder can't know where it will lie.
    named = command(hub, "card", "tcy-snn").out
    assert named == str(make_card(sv.VoiceConfig.load(bundled_root() / "tcy-snn" / "config.json"), "tcy-snn"))
    assert 'from_pretrained("tcy-snn")' in named
    (folder / "README.md").write_text(WORDS)
    assert command(hub, "card", folder, "--write").out == f"{folder / 'README.md'}\n"
    text = (folder / "README.md").read_text()
    assert text.endswith("What I wrote.\n")
    assert "library_name: snn-voice-hub" in text
    assert "is no folder" in one_line(command(hub, "card", "tcy-snn", "--write"))
    assert "no checkpoint" in one_line(command(hub, "card", "nope"))


def test_a_refusal_reads_well_in_python_too(hub: Sandbox, folder: Path) -> None:
    ran = hub.run(PUSH + f"push_folder({str(folder)!r}, 'alice/hers')", check=False)
    assert ran.code == 1
    last = ran.err.rstrip().splitlines()[-1]
    assert last.startswith("snn_voice_lite.errors.CheckpointError: no right to write")
