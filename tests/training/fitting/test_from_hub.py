"""What training begins with and learns from may lie on the Hub, or be a Lightning checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

import snn_voice_hub as sv
from tests.hub.legacy import writer as legacy_writer
from tests.sandbox.helpers import Sandbox

OPEN = """
import json, torch
from snn_voice_hub.training.fitting.fit import Job
from snn_voice_hub.training.fitting.recipe import Recipe
from snn_voice_hub.training.fitting.teaching import TrainedModel
from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.hub.loading import Loading
recipe = Recipe(architecture="TcySNN", features=FeatureConfig(kind="logmel"))
job = Job(name="x", recipe=recipe, start={start!r}, teachers={teachers!r})
sources = [job.begins_with, *job.learns_from, TrainedModel.of("me/words", Loading(subfolder="inside"))]
print(json.dumps([[s.name, float(s.open().network.fc.bias.double().sum())] for s in sources]))
"""


def test_repositories_revisions_folders_and_lightning_files(hub: Sandbox, tmp_path: Path) -> None:
    sums = []
    commits = []
    for seed, inside in ((0, ""), (1, ""), (2, "inside/")):
        torch.manual_seed(seed)
        sv.SnnVoice(sv.TcySNN(2), labels=["a", "b"]).save_pretrained(tmp_path / str(seed))
        files = {f"{inside}{path.name}": path for path in (tmp_path / str(seed)).iterdir()}
        commits.append(hub.push("me/words", dict(files)))
        sums.append(float(load_file(tmp_path / str(seed) / "model.safetensors")["fc.bias"].double().sum()))
    made = legacy_writer.network("TcySNN", num_steps=2)
    written = legacy_writer.write(made, tmp_path / "run" / "x.ckpt")
    first = f"me/words@{commits[0]}"
    found = hub.run(OPEN.format(start=first, teachers=("me/words", str(written)))).value
    assert [name for name, _ in found] == [first, "me/words", "run (x.ckpt)", "me/words"]
    wanted = [sums[0], sums[1], float(made.get_parameter("fc.bias").detach().double().sum()), sums[2]]
    assert torch.allclose(torch.tensor([total for _, total in found]), torch.tensor(wanted), rtol=1e-6)
