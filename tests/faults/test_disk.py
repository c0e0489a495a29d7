"""A disk that is full at one of the operations of each who writes, or can't be written, and kills just there.

What is held: one line names the path and the reason, nothing half-written is taken for whole later, nothing
is left lying about, what was there before stays, and with room the same succeeds.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.faults import disk
from tests.faults.writers import WRITERS
from tests.nursery import USUAL, nursery
from tests.places import ROOT
from tests.sandbox.helpers import Sandbox
from tests.slowness import mostly_slow

pytest.importorskip("lightning")
pytest.importorskip("matplotlib")
pytest.importorskip("onnxscript")
pytest.importorskip("nir")

SCRIPT = """
import json
from pathlib import Path
from tests.faults.trial import Trial
from tests.faults.writers import WRITERS
trial = Trial(WRITERS[{name!r}](), Path({base!r}))
trial.full()
trial.read_only()
trial.killed()
trial.together()
print(json.dumps([trial.operations, trial.problems]))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """For `LD_PRELOAD`."""
    try:
        return str(disk.compiled(tmp_path_factory.mktemp("disk")))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be made to fail here: {error}")


@pytest.mark.parametrize(
    "name", mostly_slow(WRITERS, "save_pretrained", "save_over_another", "classify_csv", "conversion", "pull")
)
def test_nothing_is_half_written(name: str, library: str, tmp_path: Path, hub: Sandbox) -> None:
    if name == "hub_cache":
        folder = ROOT / "snn_voice_hub" / "weights" / "tcy-snn"
        hub.push("me/model", {file: folder / file for file in ("config.json", "model.safetensors")})
    (tmp_path / "trial").mkdir()
    snippet = SCRIPT.format(name=name, base=str(tmp_path / "trial"))
    (ran,) = nursery((*USUAL, "matplotlib.figure"), library).run([snippet], hub.environment())
    assert ran.code == 0, ran.err
    operations, problems = ran.value
    assert operations > 1
    assert not problems, "\n".join(problems)
