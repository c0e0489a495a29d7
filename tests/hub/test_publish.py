"""Pushing, by the unmodified client against the sandbox Hub."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

import snn_voice_hub as sv
from snn_voice_hub.hub.bundled import bundled_root
from snn_voice_hub.hub.cards.page import make_card
from snn_voice_hub.hub.checkpoints import read_config
from tests.hub.publishing import PUSH, WORDS, card, files, folder, heads, push
from tests.places import ROOT
from tests.sandbox.helpers import Sandbox

__all__ = ["folder"]


def test_what_is_pushed_is_what_loads(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    code, url = push(hub, folder, "me/equal", commit_message="The first")
    assert code is None
    assert url.startswith(f"{hub.url}/me/equal/commit/")
    assert files(hub, "me/equal") == ["README.md", "config.json", "model.safetensors"]
    assert heads(hub, "me/equal")[0] == "The first"
    ran = hub.run(
        f"""
import torch, snn_voice_hub as sv
from safetensors.torch import load_file
there = sv.SnnVoice.from_pretrained("me/equal")
here = sv.SnnVoice.from_pretrained({str(folder)!r})
assert there.config == here.config
a, b = there.state_dict(), here.state_dict()
assert list(a) == list(b) and all(torch.equal(a[k], b[k]) for k in a)
clip = {str(ROOT / "examples" / "yes.wav")!r}
assert there.classify(clip) == here.classify(clip)
network = sv.TcySNN.from_pretrained("me/equal")
assert torch.equal(network.fc.weight, here.network.fc.weight)
print("same")
""",
        user=None,
    )
    assert ran.out == "same\n"
    text = card(hub, "me/equal", tmp_path)
    # The folder's own card is the generated one: its examples now name the repository.
    assert text == str(make_card(sv.VoiceConfig.load(folder / "config.json"), "me/equal"))
    assert 'from_pretrained("me/equal")' in text
    info = hub.api(None).model_info("me/equal")
    assert (info.library_name, info.pipeline_tag) == ("snn-voice-hub", "audio-classification")


def test_half_precision_weights_are_pushed_and_load(hub: Sandbox) -> None:
    ran = hub.run(
        """
import json, torch, snn_voice_hub as sv
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
here = sv.SnnVoice.from_pretrained("tcy-snn")
here.push_to_hub("me/half", dtype="float16", quiet=True)
here.network.push_to_hub("me/half-network", dtype=torch.bfloat16, quiet=True)
dtypes = []
for repo in ("me/half", "me/half-network"):
    stored = load_file(hf_hub_download(repo, "model.safetensors"))
    dtypes.append(sorted({str(t.dtype) for t in stored.values() if t.is_floating_point()}))
there = sv.SnnVoice.from_pretrained("me/half")
network = sv.TcySNN.from_pretrained("me/half-network")
same = []
for loaded, dtype in ((there.network, torch.float16), (network, torch.bfloat16)):
    for k, v in here.network.state_dict().items():
        wanted = v.to(dtype).float() if v.is_floating_point() else v
        same.append(torch.equal(loaded.state_dict()[k], wanted))
