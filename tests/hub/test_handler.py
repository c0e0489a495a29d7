"""The handler for Inference Endpoints: pushed on request, pulled as it is, asked as an endpoint asks."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from huggingface_hub import snapshot_download

import snn_voice_hub as sv
from snn_voice_hub.hub.endpoint import handler_text
from snn_voice_hub.install import REQUIREMENT_NOTE as NOTE
from tests.hub.publishing import command, files, folder, heads, one_line, push
from tests.sandbox.helpers import ROOT, Sandbox

__all__ = ["folder"]

CHECKPOINT = ["README.md", "config.json", "model.safetensors"]
WITH_HANDLER = ["README.md", "config.json", "handler.py", "model.safetensors", "requirements.txt"]
YES = ROOT / "examples" / "yes.wav"
OWN = b"class EndpointHandler:\n    '''Mine.'''\n"


def read(hub: Sandbox, repo_id: str, name: str, tmp_path: Path) -> bytes:
    return Path(hub.api().hf_hub_download(repo_id, name, cache_dir=tmp_path / "cache")).read_bytes()


def load(path: Path) -> Any:
    """Import a handler as the toolkit of the endpoints does: by its file, under a name of its own."""
    spec = importlib.util.spec_from_file_location("endpoint_handler_under_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# --- pushing --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_handler_is_pushed_on_request_only(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    assert push(hub, folder, "me/plain")[0] is None
    assert files(hub, "me/plain") == CHECKPOINT
    assert push(hub, folder, "me/deployed", endpoint_handler=True)[0] is None
    assert files(hub, "me/deployed") == WITH_HANDLER
    assert len(heads(hub, "me/deployed")) == 2  # the repository's own first one, and ours
    assert (
        read(hub, "me/deployed", "requirements.txt", tmp_path)
        == f"{NOTE}\nsnn-voice-hub>={sv.__version__}\n".encode()
    )
    pushed = read(hub, "me/deployed", "handler.py", tmp_path)
    source = Path(sv.__file__).parent / "templates" / "handler.py"
    assert pushed.startswith(source.read_bytes())
    assert pushed.count(b"\n") == source.read_bytes().count(b"\n") + 1
    # Once more changes nothing, and a push without a handler leaves the one that is there.
    push(hub, folder, "me/deployed", endpoint_handler=True)
    push(hub, folder, "me/deployed")
    assert len(heads(hub, "me/deployed")) == 2
    assert files(hub, "me/deployed") == WITH_HANDLER


def test_the_command_and_the_model_push_it_too(hub: Sandbox, folder: Path) -> None:
    ran = command(hub, "push", folder, "me/by-command", "--endpoint-handler", "--quiet")
    assert ran.code == 0, ran.err
    assert files(hub, "me/by-command") == WITH_HANDLER
    assert "not pushed" not in ran.err
    hub.run(
        "import snn_voice_hub as sv\n"
        "sv.SnnVoice.from_pretrained('tcy-snn').push_to_hub('me/by-model', endpoint_handler=True)\n"
        "sv.TcySNN().push_to_hub('me/network', endpoint_handler=True)"
    )
    assert files(hub, "me/by-model") == files(hub, "me/network") == WITH_HANDLER


@pytest.mark.parametrize("change", ["written", "changed"])
def test_a_users_handler_on_the_hub_stays(hub: Sandbox, folder: Path, tmp_path: Path, change: str) -> None:
    theirs = (
        OWN if change == "written" else handler_text().replace(b"MAX_SECONDS = 60.0", b"MAX_SECONDS = 9.0")
    )
    assert theirs != handler_text()
    hub.push("me/own", {"handler.py": theirs})
    before = heads(hub, "me/own")
    code, message = push(hub, folder, "me/own", endpoint_handler=True)
    assert code == "own_handler"
    assert "me/own has a handler.py that somebody wrote or changed (delete or rename it there" in message
    assert heads(hub, "me/own") == before
    line = one_line(command(hub, "push", folder, "me/own", "--endpoint-handler", "--quiet"))
    assert "handler.py that somebody wrote" in line
    assert push(hub, folder, "me/own")[0] is None
    assert read(hub, "me/own", "handler.py", tmp_path) == theirs


def test_a_handler_of_an_older_release_is_replaced(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    # As another release would have made it: other lines, with the seal that fits them.
    body = b'"""An older one."""\n'
    seal = f"# Made by snn-voice-hub 0.0.9; SHA-256 of the lines above: {hashlib.sha256(body).hexdigest()}\n"
    hub.push("me/old", {"handler.py": body + seal.encode(), "requirements.txt": "snn-voice-hub>=0.0.9\n"})
    assert push(hub, folder, "me/old", endpoint_handler=True)[0] is None
    assert read(hub, "me/old", "handler.py", tmp_path) == handler_text()
    wanted = f"{NOTE}\nsnn-voice-hub>={sv.__version__}\n"
    assert read(hub, "me/old", "requirements.txt", tmp_path).decode() == wanted


def test_the_folders_own_handler_is_pushed_instead(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    (folder / "handler.py").write_bytes(OWN)
    (folder / "requirements.txt").write_text("mine\n")
    hub.push("me/mine", {"handler.py": b"# there before\n"})
    assert push(hub, folder, "me/mine", endpoint_handler=True)[0] is None
    assert read(hub, "me/mine", "handler.py", tmp_path) == OWN
    assert read(hub, "me/mine", "requirements.txt", tmp_path) == b"mine\n"
    # Without the option they are not part of a checkpoint, and the log says so.
    assert push(hub, folder, "me/not")[0] is None
    assert files(hub, "me/not") == CHECKPOINT


@pytest.mark.parametrize(
    ("theirs", "after"),
    [
        ("noisereduce==3.0\n", f"noisereduce==3.0\n{NOTE}\nsnn-voice-hub>={{}}\n"),
        ("noisereduce==3.0\n\n", f"noisereduce==3.0\n{NOTE}\nsnn-voice-hub>={{}}\n"),
        ("a\nsnn_voice_hub @ https://example.org/x.whl\n", "a\nsnn_voice_hub @ https://example.org/x.whl\n"),
        ("snn-voice-hub[export]==0.1.0\nb\n", "snn-voice-hub[export]==0.1.0\nb\n"),
        ("", f"{NOTE}\nsnn-voice-hub>={{}}\n"),
    ],
)
def test_requirements_on_the_hub_are_added_to(
    hub: Sandbox, folder: Path, tmp_path: Path, theirs: str, after: str
) -> None:
    hub.push("me/needs", {"requirements.txt": theirs})
    assert push(hub, folder, "me/needs", endpoint_handler=True)[0] is None
    text = read(hub, "me/needs", "requirements.txt", tmp_path).decode()
    assert text == after.format(sv.__version__)


# --- answering ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a deployed repository is: of the bundled default, so that the answers mean something."""
    found = tmp_path_factory.mktemp("repository")
    sv.SnnVoice.from_pretrained().save_pretrained(found)
    (found / "handler.py").write_bytes(handler_text())
    return found


