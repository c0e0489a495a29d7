"""Repositories as the paper's: Lightning checkpoints in Hydra's folders, no configuration."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import snn_voice_hub as sv
from snn_voice_hub.config import SPEECH_COMMANDS
from tests.hub.legacy import writer as legacy_writer
from tests.places import ROOT
from tests.sandbox.helpers import Sandbox
from tests.slowness import mostly_slow

SHARED = ROOT.parent / "shared"
REPO = "Eve-ning/snn_voice"
RUN = "experiments/multirun/2023-01-05/{model}/++model.snn.learn_beta=False,++model.snn.n_steps={steps}"
CHECKPOINT = "/lightning_logs/version_0/checkpoints/epoch=7-step=5312.ckpt"

# Loads, listens to a tone, and says what it took.
LOAD = """
import json, logging, resource, sys, time
import torch
import snn_voice_hub as sv
logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s %(message)s")
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB on Linux
time_axis = torch.arange(16000) / 16000
waveforms = torch.stack([torch.sin(2 * torch.pi * f * time_axis) * 0.1 for f in (300.0, 900.0)])
before, began = peak(), time.monotonic()
try:
    model = getattr(sv, {door!r}).from_pretrained({source!r}, **{options!r})
    seconds, grown = time.monotonic() - began, peak() - before
    network = getattr(model, "network", model)
    voice = model if network is not model else sv.SnnVoice.from_pretrained({source!r}, **{options!r})
    with torch.inference_mode():
        logits = voice(waveforms)
    answer = {{"config": voice.config.to_dict(), "logits": logits.tolist(), "class": type(network).__name__,
              "seconds": seconds, "grown": grown,
              "opened": "snn_voice_hub.hub.legacy.pickles" in sys.modules}}
except sv.SnnVoiceError as error:
    answer = {{"code": error.code, "text": str(error)}}
print(json.dumps(answer))
"""


def load(hub: Sandbox, source: str, *, door: str = "SnnVoice", **options: Any) -> dict[str, Any]:
    answer = hub.run(LOAD.format(door=door, source=source, options=options)).value
    assert isinstance(answer, dict)
    return answer


def logits_of(network: sv.Network, config: dict[str, Any]) -> torch.Tensor:
    """What a network that was never pickled answers to the same tones."""
    voice = sv.SnnVoice(network, config["features"], config["labels"]).eval()
    axis = torch.arange(16_000) / 16_000
    with torch.inference_mode():
        out: torch.Tensor = voice(
            torch.stack([torch.sin(2 * torch.pi * f * axis) * 0.1 for f in (300.0, 900.0)])
        )
    return out


def close(found: list[list[float]], wanted: torch.Tensor) -> bool:
    return bool((torch.tensor(found) - wanted).abs().max() <= 1e-4 * wanted.abs().max())


@pytest.mark.parametrize("architecture", mostly_slow(legacy_writer.ARCHITECTURES, "M5CNN", "TcySNN"))
def test_every_network_of_the_paper(hub: Sandbox, tmp_path: Path, architecture: str) -> None:
    spiking = architecture.endswith(("SNN", "SCNN"))
    steps = 2 if architecture.startswith("Piczak") else 3
    network = legacy_writer.network(
        architecture, **({"num_steps": steps, "learn_beta": True} if spiking else {})
    )
    path = RUN.format(model=architecture.lower(), steps=steps) + CHECKPOINT
    repo = f"me/legacy-{architecture.lower()}"
    # The optimizer's state is twice the weights; Piczak's would be 200 MB.
    written = legacy_writer.write(network, tmp_path / "x.ckpt", moments=not architecture.startswith("Piczak"))
    hub.push(repo, {"README.md": "---\nlicense: mit\n---\n", path: written})
    answer = load(hub, repo)
    config = answer["config"]
    assert config["architecture"] == answer["class"] == architecture
    assert config["labels"] == list(SPEECH_COMMANDS)
    assert config["features"]["normalization"] == "fixed"
    if spiking:
        assert config["network"]["num_steps"] == steps
        assert config["network"]["learn_beta"] is True
        assert config["network"]["reset"] == "subtract-before-decay"
    assert close(answer["logits"], logits_of(network, config))
    # The same repository by the network's own door; and never a pickle again.
    again = load(hub, repo, door=architecture)
    assert answer["opened"]
    assert not again["opened"]
    assert again["logits"] == answer["logits"]


@pytest.mark.slow
def test_the_papers_repository(hub: Sandbox, tmp_path: Path) -> None:
    """Several models, and the card's is the Piczak SNN of 15 steps."""
    files: dict[str, bytes | str | Path] = {"README.md": "---\nlicense: mit\n---\n"}
    tiny = legacy_writer.write(legacy_writer.network("TcySNN", num_steps=15), tmp_path / "tcy.ckpt")
    files[RUN.format(model="tcy_snn", steps=15) + CHECKPOINT] = tiny
    for steps in (1, 15):
        made = legacy_writer.network("PiczakSNN", seed=steps, num_steps=steps)
        written = legacy_writer.write(made, tmp_path / f"{steps}.ckpt", moments=False)
        files[RUN.format(model="piczak_snn", steps=steps) + CHECKPOINT] = written
    hub.push(REPO, files)
    ran = hub.run(LOAD.format(door="SnnVoice", source=REPO, options={}))
    assert ran.value["class"] == "PiczakSNN"
    assert ran.value["config"]["network"]["num_steps"] == 15
    assert "tcy_snn" in ran.err  # what else there is
    fetched = hub.requests.find("*/resolve/*", "GET")
    assert len(fetched) == 1
    other = load(hub, REPO, filename=RUN.format(model="tcy_snn", steps=15) + CHECKPOINT)
    assert other["class"] == "TcySNN"
    wrong = load(hub, REPO, door="M5SNN")
    assert "PiczakSNN.from_pretrained" in wrong["text"]
    # Offline, all of it again.
    hub.requests.clear()
    assert load(hub, REPO, local_files_only=True)["logits"] == ran.value["logits"]
    assert hub.count() == 0


