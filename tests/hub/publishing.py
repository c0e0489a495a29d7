"""What the tests of pushing and pulling share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import snn_voice_hub as sv
from tests.nursery import Ran
from tests.sandbox.helpers import Sandbox

COMMAND = "from snn_voice_hub.cli import main; main()"

# The start of a snippet: `refusal(work)` is `[None, result]`, or code and message of a refusal.
PUSH = """
import json
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.loading import Loading
from snn_voice_hub.hub.publish import push_folder, pull_folder
from snn_voice_hub.hub.remote.search import search_models

def refusal(work):
    try:
        return [None, work()]
    except SnnVoiceError as error:
        assert "\\n" not in str(error)
        return [error.code, str(error)]
"""

# A card that somebody wrote.
WORDS = """\
---
license: apache-2.0
thumbnail: https://example.org/x.png
---

# Doors

What I wrote.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint folder as `save_pretrained` leaves it."""
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    voice.save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


def push(hub: Sandbox, folder: Path, repo_id: str, *, user: str | None = "me", **options: Any) -> list[Any]:
    """`[None, URL]`, or `[code, message]` of a refusal."""
    snippet = (
        PUSH + f"print(json.dumps(refusal(lambda: push_folder({str(folder)!r}, {repo_id!r}, **{options!r}))))"
    )
    found: list[Any] = hub.run(snippet, user=user).value
    return found


def files(hub: Sandbox, repo_id: str, revision: str | None = None) -> list[str]:
    found = hub.api(repo_id.partition("/")[0]).list_repo_files(repo_id, revision=revision)
    return sorted(name for name in found if not name.startswith("."))


def card(hub: Sandbox, repo_id: str, tmp_path: Path, revision: str | None = None) -> str:
    path = hub.api(repo_id.partition("/")[0]).hf_hub_download(
        repo_id, "README.md", revision=revision, cache_dir=tmp_path / "cards"
    )
    return Path(path).read_bytes().decode()


def heads(hub: Sandbox, repo_id: str, revision: str | None = None) -> list[str]:
    return [c.title for c in hub.api().list_repo_commits(repo_id, revision=revision)]


def command(hub: Sandbox, *arguments: object, user: str | None = "me") -> Ran:
    """`snn-voice` with these arguments, in a process that has torch already."""
    argv = ["snn-voice", *map(str, arguments)]
    snippet = f"import sys; sys.argv = {argv!r}\n{COMMAND}"
    return hub.run(snippet, user=user, check=False, COLUMNS="120", NO_COLOR="1")


def one_line(ran: Ran) -> str:
    """What a mistake is answered with."""
    assert ran.code == 2, ran
    assert ran.err.startswith("snn-voice: error: ")
    assert ran.err.count("\n") == 1, ran.err
    return ran.err
