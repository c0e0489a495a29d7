"""A network on frames as the tables of the C code: layers, projections, and where what is remembered lies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.export.c.quantise import POINT, Floats, Integers, Quantised, quantised
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import Framed, FramedSNN
from snn_voice_hub.models.wiring import NeuronLayer, Projection, Wiring

# Of a decay, in units of 2^-16: within it, 1 - 2^-k is the decay.
_DECAY = 0.5
_WIDEST = 60_000


@dataclass(frozen=True, eq=False)
class IntegerProjection:
    """A projection.

    Attributes:
        name: Of the convolution.
        source: Number of the layer whose spikes it hears, -1 for the features.
        kernel: Taps.
        dilation: Steps between taps.
        table: `[kernel * in, out]`, the oldest tap first.
    """

    name: str
    source: int
    kernel: int
    dilation: int
    table: Quantised


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A layer of neurons.

    Attributes:
        name: Of the neurons.
        heard: What comes in.
        channels: How many neurons it has.
        bias: `[channels]`, in units of 2^-16.
        decays: One, or one a channel, in units of 2^-16.
        decay_shift: k where the decay is 1 - 2^-k, else 0.
        threshold: In units of 2^-16.
        resets_before: Whether a spike is subtracted before the decay.
        neurons: Where its membranes are.
        spikes: Where its newest spikes are, in words of 32.
        depth: Steps for which they are kept.
        residual: Buffer of the current that is added, -1 for none.
        current: Buffer of its own current.
    """

    name: str
    heard: tuple[IntegerProjection, ...]
    channels: int
    bias: Integers
    decays: Integers
    decay_shift: int
    threshold: int
    resets_before: bool
    neurons: int
    spikes: int
    depth: int
    residual: int
    current: int


@dataclass(frozen=True, eq=False)
class IntegerPlan:
    """A network.

    Attributes:
        layers: In the order in which they are computed.
        head: `[channels, classes]`.
        head_bias: Of a step, in units of 2^-24.
        num_steps: Outputs that make an answer.
        bands: Of a frame.
        frames_per_step: That a step hears.
        frames: That are kept.
        buffers: Of currents.
        wide: How many layers, the first ones, have weights in 16 bits; those of the others have 8. The head
            counts as the last layer.
    """

    layers: tuple[IntegerLayer, ...]
    head: Quantised
    head_bias: Integers
    num_steps: int
    bands: int
    frames_per_step: int
    frames: int
    buffers: int
    wide: int

    @property
    def classes(self) -> int:
        """Labels."""
        return len(self.head_bias)

    @property
    def neurons(self) -> int:
        """Of all layers."""
        return sum(layer.channels for layer in self.layers)

    @property
    def channels(self) -> int:
        """Of the widest layer."""
        return max(layer.channels for layer in self.layers)

    @property
    def spike_words(self) -> int:
        """Words in which spikes are kept."""
        return sum(layer.depth * words_of(layer.channels) for layer in self.layers)