def test_steps_that_no_file_states(hub: Sandbox, tmp_path: Path) -> None:
    made = legacy_writer.network("TcySNN", num_steps=4)
    written = legacy_writer.write(made, tmp_path / "x.ckpt", changes={"hyper_parameters": None})
    hub.push("me/silent", {"weights.ckpt": written})
    answer = load(hub, "me/silent")
    assert "num_steps" in answer["text"]
    assert load(hub, "me/silent", num_steps=4)["config"]["network"]["num_steps"] == 4
    hub.push("me/by-name", {RUN.format(model="tcy_snn", steps=7) + CHECKPOINT: written})
    assert load(hub, "me/by-name")["config"]["network"]["num_steps"] == 7


def test_a_file_and_a_folder_of_this_disk(hub: Sandbox, tmp_path: Path) -> None:
    made = legacy_writer.network("TcySNN", num_steps=2)
    path = legacy_writer.write(made, tmp_path / "runs" / "a" / "x.ckpt")
    by_file = load(hub, str(path))
    assert close(by_file["logits"], logits_of(made, by_file["config"]))
    by_folder = load(hub, str(tmp_path / "runs"))
    assert by_folder["logits"] == by_file["logits"]
    # A file that changes is another checkpoint.
    legacy_writer.write(legacy_writer.network("TcySNN", seed=1, num_steps=2), path)
    assert load(hub, str(path))["logits"] != by_file["logits"]


