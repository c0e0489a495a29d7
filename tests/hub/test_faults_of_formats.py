"""What is wrong on the Hub, or on the way there, while a model is pushed or pulled in several formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from snn_voice_hub.hub.beside import FORMATS
from tests.hub.publishing import PUSH, command, files, folder, heads, one_line
from tests.sandbox.helpers import Sandbox
from tests.slowness import mostly_slow

__all__ = ["folder"]

# The requests of a push, in their order; of the large files the third is hit.
REQUESTS: dict[str, dict[str, Any]] = {
    "list": {"path": "/api/models/me/*", "method": "GET"},
    "card": {"path": "/api/validate-yaml"},
    "announce": {"path": "*/preupload/*"},
    "batch": {"path": "*/objects/batch"},
    "upload": {"path": "/lfs/*", "method": "PUT", "skip": 2},
    "verify": {"path": "*/verify", "skip": 2},
    "commit": {"path": "*/commit/*", "method": "POST"},
}
REFUSALS: dict[str, dict[str, Any]] = {
    "401": {"kind": "status", "status": 401},
    "403": {"kind": "status", "status": 403},
    "404": {"kind": "status", "status": 404},
    "413": {"kind": "status", "status": 413},
    "busy for long": {"kind": "status", "status": 429, "retry_after": 1000},
    "5xx for ever": {"kind": "status", "status": 502, "times": None},
    "cut for ever": {"kind": "cut", "bytes": 3, "times": None},
    "silent": {"kind": "stall", "seconds": 30, "times": None},
    "cut answer": {"kind": "wrong_length", "bytes": 4},
    "other answer": {"kind": "wrong_bytes", "bytes": 1},
}
# By refusal, and where it differs, by request. Of an upload only the status is looked at, not the answer.
CODES: dict[str, str | dict[str, str]] = {
    "401": {"": "not_logged_in", "upload": "upload", "verify": "upload"},
    "403": {"": "no_access", "upload": "upload", "verify": "upload"},
    "404": {"": "bad_request", "upload": "upload", "verify": "upload"},
    "413": {"": "bad_request", "upload": "upload", "verify": "upload"},
    "busy for long": "rate_limit",
    "5xx for ever": "upload",
    "cut for ever": {"": "upload", "list": "offline", "commit": "done"},
    "silent": {"": "upload", "list": "offline"},
    "cut answer": {"": "bad_answer", "upload": "done", "verify": "done", "commit": "done"},
    "other answer": {"": "bad_answer", "upload": "done", "verify": "done", "commit": "done"},
}
PASSING: dict[str, dict[str, Any]] = {
    "5xx": {"kind": "status", "status": 503},
    "busy": {"kind": "status", "status": 429, "retry_after": 0},
    "cut": {"kind": "cut", "bytes": 3},
    "slow": {"kind": "stall", "seconds": 0.5},
    "slow in the middle": {"kind": "stall", "seconds": 0.5, "bytes": 2},
}

# All in one process. Nobody waits here as long as for the real Hub, for an answer or between two tries.
PUSHES = f"""{PUSH}
import os, time
from pathlib import Path
from huggingface_hub import get_session
from snn_voice_hub.hub.remote import cache, wire
wire.SILENCE, wire.PATIENCE = PATIENCE, 2.0
cache._PATIENCE, cache._PAUSE = 2.0, 0.02
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.02))
SWITCH = os.environ["HF_ENDPOINT"] + "/_sandbox/faults"

def fault(settings):
    get_session().post(SWITCH, json=settings).raise_for_status()

def over():
    get_session().delete(SWITCH)

def pushed(repo_id):
    return push_folder(FOLDER, repo_id, beside=beside(), quiet=True)

def beside():
    found = {{}}
    for place in PLACES:
        path = Path(EXPORTS) / place
        path.parent.mkdir(parents=True, exist_ok=True)
        # What is in it is nothing to the Hub, but it was never there before.
        path.write_bytes(b"\\0" + os.urandom(20_000))
        found[place] = path
    return found
