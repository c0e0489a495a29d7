"""Pictures of one clip: its sound, the spikes of every layer, membranes, and how the answer comes about.

A layer is drawn as a grid for each time step: its channels (and bands) from top to bottom, their positions
along the sound from left to right. A neuron has the same place in all steps. Where the time steps are those
of the sound there is one grid, in which the steps go to the right.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from snn_voice_lite.visible import visible
from torch import Tensor
from torch.nn import functional

from snn_voice_hub.config import meaning
from snn_voice_hub.notation import percent
from snn_voice_hub.plotting import BLUE, COLOURS, DPI, INK, LINE, SOFT, STYLE, matplotlib, picture
from snn_voice_hub.spikes.decision import quoted, running_scores, running_sums, settled
from snn_voice_hub.spikes.figures import rates
from snn_voice_hub.spikes.membranes import Neurons, draw_membranes, traced_neurons
from snn_voice_hub.spikes.raster import grid_of
from snn_voice_hub.spikes.record import Row
from snn_voice_hub.tensors import FLOAT32

_WIDTH = 11.0  # inches
_WORDS = 5
# Dots of a layer's picture: more would be smaller than a pixel.
_DOTS_DOWN, _DOTS_ACROSS = 64, 440
_GIF_DPI = 80
_STEP_MS = 600
# Where the time steps are those of the sound: how much slower it goes by, and in how many pictures a window.
_SLOWER = 6
_MOST_PICTURES = 25


@dataclass(frozen=True)
class View:
    """One window of sound, and what the network did with it.

    Attributes:
        row: What was recorded, with membranes.
        wave: Its sound `[N]`, as the front end takes it.
        sample_rate: Its rate in Hz.
        labels: One a class.
        temperature: The model's.
        thresholds: Layer name -> firing threshold.
        title: Stands above the picture.
        start: Where the window begins in the clip, in seconds.
        step_seconds: How much sound a time step hears, where the time steps are those of the sound.
    """

    row: Row
    wave: Tensor
    sample_rate: int
    labels: Sequence[str]
    temperature: float
    thresholds: Mapping[str, float]
    title: str = ""
    start: float = 0.0
    step_seconds: float | None = None

    @property
    def span(self) -> tuple[float, float] | None:
        """When the time steps begin and end, where they are those of the sound."""
        if self.step_seconds is None:
            return None
        return self.start, self.start + len(self.row.logits) * self.step_seconds

    def time(self, step: int) -> str:
        """When a step, from 1, ends."""
        return (
            f"step {step}" if self.step_seconds is None else f"{self.start + step * self.step_seconds:.2f} s"
        )


def draw(view: View, path: Path, neurons: Neurons | None = None) -> None:
    """Draw everything as one picture.

    Args:
        view: What is shown.
        path: The file to write; its ending says in which format.
        neurons: Layer name -> numbers of the neurons whose membranes are shown. By default a few of the
            first, a middle and the last layer.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        ConfigError: There is no such neuron, or no membranes were recorded.
    """
    traced = traced_neurons(view.row, neurons)
    mpl, figure_class = matplotlib("drawing spikes")
    layers = view.row.in_time().spk
    rows = math.ceil(len(layers) / 2)
    heights = (3.3, 1.12 * rows + 0.3, 2.2)
    with mpl.rc_context(STYLE):
        figure = figure_class(figsize=(_WIDTH, sum(heights) + 0.4))
        figure.get_layout_engine().set(w_pad=0.12)
        figure.suptitle(visible(view.title), x=0.012, ha="left", fontsize=14, fontweight="bold")
        top, middle, bottom = figure.subfigures(3, 1, height_ratios=heights)
        _sound(top, view)
        _rasters(middle, layers, rows, view.span)
        draw_membranes(bottom, view.row, view.thresholds, traced, view.span)
        with picture(path) as (part, form):
            write_figure(figure, part, form)


def write_figure(figure: Any, part: Any, form: str) -> None:
    """Write a figure of `plotting.picture`; as a PNG it is small."""
    if form == "png":
        _pixels(figure, DPI).save(part, format="PNG", optimize=True)
    else:
        figure.savefig(part, dpi=DPI, format=form)


def _pixels(figure: Any, dpi: int, like: Any = None) -> Any:
    """The figure as an image of 256 colours: half as large, and nobody sees it.

    Args:
        figure: The figure.
        dpi: Pixels an inch.
        like: Another such image, whose colours are taken: with their own, frames would flicker.
    """
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=dpi, format="png")
    image = Image.open(drawn).convert("RGB")
    if like is not None:
        return image.quantize(palette=like, dither=Image.Dither.NONE)
    # Of the methods this one keeps the colours of thin lines.
    return image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)


# --- the sound, and the answer ----------------------------------------------------------------------


def _sound(figure: Any, view: View) -> None:
    grid = figure.add_gridspec(2, 2, width_ratios=(1.1, 1), height_ratios=(1, 1.7))
    wave, seen = (figure.add_subplot(place) for place in (grid[0, 0], grid[1, 0]))
    seconds = np.arange(len(view.wave)) / view.sample_rate + view.start
    wave.plot(seconds, view.wave.numpy(), color=BLUE, linewidth=0.6)
    wave.set_title("Sound")
    wave.grid(False)
    wave.set_yticks([])
    _features(seen, view)
    wave.set_xlim(seen.get_xlim())
    wave.tick_params(labelbottom=False)
    seen.set_xlabel("seconds")
    _decision(figure, grid[:, 1], view, len(view.row.logits))


def _features(axis: Any, view: View) -> None:
    features = view.row.features[0].numpy()
    end = view.start + len(view.wave) / view.sample_rate
    axis.grid(False)
    axis.set_yticks([])
    if features.ndim == 1:
        axis.plot(np.linspace(view.start, end, len(features)), features, color=INK, linewidth=0.5)
        axis.set_title(f"What the network sees: {len(features):,} samples")
    else:
        extent = (view.start, end, 0, len(features))
        axis.imshow(
            features, origin="lower", aspect="auto", cmap="magma", extent=extent, interpolation="nearest"
        )
        axis.set_title(f"What the network sees: {len(features)} mel bands, {features.shape[1]} frames")
    axis.set_xlim(view.start, end)


def _decision(figure: Any, place: Any, view: View, until: int) -> None:
    """The answer up to a step: logits that add up, above the scores that they make."""
    logits, newest, span = view.row.logits, view.row.newest, view.span
    running, sums = running_scores(logits, view.temperature, newest), running_sums(logits, newest)
    best = running[-1].argsort(descending=True, stable=True)[:_WORDS].tolist()
    steps = len(running)
    parts = place.subgridspec(2, 1, height_ratios=(1.6, 1))
    above, below = (figure.add_subplot(part) for part in parts)
    # All steps from the first frame on have the same scale.
    low, high = min(0.0, float(sums.min())), max(0.0, float(sums.max()))
    pad = 0.06 * max(high - low, 1e-6)
    above.set_ylim(low - pad, high + pad)
    first_time, last_time = span or (0.0, float(steps))
    begin = np.linspace(first_time, last_time, steps + 1)[: until + 1]
    others = np.delete(np.pad(sums[:until].numpy(), ((1, 0), (0, 0))), best, axis=1)
    if others.size:
        above.plot(begin, others, color=LINE, linewidth=0.7)
    for place_of, (index, colour) in enumerate(zip(best, COLOURS, strict=False)):
        first = place_of == 0
        look: dict[str, Any] = {
            "color": colour,
            "marker": "osD^v"[place_of] if span is None else "",
            "markersize": 6 if first else 4,
            "linewidth": 2.4 if first else 1.2,
            "zorder": _WORDS - place_of + 2,
            "clip_on": False,
        }
        said = f"{visible(meaning(view.labels[index]))}  {percent(float(running[until - 1, index]))}"
        above.plot(begin, [0.0, *sums[:until, index].tolist()], label=said, **look)
        below.plot(begin[1:], running[:until, index].numpy(), **look)
    above.set_title(
        f"Decision over time: {visible(quoted(view.labels[best[0]]))} from {view.time(settled(running))} on"
        if until == steps
        else f"Answer after {view.time(until)}" + (f" of {steps}" if span is None else "")
    )
    above.set_ylabel("logits, added up")
    below.set_ylabel("score")
    below.set_xlabel("time step" if span is None else "seconds")
    below.set_ylim(0, 1)
    below.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
    ticks = range(0, steps + 1, max(1, steps // 10))
    for axis in (above, below):
        axis.set_xlim(span or (0, steps + 0.1))
        if span is None:
            axis.set_xticks(ticks)
    above.tick_params(labelbottom=False)
    handles, labels = above.get_legend_handles_labels()
    if others.size:
        handles.append(above.lines[0])
        labels.append(f"{others.shape[1]} others")
    above.legend(
        handles,
        labels,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        title=f"after {view.time(until)}",
        alignment="left",
    )


# --- rasters ----------------------------------------------------------------------------------------


def _grid(spk: Tensor, span: tuple[float, float] | None) -> Tensor:
    """A layer as `[T, rows, columns]`; of time steps that are those of the sound, `[1, rows, T]`."""
    return grid_of(spk) if span is None else spk.flatten(1).T.unsqueeze(0)


def dots_of(grid: Tensor, across: int) -> Tensor:
    """A grid `[T, rows, columns]` of spikes as shares of the neurons in each dot."""
    size = (min(grid.shape[1], _DOTS_DOWN), min(grid.shape[2], max(1, across)))
    return functional.adaptive_avg_pool2d(grid.float().unsqueeze(1), size).squeeze(1)


def _sorted(grid: Tensor) -> Tensor:
    """Rows in the order of where along the sound they fire on average; those that never do come last."""
    counts = grid.sum(0).double()
    total = counts.sum(1)
    places = counts @ torch.arange(counts.shape[1], dtype=torch.float64, device="cpu") / total
    return grid[:, places.masked_fill(total == 0, math.inf).argsort(stable=True)]


def _rasters(figure: Any, layers: Mapping[str, Tensor], rows: int, span: tuple[float, float] | None) -> None:
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    for axis, (name, spk) in zip(axes, layers.items(), strict=False):
        grid = _sorted(_grid(spk, span))
        steps = len(grid)
        dots = dots_of(grid, _DOTS_ACROSS // steps)
        across = dots.shape[2]
        gap = max(1, round(across * 0.06))
        shares = torch.full((dots.shape[1], steps * (across + gap) - gap), math.nan, **FLOAT32)
        for t, one in enumerate(dots):
            shares[:, t * (across + gap) : t * (across + gap) + across] = one
        top = max(float(dots.max()), 1e-9)
        shade(axis, shares / top, span)
        shape = " \N{MULTIPLICATION SIGN} ".join(f"{size:,}" for size in spk.shape[1:])
        share = float(rates(spk.unsqueeze(1)).mean())
        fewer = (
            "" if dots.shape == grid.shape else f" in {dots.shape[1]} \N{MULTIPLICATION SIGN} {across} dots"
        )
        axis.set_title(
            f"{name}: {shape} neurons{fewer}, {percent(share)} fire in a step",
            fontsize=9,
            fontweight="normal",
        )
        if span is None:
            axis.set_xticks(
                [t * (across + gap) + (across - 1) / 2 for t in range(steps)],
                [f"step {t + 1}" if steps <= 6 else str(t + 1) for t in range(steps)],
            )
        axis.tick_params(length=0, pad=1, labelsize=8, labelcolor=SOFT)
    for unused in axes[len(layers) :]:
        unused.remove()
    figure.suptitle(
        "Spikes of every layer. The sound goes to the right, channels are sorted by where in it they fire",
        x=0.012,
        ha="left",
        fontsize=11,
        fontweight="bold",
    )


def shade(axis: Any, shares: Tensor, span: tuple[float, float] | None = None) -> None:
    """Draw shares from 0 to 1 without a frame; the square root keeps single spikes visible."""
    from matplotlib.colors import LinearSegmentedColormap

    ink = LinearSegmentedColormap.from_list("ink", ["#eef3f7", BLUE, "#002b45"])
    extent = None if span is None else (*span, len(shares), 0)
    axis.imshow(
        shares.sqrt().numpy(),
        cmap=ink,
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=extent,
    )
    axis.set_yticks([])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)


# --- over the steps ---------------------------------------------------------------------------------


def animate(view: View, path: Path) -> None:
    """Draw the steps one after the other as a GIF: the spikes of every layer, and the answer so far.

    Where the time steps are those of the sound, the sound goes by, several times slower than it was.

    Args:
        view: What is shown; it needs no membranes.
        path: The file to write.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        ConfigError: The file can't be written.
    """
    mpl, figure_class = matplotlib("drawing spikes")
    grids = [
        (name, dots_of(_sorted(_grid(spk, view.span)), 90)) for name, spk in view.row.in_time().spk.items()
    ]
    steps = len(view.row.logits)
    columns = min(3, len(grids))
    rows = math.ceil(len(grids) / columns)
    frames: list[Any] = []
    with mpl.rc_context(STYLE):
        figure = figure_class(figsize=(_WIDTH, max(3.4, 1.1 * rows + 0.6)))
        # From the last one, which has all colours.
        every = 1 if view.step_seconds is None else -(-steps // _MOST_PICTURES)
        for t in range(steps - 1, -1, -every):
            figure.clear()
            _frame(figure, view, grids, (rows, columns), t)
            frames.insert(0, _pixels(figure, _GIF_DPI, frames[-1] if frames else None))
    pause = _STEP_MS if steps <= 6 else _STEP_MS // 2
    if view.step_seconds is not None:
        pause = round(1000 * view.step_seconds * every * _SLOWER)
    with picture(path) as (part, _):
        frames[0].save(
            part,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=[*[pause] * (len(frames) - 1), 5 * pause],
            loop=0,
        )


def _frame(
    figure: Any, view: View, grids: Sequence[tuple[str, Tensor]], shape: tuple[int, int], t: int
) -> None:
    figure.suptitle(visible(view.title), x=0.012, ha="left", fontsize=13, fontweight="bold")
    left, right = figure.subfigures(1, 2, width_ratios=(1.5, 1))
    axes = left.subplots(*shape, squeeze=False).ravel()
    for axis, (name, dots) in zip(axes, grids, strict=False):
        top = max(float(dots.max()), 1e-9)
        shade(axis, _until(dots, t + 1, len(view.row.logits)) / top if view.span else dots[t] / top)
        axis.set_title(name, fontsize=9, fontweight="normal")
        axis.set_xticks([])
    for unused in axes[len(grids) :]:
        unused.remove()
    _decision(right, right.add_gridspec(1, 1)[0], view, t + 1)


def _until(dots: Tensor, step: int, steps: int) -> Tensor:
    """What has been drawn of a layer after some of the steps, `[rows, columns]`."""
    shown = dots[0].clone()
    shown[:, math.ceil(shown.shape[1] * step / steps) :] = 0
    return shown