print(json.dumps([dtypes, str(there.dtype), len(same), all(same)]))
"""
    )
    dtypes, computed, compared, same = ran.value
    assert dtypes == [["torch.float16"], ["torch.bfloat16"]]
    assert computed == "torch.float32"
    assert compared == 2 * len(sv.TcySNN().state_dict())
    assert same


def test_a_push_is_one_commit_and_an_unchanged_one_none(hub: Sandbox, folder: Path) -> None:
    first = push(hub, folder, "me/again")[1]
    assert len(heads(hub, "me/again")) == 2  # the repository's own first one, and ours
    ran = hub.run(PUSH + f"print(json.dumps(push_folder({str(folder)!r}, 'me/again')))")
    assert ran.value == first
    assert push(hub, folder, "me/again", create_pr=True) == [None, first]
    assert len(heads(hub, "me/again")) == 2
    assert hub.count("*/commit/*", "POST") == 1


@pytest.mark.slow
def test_private_with_and_without_token(hub: Sandbox, folder: Path) -> None:
    assert push(hub, folder, "me/secret", private=True)[0] is None
    assert hub.api().model_info("me/secret").private is True
    load = "import snn_voice_hub as sv; print(sv.SnnVoice.from_pretrained('me/secret').config.name)"
    assert hub.run(load).out == "tcy-snn\n"
    other = hub.home.with_name("other_home")
    stranger = hub.run(load, user="stranger", home=other, check=False)
    assert stranger.code == 1
    assert "no repository me/secret on the Hub, or no access to it" in stranger.err
    assert push(hub, folder, "me/secret", private=True)[0] is None
    # What is public is not made private by a flag, so nothing is published under it.
    push(hub, folder, "me/open")
    before = hub.count("*/commit/*", "POST")
    code, message = push(hub, folder, "me/open", private=True)
    assert code == "not_private"
    assert "me/open exists and is public" in message
    assert hub.count("*/commit/*", "POST") == before


def test_branches_are_made_where_they_are_missing(hub: Sandbox, folder: Path) -> None:
    assert push(hub, folder, "me/branched", branch="trial")[0] is None
    assert files(hub, "me/branched") == []
    assert files(hub, "me/branched", "trial") == ["README.md", "config.json", "model.safetensors"]
    (folder / "README.md").write_text("Of the branch.\n")
    assert push(hub, folder, "me/branched", branch="trial")[0] is None
    branches = [ref.name for ref in hub.api().list_repo_refs("me/branched").branches]
    assert sorted(branches) == ["main", "trial"]


@pytest.mark.slow
def test_a_pull_request_leaves_the_branch_alone(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(bundled_root() / "hjh-snn", tmp_path / "other")
    push(hub, folder, "me/reviewed")
    code, url = push(hub, tmp_path / "other", "me/reviewed", user="guest", create_pr=True)
    assert code is None, url
    number = int(url.rpartition("/")[2])
    assert "/me/reviewed/discussions/" in url
    read = "import snn_voice_hub as sv; print(sv.SnnVoice.from_pretrained('me/reviewed'{}).config.name)"
    assert hub.run(read.format("")).out == "tcy-snn\n"
    assert hub.run(read.format(f", revision='refs/pr/{number}'")).out == "hjh-snn\n"
    # A second commit of the same pull request.
    (tmp_path / "other" / "LICENSE").write_text("Do as you like.")
    assert push(hub, tmp_path / "other", "me/reviewed", branch=f"refs/pr/{number}")[0] is None
    assert "LICENSE" in files(hub, "me/reviewed", f"refs/pr/{number}")
    assert push(hub, folder, "me/reviewed", branch="refs/pr/99")[0] == "no_revision"


@pytest.mark.slow
def test_the_cards_words_stay(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    hub.push("me/worded", {"README.md": WORDS})
    (folder / "README.md").write_text("Words of the folder.\n")
    ran = hub.run(PUSH + f"push_folder({str(folder)!r}, 'me/worded')")
    assert "me/worded keeps its card" in ran.err
    text = card(hub, "me/worded", tmp_path)
    assert text.endswith("\n---\n\n# Doors\n\nWhat I wrote.\n")
    data = ModelCard(text).data
    assert data.library_name == "snn-voice-hub"
    assert data.license == "mit"
    assert data.thumbnail == "https://example.org/x.png"
    assert (
        data.eval_results[0].metric_value
        == sv.VoiceConfig.load(folder / "config.json").metrics["test"]["top1"]
    )
    assert push(hub, folder, "me/worded", replace_card=True)[0] is None
    text = card(hub, "me/worded", tmp_path)
    assert text.endswith("\n---\n\nWords of the folder.\n")
    assert "thumbnail" not in text


def test_the_folders_words_replace_a_generated_card(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    push(hub, folder, "me/later")
    generated = card(hub, "me/later", tmp_path)
    hub.push("me/later", {"README.md": generated.replace("tags:", "thumbnail: t.png\ntags:", 1)})
    (folder / "README.md").write_text("Words of the folder.\n")
    assert push(hub, folder, "me/later")[0] is None
    text = card(hub, "me/later", tmp_path)
    assert text.endswith("\n---\n\nWords of the folder.\n")
    assert ModelCard(text).data.thumbnail == "t.png"


def test_a_new_model_renews_the_generated_card(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    push(hub, folder, "me/renewed")
    text = card(hub, "me/renewed", tmp_path)
    hub.push("me/renewed", {"README.md": text + "\nMy own last word.\n"})
    assert push(hub, bundled_root() / "m5-snn", "me/renewed")[0] is None
    text = card(hub, "me/renewed", tmp_path)
    for name, there in (("m5-snn", True), ("tcy-snn", False)):
        top1 = read_config(bundled_root() / name).metrics["test"]["top1"]
        assert (f"{100 * top1:.1f} %" in text) is there
    assert text.endswith("\nMy own last word.\n")


@pytest.mark.slow
def test_nothing_broken_goes_up(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    def refused(*options: Any) -> str:
        code, message = push(hub, *options)
        assert code in ("bad_checkpoint", "bad_config"), message
        return str(message)

    assert "is no folder" in refused(tmp_path / "nowhere", "me/broken")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1])
    assert "is no readable safetensors file" in refused(folder, "me/broken")
    (folder / "model.safetensors").unlink()
    assert "has no model.safetensors" in refused(folder, "me/broken")
    (folder / "model.safetensors").write_bytes(weights)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"labels": []}))
    assert "labels is empty" in refused(folder, "me/broken")
    (folder / "config.json").unlink()
    assert "has no config.json" in refused(folder, "me/broken")
    assert hub.count() == 0


def test_only_what_belongs_to_a_checkpoint_goes_up(hub: Sandbox, folder: Path) -> None:
    (folder / "LICENSE.md").write_text("Do as you like.")
    (folder / "log.jsonl").write_text("{}")
    (folder / ".hidden").write_text("secret")
    (folder / "clips").mkdir()
    ran = hub.run(PUSH + f"push_folder({str(folder)!r}, 'me/tidy')")
    assert "not pushed: clips, log.jsonl" in ran.err
    assert files(hub, "me/tidy") == ["LICENSE.md", "README.md", "config.json", "model.safetensors"]


def test_refusals_say_what_to_do(hub: Sandbox, folder: Path) -> None:
    assert push(hub, folder, "me//x") == [
        "bad_repo_id",
        "'me//x' is no legal repository id (owner/name, of letters, digits, '-', '_' and '.')",
    ]
    code, message = push(hub, folder, "me/x", user=None)
    assert (code, "hf auth login" in message) == ("not_logged_in", True)
    code, message = push(hub, folder, "me/x", token="hf_wrong")
    assert (code, "does not take the token" in message) == ("not_logged_in", True)
    code, message = push(hub, folder, "alice/hers")
    assert (code, "hf auth login" in message) == ("no_access", True)
    hub.push("alice/public", {"README.md": "hers"})
    code, message = push(hub, folder, "alice/public")
    assert code == "no_access"
    assert "no right to write to alice/public" in message
    assert "--create-pr" in message
    assert push(hub, folder, "me/x", commit_message=" ")[0] == "bad_request"
    (folder / "README.md").write_text("---\ntags: [a\n---\nwords\n")
    assert "no valid YAML" in push(hub, folder, "me/unreadable")[1]
    (folder / "README.md").write_bytes(b"\xff\xfe")
    assert push(hub, folder, "me/unreadable")[0] == "bad_card"


@pytest.mark.parametrize(
    ("path", "settings", "code", "said"),
    [
        ("/api/repos/create", {"status": 429, "retry_after": 30}, "rate_limit", "try again in 30 s"),
        ("*/commit/*", {"status": 412}, "conflict", "push again"),
        ("*/commit/*", {"status": 403}, "no_access", "no right to write"),
        ("*/branch/*", {"status": 500}, "upload", "status 500"),
        ("/api/validate-yaml", {"status": 400, "message": "bad licence"}, "bad_card", "mend README.md"),
        ("*/branch/*", {"status": 400, "message": "Invalid branch"}, "bad_request", "Invalid branch"),
    ],
)
def test_faults_of_the_hub(
    hub: Sandbox, folder: Path, path: str, settings: dict[str, Any], code: str, said: str
) -> None:
    hub.fault("status", path, **settings)
    name = f"me/fault-{settings['status']}-{code.replace('_', '-')}"
    found, message = push(hub, folder, name, branch="b")
    assert found == code, message
    assert said in message


@pytest.mark.slow
def test_somebody_else_pushes_at_the_same_time(hub: Sandbox, folder: Path) -> None:
    push(hub, folder, "me/raced")
    snippet = (
        PUSH
        + f"""
