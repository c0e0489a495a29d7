"""What other projects make of our NIR files: NIRTorch's interpreter, and snnTorch's importer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.export.agreement import agreement
from snn_voice_hub.export.nir.files import export_nir, load
from snn_voice_hub.models.network import SpikingNetwork
from tests.export.helpers import Even, on_frames, recordings
from tests.slowness import mostly_slow

nir = pytest.importorskip("nir")
nirtorch = pytest.importorskip("nirtorch")

DT = 1e-4


class Leaky(nn.Module):
    """snnTorch's neuron as NIRTorch's interpreter wants it."""

    def __init__(self, node: Any) -> None:
        super().__init__()
        beta = torch.from_numpy(1 - DT / node.tau).float()
        # All bundled models have the rule of today's snnTorch.
        assert str(node.metadata["reset"]) in ("subtract", "zero")
        self.lif = snntorch.Leaky(
            beta=beta,
            threshold=torch.from_numpy(node.v_threshold).float(),
            reset_mechanism=str(node.metadata["reset"]),
        )
        self.spikes: list[Tensor] = []

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Tensor]:
        spk, mem = self.lif(x, self.lif.init_leaky() if state is None else state)
        self.spikes.append(spk)
        return spk, mem


class Integrator(nn.Module):
    """The standard's leaky integrator by Euler's method: tau dv/dt = -v + R I."""

    def __init__(self, node: Any) -> None:
        super().__init__()
        self.tau, self.r = (torch.from_numpy(np.asarray(v)) for v in (node.tau, node.r))

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Tensor]:
        v = torch.zeros(()) if state is None else state
        v = ((1 - DT / self.tau) * v + DT / self.tau * self.r * x).to(x.dtype)
        return v, v


class Threshold(nn.Module):
    """Spikes where the input is above it."""

    def __init__(self, node: Any) -> None:
        super().__init__()
        self.threshold = torch.from_numpy(node.threshold)
        self.spikes: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.spikes.append((x > self.threshold).float())
        return self.spikes[-1]


class Scale(nn.Module):
    """The input times a constant."""

    def __init__(self, node: Any) -> None:
        super().__init__()
        self.scale = torch.from_numpy(node.scale)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class Delay(nn.Module):
    """What came in a number of steps ago."""

    def __init__(self, node: Any) -> None:
        super().__init__()
        self.steps = round(float(node.delay[0]) / DT)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        waiting = [torch.zeros_like(x)] * self.steps if state is None else state
        out, *waiting = [*waiting, x]
        return out, waiting


def affine(node: Any) -> nn.Module:
    """NIRTorch 2.6 leaves the bias of its own at random."""
    linear = nn.Linear(*reversed(node.weight.shape))
    linear.weight.data, linear.bias.data = (torch.from_numpy(v) for v in (node.weight, node.bias))
    return linear


NODES = {
    nir.LIF: Leaky,
    nir.LI: Integrator,
    nir.Threshold: Threshold,
    nir.Scale: Scale,
    nir.Affine: affine,
    nir.Delay: Delay,
}


def expected_of(voice: sv.SnnVoice, features: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and spikes `[T, B, ...]` by layer."""
    spikes: dict[str, Tensor] = {}
    network = voice.network
    assert isinstance(network, SpikingNetwork)

    def tap(name: str, tensor: Tensor) -> None:
        if not name.endswith(".mem"):
            spikes[name] = tensor

    return network.forward_steps(features, tap=tap).sum(0), spikes


