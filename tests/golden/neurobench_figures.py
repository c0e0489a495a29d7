"""What the package neurobench counts on two networks, for `tests/golden/neurobench.json`.

    pip install --no-deps neurobench
    python -m tests.golden.neurobench_figures > tests/golden/neurobench.json

Weights and inputs are multiples of powers of two, so that all sums are exact, and no membrane comes within
rounding of its threshold: the spikes, and so the counts, are the same on every machine.
"""

from __future__ import annotations

import json
import zlib
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.naive import NaiveNetwork
from snn_voice_hub.models import M5SNN, HjhSNN
from snn_voice_hub.models.network import SpikingNetwork

CLIPS = 2
# Below the finest step of a membrane, above what batch norm rounds: no membrane is equal to its threshold.
_OFFSET = 2.0**-16
# Integers up to the first, divided by the second.
_WEIGHTS = {
    "M5SNN": {"snn.0": (2, 16), "snn.1": (2, 16), "snn.2": (2, 16), "snn.3": (1, 16), "fc": (2, 16)},
    "HjhSNN": {"snn.1": (2, 4), "snn.2": (2, 8), "fc": (2, 8)},
}
_INPUTS = {"M5SNN": (1, 4000), "HjhSNN": (1, 60, 134)}
KINDS: dict[str, type[SpikingNetwork]] = {"M5SNN": M5SNN, "HjhSNN": HjhSNN}
NUM_STEPS = 3


def _integers(name: str, largest: int, shape: tuple[int, ...]) -> Tensor:
    draw = np.random.default_rng(zlib.crc32(name.encode())).integers(-largest, largest + 1, shape)
    return torch.from_numpy(draw.astype(np.float32))


def network(name: str) -> SpikingNetwork:
    """A network with weights by formula, in evaluation mode."""
    made = KINDS[name](num_classes=35, num_steps=NUM_STEPS)
    state = made.state_dict()
    for layer, (largest, part) in _WEIGHTS[name].items():
        key = f"{layer}.weight" if layer == "fc" else f"{layer}.conv.weight"
        state[key] = _integers(f"{name} {key}", largest, tuple(state[key].shape)) / part
        state[key.replace("weight", "bias")].zero_()
        if layer != "fc":
            state[f"{layer}.bn.running_var"].fill_(1 - 1e-5)
            state[f"{layer}.bn.bias"].fill_(_OFFSET)
    made.load_state_dict(state)
    return made.eval().requires_grad_(False)


def inputs(name: str) -> Tensor:
    """Features of `CLIPS` clips."""
    return _integers(f"{name} input", 24, (CLIPS, *_INPUTS[name])) / 16 + _OFFSET


def by_neurobench(model: Any, x: Tensor, names: dict[nn.Module, str]) -> dict[str, Any]:
    """Figures of one NeuroBench model: means over the clips, which run one by one.

    In batches, neurobench sums in float32 what no longer fits into its 24 bits.

    Args:
        model: A `NeuroBenchModel`.
        x: Its input, `[B, 1, ...]`.
        names: What its layers are called.
    """
    from neurobench.metrics.static import Footprint
    from neurobench.metrics.utils.layers import single_layer_MACs
    from neurobench.metrics.workload import ActivationSparsity, MembraneUpdates, SynapticOperations

    model.register_hooks()
    synops, updates = SynapticOperations(), MembraneUpdates()
    sparsity = []
    layers: dict[str, dict[str, float]] = {}
    for clip in x.split(1):
        model.reset_hooks()
        data = (clip, torch.zeros(1))
        found = model(clip)
        for hook in model.connection_hooks:
            hook.hook.remove()  # a layer that counts is called itself
            counted = layers.setdefault(names[hook.layer], {"dense": 0, "macs": 0, "acs": 0})
            for (seen,) in hook.inputs:
                dense, _ = single_layer_MACs(seen, hook.layer, total=True)
                used, binary = single_layer_MACs(seen, hook.layer)
                counted["dense"] += dense / len(x)
                counted["acs" if binary else "macs"] += used / len(x)
            hook.register_hook()
        synops(model, found, data)
        updates(model, found, data)
        sparsity.append(ActivationSparsity()(model, found, data))
    figures = {
        "totals": synops.compute(),
        "activation_sparsity": float(np.mean(sparsity)),
        "membrane_updates": updates.compute(),
        "footprint": Footprint()(model),
        "layers": layers,
    }
    model.cleanup_hooks()
    return figures


def of_spiking(ours: SpikingNetwork, x: Tensor) -> dict[str, Any]:
    """Figures of the same network as snnTorch runs it, in a loop over the steps."""
    from neurobench.models import SNNTorchModel

    names = {module: name for name, module in ours.named_modules()}
    return by_neurobench(SNNTorchModel(NaiveNetwork(ours), custom_forward=True), x, names)


def main() -> None:
    """Print the figures as JSON."""
    packages = {name: version(name) for name in ("neurobench", "snntorch", "torch")}
    found = {name: of_spiking(network(name), inputs(name)) for name in KINDS}
    print(json.dumps({"made_by": packages, "clips": CLIPS, "num_steps": NUM_STEPS, **found}, indent=1))


if __name__ == "__main__":
    main()