from huggingface_hub import HfApi
from snn_voice_hub.hub import publish
made = publish.make_card
def make_card(*arguments):
    # Between reading the repository and writing to it.
    HfApi().upload_file(path_or_fileobj=b"theirs", path_in_repo="other.txt", repo_id="me/raced")
    return made(*arguments)
publish.make_card = make_card
print(json.dumps(refusal(lambda: push_folder({str(bundled_root() / "hjh-snn")!r}, "me/raced"))))
"""
    )
    code, message = hub.run(snippet).value
    assert code == "conflict"
    assert "changed by someone else" in message


@pytest.mark.slow
def test_without_network(folder: Path, tmp_path: Path) -> None:
    snippet = (
        PUSH
        + f"""
import time
began = time.monotonic()
for work in (
    lambda: push_folder({str(folder)!r}, "me/x", token="hf_me"),
    lambda: pull_folder("me/x", {str(tmp_path / "out")!r}),
    lambda: search_models("x"),
):
    code, message = refusal(work)
    assert code == "offline", message
    print(message)
assert time.monotonic() - began < 10
"""
    )
    for variables, said in (
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "can't be reached"),
        ({"HF_HUB_OFFLINE": "1"}, "is set"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", snippet],
            env={**os.environ, "HF_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1", **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(said) == 3
    assert not (tmp_path / "out").exists()