@pytest.mark.parametrize("neurons", ["lif", "parts"])
@pytest.mark.parametrize(
    "name", mostly_slow(["resmel-snn", "m5-snn", "hjh-snn", "tcy-snn"], "resmel-snn", "tcy-snn")
)
def test_nirtorch_gives_the_same_spikes(name: str, neurons: str, tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained(name, engine="torch")
    assert isinstance(voice.network, SpikingNetwork)
    path = export_nir(voice.network, voice.config, tmp_path / "m.nir", neurons=neurons).path
    graph = nir.read(path)
    module = nirtorch.nir_to_torch(graph, NODES)
    shape = graph.nodes["input"].output_type["output"]
    with torch.no_grad():
        features = voice.features(recordings())
        expected, spikes = expected_of(voice, features)
        logits = torch.zeros_like(expected)
        x, state = features.reshape(len(features), *shape), None
        for _ in range(voice.network.num_steps):
            out, state = module(x, state)
            logits = logits + out.flatten(1)
    assert agreement(logits, expected).good
    equal = total = 0
    for layer, ours in spikes.items():
        theirs = torch.stack(module.get_submodule(layer.replace(".", "_")).spikes)
        equal += int((theirs.flatten() == ours.flatten()).sum())
        total += ours.numel()
    assert equal >= 0.999 * total


@pytest.mark.parametrize("name", ["resmel-snn", "tcy-snn"])
def test_snntorch_resets_to_zero_whatever_the_rule(name: str, tmp_path: Path) -> None:
    """What snnTorch imports is our `reset="zero"`; with the rule of the metadata it is the network."""
    from snntorch.import_nir import import_from_nir

    voice = sv.SnnVoice.from_pretrained(name, engine="torch")
    assert isinstance(voice.network, SpikingNetwork)
    path = export_nir(voice.network, voice.config, tmp_path / "m.nir").path
    graph = nir.read(path)
    module = import_from_nir(graph)
    neurons = [m for m in module.modules() if isinstance(m, snntorch.Leaky)]
    with torch.no_grad():
        features = voice.features(recordings())
        expected, _ = expected_of(voice, features)
        x = features.reshape(len(features), *graph.nodes["input"].output_type["output"])

        def run() -> Tensor:
            logits, state = torch.zeros_like(expected), None
            for _ in range(voice.config.network["num_steps"]):
                out, state = module(x, state)
                logits = logits + out.flatten(1)
            return logits

        letter = load(path, reset="zero")(features)
        assert agreement(run(), letter).good
        assert agreement(letter, expected).moved > len(features) / 2
        for lif in neurons:
            # They are reset within the step; the rule of the metadata is that of snnTorch's default.
            lif.reset_mechanism, lif.reset_delay = "subtract", True
            lif.state_function = lif._base_sub  # chosen by the constructor
            lif.reset_mem()
        assert agreement(run(), expected).good


@pytest.mark.parametrize("neurons", ["lif", "parts"])
def test_nirtorch_runs_delays(neurons: str, tmp_path: Path) -> None:
    """It needs a node for delays; the next frames come in, and the answer is the sum of what comes out."""
    network = on_frames(Even)
    voice = sv.SnnVoice(network, labels=list("abcdefg"), engine="torch").eval()
    path = export_nir(network, voice.config, tmp_path / "m.nir", neurons=neurons).path
    graph = nir.read(path)
    module = nirtorch.nir_to_torch(graph, NODES)
    with torch.no_grad():
        features = voice.features(recordings())
        expected, _ = expected_of(voice, features)
        frames = nn.functional.pad(features[:, 0], (graph.metadata["lead_frames"], 0)).movedim(-1, 0)
        x = frames[:100].unflatten(0, (-1, graph.metadata["frames_per_step"])).transpose(1, 2).flatten(2)
        logits, state = torch.zeros_like(expected), None
        for step in x:
            out, state = module(step, state)
            logits = logits + out
    assert agreement(logits, expected).good


def test_snntorch_knows_no_delay(tmp_path: Path) -> None:
    from snntorch.import_nir import import_from_nir

    network = on_frames(Even)
    voice = sv.SnnVoice(network, labels=list("abcdefg"), engine="torch")
    path = export_nir(network, voice.config, tmp_path / "m.nir").path
    with pytest.raises(ValueError, match="Delay"):
        import_from_nir(nir.read(path))
