"""A NIR graph of this library as a module that runs: step by step, with the reset rule of its metadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from snn_voice_hub.config import FRAMES, FeatureConfig, check_choice, check_int, read_dataclass
from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.models.base import Tap
from snn_voice_hub.models.encoding import ENCODINGS, encode
from snn_voice_hub.models.framed import LEAD, in_steps
from snn_voice_hub.models.lif import RESETS
from snn_voice_hub.tensors import FLOAT32

if TYPE_CHECKING:
    import nir

# The neuron's rule -> membrane from (membrane before, spike before, decay, current, threshold).
_RULES: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "subtract": lambda mem, spk, decay, x, threshold: decay * mem + x - spk * threshold,
    "subtract-before-decay": lambda mem, spk, decay, x, threshold: decay * (mem - spk * threshold) + x,
    "zero": lambda mem, spk, decay, x, threshold: decay * (mem * (1 - spk)) + x,
}


class NirNetwork(nn.Module):
    """A graph that `export.nir.load` has read.

    Attributes:
        architecture: The network class that it was made from.
        num_steps: T.
        encoding: How features become the steps' input; see `models.encoding`, and "frames".
        labels: One label a class.
        num_classes: Their number C.
        temperature: Logits are divided by it before the softmax.
        features: The front end; `SnnVoice(network, network.features, network.labels)` classifies sound.
    """

    def __init__(self, graph: nir.NIRGraph, *, reset: str | None = None) -> None:
        super().__init__()
        facts = graph.metadata
        try:
            self.architecture = str(facts["architecture"])
            self.num_steps = check_int("num_steps", int(facts["num_steps"]), low=1)
            self.encoding = check_choice("encoding", facts["encoding"], (*ENCODINGS, FRAMES))
            self.labels: list[str] = json.loads(facts["labels"])
            self.temperature = float(facts["temperature"])
            self.features = read_dataclass(FeatureConfig, json.loads(facts["features"]), "features.")
            dt = float(facts["dt"])
            self._frames = self._rate = 1
            if self.encoding == FRAMES:
                self._frames = check_int("frames_per_step", int(facts["frames_per_step"]), low=1)
                self._rate = check_int("steps_per_output", int(facts["steps_per_output"]), low=1)
        except (KeyError, TypeError, ValueError) as error:
            raise SnnVoiceError(f"the graph's metadata are damaged: {error}") from error
        self.num_classes = len(self.labels)
        self._order = _order(graph)
        self._sources = {name: [a for a, b in graph.edges if b == name] for name in self._order}
        self._shape = tuple(int(n) for n in graph.nodes["input"].output_type["output"])
        self._spiking = {
            name: str(node.metadata["layer"]) for name, node in graph.nodes.items() if _is_layer(node)
        }
        self._every = {name: int(graph.nodes[name].metadata.get("every", 1)) for name in self._spiking}
        for name in self._order:
            self.add_module(f"node_{name}", _module(name, graph.nodes[name], dt, reset))

    def forward(self, features: Tensor, *, clip_seeds: Sequence[int] | None = None) -> Tensor:
        """Logits `[B, C]` of features `[B, 1, ...]`: the sum of the newest `num_steps` outputs."""
        return self.forward_steps(features, clip_seeds=clip_seeds)[-self.num_steps :].sum(0)

    def forward_steps(
        self, features: Tensor, *, tap: Tap | None = None, clip_seeds: Sequence[int] | None = None
    ) -> Tensor:
        """Output of every time step; see `SpikingNetwork.forward_steps` and `Framed.forward_steps`.

        Args:
            features: Model input `[B, 1, ...]`.
            tap: Called with `(layer name, spikes [T, B, ...])`; on frames `[T, B, C, k]`, where a layer steps
                k times in a step of the network.
            clip_seeds: One seed a clip, for encodings that draw.

        Returns:
            Logits of each step, `[T, B, C]`.

        Raises:
            ConfigError: Features of another shape than the graph's input.
        """
        x = self._steps(features, clip_seeds)
        count = len(x) if self.encoding == FRAMES else self.num_steps
        times = count // self._rate
        # What the nodes gave in the step before, for edges that run back; what neurons keep.
        before: dict[str, Tensor] = {}
        state: dict[str, Tensor] = {}
        kept: dict[str, list[Tensor]] = {name: [] for name in self._spiking}
        outputs = []
        for t in range(count):
            now = {"input": x[min(t, len(x) - 1)]}
            for name in self._order:
                given = [now.get(source, before.get(source)) for source in self._sources[name]]
                total = sum((tensor for tensor in given if tensor is not None), x.new_zeros(()))
                node = self.get_submodule(f"node_{name}")
                if isinstance(node, _Neuron | _Delay):
                    now[name], state[name] = node(total, state.get(name))
                else:
                    now[name] = node(total)
                if name in kept and tap is not None:
                    kept[name].append(now[name])
            outputs.append(now["output"].flatten(1))
            before = now
        if tap is not None:
            for name, spikes in kept.items():
                every = self._every[name]
                tap(self._spiking[name], _by_output(torch.stack(spikes[every - 1 :: every]), times))
        # Between two outputs, nothing comes out.
        out = _by_output(torch.stack(outputs), times)
        return out if out.ndim == 3 else out.sum(-1)

    def _steps(self, features: Tensor, clip_seeds: Sequence[int] | None) -> Tensor:
        """The input of the graph's steps, `[T, B, ...]`; `[1, B, ...]` where it is the same in all."""
        if self.encoding != FRAMES:
            if features.ndim < 2 or features[0].numel() != int(np.prod(self._shape)):
                dims = len(self.features.shape)
                raise ConfigError(
                    f"the graph got features of shape {list(features.shape)}",
                    hint=f"[B, {', '.join(map(str, (1, *self._shape[-dims:])))}]",
                )
            x = encode(features, self.encoding, self.num_steps, clip_seeds)
            return x.reshape(len(x), len(features), *self._shape)
        bands, per_output = self._shape[0] // self._frames, self._frames * self._rate
        least = per_output + LEAD
        if features.ndim != 4 or features.shape[1:3] != (1, bands) or features.shape[3] < least:
            raise ConfigError(
                f"the graph got features of shape {list(features.shape)}", hint=f"[B, 1, {bands}, >={least}]"
            )
        x = in_steps(features, per_output)
        by_step = x.reshape(len(x), len(features), bands, self._rate, self._frames)
        # The frames one after the other.
        return by_step.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(2)


