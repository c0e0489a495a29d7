"""The package for browsers, and what its tests need of the machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.places import ROOT

WEB = ROOT / "web"
MODULES = WEB / "node_modules"

# The words of `sentence`.
SPOKEN = ("yes", "no", "left", "go", "marvin", "right")

Samples = npt.NDArray[np.float32]
# Puts samples where the page can fetch them, and gives the name.
Laid = Callable[[Samples], str]

needs_node = pytest.mark.skipif(not shutil.which("node"), reason="no node: `apt-get install nodejs npm`")
needs_modules = pytest.mark.skipif(
    not shutil.which("node") or not (MODULES / "onnxruntime-web").is_dir(),
    reason="no onnxruntime-web: `npm ci` in web/",
)


def node(*arguments: str | Path, cases: Path | None = None) -> str:
    """What a program of Node prints; a failed one fails the test."""
    environment = {**os.environ, **({"SNN_VOICE_CASES": str(cases)} if cases else {})}
    done = subprocess.run(
        ["node", *map(str, arguments)],
        cwd=WEB,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def write_case(folder: Path, name: str, value: Any) -> None:
    """What a test in JavaScript reads by `cases(name)`."""
    (folder / f"{name}.json").write_text(json.dumps(value))