def words_of(channels: int) -> int:
    """Words of 32 bits that so many spikes take."""
    return -(-channels // 32)


def refused(why: str, hint: str) -> SnnVoiceError:
    """The error for what can't be written in C."""
    return SnnVoiceError(f"this model can't be exported to C: {why}", hint=hint, code="not_exportable")


def wiring_of(network: Network) -> Wiring:
    """What the network is made of.

    Raises:
        SnnVoiceError: It is of another kind than the C code runs.
    """
    if not isinstance(network, Framed):
        raise refused(
            f"{type(network).__name__} hears windows of sound; networks on frames go step by step",
            "tempo-snn or micro-snn; windows are for --to onnx",
        )
    found = network.wiring() if isinstance(network, FramedSNN) else None
    if found is None or not isinstance(network, FramedSNN):
        raise refused(
            f"{type(network).__name__} has no spikes, by which the C code saves its multiplications",
            "its spiking twin, such as tempo-snn; or --to onnx",
        )
    _check(found, network)
    return found


def make_plan(network: FramedSNN, *, wide: int, feature_unit: float) -> IntegerPlan:
    """Lay out a network, with its weights as integers.

    Args:
        network: The network.
        wide: How many layers, the first ones, have weights in 16 bits; those of the others have 8. The head
            counts as the last layer.
        feature_unit: What a feature of 1 stands for.

    Raises:
        SnnVoiceError: It is of another kind than the C code runs.
    """
    found = wiring_of(network)
    depths = _depths(found, network.num_steps)
    places, buffers = _buffers(found)
    layers: list[IntegerLayer] = []
    neurons = spikes = 0
    for number, layer in enumerate(found.layers):
        channels = layer.projections[0].conv.conv.out_channels
        heard, bias = [], np.zeros(channels)
        for projection in layer.projections:
            folded = projection.conv.folded()
            bias += _array(folded.bias)
            heard.append(_heard(projection, _array(folded.weight), bits_of(number, wide), feature_unit))
        decays, shift = _decays(layer, channels)
        layers.append(
            IntegerLayer(
                name=layer.name,
                heard=tuple(heard),
                channels=channels,
                bias=_points(bias),
                decays=decays,
                decay_shift=shift,
                threshold=int(_points(_array(layer.lif.threshold))),
                resets_before=layer.lif.reset == "subtract-before-decay",
                neurons=neurons,
                spikes=spikes,
                depth=depths[number],
                residual=-1 if layer.residual is None else places[layer.residual],
                current=places[number],
            )
        )
        neurons += channels
        spikes += depths[number] * words_of(channels)
    head = found.head
    rows = _array(head.weight).T / network.num_steps
    bias = np.zeros(head.out_features) if head.bias is None else _array(head.bias) / network.num_steps
    kernels = [heard.kernel for layer in layers for heard in layer.heard if heard.source < 0]
    return IntegerPlan(
        layers=tuple(layers),
        head=quantised(rows, bits=bits_of(len(layers), wide), largest=network.num_steps),
        head_bias=np.rint(bias * 2.0**24).astype(np.int64),
        num_steps=network.num_steps,
        bands=network.min_shape[0],
        frames_per_step=network.frames_per_step,
        frames=max(network.frames_per_step, *kernels),
        buffers=buffers,
        wide=wide,
    )


def bits_of(layer: int, wide: int) -> int:
    """Of the weights of a layer, by its number, where the first `wide` ones have 16."""
    return 16 if layer < wide else 8


def _array(tensor: Tensor) -> Floats:
    found: Floats = tensor.detach().cpu().double().numpy()
    return found


def _points(values: Floats) -> Integers:
    return np.rint(np.clip(values * 2.0**POINT, -(2.0**31), 2.0**31 - 1)).astype(np.int64)


def _check(found: Wiring, network: FramedSNN) -> None:
    """Refuse a wiring whose layers do not all step together, once a step of the network."""
    hint = "a network in which every layer steps once in a step, as in tempo-snn; or --to onnx"
    for layer in found.layers:
        for heard in layer.projections:
            conv = heard.conv
            once = network.frames_per_step if heard.source is None else 1
            if conv.stride != once:
                raise refused(f"{heard.name} steps at another pace than the network", hint)
            if heard.source is None and conv.dilation != 1:
                raise refused(f"{heard.name} leaves out frames of the sound", hint)
            if conv.past >= _WIDEST:
                raise refused(f"{heard.name} looks {conv.past} steps back", hint)


def _heard(projection: Projection, weights: Floats, bits: int, feature_unit: float) -> IntegerProjection:
    conv, source = projection.conv, projection.source
    on_features = source is None
    table = quantised(
        weights,
        bits=bits,
        largest=32768 if on_features else 1,
        unit=feature_unit if on_features else 1.0,
    )
    return IntegerProjection(
        projection.name, -1 if source is None else source, conv.kernel, conv.dilation, table
    )


def _decays(layer: NeuronLayer, channels: int) -> tuple[Integers, int]:
    """One decay, or one a channel; and the k of a decay of 1 - 2^-k, or 0."""
    beta = np.clip(_array(layer.lif.beta), 0.0, 1.0).reshape(-1)
    decays = np.rint(beta * 2.0**16).astype(np.int64)
    if len(decays) > 1:
        return np.broadcast_to(decays, channels), 0
    away = 1.0 - float(beta[0])
    k = round(-math.log2(away)) if away > 2.0**-16 else 0
    return decays, k if 0 < k < 16 and abs(away - 2.0**-k) * 2**16 < _DECAY else 0


def _depths(found: Wiring, num_steps: int) -> list[int]:
    """For how many steps the spikes of each layer are kept."""
    depths = [1] * len(found.layers)
    for layer in found.layers:
        for heard in layer.projections:
            if heard.source is not None:
                depths[heard.source] = max(depths[heard.source], heard.conv.past + 1)
    depths[-1] = max(depths[-1], num_steps + 1)
    return depths


def _buffers(found: Wiring) -> tuple[list[int], int]:
    """The buffer of each layer's current, and how many there are. One is free behind its last reader."""
    last = {layer.residual: i for i, layer in enumerate(found.layers) if layer.residual is not None}
    places: list[int] = []
    held: dict[int, int] = {}  # buffer -> the layer that is read last
    for i in range(len(found.layers)):
        # A layer may write over what it reads, number by number.
        held = {buffer: until for buffer, until in held.items() if until > i}
        place = next(j for j in range(len(held) + 1) if j not in held)
        places.append(place)
        if i in last:
            held[place] = last[i]
    return places, max(places) + 1