@pytest.fixture(scope="module")
def handler(repository: Path) -> Iterator[Any]:
    yield load(repository / "handler.py").EndpointHandler(str(repository))
    sys.modules.pop("endpoint_handler_under_test", None)


@pytest.fixture(scope="module")
def expected() -> list[dict[str, Any]]:
    found = sv.SnnVoice.from_pretrained().classify(YES)
    return [{"label": p.label, "score": p.score} for p in found]


def test_a_pulled_repository_answers_offline(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    push(hub, folder, "me/alive", endpoint_handler=True)
    there = tmp_path / "there"
    snapshot_download("me/alive", endpoint=hub.url, local_dir=there, cache_dir=tmp_path / "cache")
    ran = hub.run(
        f"""
import json, pathlib, sys
sys.path.insert(0, {str(there)!r})
from handler import EndpointHandler
found = EndpointHandler({str(there)!r})({{"inputs": pathlib.Path({str(YES)!r}).read_bytes()}})
print(json.dumps(found))
""",
        HF_HUB_OFFLINE="1",
        HF_ENDPOINT="http://127.0.0.1:9",
    )
    wanted = sv.SnnVoice.from_pretrained(folder).classify(YES)
    assert [entry["label"] for entry in ran.value] == [p.label for p in wanted]
    assert [entry["score"] for entry in ran.value] == pytest.approx([p.score for p in wanted], abs=1e-5)


def test_its_folder_is_the_default(repository: Path, expected: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir("/")
    found = load(repository / "handler.py").EndpointHandler()
    assert found({"inputs": YES.read_bytes()}) == expected
    monkeypatch.chdir(repository)
    assert load(repository / "handler.py").EndpointHandler(".").voice.config == found.voice.config


def encoded() -> str:
    return base64.b64encode(YES.read_bytes()).decode()


def samples() -> dict[str, Any]:
    wave, rate = soundfile.read(YES, dtype="float32")
    return {"array": wave.tolist(), "sampling_rate": rate}


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param(YES.read_bytes(), id="bytes"),
        pytest.param(bytearray(YES.read_bytes()), id="bytearray"),
        pytest.param(encoded(), id="base64"),
        pytest.param("\n".join(encoded()[i : i + 76] for i in range(0, len(encoded()), 76)), id="in lines"),
        pytest.param("data:audio/wav;base64," + encoded(), id="data URL"),
        pytest.param(samples(), id="array"),
        pytest.param({"raw": samples()["array"], "sampling_rate": 16000.0}, id="raw"),
        pytest.param({"array": [samples()["array"]] * 2, "sampling_rate": 16000}, id="stereo"),
        pytest.param({"array": np.array(samples()["array"]), "sampling_rate": 16000}, id="numpy"),
    ],
)
def test_every_form_of_a_clip_gets_the_same_answer(handler: Any, expected: Any, inputs: Any) -> None:
    found = handler({"inputs": inputs})
    assert [entry["label"] for entry in found] == [entry["label"] for entry in expected]
    assert [e["score"] for e in found] == pytest.approx([e["score"] for e in expected], abs=1e-5)
    assert json.loads(json.dumps(found)) == found


