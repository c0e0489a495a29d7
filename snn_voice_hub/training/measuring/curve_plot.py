"""Words missed against false alarms an hour, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snn_voice_lite.visible import visible

from snn_voice_hub.plotting import COLOURS, DPI, INK, STYLE, check_picture, matplotlib, picture

# Less than this could not be measured in an hour or two; what has none is drawn here.
_LEAST = 0.3

Point = tuple[float, float]


def points(
    curve: Sequence[tuple[float, Mapping[str, Any]]], stream: str, sound: str = "speech"
) -> list[Point]:
    """False alarms an hour and share of words missed, by rising threshold.

    Args:
        curve: Of `listening.Sounds.curve`.
        stream: Which words.
        sound: "speech" or "noise".
    """
    return [
        (figures["false_alarms"][sound], figures["missed"][stream])
        for _, figures in curve
        if stream in figures["missed"] and sound in figures["false_alarms"]
    ]


def draw_curves(
    curves: Mapping[str, Sequence[Point]],
    path: Path,
    *,
    title: str,
    marked: Mapping[str, Point] | None = None,
) -> None:
    """Draw curves of several models or loudnesses.

    Args:
        curves: Points by name.
        path: The file to write; its ending says in which format.
        title: Stands above.
        marked: Operating points by the name of their curve.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        ConfigError: The file can't be written.
    """
    what = "drawing words missed against false alarms"
    check_picture(path, what)
    mpl, blank = matplotlib(what)
    style: dict[Any, Any] = STYLE | {"axes.grid.axis": "both"}
    with mpl.rc_context(style):
        figure = blank(figsize=(7.5, 5.0))
        axes = figure.subplots()
        for i, (name, found) in enumerate(curves.items()):
            colour = COLOURS[i % len(COLOURS)]
            across = [max(alarms, _LEAST) for alarms, _ in found]
            axes.plot(across, [100 * share for _, share in found], color=colour, label=visible(name), lw=2)
            if marked and name in marked:
                alarms, share = marked[name]
                axes.plot([max(alarms, _LEAST)], [100 * share], "o", color=colour, ms=8, mec=INK)
        axes.set_xscale("log")
        # Matplotlib's own would be formulas, and names of models are not to be read as such.
        axes.xaxis.set_major_formatter(lambda alarms, _: f"{alarms:g}")
        axes.set_xlim(left=_LEAST)
        axes.set_ylim(0, 100)
        axes.set_xlabel(f"false alarms an hour (fewer than {_LEAST:g} are drawn at {_LEAST:g})")
        axes.set_ylabel("words missed, %")
        axes.set_title(visible(title))
        axes.legend()
        with picture(path) as (part, form):
            figure.savefig(part, dpi=DPI, format=form)