class _Neuron(nn.Module):
    """An integrator; with a threshold, a neuron."""

    def __init__(self, decay: Any, gain: Any, threshold: Any = None, rule: str = "zero") -> None:
        super().__init__()
        self.rule = _RULES[rule]
        self.fires = threshold is not None
        self.register_buffer("decay", _tensor(decay))
        self.register_buffer("gain", _tensor(gain))
        self.register_buffer("threshold", _tensor(0.0 if threshold is None else threshold))

    def forward(self, x: Tensor, mem: Tensor | None) -> tuple[Tensor, Tensor]:
        """Output and membrane of this step."""
        decay, gain, threshold = (cast(Tensor, getattr(self, n)) for n in ("decay", "gain", "threshold"))
        mem = torch.zeros_like(x) if mem is None else mem
        if not self.fires:
            mem = decay * mem + x * gain
            return mem, mem
        mem = self.rule(mem, (mem > threshold).to(x.dtype), decay, x * gain, threshold)
        return (mem > threshold).to(x.dtype), mem


class _Delay(nn.Module):
    """What came in a number of steps ago; before the first step, 0."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor, waiting: Tensor | None) -> tuple[Tensor, Tensor]:
        """What comes out, and what waits after this step, `[steps, B, ...]`."""
        if waiting is None:
            waiting = x.new_zeros(self.steps, *x.shape)
        line = torch.cat([waiting, x.unsqueeze(0)])
        return line[0], line[1:]


class _Node(nn.Module):
    """A node without memory: a function of its input and its own constants."""

    def __init__(self, call: Callable[..., Tensor], *constants: Any, **options: Any) -> None:
        super().__init__()
        self.call, self.options = call, options
        for i, constant in enumerate(constants):
            self.register_buffer(f"constant{i}", _tensor(constant))

    def forward(self, x: Tensor) -> Tensor:
        """The node's output of this step."""
        return self.call(x, *self._buffers.values(), **self.options)


def _by_output(x: Tensor, times: int) -> Tensor:
    """`[T * k, B, ...]` of a node that has k steps in one of the T outputs as `[T, B, ..., k]`."""
    return x if len(x) == times else x.reshape(times, -1, *x.shape[1:]).movedim(1, -1)


def _is_layer(node: nir.NIRNode) -> bool:
    """Whether it stands for a layer of the network's neurons."""
    return node.metadata.get("reset") in RESETS


