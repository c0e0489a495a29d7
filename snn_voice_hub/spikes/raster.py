"""The spikes of one clip in a bounded form that is ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from snn_voice_hub.config import is_word
from snn_voice_hub.spikes.decision import running_scores, settled
from snn_voice_hub.spikes.figures import layer_figures
from snn_voice_hub.spikes.record import Row

NEURONS = 2048
_COLUMNS = 64
# Of all layers and steps together; an index and its comma take about five bytes.
_MOST_CELLS = 1 << 17


def grid_of(spk: Tensor) -> Tensor:
    """A layer as a grid: columns go along the sound, rows are its channels (and bands).

    Args:
        spk: `[T, ..., positions]`, or `[T, neurons]`, which makes one column.

    Returns:
        `[T, rows, columns]`.
    """
    return spk.flatten(1, -2) if spk.ndim > 2 else spk.reshape(len(spk), -1, 1)


def spread(count: int, most: int) -> list[int]:
    """At most so many numbers from 0 to `count - 1`, evenly spread."""
    kept = min(count, most)
    return [index * count // kept for index in range(kept)]


def _kept(rows: int, columns: int, most: int) -> tuple[list[int], list[int]]:
    """Which rows and columns of a grid are shown; rather fewer channels than a coarser sound."""
    across = min(columns, most, _COLUMNS)
    down = min(rows, most // across)
    return spread(rows, down), spread(columns, most // down)


def layer_raster(name: str, spk: Tensor, neurons: int, *, framed: bool = False) -> dict[str, Any]:
    """One layer.

    Args:
        name: Its name.
        spk: Its spikes for one clip, `[T, ...]`.
        neurons: At most so many are shown.
        framed: Whether the time steps are those of the sound, so that spikes may be `[T, C, k]`: the columns
            are then moments in a step, one after the other, and the neurons of all are the same.

    Returns:
        `name`, `shape`, the fields of `LayerFigures`, `rows` and `columns` (which of the grid are shown), and
        `spikes`: for each step the places in the shown grid (row * number of columns + column) of the neurons
        that fire.
    """
    grid = grid_of(spk)
    rows, columns = _kept(grid.shape[1], grid.shape[2], neurons)
    shown = grid[:, rows][:, :, columns].flatten(1)
    return {
        "name": name,
        "shape": list(spk.shape[1:2] if framed else spk.shape[1:]),
        **asdict(layer_figures(spk.unsqueeze(1), framed=framed)),
        "rows": rows,
        "columns": columns,
        "spikes": [step.nonzero().squeeze(1).tolist() for step in shown],
    }


def clip_raster(
    row: Row,
    labels: Sequence[str],
    temperature: float,
    *,
    top_k: int = 5,
    words_only: bool = False,
    neurons: int = NEURONS,
    step_seconds: float | None = None,
) -> dict[str, Any]:
    """Everything that is shown of one clip, of bounded size.

    Args:
        row: What was recorded.
        labels: One a class.
        temperature: The model's.
        top_k: At most so many labels.
        words_only: Leave out labels that are no word; scores stay as they are.
        neurons: Neurons a layer, at most; fewer where there are many layers and steps.
        step_seconds: How much sound a time step hears, where steps are those of the sound.

    Returns:
        `num_steps`, `step_seconds`; `predictions`; `decision` with `labels` (best first), the `logits` of
        each step and the running `scores` (`[T][words]`), and `settled`, the step from which on the best
        label is the final one; `layers`, see `layer_raster`.
    """
    steps = len(row.logits)
    running = running_scores(row.logits, temperature, row.newest)
    ranked = running[-1].argsort(descending=True, stable=True).tolist()
    kept = [index for index in ranked if is_word(labels[index]) or not words_only]
    order = kept[:top_k]
    words = [labels[index] for index in order]
    room = max(1, _MOST_CELLS // (steps * max(1, len(row.spk))))
    return {
        "num_steps": steps,
        "step_seconds": step_seconds,
        "predictions": [
            {"label": word, "score": score}
            for word, score in zip(words, running[-1, order].tolist(), strict=True)
        ],
        "decision": {
            "labels": words,
            "scores": _rounded(running[:, order], 6),
            "logits": _rounded(row.logits[:, order], 4),
            "settled": settled(running[:, sorted(kept)]),
        },
        "layers": [
            layer_raster(name, spk, min(neurons, room), framed=row.newest is not None)
            for name, spk in row.spk.items()
        ],
    }


def _rounded(values: Tensor, digits: int) -> list[list[float]]:
    return [[round(value, digits) for value in step] for step in values.tolist()]
