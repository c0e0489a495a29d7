"""examples/own_network goes its whole way, as its README says it, on tones in place of words."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from tests.hub.publishing import COMMAND
from tests.nursery import Ran
from tests.places import ROOT
from tests.sandbox.helpers import Sandbox

EXAMPLE = ROOT / "examples" / "own_network"
PITCH = {"yes": 300.0, "no": 1200.0, "up": 2500.0}
# A few clips need no fifteen passes.
QUICK = ["--epochs", "3", "--set", "batch_size=8"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where the package is installed: what pip would write there, without asking anybody for setuptools."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / f"my_nets-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    ((group, entries),) = project["entry-points"].items()
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    (info.parent / "mynets.py").write_text((EXAMPLE / "mynets.py").read_text())
    return info.parent


@pytest.fixture
def words(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    time = np.arange(16_000) / 16_000
    for word, pitch in PITCH.items():
        (tmp_path / "words" / word).mkdir(parents=True)
        for n in range(12):
            tone = np.sin(2 * np.pi * pitch * rng.uniform(0.9, 1.1) * time) * np.hanning(16_000)
            soundfile.write(tmp_path / "words" / word / f"{n}.wav", 0.3 * tone, 16_000)
    return tmp_path / "words"


def commands() -> list[list[str]]:
    """The README's lines, without what surrounds them: installing, and the Hub, which the test has."""
    (block,) = re.findall(r"```sh\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    first, *lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert first == ["pip", "install", "-e", "."]
    lines.remove(["snn-voice", "hub-sandbox", "&"])
    assert all(line[0] == "snn-voice" for line in lines)
    return [line[1:] for line in lines]


@pytest.mark.slow
def test_the_readmes_way(hub: Sandbox, tmp_path: Path, site: Path, words: Path) -> None:
    def run(arguments: list[str], *, installed: bool = True) -> Ran:
        snippet = f"import os, sys; os.chdir({str(tmp_path)!r}); sys.argv = {['snn-voice', *arguments]!r}\n"
        path = environment(hub, site)["PYTHONPATH"] if installed else hub.environment()["PYTHONPATH"]
        return hub.run(snippet + COMMAND, check=False, PYTHONPATH=path, COLUMNS="120", NO_COLOR="1")

    done: dict[str, Ran] = {}
    *lines, serve = commands()
    for line in lines:
        done[line[0]] = ran = run(line + QUICK * (line[0] == "train"))
        assert ran.code == 0, (line, ran.err)
    assert [line[0] for line in lines] == [
        *("train", "train", "evaluate", "energy", "export", "push", "pull", "classify")
    ]
    assert done["classify"].out.split()[1] == "yes"
    config = json.loads((tmp_path / "pulled" / "config.json").read_text())
    assert config["architecture_package"] == {"module": "mynets", "name": "my-nets", "version": "1.0"}
    assert config["metrics"]["test"]["top1"] == 1.0
    assert config["metrics"]["energy"]["twin"]["energy_uj"] > 0
    card = (tmp_path / "pulled" / "README.md").read_text()
    assert "import mynets  # MySNN, of my-nets 1.0" in card

    # Where it is not installed, everybody is told what is missing; and a file will do as well.
    asked = ["classify", "--model", "pulled", "words/no/0.wav"]
    told = run(asked, installed=False)
    assert told.code == 2
    assert "pip install my-nets==1.0, or --import mynets" in told.err
    assert told.err.count("\n") == 1
    (tmp_path / "loose.py").write_text(
        "from snn_voice_hub import register_architecture\n"
        + re.sub(
            r"^class My", "@register_architecture\nclass My", (EXAMPLE / "mynets.py").read_text(), flags=re.M
        )
    )
    assert run(["--import", "loose.py", *asked], installed=False).out.split()[1] == "no"

    with served(serve, tmp_path, environment(hub, site)) as url:
        for word in PITCH:
            sound = (words / word / "0.wav").read_bytes()
            assert httpx.post(f"{url}/classify", content=sound).json()[0]["label"] == word
        assert httpx.get(f"{url}/models/pulled").json()["architecture"] == "MySNN"


def environment(hub: Sandbox, site: Path) -> dict[str, str]:
    found = {**os.environ, **hub.environment()}
    return found | {"PYTHONPATH": os.pathsep.join([str(site), found["PYTHONPATH"]])}


@contextmanager
def served(arguments: list[str], folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """`snn-voice serve` in a process of its own; gives its address."""
    log = folder / "serve.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments, "--port", "0", "--device", "cpu"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            cwd=folder,
        )
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 60)[0], log.read_text()
        greeting = process.stdout.readline()
        assert "http://" in greeting, (greeting, log.read_text())
        yield "http://" + greeting.split("http://")[1].split()[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0, log.read_text()