def _module(name: str, node: nir.NIRNode, dt: float, reset: str | None) -> nn.Module:
    """What runs one node."""
    import nir

    if isinstance(node, nir.LIF | nir.LI | nir.IF | nir.I):
        return _neuron(name, node, dt, reset)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        call = functional.conv1d if isinstance(node, nir.Conv1d) else functional.conv2d
        options = {key: _plain(getattr(node, key)) for key in ("stride", "padding", "dilation", "groups")}
        return _Node(call, node.weight, node.bias, **options)
    if isinstance(node, nir.Affine):
        return _Node(functional.linear, node.weight, node.bias)
    if isinstance(node, nir.Linear):
        return _Node(functional.linear, node.weight)
    if isinstance(node, nir.Scale):
        return _Node(torch.mul, node.scale)
    if isinstance(node, nir.Delay):
        return _Delay(_steps_of(name, node, dt))
    if isinstance(node, nir.Threshold):
        return _Node(lambda x, threshold: (x > threshold).to(x.dtype), node.threshold)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        sizes = {key: _plain(getattr(node, key)) for key in ("kernel_size", "stride", "padding")}
        divisor = 1 if isinstance(node, nir.SumPool2d) else None
        return _Node(functional.avg_pool2d, **sizes, divisor_override=divisor)
    if isinstance(node, nir.Flatten):
        first, last = (int(n) + 1 if n >= 0 else int(n) for n in (node.start_dim, node.end_dim))
        return _Node(lambda x: x.flatten(first, last))
    if isinstance(node, nir.Output):
        return nn.Identity()
    raise SnnVoiceError(
        f"node {name!r} is a {type(node).__name__}, which is not known here",
        hint="known are Affine, AvgPool2d, Conv1d, Conv2d, Delay, Flatten, I, IF, LI, LIF, Linear, Scale, "
        "SumPool2d and Threshold",
    )


def _neuron(name: str, node: nir.LIF | nir.LI | nir.IF | nir.I, dt: float, reset: str | None) -> _Neuron:
    """A step of Euler's method."""
    import nir

    leaks = isinstance(node, nir.LIF | nir.LI)
    if leaks and np.any(node.v_leak != 0):
        raise SnnVoiceError(f"node {name!r} leaks to another value than 0, which is not known here")
    decay = 1 - dt / node.tau if leaks else np.ones_like(node.r)
    gain = node.r * dt / node.tau if leaks else node.r * dt
    if isinstance(node, nir.LI | nir.I):
        return _Neuron(decay, gain)
    if np.any(node.v_reset != 0):
        raise SnnVoiceError(f"node {name!r} is reset to another value than 0, which is not known here")
    rule = node.metadata.get("reset")
    if rule not in _RULES:
        raise SnnVoiceError(f"node {name!r} has no reset rule that is known here: {rule!r}")
    return _Neuron(decay, gain, node.v_threshold, reset or str(rule))


def _steps_of(name: str, node: nir.Delay, dt: float) -> int:
    """How many steps a delay takes."""
    steps = np.unique(np.rint(node.delay / dt))
    if len(steps) != 1 or steps[0] < 0 or not np.allclose(node.delay, steps[0] * dt, rtol=1e-3, atol=0):
        raise SnnVoiceError(f"node {name!r} delays by no whole number of steps, or by several")
    return int(steps[0])


def _order(graph: nir.NIRGraph) -> list[str]:
    """The nodes but the input, each after those whose output it takes in the same step.

    An edge that closes a circle carries what came out one step before.
    """
    import nir

    inputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    outputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Output)]
    if inputs != ["input"] or outputs != ["output"]:
        raise SnnVoiceError("the graph does not have one input and one output")
    followers: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        followers[source].append(target)
    done: list[str] = []
    seen = {"input"}
    path = [("input", iter(followers["input"]))]
    while path:
        name, rest = path[-1]
        following = next(rest, None)
        if following is None:
            done.append(name)
            path.pop()
        elif following not in seen:
            seen.add(following)
            path.append((following, iter(followers[following])))
    return done[-2::-1]


def _plain(value: Any) -> Any:
    """A number or tuple of numbers as PyTorch takes it."""
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    return int(array) if array.ndim == 0 else tuple(int(n) for n in array)


def _tensor(value: Any) -> Tensor:
    return torch.as_tensor(np.asarray(value), **FLOAT32)
