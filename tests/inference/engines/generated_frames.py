"""Generated networks on frames through the kernels, outputs and states held against PyTorch's, bit for bit.

`python -m tests.inference.engines.generated_frames COUNT [SEED]` runs that many and prints what became of
them; it ends with 1 where an answer differs.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from typing import Any

import torch

from snn_voice_hub.inference.engines.base import Unsupported
from snn_voice_hub.inference.engines.native import NativeEngine
from snn_voice_hub.models.lif import RESETS
from snn_voice_hub.models.lif_layer import Lif
from tests.generated import main
from tests.inference.engines.framed_networks import Drawing, Ear, Wired, drawn_steps, exact


@dataclass(frozen=True)
class Case:
    """One network, and the steps of some streams.

    Attributes:
        drawings: Its layers.
        bands: Of a frame.
        frames: Of a step.
        settings: Of the network.
        constants: Each layer's beta and threshold, as learned.
        cuts: How many steps come at once.
        streams: B.
        seed: Of weights and frames.
    """

    drawings: list[Drawing]
    bands: int
    frames: int
    settings: dict[str, Any]
    constants: list[tuple[float, float]]
    cuts: list[int]
    streams: int
    seed: int


def case(r: random.Random) -> Case:
    """Draw one."""
    bands, frames = r.choice((1, 3, 17, 40)), r.choice((1, 2, 4, 6))
    drawings: list[Drawing] = []
    rows: list[int] = []
    for number in range(r.choice((1, 2, 3, 4, 6))):
        ears, strides = [], [s for s in (1, 1, 2, 3) if frames % s == 0]
        source = r.choice((None, *range(number))) if number else None
        stride = r.choice(strides if source is None else [s for s in (1, 1, 2, 3) if rows[source] % s == 0])
        own = (frames if source is None else rows[source]) // stride
        ears.append(Ear(source, r.choice((1, 2, 3, 5)), stride, r.choice((1, 1, 2, 4))))
        # What else gives as many rows may come in as well.
        for other in r.sample((None, *range(number)), r.choice((0, 0, 1, min(2, number + 1)))):
            given = frames if other is None else rows[other]
            if given % own == 0:
                ears.append(Ear(other, r.choice((1, 1, 3)), given // own, r.choice((1, 3))))
        fits = [i for i in range(number) if rows[i] == own]
        residual = r.choice(fits) if fits and r.random() < 0.5 else None
        channels = r.choice((1, 3, 15, 16, 17, 40, 63, 64, 65, 130, 161, 200))
        drawings.append(
            Drawing(channels if residual is None else drawings[residual].channels, tuple(ears), residual)
        )
        rows.append(own)
    if rows[-1] > 1:
        drawings.append(Drawing(r.choice((1, 16, 33)), (Ear(len(rows) - 1, 2, rows[-1], 1),)))
    steps = r.choice((1, 2, 3, 7, 40))
    cuts = []
    while steps:
        cuts.append(min(steps, r.choice((1, 1, 2, 5, 33))))
        steps -= cuts[-1]
    return Case(
        drawings,
        bands,
        frames,
        {
            "num_classes": r.choice((1, 5, 16, 36)),
            "num_steps": r.choice((1, 2, 4, 16)),
            "reset": r.choice(RESETS),
            "beta_per_channel": r.random() < 0.5,
        },
        [(r.choice((0.5, 0.9, 1.0, 0.0, 1.5, -1.0)), r.choice((1.0, 0.75, 0.3, -0.5))) for _ in drawings],
        cuts,
        r.choice((1, 1, 2, 5, 17, 70)),
        r.randrange(1 << 30),
    )


def network_of(case: Case) -> Wired:
    """The network of a case."""
    network = exact(Wired(case.drawings, case.bands, case.frames, **case.settings), case.seed)
    assert isinstance(network, Wired)
    generator = torch.Generator().manual_seed(case.seed)
    for lif, (beta, threshold) in zip(network.lifs, case.constants, strict=True):
        assert isinstance(lif, Lif)
        spread = torch.rand(lif.beta.shape, generator=generator) if lif.beta.ndim else 0.0
        lif.beta.copy_(beta - spread / 4)
        lif.threshold.fill_(threshold)
    return network


@torch.inference_mode()
def run(case: Case) -> str:
    """What became of a case, or what is wrong, beginning with "WRONG"."""
    network = network_of(case)
    try:
        engine = NativeEngine(network)
    except Unsupported as error:
        return f"WRONG: refused: {error}: {case}"
    x = drawn_steps(network, sum(case.cuts), case.streams, case.seed)
    wanted, state = network.advance(x)
    found, after = [], None
    for part in x.split(case.cuts):
        out, after = engine.advance(part, after)
        found.append(out)
    if not torch.equal(torch.cat(found), wanted):
        return f"WRONG: outputs: {case}"
    if after is None or not torch.equal(after, state):
        return f"WRONG: state: {case}"
    if not torch.allclose(engine.run(x), network.forward_encoded(x), rtol=1e-5, atol=1e-5):
        return f"WRONG: sums: {case}"
    return "equal" if bool((wanted != wanted[0, 0]).any()) else "equal and silent"


def drawn(r: random.Random) -> str:
    """`run` for the next case."""
    return run(case(r))


if __name__ == "__main__":
    sys.exit(main(__doc__, drawn))
