"""The package needs nothing but what it says: no PyTorch, and nothing of the hub."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.house.document_helpers import steps
from tests.places import EXAMPLES, ROOT

YES = str(EXAMPLES / "yes.wav")

_BLOCKED = """
import sys
import importlib.abc

class Refused(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchaudio", "snntorch", "onnx", "snn_voice_hub", "typer"):
            raise ImportError(f"{name} is not for this package", name=name)

sys.meta_path.insert(0, Refused())
import numpy as np
from snn_voice_lite import Voice, list_models
for name in list_models():
    voice = Voice(name)
    print(voice.classify(sys.argv[1])[0].label)
    stream = voice.stream(sample_rate=16_000)
    stream.feed(np.zeros(20_000, np.int16))
    stream.flush()
    list(voice.listen([np.zeros(20_000, np.int16)], sample_rate=16_000))
import snn_voice_lite.shell.program
"""


def test_neither_pytorch_nor_the_hub_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BLOCKED, YES], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["yes", "yes"]), done.stderr


def size(folder: Path) -> float:
    """Megabytes of the files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*")) / 1e6


@pytest.mark.timeout(600)
def test_a_fresh_environment_without_pytorch(tmp_path: Path) -> None:
    """What the README of the package says, typed where nothing else is installed."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    python = str(tmp_path / "env" / "bin" / "python")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500, check=False
        )

    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check", "--retries", "0")
    made = run(*pip, "wheel", "--no-deps", "--wheel-dir", "made", str(ROOT / "lite"))
    if made.returncode:
        pytest.skip(f"pip reaches no index: {made.stderr.strip().splitlines()[-1]}")
    (wheel,) = (tmp_path / "made").iterdir()
    assert wheel.stat().st_size < 10e6
    put = run(*pip, "install", str(wheel))
    if put.returncode:
        pytest.skip(f"pip reaches no index: {put.stderr.strip().splitlines()[-1]}")
    (packages,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    assert not (packages / "torch").exists()
    # With pip and setuptools, which a virtual environment brings; 190 MB with CPython 3.11 on x86-64.
    assert size(packages) < 230

    (tmp_path / "yes.wav").write_bytes(Path(YES).read_bytes())
    typed = steps((ROOT / "lite" / "README.md").read_text(encoding="utf-8"))
    block = "\n".join(step.text for step in typed if step.kind == "python")
    began = time.monotonic()
    said = run(python, "-c", block)
    assert said.returncode == 0, said.stderr
    assert re.match(r"\[Prediction\(label='yes', score=0\.99", said.stdout)
    assert time.monotonic() - began < 20  # 0.4 s where nothing else runs
    command = str(tmp_path / "env" / "bin" / "snn-voice-lite")
    for step in typed:
        if step.text.startswith("snn-voice-lite "):
            done = run(command, *step.text.split()[1:])
            assert (done.returncode, done.stderr) == (0, "")
            assert "yes 1.00" in done.stdout
