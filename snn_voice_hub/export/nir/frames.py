"""A spiking network on frames, taken apart into nodes and edges of NIR.

A convolution over past frames is a linear node for each tap, behind a `Delay` of as many steps as it looks
back; what comes in at one node is added up. One step of the graph is one of the network's fastest layers.

Layers that step more rarely have no step of their own in NIR. They are said by what it has, exactly:

- A clock, a neuron that counts to n and fires at every n-th step of the graph.
- They hear a spike of a faster layer only where the clock fires as well: both together exceed 1.5.
- Their membranes leak by the n-th root of beta at each step of the graph, their spikes count at those of the
  clock, and what a spike subtracts comes back n steps later.

So each of these layers is a leaky integrator and its threshold. A `LIF` node is reset within itself, at any
step of the graph, and can't stand for one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from snn_voice_hub.export.nir import nodes as made
from snn_voice_hub.export.nir.building import Builder
from snn_voice_hub.models.framed import LEAD, FramedSNN
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.operations import norm_constants, reading, uses
from snn_voice_hub.models.trace import Operation, Untraceable, name_of, trace
from snn_voice_hub.tensors import FLOAT32

# Steps of the network that are traced.
_STEPS = 2
# Of two spikes, both: one alone does not exceed it.
_BOTH = 1.5
# What may put the input's values in another order before they are heard.
_ARRANGES = frozenset(
    (
        *(torch.permute, Tensor.permute, torch.transpose, Tensor.transpose, torch.movedim, Tensor.movedim),
        *(torch.squeeze, Tensor.squeeze, torch.unsqueeze, Tensor.unsqueeze, torch.flatten, Tensor.flatten),
        *(torch.reshape, Tensor.reshape, Tensor.view, Tensor.contiguous),
    )
)


@dataclass(frozen=True)
class _Signal:
    """What runs along the frames, as nodes of the graph.

    Attributes:
        sources: The nodes whose sum it is.
        channels: Of one clip and step.
        rate: Its steps in a step of the network.
        kind: "frames" of the input, "spikes", or "current".
        past: Steps before the first one that stand in front of it.
        weights: Whether its nodes hold weights that no other value is made of.
    """

    sources: tuple[str, ...]
    channels: int
    rate: int
    kind: str = "current"
    past: int = 0
    weights: bool = False


class FramesBuilder(Builder):
    """One network on frames on its way into a graph.

    Args:
        network: The network, in evaluation mode, on the CPU, in float32.
        bands: Of a frame.
        form: How neurons are said, one of `names.FORMS`; None for "lif" where all layers step as often, else
            for "parts".

    Attributes:
        rate: Steps of the graph in a step of the network, once it has run.
        frames: Frames in a step of the graph, once it has run; its input is one after the other.
    """

    def __init__(self, network: FramedSNN, bands: int, form: str | None) -> None:
        super().__init__(network, form or "lif")
        self._free = form is None
        self._bands = bands
        self._per_step = network.frames_per_step
        self._values: dict[Operation, _Signal] = {}
        self._places: dict[Operation, Tensor] = {}  # which value of the input stands where
        self._clips = 0
        self.rate = self.frames = 1

    def run(self) -> None:
        """Fill `nodes` and `edges`.

        Raises:
            SnnVoiceError: The network has what NIR can't say.
        """
        import nir

        shape = (_STEPS, 1, self._bands, self._per_step)
        try:
            traced = trace(self._network, shape)
        except Untraceable as error:
            raise self._refusal(f"its layers can't be followed: {error}") from error
        self._clips = traced.clips
        kinds = [(op, reading(op)[0]) for op in traced.operations]
        steps = [op.shape[0] for op, kind in kinds if kind in ("causal", "fire")]
        self.rate = max(steps, default=_STEPS) // _STEPS
        if self._per_step % self.rate or any(_STEPS * self.rate % count for count in steps):
            raise self._refusal("its layers step at rates that are no multiples of each other")
        self.frames = self._per_step // self.rate
        if self._free and any(op.shape[0] < _STEPS * self.rate for op, kind in kinds if kind == "fire"):
            self.form = "parts"
        self.nodes["input"] = nir.Input(input_type={"input": np.array([self.frames * self._bands])})
        for op in traced.operations:
            self._take(op)
        end = self._values.get(traced.output)
        if end is None or (end.rate, end.past) != (1, 0):
            raise self._refusal("its output is not one a step")
        sources = end.sources
        if len(sources) > 1:  # importers give each source of the output by itself
            sources = (self._emit("sum", nir.Scale(scale=np.ones(end.channels, np.float32)), sources),)
        self._emit("output", nir.Output(output_type={"output": np.array([end.channels])}), sources)

    def facts(self, seconds: float) -> dict[str, str | int | float]:
        """What the graph's metadata say of its steps, once it has run.

        Args:
            seconds: From one frame to the next.
        """
        return {
            "frames_per_step": self.frames,
            "lead_frames": LEAD,
            "steps_per_output": self.rate,
            "step_seconds": self.frames * seconds,
            "logits": f"the sum of the newest {self._network.num_steps} outputs",
        }

    def _take(self, op: Operation) -> None:
        if op.function is None:
            count = _STEPS * self._clips * self._bands * self._per_step
            self._places[op] = torch.arange(count, dtype=torch.int64, device="cpu").view(op.shape)
            return
        first = op.inputs[0] if op.inputs else None
        if first in self._places and op.function in _ARRANGES:
            args, kwargs = pytree.tree_map(
                lambda leaf: self._places[leaf] if isinstance(leaf, Operation) else leaf, (op.args, op.kwargs)
            )
            self._places[op] = op.function(*args, **kwargs)
            return
        self._values[op] = self._value(op)

    def _value(self, op: Operation) -> _Signal:
        inputs = [self._heard(argument) for argument in op.inputs]
        kind, arguments = reading(op)
        if kind == "add" and len(inputs) == 2 and arguments["alpha"] == 1:
            return self._add(*inputs)
        handlers: dict[str, Callable[[Operation, _Signal, dict[str, Any]], _Signal]] = {
            "past": lambda _, value, given: replace(value, past=value.past + given["count"], weights=False),
            "causal": self._convolve,
            "fire": self._fire,
            "norm": self._normalise,
            "linear": self._linear,
            "divide": self._divide,
            "flatten": self._reshape,
            "reshape": self._reshape,
            "dropout": lambda _, value, __: value,
        }
        handler = handlers.get(kind)
        if handler is None or len(inputs) != 1:
            raise self._refusal(f"it has the operation {name_of(op)} on its way, for which there is no node")
        if inputs[0].past and kind != "causal":
            raise self._refusal(
                f"{op.module or name_of(op)} looks back and is no convolution over past frames"
            )
        return handler(op, inputs[0], arguments)

    def _heard(self, op: Operation) -> _Signal:
        if op not in self._places:
            return self._values[op]
        count = _STEPS * self._per_step
        usual = next(iter(self._places.values())).squeeze(2).permute(0, 3, 1, 2)
        if not torch.equal(self._places[op], usual.reshape(count, self._clips, self._bands)):
            raise self._refusal("its layers do not take the frames one after the other")
        return _Signal(("input",), self._bands, self._per_step, "frames")

    # --- layers -------------------------------------------------------------------------------------

    def _convolve(self, op: Operation, value: _Signal, arguments: dict[str, Any]) -> _Signal:
        import nir

        path = op.module
        weight, stride, dilation = (arguments[name] for name in ("weight", "stride", "dilation"))
        out, _, kernel = weight.shape
        if value.past != (kernel - 1) * dilation or value.rate % stride:
            raise self._refusal(f"{path} looks back at other steps than those of its taps")
        rate = value.rate // stride
        every = self.rate // rate
        back = [(kernel - 1 - tap) * dilation for tap in range(kernel)]
        delayed: dict[int, Tensor] = {}  # weights, by how many steps of the graph ago what they weigh came
        if value.kind != "frames":
            delayed = {count * (self.rate // value.rate): weight[..., t] for t, count in enumerate(back)}
        else:
            if every > 1:
                raise self._refusal(f"{path} hears frames and steps more rarely than other layers")
            for tap, count in enumerate(back):
                ago, place = divmod(count, self.frames)
                block = delayed.setdefault(ago, torch.zeros(out, self.frames, self._bands, **FLOAT32))
                block[:, self.frames - 1 - place] = weight[..., tap].detach()
        names = []
        for ago, matrix in sorted(delayed.items()):
            sources = self._at_clock(path, self._later(path, value, ago), value, every)
            node = nir.Linear(weight=made.array(matrix.flatten(1)))
            names.append(self._emit(f"{path}.back{ago}", node, sources))
        return _Signal(tuple(names), out, rate, weights=True)

    def _normalise(self, op: Operation, value: _Signal, arguments: dict[str, Any]) -> _Signal:
        alone = value.weights and uses(arguments["input"]) == 1 and not arguments["training"]
        if not alone or arguments["running_mean"] is None:
            raise self._refusal(f"{op.module} is a batch norm that does not follow a convolution of its own")
        scale, shift = norm_constants(arguments)
        for name in value.sources:
            node = self.nodes[name]
            node.weight = made.array(torch.from_numpy(node.weight).double() * scale.unsqueeze(1))
        return self._biased(op.module, value, shift)

    def _linear(self, op: Operation, value: _Signal, arguments: dict[str, Any]) -> _Signal:
        import nir

        if value.kind == "frames":
            raise self._refusal(f"{op.module} is a linear layer on frames")
        weight, bias = arguments["weight"], arguments["bias"]
        name = self._emit(op.module, nir.Linear(weight=made.array(weight)), value.sources)
        made_of = _Signal((name,), len(weight), value.rate, weights=True)
        return made_of if bias is None else self._biased(f"{op.module}.bias", made_of, bias)

    def _biased(self, path: str, value: _Signal, bias: Tensor) -> _Signal:
        """Add to a value of weights what comes in at each of its steps."""
        import nir

        every = self.rate // value.rate
        if every == 1:
            first = value.sources[0]
            self.nodes[first] = nir.Affine(weight=self.nodes[first].weight, bias=made.array(bias))
            return value
        node = nir.Linear(weight=made.array(bias.unsqueeze(1)))
        return replace(value, sources=(*value.sources, self._emit(path, node, (self._clock(every),))))

    def _divide(self, op: Operation, value: _Signal, arguments: dict[str, Any]) -> _Signal:
        import nir

        by = arguments["other"]
        if not isinstance(by, int | float) or arguments["rounding_mode"] is not None or not by:
            raise self._refusal("it divides by what is no number")
        if value.weights and len(value.sources) == uses(arguments["input"]) == 1:
            node = self.nodes[value.sources[0]]
            for part in ("weight", "bias"):
                if hasattr(node, part):
                    setattr(node, part, (getattr(node, part).astype(np.float64) / by).astype(np.float32))
            return value
        scale = np.full(value.channels, 1 / by, np.float32)
        divided = self._emit("divided", nir.Scale(scale=scale), value.sources)
        return replace(value, sources=(divided,), kind="current", weights=False)

    def _add(self, left: _Signal, right: _Signal) -> _Signal:
        sources = left.sources + right.sources
        alike = [(v.channels, v.rate, v.past, v.kind == "frames") for v in (left, right)]
        if alike[0] != alike[1] or left.past or alike[0][3] or len(set(sources)) < len(sources):
            raise self._refusal("it has a sum of tensors of unlike shapes, or of one with itself")
        return _Signal(sources, left.channels, left.rate)

    def _reshape(self, op: Operation, value: _Signal, arguments: dict[str, Any]) -> _Signal:
        """Steps folded into the batch or unfolded again, which is nothing here."""
        count = _STEPS * value.rate
        if op.shape not in ((count, self._clips, value.channels), (count * self._clips, value.channels)):
            raise self._refusal("it gives its layers' values another shape")
        return value

    # --- neurons ------------------------------------------------------------------------------------

    def _fire(self, op: Operation, value: _Signal, arguments: dict[str, Any]) -> _Signal:
        path, lif = op.module, arguments["lif"]
        every = self.rate // value.rate
        if every == 1:
            name = self._neurons(path, lif, (value.channels,), value.sources)
        elif self.form == "lif":
            raise self._refusal(
                f"{path} steps once where others step {every} times, and a LIF node is reset at any step",
                hint="--neurons parts says it exactly, by a clock; --to onnx exports it too",
            )
        else:
            name = self._slow_neurons(path, lif, value, every)
        return _Signal((name,), value.channels, value.rate, "spikes")

    def _slow_neurons(self, path: str, lif: Lif, value: _Signal, every: int) -> str:
        """Neurons whose step is every n-th of the graph."""
        import nir

        size = value.channels
        beta, threshold = self._constants(path, lif, (size,))
        mem = self._emit(
            f"{path}.mem", made.integrator(beta.astype(np.float64) ** (1 / every)), value.sources
        )
        over = self._emit(f"{path}.over", nir.Threshold(threshold=threshold), (mem,))
        both = nir.Threshold(
            threshold=np.full(size, _BOTH, np.float32),
            metadata={"layer": path, "reset": lif.reset, "every": every},
        )
        name = self._emit(path, both, (over, self._clock(every, size)))
        # The edge back takes one of the steps.
        late = self._emit(f"{path}.late", made.delay(every - 1, size), (name,))
        drop = threshold if lif.reset == "subtract" else beta * threshold
        back = self._emit(f"{path}.reset", nir.Scale(scale=-drop), (late,))
        self.edges.append((back, mem))
        return name

    # --- time ---------------------------------------------------------------------------------------

    def _later(self, path: str, value: _Signal, steps: int) -> tuple[str, ...]:
        """A value so many steps of the graph ago."""
        if not steps:
            return value.sources
        of = value.sources[0] if len(value.sources) == 1 else path
        name = f"{of}_ago{steps}".replace(".", "_")
        if name not in self.nodes:
            size = self.frames * self._bands if value.kind == "frames" else value.channels
            self._emit(name, made.delay(steps, size), value.sources)
        return (name,)

    def _at_clock(self, path: str, sources: tuple[str, ...], value: _Signal, every: int) -> tuple[str, ...]:
        """What a layer of every n-th step hears of one that may step more often."""
        import nir

        if value.kind == "frames" or every == self.rate // value.rate:
            return sources
        if value.kind != "spikes":
            raise self._refusal(f"{path} hears currents, and steps more rarely than what they come from")
        name = f"{sources[0]}_every{every}"
        if name not in self.nodes:
            both = nir.Threshold(threshold=np.full(value.channels, _BOTH, np.float32))
            self._emit(name, both, (*sources, self._clock(every, value.channels)))
        return (name,)

    def _clock(self, every: int, size: int = 1) -> str:
        """A spike at every n-th step, for so many neurons."""
        import nir

        name = f"clock{every}"
        if name not in self.nodes:
            nothing = np.zeros((1, self.frames * self._bands), np.float32)
            if "one" not in self.nodes:
                self._emit("one", nir.Affine(weight=nothing, bias=np.ones(1, np.float32)), ("input",))
            # It counts the steps: at the n-th it exceeds n - 1/2, and loses n.
            mem = self._emit(f"{name}_mem", made.integrator(np.ones(1, np.float32)), ("one",))
            self._emit(name, nir.Threshold(threshold=np.full(1, every - 0.5, np.float32)), (mem,))
            back = self._emit(f"{name}_reset", nir.Scale(scale=np.full(1, -every, np.float32)), (name,))
            self.edges.append((back, mem))
        if size == 1:
            return name
        wide = f"{name}_{size}"
        if wide not in self.nodes:
            self._emit(wide, nir.Linear(weight=np.ones((size, 1), np.float32)), (name,))
        return wide
