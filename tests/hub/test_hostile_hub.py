"""A server in the Hub's place that wants to write, delete, fill the memory, never end, or tell the token."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from snn_voice_hub.hub.bundled import bundled_root
from tests.hub.hostile import LISTINGS, RAW, hostile
from tests.nursery import nursery
from tests.places import ROOT

TOKEN = "hf_" + "Secret" * 5

# What each trick is answered with.
ANSWERED = {
    **dict.fromkeys([*LISTINGS, *RAW], "bad_answer"),
    **dict.fromkeys(("size-huge", "size-out-of-reach"), "too_large"),
    **dict.fromkeys(("endless", "endless-entries", "bomb", "moved-to-file"), "bad_answer"),
    **dict.fromkeys(("moved-round", "moved-with-token", "says-token-as-name", "status-300"), "bad_answer"),
    **dict.fromkeys(("long-headers", "cut", "no-length", "drip"), "offline"),
    **dict.fromkeys(("drip-headers", "continues", "says-token-as-nonsense"), "offline"),
    **dict.fromkeys(("moved-endless", "moved-to-nothing", "entry-missing-out"), "bad_answer"),
    "says-token": "no_access",
    "says-token-as-repository": "no_repository",
    "says-token-as-status": "offline",
    "error-is-a-list": "download",
    **dict.fromkeys(("etag-out", "etag-out-damaged", "linked-etag-out"), "bad_answer"),
    **dict.fromkeys(("commit-out", "other-commit", "file-packed", "file-moved-to-file"), "bad_answer"),
    **dict.fromkeys(("file-endless", "file-longer", "file-damaged"), "damaged"),
    **dict.fromkeys(("file-drip", "file-cut"), "download"),
    "file-elsewhere": "damaged",  # the weights' bytes in the configuration's place
}

SNIPPET = """
import json, logging, os, sys, traceback
from pathlib import Path

HOME = os.path.realpath(os.environ["HF_HOME"]) + os.sep
TOUCHED = []
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Which of the arguments are what is changed.
CHANGES = {f"os.{name}": slice(0, 1) for name in ("remove", "mkdir", "rmdir", "truncate", "chmod")}
CHANGES |= {"os.rename": slice(0, 2), "os.link": slice(0, 2), "os.symlink": slice(1, 2)}

def hook(event, arguments):
    if event == "open":
        path, _, flags = arguments
        paths = [path] if isinstance(path, (str, bytes)) and flags & WRITING else []
    elif event in CHANGES:
        paths = [path for path in arguments[CHANGES[event]] if isinstance(path, (str, bytes, os.PathLike))]
    else:
        return
    for path in paths:
        path = os.fsdecode(path)
        # The name itself, not what a link leads to: that is what is removed or replaced.
        full = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
        if not full.startswith(HOME) and full != "/dev/null":
            TOUCHED.append([event, full])

class Kept(logging.Handler):
    def __init__(self):
        super().__init__(0)
        self.text = []
    def emit(self, record):
        self.text.append(self.format(record))

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

from snn_voice_hub.errors import SnnVoiceError
import huggingface_hub.file_download, huggingface_hub.hf_api
from snn_voice_hub.hub import checkpoints, publish
from snn_voice_hub.hub.remote import search
try:
    from snn_voice_hub.hub.remote import cache
    from snn_voice_hub.hub.remote import wire
    cache._PATIENCE = wire.PATIENCE = publish._PATIENCE = 1.5
    cache._PAUSE = 0.0
except ImportError:
    pass
from huggingface_hub.utils import tqdm, WeakFileLock, get_session
import tempfile, filelock
kept = Kept()
logging.root.addHandler(kept)
logging.root.setLevel(0)
for name in list(logging.root.manager.loggerDict):
    logging.getLogger(name).setLevel(0)
logging.getLogger("huggingface_hub").propagate = True
Path(HOME).mkdir(exist_ok=True)
token = os.environ["HF_TOKEN"]
sys.addaudithook(hook)
found = {}
for trick in TRICKS:
    TOUCHED.clear()
    kept.text.clear()
    before = peak()
    told = ""
    try:
        DOOR
        code = "nothing"
    except SnnVoiceError as error:
        code, told = error.code, traceback.format_exc() + str(error)
    except BaseException as error:
        code, told = type(error).__name__, traceback.format_exc()
    found[trick] = {
        "code": code,
        "touched": list(TOUCHED),
        "grown": (peak() - before) // 1024,
        "told": [line for line in (*told.splitlines(), *kept.text) if token in line],
        "lines": len(told.splitlines()[-1].splitlines()) if told else 0,
    }
    print(json.dumps(found), flush=True)
"""

LOAD = "checkpoints.resolve('evil/' + trick)"
SEARCH = "search.search_models(trick)"
PUSH = f"publish.push_folder({str(bundled_root() / 'tcy-snn')!r}, 'evil/' + trick, quiet=True)"


def run(tricks: list[str], door: str, home: Path) -> tuple[dict[str, Any], list[str | None]]:
    """How each ended, and the tokens that reached another address."""
    victim = home.parent / "victim"
    victim.write_text("mine")
    with hostile() as (url, elsewhere):
        environment = {
            "HF_ENDPOINT": url,
            "HF_HOME": str(home),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "server")]),
        }
        snippet = f"TRICKS = {tricks!r}\n" + SNIPPET.replace("DOOR", door)
        (ran,) = nursery().run([snippet], environment)
        sent = elsewhere()
    assert ran.code == 0, ran.err
    assert [path.name for path in home.parent.iterdir() if path != home] == ["victim"]
    assert victim.read_text() == "mine"
    return ran.value, sent


def check(found: dict[str, Any], wanted: dict[str, str]) -> None:
    assert {trick: end["code"] for trick, end in found.items()} == wanted
    assert [trick for trick, end in found.items() if end["touched"]] == []
    assert [trick for trick, end in found.items() if end["told"]] == []
    assert {trick: end["grown"] for trick, end in found.items() if end["grown"] > 300} == {}
    assert [trick for trick, end in found.items() if end["lines"] != 1] == []


@pytest.mark.slow
def test_no_trick_of_a_server_gets_through(tmp_path: Path) -> None:
    found, sent = run(list(ANSWERED), LOAD, tmp_path / "home")
    check(found, ANSWERED)
    assert sent == [None]
    assert list((tmp_path / "home").rglob("*.incomplete")) == []


def test_a_search_is_bounded_too(tmp_path: Path) -> None:
    tricks = ["parent", "text-siblings", "list", "page", "deep", "endless", "bomb", "says-token", "drip"]
    found, _ = run(tricks, SEARCH, tmp_path / "home")
    wanted = dict.fromkeys(tricks, "bad_answer") | {"says-token": "no_access", "drip": "offline"}
    check(found, wanted)


@pytest.mark.slow
def test_a_push_is_bounded_too(tmp_path: Path) -> None:
    wanted = dict.fromkeys(("create-list", "create-nothing", "create-number", "create-endless"), "bad_answer")
    wanted |= dict.fromkeys(("create-packed", "parent", "page", "endless", "preupload-endless"), "bad_answer")
    wanted |= {"create-says-token": "bad_request", "create-drip": "offline", "says-token": "no_access"}
    found, _ = run(list(wanted), PUSH, tmp_path / "home")
    check(found, wanted)
