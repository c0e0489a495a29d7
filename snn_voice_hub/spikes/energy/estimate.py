"""What one window of sound costs a network, beside its twin: totals, JSON, and tables."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snn_voice_lite.visible import visible

from snn_voice_hub.notation import microjoules, percent, whole
from snn_voice_hub.spikes.energy.layers import (
    AC_PJ,
    CONSTANTS,
    LEFT_OUT,
    MAC_PJ,
    LayerActivity,
    LayerEnergy,
    Totals,
)
from snn_voice_hub.spikes.energy.second import Cost, Second
from snn_voice_hub.terminal import rich_table

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

_WIDTH = 110


@dataclass(frozen=True)
class Energy(Totals):
    """What one window of sound costs, on average over those that were counted.

    A clip that is longer than the model's window is several windows.

    Attributes:
        model: The checkpoint's name, or the architecture's.
        architecture: Name of the network class.
        clips: How many clips were counted.
        windows: How many windows they were; 0 where only the shapes are known.
        num_steps: Time steps T of a window; 1 for a network without.
        layers: Convolutions and linear layers, in the order in which they run.
        activity: Spiking layers and ReLUs, in that order.
        footprint: Bytes of all parameters and buffers.
        state: Bytes of the membranes of one window, which NeuroBench adds to the footprint of a network whose
            neurons keep them in buffers; here they are not among the buffers.
        twin: The network of the same shapes without spikes, or with them.
        second: What a second of listening costs; None where that was not counted.
    """

    model: str
    architecture: str
    windows: int
    num_steps: int
    layers: tuple[LayerEnergy, ...]
    activity: tuple[LayerActivity, ...]
    footprint: int
    state: int = 0
    clips: int = 0
    twin: Energy | None = None
    second: Second | None = None

    @property
    def activation_sparsity(self) -> float | None:
        """Share of zeros in what spiking layers and ReLUs give out; None where there are none."""
        neurons = sum(layer.neurons for layer in self.activity)
        zeros = sum(layer.neurons * layer.sparsity for layer in self.activity)
        return zeros / neurons if neurons else None

    @property
    def neuron_updates(self) -> int:
        """Membranes that are updated, over all steps: work that is counted here, but not in the energy."""
        return self.num_steps * sum(layer.neurons for layer in self.activity if layer.spiking)

    @property
    def spiking(self) -> bool:
        """Whether it has neurons that spike; False where only the shapes are known."""
        return any(layer.spiking for layer in self.activity)

    def against(self, twin: Energy | None = None) -> dict[str, float | None]:
        """This network's energy as a share of its twin's.

        Args:
            twin: The other network; `twin` by default.

        Returns:
            `effective` (both skip zeros), `dense` (only this one does), and the same two, `effective_once`
            and `dense_once`, if this network's input layer runs once. None where a figure or the twin is not
            known.
        """
        twin = twin or self.twin
        below = (None, None) if twin is None else (twin.energy_uj, twin.dense_uj)
        return {
            f"{name}{suffix}": over / under if over is not None and under else None
            for suffix, over in (("", self.energy_uj), ("_once", self.energy_once_uj))
            for name, under in zip(("effective", "dense"), below, strict=True)
        }

    def totals(self) -> dict[str, Any]:
        """The figures of the whole network, ready for JSON; None where only the shapes are known."""
        figures = {
            **self.operations(),
            "activation_sparsity": self.activation_sparsity,
            "neuron_updates": self.neuron_updates if self.windows else None,
        }
        found = {
            "architecture": self.architecture,
            "clips": self.clips,
            "windows": self.windows,
            "num_steps": self.num_steps,
            **{name: _rounded(value) for name, value in figures.items()},
            "footprint_bytes": self.footprint,
            "membrane_bytes": self.state,
        }
        return found if self.second is None else found | {"second": self.second.told(_rounded)}

    def summary(self) -> dict[str, Any]:
        """What stands in a checkpoint's `config.json`: totals, constants, and the twin's totals and share."""
        found = {
            "model": self.model,
            **self.totals(),
            "pj_a_mac": MAC_PJ,
            "pj_an_ac": AC_PJ,
            "constants": CONSTANTS,
            "left_out": LEFT_OUT,
        }
        if self.twin is None:
            return found
        shares = {name: _rounded(share) for name, share in self.against().items()}
        return {**found, "twin": {"model": self.twin.model, **self.twin.totals()}, "share_of_twin": shares}

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON: `summary`, and the layers of both networks."""
        found = self.summary() | self._parts()
        if self.twin is not None:
            found["twin"] |= self.twin._parts()
        return found

    def _parts(self) -> dict[str, Any]:
        return {
            "layers": [_layer(layer) for layer in self.layers],
            "activity": [
                {
                    "name": layer.name,
                    "neurons": layer.neurons,
                    "sparsity": _rounded(layer.sparsity),
                    "spiking": layer.spiking,
                }
                for layer in self.activity
            ],
            **self._parts_of_second(),
        }

    def _parts_of_second(self) -> dict[str, Any]:
        """Layers of a second, where they are not in proportion to those of a window."""
        if self.second is None or self.second.hop is not None or not self.windows:
            return {}
        return {
            "layers_of_a_second": [_layer(layer) for layer in self.second.sound.layers],
            "layers_of_a_second_of_silence": [_layer(layer) for layer in self.second.silence.layers],
        }

    def __rich__(self) -> Group:
        return as_tables(self)

    def __str__(self) -> str:
        return as_text(self)


