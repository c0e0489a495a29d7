"""The package needs nothing but what it says: no PyTorch, and nothing of the hub."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import EXAMPLES
from tests.release.building import ReleaseError
from tests.release.installs import check_lite

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


@pytest.mark.timeout(600)
def test_a_fresh_environment_without_pytorch(lite_wheel: Path, tmp_path: Path) -> None:
    """What the README of the package says, typed where nothing else is installed."""
    assert lite_wheel.stat().st_size < 10e6
    try:
        tried = check_lite(lite_wheel, tmp_path / "alone")
    except ReleaseError as error:
        if "pip install" in str(error):
            pytest.skip(f"pip reaches no index: {str(error).splitlines()[-1]}")
        raise
    # With pip and setuptools, which a virtual environment brings; 190 MB with CPython 3.11 on x86-64.
    assert tried.megabytes < 230
    assert tried.seconds < 20  # 0.4 s where nothing else runs
