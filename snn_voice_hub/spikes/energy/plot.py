"""A picture of an energy estimate: totals beside the twin's, and where in the network they arise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snn_voice_lite.visible import visible

from snn_voice_hub.notation import microjoules
from snn_voice_hub.plotting import BLUE, DPI, INK, ORANGE, SKY, SOFT, STYLE, matplotlib, picture
from snn_voice_hub.spikes.energy.estimate import Energy, named
from snn_voice_hub.spikes.energy.layers import AC_PJ, CONSTANTS, MAC_PJ, LayerEnergy

_WIDTH = 11.0  # inches


def draw_energy(energy: Energy, path: Path) -> None:
    """Draw the estimate as bars.

    Args:
        energy: What was counted; its twin is drawn too.
        path: The file to write; its ending says in which format.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        ConfigError: The file can't be written.
    """
    mpl, blank = matplotlib("drawing energy")
    style: dict[Any, Any] = STYLE | {"axes.grid.axis": "x"}  # matplotlib's types name every key
    bars = _bars(energy)
    rows = max(len(bars), len(energy.layers) * (2 if _paired(energy) else 1) / 1.6)
    with mpl.rc_context(style):
        figure = blank(figsize=(_WIDTH, 1.9 + 0.36 * rows))
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
        figure.suptitle(
            f"{visible(energy.model)}: arithmetic of one window of sound, mean of {energy.windows:,}",
            x=0.012,
            ha="left",
            fontsize=14,
            fontweight="bold",
        )
        _draw_totals(left, bars)
        _draw_layers(right, energy)
        note = f"{MAC_PJ} pJ a MAC, {AC_PJ} pJ an AC ({CONSTANTS}); without memory traffic and neuron updates"
        legend = figure.legend(loc="outside lower center", ncols=3, title=note, title_fontsize=9)
        legend.get_title().set_color(SOFT)
        with picture(path) as (part, form):
            figure.savefig(part, dpi=DPI, format=form)


def _bars(energy: Energy) -> list[tuple[str, float, float]]:
    """For each bar its name, and microjoules of MACs and of ACs."""
    found = []
    for one in (energy, energy.twin):
        if one is None:
            continue
        if one.energy_uj is not None:
            found.append((f"{visible(one.model)}\nzeros skipped", *_split(one, once=False)))
            if any(layer.constant for layer in one.layers):
                found.append((f"{visible(one.model)}\ninput layer once", *_split(one, once=True)))
        if not one.spiking or one.num_steps == 1:
            macs = sum(layer.dense_uj for layer in one.layers if not layer.binary)
            found.append((f"{visible(one.model)}\nnothing skipped", macs, one.dense_uj - macs))
    return found


def _split(energy: Energy, *, once: bool) -> tuple[float, float]:
    sums = {False: 0.0, True: 0.0}
    for layer in energy.layers:
        steps = energy.num_steps if once and layer.constant else 1
        sums[layer.binary] += (layer.energy_uj or 0.0) / steps
    return sums[False], sums[True]


def _draw_totals(axes: Any, bars: list[tuple[str, float, float]]) -> None:
    axes.set_title("Totals")
    places = range(len(bars))
    axes.barh(places, [macs for _, macs, _ in bars], 0.6, color=BLUE, label="MACs (float input)")
    axes.barh(
        places,
        [acs for *_, acs in bars],
        0.6,
        left=[macs for _, macs, _ in bars],
        color=ORANGE,
        label="ACs (binary input)",
    )
    _label(axes, places, [macs + acs for _, macs, acs in bars])
    axes.set_yticks(places, [name for name, *_ in bars])
    _finish(axes)


def _paired(energy: Energy) -> bool:
    return energy.twin is not None and len(energy.twin.layers) == len(energy.layers)


def _draw_layers(axes: Any, energy: Energy) -> None:
    axes.set_title("Layers")
    twin = energy.twin if _paired(energy) else None
    height = 0.8 if twin is None else 0.4
    places = [float(at) for at in range(len(energy.layers))]
    values = [_uj(layer) for layer in energy.layers]
    colours = [ORANGE if layer.binary else BLUE for layer in energy.layers]
    ours = [at - (height / 2 if twin else 0) for at in places]
    axes.barh(ours, values, height, color=colours)
    _label(axes, ours, values)
    if twin is not None:
        theirs = [at + height / 2 for at in places]
        values = [_uj(layer) for layer in twin.layers]
        axes.barh(theirs, values, height, color=SKY, label=f"the same layer of {named(twin)}")
        _label(axes, theirs, values)
    axes.set_yticks(places, [layer.name for layer in energy.layers])
    _finish(axes)


def _uj(layer: LayerEnergy) -> float:
    """Of a twin of which only the shapes are known: if nothing is skipped."""
    return layer.dense_uj if layer.energy_uj is None else layer.energy_uj


def _label(axes: Any, places: Any, values: list[float]) -> None:
    for at, value in zip(places, values, strict=True):
        axes.annotate(
            microjoules(value),
            (value, at),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=INK,
        )


def _finish(axes: Any) -> None:
    axes.invert_yaxis()
    axes.set_xlabel("µJ")
    axes.set_xlim(0, axes.get_xlim()[1] * 1.12)  # room for the last bar's figure
    axes.tick_params(axis="y", length=0)
