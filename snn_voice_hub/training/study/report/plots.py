"""The figures of a report on the paper's grid, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snn_voice_hub.notation import percent
from snn_voice_hub.plotting import BLUE, COLOURS, DPI, INK, ORANGE, STYLE, matplotlib, picture
from snn_voice_hub.training.measuring.confusion import Confusion
from snn_voice_hub.training.study.findings import Cell, Group, costs
from snn_voice_hub.training.study.results import RunResult

FIGURES = "figures"

_CNN, _FIXED, _LEARNED = INK, BLUE, ORANGE


def draw(groups: Sequence[Group], out: Path) -> dict[str, Path]:
    """Draw all figures that the results allow.

    Args:
        groups: The results.
        out: Folder of the report; the figures are written to `figures/` in it.

    Returns:
        Files by name: "accuracy", "curves", "cost", and "confusion: M5 CNN" and so on.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    mpl, figure_class = matplotlib("drawing figures")
    folder = out / FIGURES
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, Path] = {}

    def keep(name: str, file: str, figure: Any) -> None:
        made[name] = folder / file
        with picture(made[name]) as (part, form):
            figure.savefig(part, dpi=DPI, format=form)

    with mpl.rc_context(STYLE):
        if groups:
            keep("accuracy", "accuracy.png", _accuracy(figure_class, groups))
            keep("curves", "curves.png", _curves(figure_class, groups))
        if any(costs(group) for group in groups):
            keep("cost", "cost.png", _cost(figure_class, groups))
    for group in groups:
        for name, cell in confused(group):
            slug = name.lower().translate(str.maketrans(" ", "-", "=,()"))
            table, title = _confusion(name, cell)
            made[f"confusion: {name}"] = folder / f"confusion-{slug}.png"
            table.draw(made[f"confusion: {name}"], title)
    return made


def confused(group: Group) -> list[tuple[str, Cell]]:
    """The cells of a group whose confusion is shown: the CNN, and the best twin with a fixed beta."""
    cells = [(f"{group.label} CNN", group.cnn)] if group.cnn else []
    if group.best is not None:
        cells.append((f"{group.label} SNN, T={group.best}", group.fixed[group.best]))
    return cells


def _panels(figure_class: Any, count: int, height: float) -> tuple[Any, list[Any]]:
    columns = min(2, count)
    rows = -(-count // columns)
    figure = figure_class(figsize=(5.2 * columns, height * rows))
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel().tolist()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def _percent(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))


# --- accuracy by number of steps ------------------------------------------------------------------


def _accuracy(figure_class: Any, groups: Sequence[Group]) -> Any:
    figure, axes = _panels(figure_class, len(groups), 3.4)
    every = sorted({steps for group in groups for steps in (*group.fixed, *group.learned)})
    for axis, group in zip(axes, groups, strict=True):
        if group.cnn:
            top1 = group.cnn.top1
            axis.axhline(top1.mean, color=_CNN, linestyle="--", linewidth=1.5, label="CNN")
            if top1.seeds > 1:
                axis.axhspan(top1.least, top1.largest, color=_CNN, alpha=0.12, linewidth=0)
        twins = (
            (group.fixed, _FIXED, "o", "SNN, fixed beta", -0.06),
            (group.learned, _LEARNED, "s", "SNN, learned beta", 0.06),
        )
        for cells, colour, marker, label, aside in twins:
            if not cells:
                continue
            steps = sorted(cells)
            places = [every.index(t) + aside for t in steps]
            axis.plot(places, [cells[t].top1.mean for t in steps], color=colour, linewidth=1.8, label=label)
            seeds = [
                (place, r.tested.top1)
                for place, t in zip(places, steps, strict=True)
                for r in cells[t].results
            ]
            axis.scatter(
                *zip(*seeds, strict=True),
                color=colour,
                marker=marker,
                s=26,
                alpha=0.75,
                linewidth=0,
                zorder=3,
            )
        axis.set_title(group.label)
        axis.set_xticks(range(len(every)), [str(t) for t in every])
        axis.set_xlim(-0.4, max(len(every) - 0.6, 0.4))
        axis.margins(y=0.15)
        axis.set_xlabel("time steps")
        axis.set_ylabel("clips right")
        _percent(axis)
        axis.legend(loc="best")
    return figure


