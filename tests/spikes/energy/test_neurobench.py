"""Counts against those of the package neurobench: recorded ones, and its own where it is installed."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
import torch
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub import audio
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.spikes.energy.count import Counter
from snn_voice_hub.spikes.energy.estimate import Energy
from tests.golden.neurobench_figures import KINDS, by_neurobench, inputs, network, of_spiking
from tests.places import EXAMPLES, ROOT

RECORDED = json.loads((ROOT / "tests" / "golden" / "neurobench.json").read_text())

# Buffers of snnTorch's `Leaky` beside the membrane (beta, threshold, and what gradients need): bytes a layer.
_LEAKY = 20


def count(net: torch.nn.Module, x: Tensor) -> Energy:
    counter = Counter(net)
    counter.count(x)
    return counter.energy()


def check(ours: Energy, theirs: dict[str, Any], spiking_layers: int) -> None:
    """Every count is equal to the digit; two figures mean something else, and the difference is explained."""
    assert theirs["totals"] == {
        "Effective_MACs": ours.macs,
        "Effective_ACs": ours.acs,
        "Dense": ours.dense,
    }
    for layer in ours.layers:
        assert theirs["layers"][layer.name] == {"dense": layer.dense, "macs": layer.macs, "acs": layer.acs}
    assert len(ours.layers) == len(theirs["layers"])
    assert ours.activation_sparsity == pytest.approx(theirs["activation_sparsity"], abs=1e-12)
    # snnTorch keeps the membranes of the last clip in buffers; ours are no part of the network.
    assert theirs["footprint"] == ours.footprint + ours.state + _LEAKY * spiking_layers
    # neurobench leaves out membranes that a step did not change.
    assert ours.neuron_updates * 0.999 < theirs["membrane_updates"] <= ours.neuron_updates


@pytest.mark.parametrize("name", KINDS)
def test_counts_are_those_that_neurobench_gave(name: str) -> None:
    found = count(network(name), inputs(name))
    check(found, RECORDED[name], spiking_layers=len(found.activity))
    assert all(0.5 < layer.sparsity < 0.95 for layer in found.activity)


@pytest.mark.parametrize("name", KINDS)
def test_neurobench_still_gives_what_is_recorded(name: str) -> None:
    pytest.importorskip("neurobench")
    assert of_spiking(network(name), inputs(name)) == RECORDED[name]


def real_features(voice: sv.SnnVoice) -> Tensor:
    waves = [audio.load(path, target_rate=voice.sample_rate) for path in sorted(EXAMPLES.glob("*.wav"))[:2]]
    size = voice.config.features.num_samples
    return voice.features(torch.stack([torch.nn.functional.pad(w, (0, size))[:size] for w in waves]))


@pytest.mark.parametrize("name", ["m5-snn", "hjh-snn", "resmel-snn", "tcy-snn"])
def test_trained_networks_cost_what_neurobench_says(name: str) -> None:
    pytest.importorskip("neurobench")
    voice = sv.SnnVoice.from_pretrained(name).requires_grad_(False)
    net = cast(SpikingNetwork, voice.network)
    x = real_features(voice)
    ours, theirs = count(net, x), of_spiking(net, x)
    # Steps that run one by one may round otherwise than all at once; a spike more is worth 1e-5.
    assert theirs["totals"]["Dense"] == ours.dense
    assert theirs["totals"]["Effective_ACs"] == pytest.approx(ours.acs, rel=1e-4)
    assert theirs["totals"]["Effective_MACs"] == pytest.approx(ours.macs, rel=1e-4)
    assert theirs["activation_sparsity"] == pytest.approx(ours.activation_sparsity, abs=1e-5)


@pytest.mark.parametrize("name", ["m5-cnn", "hjh-cnn"])
def test_cnns_cost_what_neurobench_says(name: str) -> None:
    pytest.importorskip("neurobench")
    from neurobench.models import TorchModel

    voice = sv.SnnVoice.from_pretrained(name).requires_grad_(False)
    x = real_features(voice)
    ours = count(voice.network, x)
    names = {module: name for name, module in voice.network.named_modules()}
    theirs = by_neurobench(TorchModel(voice.network), x, names)
    assert theirs["totals"]["Dense"] == ours.dense
    assert theirs["totals"]["Effective_ACs"] == ours.acs == 0
    assert theirs["totals"]["Effective_MACs"] == pytest.approx(ours.macs, rel=1e-5)
    assert theirs["footprint"] == ours.footprint
    # It sees no ReLU that is not a module of its own; ours sees all.
    assert theirs["activation_sparsity"] == 0
    assert ours.activation_sparsity is not None
    assert ours.activation_sparsity > 0.2
