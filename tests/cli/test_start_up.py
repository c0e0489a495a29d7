"""What the program says about itself, and of arguments that are not legal, needs neither PyTorch nor the Hub.

All cases run in one process: what none of them imports, no single one does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer.main

import snn_voice_hub as sv
from snn_voice_hub.cli import app
from tests.slowness import mostly_slow

HEAVY = ("torch", "torchaudio", "snntorch", "numpy", "soundfile", "soxr", "huggingface_hub", "safetensors")
NAMES = typer.main.get_command(app).list_commands(None)

_CHILD = """
import contextlib, io, json, os, sys
from snn_voice_hub.cli import main

for arguments, environment in json.loads(sys.argv[1]):
    os.environ.update(environment)
    sys.argv = ["snn-voice", *arguments]
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    for name in environment:
        del os.environ[name]
    heavy = [name for name in HEAVY if name in sys.modules]
    print(json.dumps([code, out.getvalue(), err.getvalue(), heavy]))
""".replace("HEAVY", repr(list(HEAVY)))

Done = tuple[int, str, str, list[str]]


def python(code: str, *arguments: str) -> str:
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
    line = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(cases: Sequence[tuple[Sequence[str], dict[str, str]]]) -> list[Done]:
    """Exit code, stdout, stderr and heavy modules of each call of the program."""
    return [tuple(json.loads(line)) for line in python(_CHILD, json.dumps(cases)).splitlines()]


def test_version_and_help_import_nothing_heavy() -> None:
    cases = [["--version"], [], ["--help"], *([name, "--help"] for name in NAMES)]
    done = run([(arguments, {}) for arguments in cases])
    for arguments, (code, out, _, heavy) in zip(cases, done, strict=True):
        assert code == (0 if arguments else 2), arguments
        assert heavy == [], arguments
        assert ("usage: snn-voice" in out.lower()) == (arguments != ["--version"]), arguments
    assert all(name in done[2][1] for name in NAMES)


# What can be refused by the arguments alone; each with a part of the message.
MISTAKES = [
    (["nope"], "No such command 'nope'"),
    (["exprt"], "Did you mean 'export'?"),
    (["export"], "Missing argument 'model'"),
    (["classify", "yes.wav", "--nosuch"], "No such option: --nosuch"),
    (["classify", "yes.wav", "--top-k", "0"], "--top-k"),
    (["classify", "yes.wav", "--engine", "steam"], "engine='steam' is not legal"),
    (["classify", "yes.wav", "--batch-size", "4"], "goes with --ray"),
    (["classify", "yes.wav", "--json", "--ray", "out"], "do not go together"),
    (["evaluate", "m5-snn", "--data", "clips", "--engine", "steam"], "engine='steam' is not legal"),
    (["export", "m5-snn", "--to", "paper"], "--to='paper' is not legal"),
    (["export", "m5-snn", "--to", "nir", "--neurons", "big"], "--neurons='big' is not legal"),
    (["export", "m5-snn", "--to", "nir", "--int8"], "--int8 does not go with --to nir"),
    (["models", "m5*", "--hub", "words"], "do not go together"),
    (["spikes", "yes.wav", "--gif"], "goes with --out"),
    (["spikes", "yes.wav", "--out", "p.png", "--neuron", "lif"], "LAYER:NUMBER"),
    (["train"], "say what to train"),
    (["train", "--model", "nope"], "there is no model 'nope'"),
    (["train", "--model", "m5-snn"], "--data and --out"),
    (["train", "--model", "m5-snn", "--set", "epochs=-1"], "epochs"),
    (["convert", "x.ckpt", "."], "name a new folder"),
    (["serve", "--engine", "steam"], "--engine=steam is not legal"),
    (["hub-sandbox", "--port", "many"], "--port"),
]


def test_a_mistake_in_the_arguments_imports_nothing_heavy() -> None:
    done = run([(arguments, {}) for arguments, _ in MISTAKES])
    for (arguments, part), (code, out, err, heavy) in zip(MISTAKES, done, strict=True):
        assert (code, out, heavy) == (2, "", []), (arguments, out, err)
        assert part in err, (arguments, err)
        assert err.count("\n") == 1, err


def completed(line: str) -> tuple[list[str], list[str]]:
    """What bash would offer for the last word, and the heavy modules."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    ((code, out, err, heavy),) = run([([], {"_SNN_VOICE_COMPLETE": "complete_bash", **words})])
    assert code == 0, err
    return out.split(), heavy


def test_completion_imports_nothing_heavy() -> None:
    assert completed("snn-voice ") == (NAMES, [])
    assert completed("snn-voice classify --mod") == (["--model"], [])


@pytest.mark.slow
def test_completion_knows_the_bundled_models() -> None:
    for line in (
        *("classify --model ", "spikes --model ", "energy ", "energy m5-snn --twin ", "evaluate "),
        *("export ", "card ", "train --from ", "train --teacher ", "serve --port 0 --model "),
    ):
        assert completed(f"snn-voice {line}m5") == (["m5-cnn", "m5-snn"], []), line
    assert completed("snn-voice train --model pi") == (["piczak-cnn", "piczak-snn"], [])
    assert completed("snn-voice classify --engine na") == (["native", "native+bf16"], [])
    assert completed("snn-voice export m5-snn --to n") == (["nir"], [])


@pytest.mark.parametrize(
    "what", ["", ".errors", ".config", ".hub.bundled", ".models", ".training", ".training.fitting.recipes"]
)
def test_a_package_that_is_only_imported_loads_nothing_heavy(what: str) -> None:
    assert not {*HEAVY} & {*python(f"import sys, snn_voice_hub{what}; print(*sys.modules)").split()}


def test_an_exception_is_had_without_pytorch() -> None:
    code = (
        f"import sys; from snn_voice_hub import AudioError; print(*(m for m in {HEAVY} if m in sys.modules))"
    )
    assert python(code).split() == []


@pytest.mark.slow
def test_the_public_names_come_when_they_are_asked_for() -> None:
    code = """
import snn_voice_hub as sv
assert set(sv.__all__) <= set(dir(sv)) and "registry" not in vars(sv)
from snn_voice_hub import *
assert SnnVoice is sv.SnnVoice and M5SNN is sv.models.M5SNN and sv.audio.load
assert M5SNN.__name__ in list_architectures() and SnnVoice.__module__ == "snn_voice_hub.voice"
"""
    python(code)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'snn_voice_hub' has no attribute 'SnnVoise'"):
        sv.SnnVoise  # noqa: B018
    assert not hasattr(sv, "__wrapped__")
    with pytest.raises(ImportError, match="SnnVoise"):
        from snn_voice_hub import SnnVoise  # noqa: F401


_BEFORE_TORCH = """
import os, sys
from snn_voice_hub.cli import main

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Watch())
sys.argv = ["snn-voice", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(
    "line",
    mostly_slow(
        [
            "train --from resmel-snn --data nowhere --out run",
            "train --model m5-snn --data nowhere --out run",
            "teach lumos --synthetic-only --out run",
            "reproduce --data nowhere --out run",
        ],
        first=2,
    ),
)
def test_what_trains_tells_openmp_how_to_wait_before_torch_is_there(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    assert python(_BEFORE_TORCH, *line.split()) == "10000 None\n"
    # What the user has chosen stays.
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert python(_BEFORE_TORCH, *line.split()) == "None ACTIVE\n"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert python(_BEFORE_TORCH, *line.split()) == "7 None\n"