"""


def snippet(folder: Path, tmp_path: Path, program: str, **given: Any) -> str:
    known = {
        "FOLDER": str(folder),
        "EXPORTS": str(tmp_path / "exports"),
        "PLACES": list(FORMATS.values()),
        "PATIENCE": 10.0,
    }
    return "".join(f"{name} = {value!r}\n" for name, value in (known | given).items()) + PUSHES + program


def whole(hub: Sandbox, repo_id: str) -> None:
    """All of a push is there, in one commit."""
    assert files(hub, repo_id) == sorted(["README.md", "config.json", "model.safetensors", *FORMATS.values()])
    assert len(heads(hub, repo_id)) == 2, "the first one of a repository, and the push"


@pytest.mark.parametrize("refusal", mostly_slow(list(REFUSALS), "403", "cut answer"))
def test_a_push_is_done_or_refused_in_our_words(
    hub: Sandbox, folder: Path, tmp_path: Path, refusal: str
) -> None:
    program = """
from huggingface_hub import HfApi
found = {}
for request, settings in FAULTS.items():
    repo_id = f"me/to-{request}"
    fault(settings)
    first = refusal(lambda: pushed(repo_id))
    over()
    there = HfApi().list_repo_files(repo_id)
    # And once nothing is wrong any more, it is pushed again.
    found[request] = [*first, there, first[0] and refusal(lambda: pushed(repo_id))[0]]
print(json.dumps(found))
"""
    faults = {request: where | REFUSALS[refusal] for request, where in REQUESTS.items()}
    patience = 10.0
    if refusal == "silent":
        faults, patience = {request: faults[request] for request in ("list", "upload", "commit")}, 1.0
    found = hub.run(snippet(folder, tmp_path, program, FAULTS=faults, PATIENCE=patience)).value
    for request, (code, said, there, again) in found.items():
        wanted = CODES[refusal]
        wanted = wanted if isinstance(wanted, str) else wanted.get(request, wanted[""])
        assert (code or "done") == wanted, f"{request}: {said}"
        if wanted == "done":
            assert said == f"{hub.url}/me/to-{request}/commit/{hub.api().model_info(f'me/to-{request}').sha}"
        else:
            assert said.endswith(")"), "no hint"
            assert [name for name in there if not name.startswith(".")] == [], "half of a push is to be seen"
        assert again is None
        whole(hub, f"me/to-{request}")


@pytest.mark.parametrize("fault", mostly_slow(list(PASSING), "cut"))
def test_what_passes_is_outlived(hub: Sandbox, folder: Path, tmp_path: Path, fault: str) -> None:
    program = """
for request, settings in FAULTS.items():
    fault(settings)
    pushed(f"me/to-{request}")
"""
    requests = ("announce", "batch", "upload", "verify")
    faults = {request: REQUESTS[request] | PASSING[fault] for request in requests}
    hub.run(snippet(folder, tmp_path, program, FAULTS=faults))
    assert [each.hits for each in hub.faults.all()] == [1] * len(requests)
    for request in requests:
        whole(hub, f"me/to-{request}")


def test_a_lost_answer_is_not_taken_for_the_commit_of_somebody_else(
    hub: Sandbox, folder: Path, tmp_path: Path
) -> None:
    """It failed before anything was written, and meanwhile the repository has moved on."""
    program = """
from huggingface_hub import HfApi
from snn_voice_hub.hub import publish
listed = publish.list_repository
def list_repository(*arguments, **options):
    found = listed(*arguments, **options)
    HfApi().upload_file(path_or_fileobj=os.urandom(9), path_in_repo="other.txt", repo_id="me/raced")
    return found
