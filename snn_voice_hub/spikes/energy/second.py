"""What a second of listening costs: sound that goes on, and digital silence.

A network whose time steps are those of the sound hears each frame once: a second is a second. Any other one
hears windows that overlap: a second of listening costs as much as the windows that begin in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from snn_voice_hub.spikes.energy.layers import LayerEnergy, Totals


@dataclass(frozen=True)
class Cost(Totals):
    """Operations of a second of sound.

    Attributes:
        layers: See `Totals`.
        num_steps: See `Totals`.
    """

    layers: tuple[LayerEnergy, ...]
    num_steps: int


@dataclass(frozen=True)
class Windowed:
    """What a second of listening costs another model, one that hears windows, as its configuration says.

    Attributes:
        model: Its name.
        hop: Seconds between windows, of its operating point.
        windows: Over how many windows its energy was measured.
        energy_uj: Microjoules of a second, zeros skipped.
        energy_once_uj: The same if its input layer runs once a window.
    """

    model: str
    hop: float
    windows: int
    energy_uj: float
    energy_once_uj: float


@dataclass(frozen=True)
class Second:
    """What a second of listening costs, without a gate in front of the network.

    Attributes:
        sound: A second of the sound that was counted.
        silence: A second of digital silence, when all that was before is forgotten.
        hop: Seconds between windows; None for a network that hears each frame once.
        seconds: How much sound was heard as one stream; 0 for windows, and where only the shapes are known.
        beside: The bundled model that hears windows, beside a network that does not.
    """

    sound: Cost
    silence: Cost
    hop: float | None = None
    seconds: float = 0.0
    beside: Windowed | None = None

    def told(self, rounded: Callable[[float | None], Any]) -> dict[str, Any]:
        """The figures, ready for JSON.

        Args:
            rounded: How one is written.
        """

        def figures(cost: Cost) -> dict[str, Any]:
            return {name: rounded(value) for name, value in cost.operations().items()}

        found = {
            "hop": self.hop,
            "heard_seconds": rounded(self.seconds),
            **figures(self.sound),
            "silence": figures(self.silence),
        }
        if self.beside is not None:
            found["windowed"] = dataclasses.asdict(self.beside) | {
                name: rounded(getattr(self.beside, name)) for name in ("energy_uj", "energy_once_uj")
            }
        return found


def in_windows(window: Totals, silent: Totals, hop: float) -> Second:
    """What a second costs a network that hears windows.

    Args:
        window: What a window of sound costs.
        silent: What a window of digital silence costs.
        hop: Seconds between windows.
    """
    return Second(_every(window, hop), of_kind(_every(silent, hop), window), hop)


def shapes_alone(window: Totals, seconds: float) -> Second:
    """What is known of a second from the shapes of a network that hears each frame once.

    Args:
        window: Of a window, of which only the shapes are known.
        seconds: The sound in its steps.
    """
    cost = _every(window, seconds)
    return Second(cost, cost)


def of_kind(cost: Cost, like: Totals) -> Cost:
    """The same operations, MACs and ACs as in another count of the network.

    What silence looks like to a layer does not say what it computes with.
    """
    kinds = {layer.name: layer.binary for layer in like.layers}
    layers = (dataclasses.replace(layer, binary=kinds[layer.name]) for layer in cost.layers)
    return Cost(tuple(layers), cost.num_steps)


def _every(found: Totals, seconds: float) -> Cost:
    """What a second costs where this is spent every so many seconds."""
    layers = (
        dataclasses.replace(
            layer,
            dense=layer.dense / seconds,
            effective=None if layer.effective is None else layer.effective / seconds,
        )
        for layer in found.layers
    )
    return Cost(tuple(layers), found.num_steps)
