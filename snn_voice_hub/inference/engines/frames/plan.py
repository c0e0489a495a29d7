"""A network's wiring as the kernels read it: structures of C, and weights as they are added."""

from __future__ import annotations

import ctypes
import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snn_voice_hub.inference.engines.base import Unsupported
from snn_voice_hub.inference.engines.events.layers import address, padded
from snn_voice_hub.inference.engines.events.lowering import MAX_CHANNELS
from snn_voice_hub.inference.engines.events.program import check_sums
from snn_voice_hub.models.causal import CausalConvNorm
from snn_voice_hub.models.framed import FramedSNN
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import PAST
from snn_voice_hub.models.wiring import Wiring

_NONE = -1


class FrameProjection(ctypes.Structure):
    """`struct FrameProjection` of frames.cpp, where the fields are explained."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("source", "channels", "kernel", "stride", "dilation", "past")),
        ("weight", ctypes.c_void_p),
    )


class FrameLayer(ctypes.Structure):
    """`struct FrameLayer` of frames.cpp."""

    _fields_ = (
        ("projections", ctypes.POINTER(FrameProjection)),
        *(
            (name, ctypes.c_int64)
            for name in ("count", "channels", "rows", "residual", "kept", "membrane", "decays_reset")
        ),
        *((name, ctypes.c_void_p) for name in ("bias", "beta")),
        ("threshold", ctypes.c_float),
    )


class FrameNet(ctypes.Structure):
    """`struct FrameNet` of frames.cpp."""

    _fields_ = (
        ("layers", ctypes.POINTER(FrameLayer)),
        *((name, ctypes.c_int64) for name in ("count", "bands", "frames", "state", "classes")),
        *((name, ctypes.c_void_p) for name in ("head", "head_bias")),
        ("num_steps", ctypes.c_float),
    )


@dataclass(frozen=True)
class FramePlan:
    """A network as the kernels read it.

    Attributes:
        net: The kernels' structure.
        bands: Of a frame.
        frames: Of a step.
        state: Values that are remembered of a stream.
        classes: C.
        num_steps: Outputs that make an answer.
        kept: What the structure points to.
    """

    net: FrameNet
    bands: int
    frames: int
    state: int
    classes: int
    num_steps: int
    kept: list[object]


@dataclass(frozen=True)
class _Shape:
    """What a layer gives: channels, and rows a step of the network."""

    channels: int
    rows: int


def make_plan(network: FramedSNN, found: Wiring) -> FramePlan:
    """Lay out a network.

    Args:
        network: The network, in evaluation mode.
        found: What its `wiring` says.

    Raises:
        Unsupported: A layer is not what the kernels compute, or the state is not that of the wiring.
    """
    for module, kind in _parts(found):
        _check_plain(module, kind)
    shapes = _shapes(found, network.frames_per_step)
    places, size = _places(found, network), network.state_size()
    last, classes = shapes[-1], found.head.out_features
    if last.rows != 1 or found.head.in_features != last.channels:
        raise Unsupported(
            f"a head for {found.head.in_features} values a step, after {last.rows} x {last.channels} spikes"
        )
    kept: list[object] = []
    layers = (FrameLayer * len(shapes))()
    residuals = {layer.residual for layer in found.layers}
    for number, (layer, shape, out) in enumerate(zip(found.layers, shapes, layers, strict=True)):
        projections = (FrameProjection * len(layer.projections))()
        total = torch.zeros(shape.channels, dtype=torch.float32, device="cpu")
        for heard, into in zip(layer.projections, projections, strict=True):
            weight, bias = _matrix(heard.conv)
            total += bias
            into.source = _NONE if heard.source is None else heard.source
            into.channels = heard.conv.conv.in_channels
            into.kernel, into.stride, into.dilation = (
                heard.conv.kernel,
                heard.conv.stride,
                heard.conv.dilation,
            )
            into.past = places.get(f"{heard.name}{PAST}", 0)
            into.weight = _held(kept, _widened(weight))
        out.projections, out.count = projections, len(projections)
        out.channels, out.rows = shape.channels, shape.rows
        out.residual = _NONE if layer.residual is None else layer.residual
        out.kept = number in residuals
        out.membrane = places[layer.name]
        out.decays_reset = layer.lif.reset == "subtract-before-decay"
        out.bias = _held(kept, _widened(total))
        out.beta = _held(kept, _widened(_decay(layer.lif, shape.channels)))
        out.threshold = float(layer.lif.threshold.detach())
        kept.append(projections)
    weight = found.head.weight.detach()
    bias = weight.new_zeros(classes) if found.head.bias is None else found.head.bias.detach()
    check_sums(weight, bias)
    net = FrameNet(
        layers,
        len(layers),
        found.layers[0].projections[0].conv.conv.in_channels,
        network.frames_per_step,
        size,
        classes,
        _held(kept, _widened(weight.t())),
        _held(kept, _widened(bias)),
        network.num_steps,
    )
    kept.append(layers)
    return FramePlan(net, net.bands, net.frames, size, classes, network.num_steps, kept)


def _parts(found: Wiring) -> list[tuple[nn.Module, type[nn.Module]]]:
    convs = [heard.conv for layer in found.layers for heard in layer.projections]
    return [
        *((conv, CausalConvNorm) for conv in convs),
        *((conv.bn, nn.BatchNorm1d) for conv in convs),
        *((layer.lif, Lif) for layer in found.layers),
        (found.head, nn.Linear),
    ]


def _check_plain(module: nn.Module, kind: type[nn.Module]) -> None:
    """Refuse what is not known to compute what its class says."""
    if type(module) is not kind or "forward" in vars(module):
        raise Unsupported(f"a {type(module).__name__} in the place of a {kind.__name__}")
    if isinstance(module, nn.BatchNorm1d) and (module.training or module.running_mean is None):
        raise Unsupported("batch norm by the statistics of the batch")
    if isinstance(module, Lif):
        constants = torch.cat([module.beta.detach().flatten(), module.threshold.detach().flatten()])
        if not torch.isfinite(constants).all():
            raise Unsupported("neurons whose beta or threshold is not finite")


def _shapes(found: Wiring, frames_per_step: int) -> list[_Shape]:
    """What each layer gives; all that it hears must give it as many rows, of as many channels."""
    shapes: list[_Shape] = []
    bands = {
        heard.conv.conv.in_channels
        for layer in found.layers
        for heard in layer.projections
        if heard.source is None
    }
    if len(bands) != 1 or found.layers[0].projections[0].source is not None:
        raise Unsupported("a first layer that hears no frames, or layers that hear different ones")
    frames = _Shape(bands.pop(), frames_per_step)
    for number, layer in enumerate(found.layers):
        gives = set()
        for heard in layer.projections:
            source = frames if heard.source is None else shapes[_earlier(heard.source, number)]
            conv = heard.conv
            if conv.conv.in_channels != source.channels or conv.conv.groups != 1 or source.rows % conv.stride:
                raise Unsupported(f"{heard.name} does not fit the {source.channels} channels that it hears")
            gives.add(_Shape(conv.conv.out_channels, source.rows // conv.stride))
        if layer.residual is not None:
            gives.add(shapes[_earlier(layer.residual, number)])
        if len(gives) != 1:
            raise Unsupported(f"{layer.name} sums currents of different shapes")
        (shape,) = gives
        if shape.channels > MAX_CHANNELS or layer.lif.beta.numel() not in (1, shape.channels):
            raise Unsupported(f"{layer.name} has {shape.channels} channels")
        shapes.append(shape)
    return shapes


def _earlier(number: int, than: int) -> int:
    if not 0 <= number < than:
        raise Unsupported(f"layer {than} hears layer {number}")
    return number


def _places(found: Wiring, network: FramedSNN) -> dict[str, int]:
    """Where a state holds what, by name.

    Raises:
        Unsupported: It holds other things than the wiring says.
    """
    held: dict[str, tuple[int, ...]] = {}
    for layer in found.layers:
        for heard in layer.projections:
            if heard.conv.past:
                held[f"{heard.name}{PAST}"] = (heard.conv.past, heard.conv.conv.in_channels)
        held[layer.name] = (layer.projections[0].conv.conv.out_channels,)
    layout = network.state_layout()
    if held != layout:
        other = sorted(name for name in {*held, *layout} if held.get(name) != layout.get(name))
        raise Unsupported(f"wiring() and the state differ in {', '.join(other)}")
    ends = itertools.accumulate((math.prod(shape) for shape in layout.values()), initial=0)
    return dict(zip(layout, ends, strict=False))


def _matrix(conv: CausalConvNorm) -> tuple[Tensor, Tensor]:
    """Weight `[kernel, in, out]` and bias `[out]` with the batch norm folded in."""
    linear = conv.folded()
    check_sums(linear.weight.t(), linear.bias)
    return linear.weight.view(conv.kernel, -1, len(linear.bias)), linear.bias


def _decay(lif: Lif, channels: int) -> Tensor:
    return lif.beta.detach().float().clamp(0, 1).expand(channels)


def _widened(rows: Tensor) -> Tensor:
    """The same with the last axis in whole vectors."""
    fill = padded(rows.shape[-1]) - rows.shape[-1]
    return nn.functional.pad(rows, (0, fill)).contiguous()


def _held(kept: list[object], tensor: Tensor) -> int:
    """Where a tensor lies, which is kept from now on."""
    kept.append(tensor)
    return address(tensor, torch.float32, tensor.numel())
