"""Generated networks and inputs through the event-driven engine, each answer held against PyTorch's.

`python -m tests.inference.engines.generated_networks COUNT [SEED] [--engine NAME]` runs that many plans and
prints what became of them; it ends with 1 where an answer differs, or where the engine answers what PyTorch
refuses.

Weights and input are multiples of 1/8 and of such a size that every sum of a current is exact in float32, in
whatever order; so a spike is never a matter of rounding.
"""

from __future__ import annotations

import argparse
import collections
import random
import sys
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import snn_voice_hub as sv
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.inference.engines.base import Engine, Unsupported
from snn_voice_hub.inference.engines.choice import _engine_class
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import Pass, over_time


@dataclass(frozen=True)
class Plan:
    """One network and one input.

    Attributes:
        flat: Whether there is one axis of positions, or two.
        layers: Those that see spikes, each as keyword arguments of its parts.
        first: Channels of the dense current.
        settings: Of the network.
        head: How the spikes become logits.
        odd: What nobody should do; "" for nothing.
        value: A value that is put into the input, or ("nan", ...) into the constant of a neuron.
        clips: B.
        size: Positions of a clip.
        seed: Of weights and input.
    """

    flat: bool
    layers: list[dict[str, Any]]
    first: int
    settings: dict[str, Any]
    head: str
    odd: str
    value: float | None
    constants: tuple[float, float]
    clips: int
    size: tuple[int, ...]
    seed: int
    dense: dict[str, Any] = field(default_factory=dict)


JOINS = ("one position", "one channel", "dense", "earlier")
HEADS = ("mean", "mean", "mean", "mean", "folded mean", "axis by axis", "one axis", "hidden", "dense too")
ODD = (
    *("alpha", "twice", "scaled", "fewer steps", "other steps", "hook", "hook of the head", "weight norm"),
    *("branch", "in place", "statistics", "neurons in the head", "half step", "softmax", "no mean"),
)


def plan(r: random.Random) -> Plan:
    """Draw one; most are what networks do, the others what nobody should do."""
    flat = r.random() < 0.6
    layers = []
    for _ in range(r.choice((1, 1, 2, 2, 3, 4))):
        kernel = (
            r.choice((1, 2, 3, 3, 5)) if flat or r.random() < 0.6 else (r.choice((1, 3)), r.choice((1, 2, 5)))
        )
        padding: Any = r.choice((0, 0, 1, 1, 2, 9)) if r.random() < 0.9 else r.choice(("same", "valid"))
        layer: dict[str, Any] = {
            "channels": r.choice((1, 15, 16, 16, 17, 24, 32, 33, 48, 127, 130, 300)),
            "kernel": kernel,
            "stride": r.choice((1, 1, 1, 1, 1, 2, 3)) if padding not in ("same", "valid") else 1,
            "padding": padding,
            "bias": r.random() < 0.5,
            "norm": r.random() < 0.4,
            "pool": r.choice((1, 1, 1, 1, 1, 2, 2, 3, 4)) if flat else r.choice((1, 1, 1, 1, 2, 3)),
            "pool_first": r.random() < 0.4,
            "joins": r.choice(("", "", "", "shortcut", "shortcut")) if r.random() < 0.85 else r.choice(JOINS),
        }
        if r.random() < 0.05:
            layer |= r.choice(({"groups": 2}, {"dilation": 2}, {"padding_mode": "circular", "padding": 1}))
        layers.append(layer)
    for layer in layers[:-1]:
        if r.random() < 0.97:  # with fewer, all is left to PyTorch
            layer["channels"] = max(16, layer["channels"])
    usual = r.random() < 0.85
    constants = (
        (0.5, 1.0)
        if usual
        else r.choice(
            (
                (1.5, 1.0),
                (-0.5, 1.0),
                (0.0, 0.5),
                (1.0, -0.5),
                (0.5, 0.0),
                (float("nan"), 1.0),
                (0.5, float("inf")),
            )
        )
    )
    length = r.choice((33, 40, 41, 60, 97, 130)) if r.random() < 0.85 else r.choice((1, 2, 3, 5, 8))
    return Plan(
        flat=flat,
        layers=layers,
        first=r.choice((16, 16, 17, 32)) if r.random() < 0.95 else r.choice((1, 3)),
        settings={
            "num_steps": r.choice((1, 2, 3, 3, 5, 9, 31) if flat else (1, 2, 3)),
            "reset": r.choice(("subtract", "subtract-before-decay")),
            "encoding": r.choice(("repeat", "repeat", "repeat", "rate", "latency")),
            "learn_beta": r.random() < 0.3,
            "beta_per_channel": r.random() < 0.03,
        },
        head=r.choice(HEADS),
        odd="" if r.random() < 0.75 else r.choice(ODD),
        value=None
        if r.random() < 0.9
        else r.choice((float("nan"), float("inf"), -float("inf"), 3e38, 1e-40)),
        constants=constants,
        clips=r.choice((1, 1, 2, 3, 9)) if r.random() < 0.92 else r.choice((0, 33)),
        size=(length,)
        if flat
        else (r.choice((15, 20, 21)) if r.random() < 0.85 else r.choice((1, 4, 7)), min(length, 20)),
        seed=r.randrange(1 << 30),
        dense={"stride": r.choice((1, 1, 2)), "pool": r.random() < 0.2, "norm": r.random() < 0.3},
    )


