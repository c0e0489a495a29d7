"""What a network in C takes: bytes of flash and RAM, and operations a second."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.export.agreement import signals
from snn_voice_hub.export.c.front import FixedFrontEnd
from snn_voice_hub.export.c.plan import IntegerPlan
from snn_voice_hub.features import Features
from snn_voice_hub.models.framed import FramedSNN


@dataclass(frozen=True)
class Footprint:
    """What it takes.

    Attributes:
        weights: Bytes of the weights.
        tables: Bytes of the other tables, labels aside.
        ram: Bytes of what is remembered of a stream.
        steps: Of the network, a second.
        products: Multiplications of the layers that hear features, a second.
        dense: Additions of weights a second, if every neuron spiked at every step.
        measured: Additions a second on the built-in signals.
    """

    weights: int
    tables: int
    ram: int
    steps: float
    products: float
    dense: float
    measured: float


def cost_of(
    plan: IntegerPlan, front: FixedFrontEnd, config: VoiceConfig, network: FramedSNN, sizes: dict[str, str]
) -> Footprint:
    """Count.

    Args:
        plan: The tables.
        front: Those of the front end.
        config: Of the model.
        network: The network itself, which tells how often its neurons spike.
        sizes: The constants of `model.h`.
    """
    size = {name: int(sizes[name].rstrip("u")) for name in sizes if sizes[name].endswith("u")}
    heard = [heard for layer in plan.layers for heard in layer.heard]
    # Multipliers, biases, decays and what a layer and a projection are, at 4 bytes a pointer.
    numbers = sum(each.table.multipliers.size for each in heard) + 2 * plan.classes
    numbers += sum(layer.bias.size + layer.decays.size for layer in plan.layers)
    numbers += front.sines.size + front.logs.size + 65
    halves = front.window.size + 2 * plan.bands + front.weights.size + 2 * size["WORDS"]
    steps = config.features.sample_rate / size["STEP_SAMPLES"]
    rates = _rates(network, config)
    last = plan.layers[-1]
    dense = measured = products = 0.0
    for each in heard:
        if each.source < 0:
            products += each.table.weights.size * steps
        else:
            dense += each.table.weights.size * steps
            measured += each.table.weights.size * steps * rates[plan.layers[each.source].name]
    # What enters the sums of an answer leaves them later.
    head = 2 * plan.head.weights.size * steps
    return Footprint(
        weights=sum(each.table.size for each in heard) + plan.head.size,
        tables=4 * numbers + 2 * halves + 36 * len(plan.layers) + 16 * len(heard),
        ram=ram_of(size),
        steps=steps,
        products=products,
        dense=dense + head,
        measured=measured + head * rates[last.name],
    )


def ram_of(size: dict[str, int]) -> int:
    """Bytes of an `SnnVoice`, in which nothing is wider than 4 bytes."""
    words = size["NEURONS"] + size["SPIKE_WORDS"] + size["CLASSES"] + size["CURRENTS"] * size["CHANNELS"]
    words += size["CHANNELS"]
    before = 4 * words + 2 * size["LAYERS"]
    before += before % 4  # the sums behind the rows begin at a whole word
    before += 2 * size["FRAMES"] * size["BANDS"] + 2 + 2 * (size["HISTORY"] + size["HOP_SAMPLES"])
    before += -before % 4 + 4 * size["FFT"]
    before += 2 + 2 + 2 + 2 + 2 * size["TOGETHER"] * size["WORDS"] + 2
    return before + -before % 4 + 8


def _rates(network: FramedSNN, config: VoiceConfig) -> dict[str, float]:
    """How often a neuron of each layer spikes in a step, in the mean over the built-in signals."""
    found: dict[str, float] = {}

    def tap(name: str, values: Tensor) -> None:
        if not name.endswith(".mem"):
            found[name] = float(values.mean())

    with torch.inference_mode(False), torch.no_grad():
        network.forward_steps(Features(config.features)(signals(config.features)), tap=tap)
    return found