# --- learning curves ------------------------------------------------------------------------------


def _curves(figure_class: Any, groups: Sequence[Group]) -> Any:
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    figure, axes = _panels(figure_class, len(groups), 3.4)
    every = sorted({steps for group in groups for steps in (*group.fixed, *group.learned)})
    shades = dict(
        zip(every, colormaps["viridis_r"](np.linspace(0.15, 0.95, max(1, len(every)))), strict=False)
    )
    for axis, group in zip(axes, groups, strict=True):
        for cell in group.cells:
            run = cell.results[0].run
            colour = _CNN if run.num_steps is None else shades[run.num_steps]
            line = "--" if run.num_steps is None else ":" if run.learn_beta else "-"
            label = "CNN" if run.num_steps is None else f"T={run.num_steps}{', learned' * run.learn_beta}"
            for result in cell.results:
                epochs = [row["epoch"] for row in result.history]
                right = [row["val_top1"] for row in result.history]
                axis.plot(epochs, right, line, color=colour, linewidth=1.4, alpha=0.9, label=label)
                axis.plot(epochs[-1:], right[-1:], "o", color=colour, markersize=3.5)
                label = "_"  # one entry a cell
        axis.set_title(group.label)
        axis.set_xlabel("epoch")
        axis.set_ylabel("validation clips right")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        _percent(axis)
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


# --- cost -----------------------------------------------------------------------------------------


def _cost(figure_class: Any, groups: Sequence[Group]) -> Any:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    figure = figure_class(figsize=(6.4, 4.2))
    axis = figure.subplots()
    steps_seen: set[int] = set()
    highest, lowest = 1.0, 1.0
    for i, group in enumerate(groups):
        found = {steps: spread for (steps, learned), spread in costs(group).items() if not learned}
        if not found:
            continue
        steps = sorted(found)
        steps_seen |= set(steps)
        highest = max(highest, *(found[t].largest for t in steps))
        lowest = min(lowest, *(found[t].least for t in steps))
        means = [found[t].mean for t in steps]
        colour, marker = COLOURS[i % len(COLOURS)], "osD^vP"[i % 6]
        axis.plot(
            steps, means, color=colour, marker=marker, markersize=6, linewidth=1.8, label=f"{group.label} SNN"
        )
        axis.vlines(
            steps,
            [found[t].least for t in steps],
            [found[t].largest for t in steps],
            color=colour,
            linewidth=3,
        )
    axis.axhline(1, color=_CNN, linestyle="--", linewidth=1.5, label="CNN")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.xaxis.set_major_locator(FixedLocator(sorted(steps_seen)))
    axis.yaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20, 30, 50, 100, 200]))
    axis.set_ylim(lowest / 1.25, highest * 1.25)
    for one in (axis.xaxis, axis.yaxis):
        one.set_minor_locator(NullLocator())
        one.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xlabel("time steps")
    axis.set_ylabel("time of a training epoch, CNN = 1")
    axis.set_title("Cost of training against the CNN (bars: seeds)")
    axis.legend(loc="upper left")
    return figure


# --- confusion ------------------------------------------------------------------------------------


def table_of(results: Sequence[RunResult]) -> tuple[list[str], np.ndarray[Any, np.dtype[np.int64]]]:
    """Labels, and clips by true word and answer, of several runs together."""
    labels = results[0].tested.labels
    return labels, np.sum([result.tested.confusion for result in results], axis=0, dtype=np.int64)


def _confusion(name: str, cell: Cell) -> tuple[Confusion, str]:
    """The table of a cell, without words of which there are no clips, and its title."""
    labels, counts = table_of(cell.results)
    said = counts.sum(1) > 0
    words = [label for label, heard in zip(labels, said, strict=True) if heard]
    seeds = len(cell.results)
    right, total = int(np.trace(counts)), int(counts.sum())
    title = f"{name}: {percent(right / total)} of {total:,} answers right" + f", {seeds} seeds" * (seeds > 1)
    return Confusion(words, labels, counts[said]), title
