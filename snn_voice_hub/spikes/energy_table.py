"""The tables of an energy estimate: for a terminal, and as plain text."""

from __future__ import annotations

import io
from collections.abc import Callable

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from snn_voice_hub.spikes.energy import AC_PJ, CONSTANTS, LEFT_OUT, MAC_PJ, Energy

_WIDTH = 110


def whole(value: float | None) -> str:
    """A number of operations or bytes."""
    return "-" if value is None else f"{value:,.0f}"


def microjoules(value: float | None) -> str:
    """Microjoules with three significant digits, or as a whole number."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(share: float | None) -> str:
    """A share in percent."""
    return "-" if share is None else f"{100 * share:.1f} %"


def times(share: float | None) -> str:
    """A share of the twin's energy, as a factor."""
    return "-" if share is None else f"{share:.2f} times" if share >= 0.1 else f"{share:.2g} times"


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
    return energy.model if energy.windows else f"{energy.model} (shapes only)"


def as_tables(energy: Energy) -> Group:
    """Totals beside the twin's, the network's layers, and what the estimate leaves out."""
    both = [energy] if energy.twin is None else [energy, energy.twin]
    windows = f"{energy.windows:,} window{'s' if energy.windows != 1 else ''}"
    clips = f"{energy.clips:,} clip{'s' if energy.clips != 1 else ''}"
    totals = _table(
        f"One window of sound: the mean over {windows} of {clips}", "", *(escape(named(e)) for e in both)
    )
    for name, show in _ROWS:
        totals.add_row(name, *map(show, both))
    return Group(totals, _layers(energy), *map(escape, shares(energy)), explanation())


def as_text(energy: Energy) -> str:
    """`as_tables` as plain text."""
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
    name = energy.twin.model
    lines = []
    for key, what in (("effective", "if both skip zeros"), ("dense", "if only this one skips zeros")):
        share, once = found[key], found[f"{key}_once"]
        if share is None:
            continue
        line = f"{times(share)} the energy of {name}, {what}"
        if once is not None and once != share:
            line += f"; {times(once)} if the input layer runs once as well"
        lines.append(line)
    return lines


def _layers(energy: Energy) -> Table:
    title = f"Layers of {escape(energy.model)}"
    table = _table(title, "layer", "input", "operations", "effective", "µJ", "unskipped")
    for layer in energy.layers:
        kind = "binary" if layer.binary else "float"
        table.add_row(
            escape(layer.name),
            f"{kind} *" if layer.constant else kind,
            whole(layer.dense),
            whole(layer.synops),
            microjoules(layer.energy_uj),
            microjoules(layer.dense_uj),
        )
    if any(layer.constant for layer in energy.layers):
        table.caption = "* the same input at each step"
        table.caption_justify = "left"
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(columns[0], overflow="fold")
    for column in columns[1:]:
        table.add_column(column, justify="right", overflow="fold")
    return table