def _layer(layer: LayerEnergy) -> dict[str, Any]:
    return {
        "name": layer.name,
        "input": "binary" if layer.binary else "float",
        "same_input_at_each_step": layer.constant,
        "dense": _rounded(layer.dense),
        "macs": _rounded(layer.macs),
        "acs": _rounded(layer.acs),
        "synops": _rounded(layer.synops),
        "energy_uj": _rounded(layer.energy_uj),
        "energy_dense_uj": _rounded(layer.dense_uj),
    }


def _rounded(value: float | None) -> float | int | None:
    """Large numbers as whole ones, others with six digits: means over clips have no more to say."""
    if value is None:
        return None
    whole = round(value)
    return whole if value == whole or value >= 1000 else float(f"{value:.6g}")


# --- tables -----------------------------------------------------------------------------------------

# What a row is called, and how it is read and written.
_ROWS: tuple[tuple[str, Callable[[Energy], str]], ...] = (
    ("time steps", lambda e: str(e.num_steps)),
    ("operations, nothing skipped", lambda e: whole(e.dense)),
    ("effective MACs (float input)", lambda e: whole(e.macs)),
    ("ACs (binary input)", lambda e: whole(e.acs)),
    ("SynOps: both", lambda e: whole(e.synops)),
    ("activation sparsity", lambda e: percent(e.activation_sparsity)),
    ("neuron updates", lambda e: whole(e.neuron_updates) if e.windows else "-"),
    ("parameters and buffers, bytes", lambda e: whole(e.footprint)),
    ("membranes, bytes", lambda e: whole(e.state)),
    ("energy, zeros skipped, µJ", lambda e: microjoules(e.energy_uj)),
    ("the same, input layer once, µJ", lambda e: microjoules(e.energy_once_uj)),
    ("energy, nothing skipped, µJ", lambda e: microjoules(e.dense_uj)),
)


def named(energy: Energy) -> str:
    """The model's name, and whether only its shapes are known."""
    model = visible(energy.model)
    return model if energy.windows else f"{model} (shapes only)"


def as_tables(energy: Energy) -> Group:
    """Totals beside the twin's, the network's layers, and what the estimate leaves out."""
    from rich.console import Group
    from rich.markup import escape

    both = [energy] if energy.twin is None else [energy, energy.twin]
    windows = f"{energy.windows:,} window{'s' if energy.windows != 1 else ''}"
    clips = f"{energy.clips:,} clip{'s' if energy.clips != 1 else ''}"
    totals = rich_table(
        ("", *map(named, both)),
        [(name, *map(show, both)) for name, show in _ROWS],
        title=f"One window of sound: the mean over {windows} of {clips}",
    )
    return Group(
        totals,
        _layers(energy),
        *map(escape, shares(energy)),
        *_second(both),
        *_layers_of_second(energy),
        *map(escape, seconds(energy)),
        explanation(),
    )


def as_text(energy: Energy) -> str:
    """`as_tables` as plain text."""
    from rich.console import Console

    file = io.StringIO()
    Console(file=file, width=_WIDTH, color_system=None, legacy_windows=False).print(as_tables(energy))
    return file.getvalue().rstrip("\n")


def explanation() -> str:
    """What the figures of energy are, and are not."""
    return (
        f"An estimate of arithmetic alone: {MAC_PJ} pJ a MAC, {AC_PJ} pJ an AC ({CONSTANTS}). "
        f"Left out: {LEFT_OUT}."
    )


def shares(energy: Energy) -> list[str]:
    """The energy as a share of the twin's, in sentences; none without a twin."""
    if energy.twin is None:
        return []
    found = energy.against()
    name = visible(energy.twin.model)
    lines = []
    for key, what in (("effective", "if both skip zeros"), ("dense", "if only this one skips zeros")):
        share, once = found[key], found[f"{key}_once"]
        if share is None:
            continue
        line = f"{_times(share)} the energy of {name}, {what}"
        if once is not None and once != share:
            line += f"; {_times(once)} if the input layer runs once as well"
        lines.append(line)
    return lines