class _Double(nn.Module):
    """Layers of an own kind with an own forward pass."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x) * 2
        return out


class Drawn(sv.SpikingNetwork):
    """The network of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__(5, beta=0.5, threshold=1.0, **plan.settings)
        self.feature_dims, self.min_shape = (1, (1,)) if plan.flat else (2, (1, 1))

    def build(self) -> None:
        """See `Network.build`."""
        plan = self.plan
        conv, norm, pool = (
            (nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d)
            if plan.flat
            else (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)
        )
        channels = plan.first
        self.dense = nn.Sequential(
            conv(1, channels, 3, padding=1, stride=plan.dense["stride"]),  # type: ignore[operator]
            norm(channels) if plan.dense["norm"] else nn.Identity(),  # type: ignore[operator]
            pool(2) if plan.dense["pool"] else nn.Dropout(),
        )
        self.lifs = nn.ModuleList([self.make_lif(channels)])
        self.convs, self.norms, self.pools, self.shortcuts = (nn.ModuleList() for _ in range(4))
        for layer in plan.layers:
            out = layer["channels"]
            shape = {name: layer[name] for name in ("stride", "padding")}
            extra = {name: layer[name] for name in ("groups", "dilation", "padding_mode") if name in layer}
            groups = extra.get("groups", 1)
            if channels % groups or out % groups:
                extra.pop("groups")
            self.convs.append(conv(channels, out, layer["kernel"], bias=layer["bias"], **shape, **extra))  # type: ignore[operator]
            self.norms.append(norm(out) if layer["norm"] else nn.Identity())  # type: ignore[operator]
            self.pools.append(pool(layer["pool"]) if layer["pool"] > 1 else nn.Identity())
            wide = 1 if layer["joins"] == "one channel" else out
            self.shortcuts.append(conv(channels, wide, layer["kernel"], **shape))  # type: ignore[operator]
            self.lifs.append(self.make_lif(out))
            channels = out
        self.hidden = nn.Linear(channels, channels)
        self.beside = nn.Linear(plan.first, channels)
        self.fc = nn.Linear(channels, self.num_classes)
        self._draw()
        if plan.odd == "weight norm":
            parametrizations.weight_norm(self.convs[0])
        if plan.odd == "scaled":
            self.convs[0] = _Double(self.convs[0])
        if plan.odd == "statistics":
            self.norms[0] = norm(plan.layers[0]["channels"], track_running_stats=False)  # type: ignore[operator]
        hooked = {"hook": self.convs[0], "hook of the head": self.fc}.get(plan.odd)
        if hooked is not None:
            hooked.register_forward_hook(lambda module, args, out: out * 3)

    @torch.no_grad()
    def _draw(self) -> None:
        """Weights, statistics and constants, all of them multiples of 1/8."""
        generator = torch.Generator().manual_seed(self.plan.seed)
        for parameter in self.parameters():
            parameter.copy_(torch.randint(-4, 6, parameter.shape, generator=generator) / 8)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is not None:
                module.eps = 0.0  # the variance is 1
                shape = module.running_mean.shape
                module.running_mean.copy_(torch.randint(-4, 4, shape, generator=generator) / 8)
            if isinstance(module, Lif):
                module.beta.fill_(self.plan.constants[0])
                module.threshold.fill_(self.plan.constants[1])

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        """See `SpikingNetwork.layers`."""
        plan, odd = self.plan, self.plan.odd
        if odd == "branch" and bool(x.sum() > 0):
            x = -x
        dense = over_time(self.dense, x)
        if odd == "in place":
            dense += 1
        if odd == "fewer steps":
            dense = dense[: max(1, run.num_steps - 1)]
        spk = run.fire("lifs.0", self._lif(0), dense)
        currents: list[Tensor] = []
        for i, layer in enumerate(plan.layers):
            current = over_time(self.norms[i], over_time(self.convs[i], spk))
            if odd == "alpha" and i == 0:
                current = torch.add(current, over_time(self.shortcuts[i], spk), alpha=2)
            elif odd == "twice" and i == 0:
                current = current + current
            current = self._joined(current, i, spk, dense, currents)
            first = layer["pool_first"] or layer["joins"] == "earlier"
            if first:
                current = over_time(self.pools[i], current)
            currents.append(current)
            spk = run.fire(f"lifs.{i + 1}", self._lif(i + 1), current, then=None if first else self.pools[i])
        return self._head(spk, dense, run)

    def _lif(self, number: int) -> Lif:
        lif = self.lifs[number]
        assert isinstance(lif, Lif)
        return lif

    def _joined(self, current: Tensor, i: int, spk: Tensor, dense: Tensor, currents: list[Tensor]) -> Tensor:
        joins = self.plan.layers[i]["joins"]
        if joins in ("shortcut", "one channel"):
            return over_time(self.shortcuts[i], spk) + current
        if joins == "one position":
            return current + over_time(self.shortcuts[i], spk)[..., :1]
        if joins == "dense":
            return current + dense
        if joins == "earlier" and currents:
            return current + currents[-1]
        return current

    def _head(self, spk: Tensor, dense: Tensor, run: Pass) -> Tensor:
        axes = (-1,) if self.plan.flat else (-2, -1)
        head, odd = self.plan.head, self.plan.odd
        if odd == "no mean":
            return run.readout(self.fc, spk.amax(axes))
        if odd == "half step":
            spk = spk[: max(1, len(spk) // 2)]
        if head == "folded mean":
            h = over_time(lambda y: y.mean(axes), spk)
        elif head == "axis by axis" and not self.plan.flat:
            h = spk.mean(-1).mean(-1)
        elif head == "one axis" and not self.plan.flat:
            h = spk.mean(-1).amax(-1)
        else:
            h = spk.mean(axes)
        if head == "dense too":
            h = h + self.beside(dense.mean(axes))
        if head == "hidden":
            h = self.hidden(h).relu()
        if odd == "neurons in the head":
            h = run.fire("lifs.0", self._lif(0), h)
        if odd == "softmax":
            return self.fc(h).softmax(-1)
        return run.readout(self.fc, h)


def drawn_input(plan: Plan) -> Tensor:
    """The input of a plan, `[B, 1, ...]`."""
    generator = torch.Generator().manual_seed(plan.seed)
    x = torch.randint(-16, 17, (plan.clips, 1, *plan.size), generator=generator) / 8
    if plan.value is not None and x.numel():
        x.view(-1)[plan.seed % x.numel()] = plan.value
    return x


def _encoded(network: sv.Network, x: Tensor, plan: Plan) -> Tensor:
    x = network.encoded(x, list(range(len(x))))
    if plan.odd == "other steps":
        x = x[:1].expand(plan.settings["num_steps"] + 1, *x.shape[1:])
    return x


def run(plan: Plan, engine: str = "native") -> str:
    """What became of a plan, or what is wrong, beginning with "WRONG"."""
    network = Drawn(plan).eval()
    with torch.inference_mode():
        try:
            x = _encoded(network, drawn_input(plan), plan)
        except (SnnVoiceError, RuntimeError):
            return "refused"
        try:
            wanted: Tensor | Exception = network.forward_encoded(x)
        except Exception as error:
            wanted = error
        try:
            made: Engine = _engine_class(engine)(network)
            found = made.run(x)
        except Unsupported:
            return "refused" if isinstance(wanted, Exception) else "left to the next engine"
        except Exception as error:
            if isinstance(wanted, Exception):
                return "refused"
            return f"WRONG: {type(error).__name__}: {error}: {plan}"
    if isinstance(wanted, Exception):
        return f"WRONG: answers what PyTorch refuses ({wanted}): {plan}"
    if found.shape != wanted.shape or not torch.equal(found.isnan(), wanted.isnan()):
        return f"WRONG: {list(found.shape)}, {list(wanted.shape)} or other places that are no numbers: {plan}"
    a, b = found.nan_to_num(), wanted.nan_to_num()
    if b.numel() and (a - b).abs().max() > 1e-4 * max(1.0, float(b.abs().max())):
        return f"WRONG: {float((a - b).abs().max())} off {float(b.abs().max())}: {plan}"
    return "equal"


def generate(count: int, seed: int, engine: str = "native") -> collections.Counter[str]:
    """Run plans, and count what became of them."""
    r = random.Random(seed)
    return collections.Counter(run(plan(r), engine) for _ in range(count))


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("count", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("--engine", default="native")
    arguments = parser.parse_args()
    found = generate(arguments.count, arguments.seed, arguments.engine)
    for what, times in found.most_common():
        print(f"{times:7} {what}")
    if not found["equal"]:
        print("nothing went through the engine: is there a C++ compiler?")
        return 1
    return int(any(what.startswith("WRONG") for what in found))


if __name__ == "__main__":
    sys.exit(main())
