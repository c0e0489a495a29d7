"""What does it cost to go on with streams of a network on frames, a few steps at a time?

Fresh weights, with biases under which about as many neurons fire as `--firing` says. `engine` is the engine
alone, `slot` what a stream asks: it also looks whether the network is still the same. A second is 50 steps.
Nothing is written.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.common import begin, disturbance, interleave, machine, make_parser
from benchmarks.report import Table
from snn_voice_hub.inference.engines.choice import make_engine
from snn_voice_hub.inference.engines.slot import EngineSlot
from snn_voice_hub.models.architectures.tempo import TempoSNN
from snn_voice_hub.models.network import Pass

_CASES = ((1, 4), (1, 50), (16, 4), (100, 4))  # streams, steps at a time
_SECOND = 50
_ROUNDS = 12
_STEP = 1.5  # of a bias, for a firing rate that is off by 1


def frames(steps: int, streams: int, seed: int) -> Tensor:
    """Noise as steps of a network."""
    return torch.randn(
        steps, streams, 1, 40, TempoSNN.frames_per_step, generator=torch.Generator().manual_seed(seed)
    )


@torch.no_grad()
def rates(network: TempoSNN) -> dict[str, float]:
    """How often the neurons of each layer fire in noise."""
    found: dict[str, float] = {}

    def see(name: str, values: Tensor) -> None:
        found[name] = float(values.mean())

    x = frames(_SECOND, 4, 0)
    network.layers(x, Pass(len(x), tap=see))
    return {name: rate for name, rate in found.items() if not name.endswith(".mem")}


def firing(rate: float) -> TempoSNN:
    """A network of which each layer fires about as often."""
    torch.manual_seed(0)
    network = TempoSNN(36, beta_per_channel=True).eval()
    for _ in range(_ROUNDS):
        found = rates(network)
        for layer in network.wiring().layers:
            layer.projections[0].conv.bn.bias.data += _STEP * (rate - found[layer.name])
    return network


def going_on(
    advance: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]], streams: int, steps: int
) -> Callable[[], object]:
    """A call that goes on from where the one before ended."""
    sounds = itertools.cycle([frames(steps, streams, seed) for seed in range(8)])
    state: Tensor | None = None

    def call() -> None:
        nonlocal state
        _, state = advance(next(sounds), state)

    return call


def main(argv: list[str] | None = None) -> None:
    """See the module."""
    parser: argparse.ArgumentParser = make_parser(__doc__)
    parser.add_argument("--firing", type=float, default=0.1, help="share of neurons that fire at a step")
    given = begin(parser, argv)
    network = firing(given.firing)
    found = rates(network)
    engines = {name: make_engine(network, name)[0] for name in ("native", "torch")}
    slot = EngineSlot("native")
    table = Table("streams", "steps", "way", "us a call", "least", "ms a second of a stream")
    for streams, steps in _CASES:
        ways: dict[str, Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]] = {
            **{f"engine {name}": engine.advance for name, engine in engines.items()},
            "slot native": lambda x, state: slot.advance(network, x, state),
        }
        variants = {name: going_on(way, streams, steps) for name, way in ways.items()}
        for name, timing in interleave(variants, seconds=given.seconds, rounds=given.rounds).items():
            a_second = timing.cpu_ms * _SECOND / steps / streams
            table.add(streams, steps, name, timing.cpu_ms * 1e3, timing.cpu_min_ms * 1e3, a_second)
    print(machine())
    print(f"\nof the neurons {sum(found.values()) / len(found):.1%} fire at a step; one thread, CPU time\n")
    print(table)
    print(disturbance(1))


if __name__ == "__main__":
    main()