def test_a_list_is_a_batch_in_order(handler: Any, expected: Any) -> None:
    no = (ROOT / "examples" / "no.wav").read_bytes()
    slow = {"array": soxr.resample(samples()["array"], 16_000, 8_000), "sampling_rate": 8000}
    found = handler({"inputs": [no, samples(), encoded(), slow], "parameters": {"top_k": 1}})
    assert [[entry["label"] for entry in answer] for answer in found] == [["no"], ["yes"], ["yes"], ["yes"]]
    assert handler({"inputs": [YES.read_bytes()]})[0][0]["label"] == expected[0]["label"]


def test_parameters(handler: Any) -> None:
    sound = YES.read_bytes()
    ask = {"top_k": 2, "function_to_apply": "none"}
    found = handler({"inputs": sound, "parameters": ask, "options": {"wait_for_model": True}})
    wanted = handler.voice.classify(sound, **ask)
    assert [(e["label"], e["score"]) for e in found] == [(p.label, p.score) for p in wanted]
    silence = {"array": [0.0] * 16000, "sampling_rate": 16000}
    words = {"top_k": 1000, "words_only": True}
    found = handler({"inputs": silence, "parameters": words})
    assert [e["label"] for e in found if e["label"].startswith("_")] == []
    wanted = handler.voice.classify(np.zeros(16000), sample_rate=16000, **words)
    assert [(e["label"], e["score"]) for e in found] == [(p.label, p.score) for p in wanted]
    assert handler({"inputs": silence, "parameters": {"min_score": 0.9}}) == []
    left_out = {"top_k": None, "function_to_apply": None}
    assert handler({"inputs": sound, "parameters": left_out}) == handler({"inputs": sound})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, 'the request has no "inputs"'),
        ({}, 'the request has no "inputs"'),
        ({"inputs": None}, "inputs can't be read as sound"),
        ({"inputs": 7}, "inputs can't be read as sound"),
        ({"inputs": b""}, "^inputs: the audio data is empty"),
        ({"inputs": ""}, "^inputs: the audio data is empty"),
        ({"inputs": b"no sound at all"}, "^inputs: the audio data is not sound"),
        ({"inputs": "bm8gc291bmQgYXQgYWxs"}, "^inputs: the audio data is not sound"),
        ({"inputs": "/etc/passwd.wav"}, "inputs is not valid base64"),
        ({"inputs": "härte"}, "inputs is not valid base64"),
        ({"inputs": "https://example.org/yes.wav"}, "addresses are not fetched"),
        ({"inputs": []}, "empty list"),
        ({"inputs": [0.1, 0.2]}, "a list of numbers, whose rate is not known"),
        ({"inputs": [YES.read_bytes(), b"nothing"]}, r"^inputs\[1\]: the audio data is not sound"),
        ({"inputs": [encoded(), {"array": [0.0]}]}, r"inputs\[1\] holds array"),
        ({"inputs": [[0.1]]}, r"inputs\[0\] can't be read as sound"),
        ({"inputs": {}}, "inputs holds nothing"),
        ({"inputs": {"array": [0.0], "raw": [0.0], "sampling_rate": 8000}}, "inputs holds array, raw"),
        ({"inputs": {"array": ["0.1"], "sampling_rate": 8000}}, "no list of numbers"),
        ({"inputs": {"array": [[0.0], [0.0, 1.0]], "sampling_rate": 8000}}, "no list of numbers"),
        ({"inputs": {"array": [None], "sampling_rate": 8000}}, "no list of numbers"),
        ({"inputs": {"array": [], "sampling_rate": 8000}}, "^inputs: an array of shape"),
        ({"inputs": {"array": [float("nan")] * 9, "sampling_rate": 8000}}, "NaN"),
        ({"inputs": {"array": [0.0], "sampling_rate": "8000"}}, "no whole number of hertz"),
        ({"inputs": {"array": [0.0], "sampling_rate": True}}, "no whole number of hertz"),
        ({"inputs": {"array": [0.0], "sampling_rate": float("inf")}}, "no whole number of hertz"),
        ({"inputs": {"array": [0.0], "sampling_rate": 1}}, "sample_rate must be"),
        ({"inputs": {"array": [0.0] * 400_000, "sampling_rate": 4000}}, r"longer than 60 s \(cut it\)$"),
        ({"inputs": b"", "parameters": [1]}, '"parameters" is no JSON object'),
        (
            {"inputs": YES.read_bytes(), "parameters": {"topk": 1}},
            "'topk': send one of top_k, ",
        ),
        ({"inputs": YES.read_bytes(), "parameters": {"top_k": 0}}, "top_k=0"),
        ({"inputs": YES.read_bytes(), "parameters": {"top_k": "all"}}, "top_k='all'"),
        ({"inputs": YES.read_bytes(), "parameters": {"function_to_apply": "max"}}, "function_to_apply='max'"),
    ],
)
def test_what_can_not_be_answered_is_a_sentence(handler: Any, data: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        handler(data)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    assert not re.search(r"Traceback|<class|0x[0-9a-f]{6}", message)


def test_a_folder_without_a_model_is_an_error(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "handler.py").write_bytes((repository / "handler.py").read_bytes())
    with pytest.raises(sv.SnnVoiceError, match=r"config\.json"):
        load(tmp_path / "handler.py").EndpointHandler(str(tmp_path))