publish.list_repository = list_repository
print(json.dumps(refusal(lambda: pushed("me/raced"))))
"""
    # The first commit is theirs, after the listing.
    hub.fault("status", "*/commit/*", method="POST", status=500, skip=1)
    code, said = hub.run(snippet(folder, tmp_path, program)).value
    assert code == "upload", said
    assert "status 500" in said
    assert files(hub, "me/raced") == ["other.txt"]


@pytest.mark.slow
def test_the_command_leaves_nothing_in_the_temporary_folder(
    hub: Sandbox, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "temporary").mkdir()
    arguments = ["snn-voice", "push", str(folder), "me/refused", "--formats", "lite", "--quiet"]
    hub.fault("status", "/lfs/*", method="PUT", status=403, times=None)
    program = "import sys, tempfile\n" + f"tempfile.tempdir = {str(tmp_path / 'temporary')!r}\n"
    program += f"sys.argv = {arguments!r}\nfrom snn_voice_hub.cli import main; main()"
    ran = hub.run(program, check=False)
    assert "uploading" in one_line(ran)
    assert "(status 403)" in one_line(ran)
    # PyTorch keeps what it has compiled.
    left = [path.name for path in (tmp_path / "temporary").iterdir()]
    assert [name for name in left if not name.startswith("torchinductor")] == []


# --- the way back ---------------------------------------------------------------------------------

PULLING: dict[str, tuple[dict[str, Any], str]] = {
    "401": ({"kind": "status", "status": 401}, "no_access"),
    "403": ({"kind": "status", "status": 403}, "no_access"),
    "404": ({"kind": "status", "status": 404, "error_code": "EntryNotFound"}, "download"),
    "429": ({"kind": "status", "status": 429, "retry_after": 7}, "rate_limit"),
    "500": ({"kind": "status", "status": 500}, "download"),
    "cut for ever": ({"kind": "cut", "bytes": 0, "times": None}, "download"),
    "silent": ({"kind": "stall", "seconds": 30, "times": None}, "download"),
    "other length": ({"kind": "wrong_length", "bytes": 5}, "damaged"),
    "other bytes": ({"kind": "wrong_bytes", "bytes": 9_000}, "damaged"),
    "cut": ({"kind": "cut", "bytes": 9_000, "times": 2}, "done"),
    "slow": ({"kind": "stall", "seconds": 0.5, "bytes": 9_000}, "done"),
}


@pytest.mark.parametrize("place", mostly_slow(list(FORMATS.values()), FORMATS["lite"]))
def test_a_pull_is_right_or_refused_and_leaves_nothing(
    hub: Sandbox, folder: Path, tmp_path: Path, place: str
) -> None:
    program = """
pushed("me/there")
found = {}
for name, settings in FAULTS.items():
    def pulled():
        out, loading = Path(OUT) / name, Loading(cache_dir=Path(OUT) / f"cache of {name}")
        return str(pull_folder("me/there", out, loading, formats=FORMATS, quiet=True))
    fault(settings)
    code, said = refusal(pulled)
    over()
    paths = Path(OUT).rglob("*")
    left = [str(path) for path in paths if path.suffix == ".incomplete" or path.parent.name == name]
    again = code and refusal(pulled)[0]
    found[name] = [code, said, left if code else [], again]
print(json.dumps(found))
"""
    faults = {name: fault | {"path": f"*/{place}"} for name, (fault, _) in PULLING.items()}
    given = {"FAULTS": faults, "FORMATS": list(FORMATS), "OUT": str(tmp_path / "out")}
    found = hub.run(snippet(folder, tmp_path, program, **given)).value
    for name, (code, said, left, again) in found.items():
        assert (code or "done", left, again) == (PULLING[name][1], [], None), f"{name}: {said}"
        out = tmp_path / "out" / name
        assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == {
            "README.md",
            "config.json",
            "model.safetensors",
            *FORMATS.values(),
        }
        for inside in FORMATS.values():
            assert (out / inside).read_bytes() == (tmp_path / "exports" / inside).read_bytes()


def test_the_command_brings_formats(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    lite = b"\0lite"
    there: dict[str, bytes | str | Path] = {"lite/model.onnx": lite}
    there |= {name: folder / name for name in ("config.json", "model.safetensors")}
    hub.push("me/some", there)
    out = tmp_path / "out"
    ran = command(hub, "pull", "me/some", out, "--formats", "lite")
    assert (ran.code, ran.out) == (0, f"{out}\n"), ran.err
    assert (out / "lite" / "model.onnx").read_bytes() == lite
    assert "has no onnx/model.onnx" in one_line(
        command(hub, "pull", "me/some", tmp_path / "x", "--formats", "onnx")
    )
    assert "formats='tflite'" in one_line(
        command(hub, "pull", "me/some", tmp_path / "x", "--formats", "tflite")
    )
    assert "`snn-voice export`" in one_line(
        command(hub, "pull", "tcy-snn", tmp_path / "x", "--formats", "lite")
    )
    assert not (tmp_path / "x").exists()
    assert json.loads((out / "config.json").read_bytes())["architecture"] == "TcySNN"
