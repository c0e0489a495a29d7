"""`torch.hub.load`, from a copy of the repository that is installed nowhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.places import EXAMPLES, ROOT

_LOAD = """
import sys
import torch

folder, clip = sys.argv[1:]
model = torch.hub.load(folder, "snn_voice", "m5-snn", source="local")
assert model.classify(clip)[0].label == "yes"
assert sys.modules["snn_voice_hub"].__file__.startswith(folder)
assert sys.modules["snn_voice_lite"].__file__.startswith(folder)
assert torch.hub.load(folder, "snn_voice", source="local").config.name == "resmel-snn"
network = torch.hub.load(folder, "snn_network", "tcy-snn", source="local", device="cpu")
print(type(network).__name__, network.num_classes)
"""


def test_a_copy_that_is_not_installed_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "owner_snn-voice-hub_main"
    folder.mkdir()
    shutil.copy(ROOT / "hubconf.py", folder)
    for package in ("snn_voice_hub", "lite/snn_voice_lite"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    ran = subprocess.run(
        [sys.executable, "-c", _LOAD, str(folder), str(EXAMPLES / "yes.wav")],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "TORCH_HOME": str(tmp_path / "torch"), "PYTHONPATH": ""},
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "TcySNN 35\n"