def test_what_was_converted_once_is_not_fetched_again(hub: Sandbox, tmp_path: Path) -> None:
    made = legacy_writer.network("TcySNN", num_steps=3)
    written = legacy_writer.write(made, tmp_path / "x.ckpt")
    hub.push("me/once", {"README.md": "one", "run/x.ckpt": written})
    first = load(hub, "me/once")
    (cached,) = hub.home.glob("hub/models--me--once")
    shutil.rmtree(cached)
    # Other words in the card make another commit, and not another checkpoint.
    hub.push("me/once", {"README.md": "two"})
    hub.requests.clear()
    assert load(hub, "me/once")["logits"] == first["logits"]
    assert hub.count("*/resolve/*") == 0
    assert not cached.exists()
    hub.requests.clear()
    assert load(hub, "me/once", local_files_only=True)["logits"] == first["logits"]
    assert hub.count() == 0
    # Asked for, it is fetched; and so is one that has changed.
    assert load(hub, "me/once", force_download=True)["logits"] == first["logits"]
    assert hub.count("*/resolve/*/run/x.ckpt", "GET") > 0
    other = legacy_writer.write(legacy_writer.network("TcySNN", seed=1, num_steps=3), tmp_path / "y.ckpt")
    hub.push("me/once", {"run/x.ckpt": other})
    assert load(hub, "me/once")["logits"] != first["logits"]


@pytest.mark.slow
def test_pulling_says_how_much_disk_it_takes(hub: Sandbox, hub_env: dict[str, str], tmp_path: Path) -> None:
    written = legacy_writer.write(legacy_writer.network("M5SNN", num_steps=3), tmp_path / "x.ckpt")
    hub.push("me/old", {"x.ckpt": written})

    def pull(out: str, *more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from snn_voice_hub.cli import main; main()", "pull", "me/old", out]
        return subprocess.run([*command, *more], env=hub_env, cwd=tmp_path, capture_output=True, text=True)

    ran = pull("plain")
    assert ran.stdout == "plain\n"
    told = ran.stderr.splitlines()[-1]
    size, cached, converted = (float(number) for number in re.findall(r"([\d.]+) MB", told))
    assert cached == pytest.approx(written.stat().st_size / 1e6, abs=0.1)
    weights = (tmp_path / "plain" / "model.safetensors").stat().st_size / 1e6
    assert size == pytest.approx(weights, abs=0.1)
    assert converted == pytest.approx(weights, abs=0.1)
    assert cached > converted > 0
    assert "MB" not in pull("quiet", "--quiet").stderr


@pytest.mark.slow
def test_two_processes_convert_at_once(hub: Sandbox, tmp_path: Path) -> None:
    made = legacy_writer.network("M5SNN", num_steps=1)
    hub.push("me/race", {"x.ckpt": legacy_writer.write(made, tmp_path / "x.ckpt")})
    runs = hub.run_together([LOAD.format(door="SnnVoice", source="me/race", options={})] * 3)
    assert all(close(ran.value["logits"], logits_of(made, ran.value["config"])) for ran in runs)
    converted = list(hub.home.glob("assets/snn-voice-hub/*/converted/*"))
    assert [sorted(p.name for p in folder.iterdir()) for folder in converted] == [
        ["config.json", "model.safetensors"]
    ]


@pytest.mark.slow
def test_the_full_checkpoint(hub: Sandbox, tmp_path: Path) -> None:
    """300 MB, of which a third are weights, against what the paper's code answered."""
    script = SHARED / "legacy" / "make_piczak_checkpoint.py"
    if not script.is_file():
        pytest.skip("the script that writes the full structure is not beside this checkout")

    path = tmp_path / "epoch=7-step=5312.ckpt"
    subprocess.run([sys.executable, script, path], check=True, capture_output=True)
    assert path.stat().st_size > 300e6
    hub.push(REPO + "_full", {RUN.format(model="piczak_snn", steps=15) + CHECKPOINT: path})
    first, second = load(hub, REPO + "_full"), load(hub, REPO + "_full")
    assert first["class"] == "PiczakSNN"
    assert first["opened"]
    assert not second["opened"]
    assert second["logits"] == first["logits"]
    # The weights' own 102 MB, and at most 150 MB besides.
    weights = 102.5
    for answer in (first, second):
        assert answer["grown"] < weights + 150
        assert math.isfinite(sum(answer["logits"][0]))