def _times(share: float) -> str:
    """A share of the twin's energy, as a factor."""
    return f"{share:.2f} times" if share >= 0.1 else f"{share:.2g} times"


def _layers(energy: Energy) -> Table:
    table = rich_table(
        ("layer", "input", "operations", "effective", "µJ", "unskipped"),
        [
            (
                layer.name,
                ("binary" if layer.binary else "float") + (" *" if layer.constant else ""),
                whole(layer.dense),
                whole(layer.synops),
                microjoules(layer.energy_uj),
                microjoules(layer.dense_uj),
            )
            for layer in energy.layers
        ],
        title=f"Layers of {visible(energy.model)}",
    )
    if any(layer.constant for layer in energy.layers):
        table.caption = "* the same input at each step"
        table.caption_justify = "left"
    return table


# --- a second of listening --------------------------------------------------------------------------

# What a row is called, and how it is read and written; below them the same of silence.
_SECOND_ROWS: tuple[tuple[str, Callable[[Cost], str]], ...] = (
    ("operations, nothing skipped", lambda c: whole(c.dense)),
    ("effective MACs", lambda c: whole(c.macs)),
    ("ACs", lambda c: whole(c.acs)),
    ("energy, zeros skipped, µJ", lambda c: microjoules(c.energy_uj)),
    ("the same, input layer once, µJ", lambda c: microjoules(c.energy_once_uj)),
    ("energy, nothing skipped, µJ", lambda c: microjoules(c.dense_uj)),
)
_SILENCE_ROWS: tuple[tuple[str, Callable[[Cost], str]], ...] = (
    ("silence: effective MACs", lambda c: whole(c.macs)),
    ("silence: ACs", lambda c: whole(c.acs)),
    ("silence: energy, zeros skipped, µJ", lambda c: microjoules(c.energy_uj)),
    ("silence: input layer once, µJ", lambda c: microjoules(c.energy_once_uj)),
)


def _second(both: Sequence[Energy]) -> list[Table]:
    known = [(named(one), one.second) for one in both if one.second is not None]
    if not known:
        return []
    found = [second for _, second in known]
    table = rich_table(
        ("", *(name for name, _ in known)),
        [
            ("hears", *map(_hears, found)),
            *((name, *(show(s.sound) for s in found)) for name, show in _SECOND_ROWS),
            *((name, *(show(s.silence) for s in found)) for name, show in _SILENCE_ROWS),
        ],
        title="One second of listening: sound that goes on, and digital silence",
    )
    return [table]


def _hears(second: Second) -> str:
    return "each frame once" if second.hop is None else f"windows, every {second.hop:g} s"


def _layers_of_second(energy: Energy) -> list[Table]:
    """Layers in a second, where they are not in proportion to those of a window."""
    second = energy.second
    if second is None or second.hop is not None or not energy.windows:
        return []
    return [
        rich_table(
            ("layer", "input", "effective", "µJ", "silence", "µJ"),
            [
                (
                    *(layer.name, "binary" if layer.binary else "float"),
                    *(whole(layer.synops), microjoules(layer.energy_uj)),
                    *(whole(silent.synops), microjoules(silent.energy_uj)),
                )
                for layer, silent in zip(second.sound.layers, second.silence.layers, strict=True)
            ],
            title=f"Layers of {visible(energy.model)} in a second of listening, and of silence",
        )
    ]


def seconds(energy: Energy) -> list[str]:
    """What a second of listening costs beside other ways of listening, in sentences."""
    second = energy.second
    if second is None:
        return []
    lines = []
    twin = None if energy.twin is None else energy.twin.second
    # Of two that hear the same windows, a second says no more than a window.
    if energy.twin is not None and twin is not None and None in (second.hop, twin.hop):
        ours, theirs = second.sound.energy_uj, twin.sound.energy_uj
        if ours is not None and theirs:
            share, model = _times(ours / theirs), visible(energy.twin.model)
            lines.append(f"A second of listening: {share} that of {model}")
    if (beside := second.beside) is not None:
        lines.append(
            f"{visible(beside.model)} in windows every {beside.hop:g} s: {microjoules(beside.energy_uj)} µJ "
            f"a second, {microjoules(beside.energy_once_uj)} µJ with its input layer once a window (as its "
            f"configuration says, by {beside.windows:,} windows)"
        )
    lines.append("Silence is counted as any sound: where the gate of a stream finds it, no network runs")
    return lines
