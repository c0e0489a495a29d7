"""A few of the kills of `kills.py`; `make kills` has a hundred of each, and lessons."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.places import ROOT

pytest.importorskip("lightning")
pytest.importorskip("websockets")

SCENES = ["training", "conversion", "service"]


@pytest.mark.slow
def test_what_was_saved_opens_and_what_was_accepted_is_answered() -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "server"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.kills", *SCENES, "--kills", "2"],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    seed, *scenes = done.stdout.splitlines()
    assert re.fullmatch(r"seed \d+", seed)
    assert [line.partition(":")[0] for line in scenes] == SCENES
    assert all(": 2 kills in " in line for line in scenes)
