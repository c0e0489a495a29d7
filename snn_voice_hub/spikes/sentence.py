"""A whole recording through a network whose time steps are those of the sound: spikes, scores, events.

The network hears the recording once, from rest, as a stream does; what it thinks after each step is the sum
of its newest outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from snn_voice_lite.streaming.detector import Event
from snn_voice_lite.visible import visible
from torch import Tensor, nn

from snn_voice_hub.config import is_word
from snn_voice_hub.errors import AudioError, ConfigError
from snn_voice_hub.features import Features
from snn_voice_hub.inference.windows import fit
from snn_voice_hub.models.framed import FramedSNN
from snn_voice_hub.notation import percent
from snn_voice_hub.plotting import BLUE, COLOURS, INK, LINE, SOFT, STYLE, matplotlib, picture
from snn_voice_hub.spikes.decision import running_scores
from snn_voice_hub.spikes.figures import LayerFigures, layer_figures
from snn_voice_hub.spikes.plots import dots_of, shade, write_figure
from snn_voice_hub.spikes.record import Recording, Row, run_recorded
from snn_voice_hub.tensors import device_of, dtype_of, no_autocast

LONGEST = 60.0  # seconds

_WIDTH = 11.0  # inches
_WORDS = 6
_DOTS_ACROSS = 880
# Of a score's line, which is drawn from a share on.
_HEARD = 0.05


@dataclass(frozen=True)
class Sentence:
    """A recording, and what a network did along it.

    Attributes:
        row: What was recorded: T steps.
        wave: The sound `[N]`, as the front end takes it.
        sample_rate: Its rate in Hz.
        step_seconds: How much sound a step hears.
        labels: One a class.
        temperature: The model's.
        events: What a stream of it says.
        title: Stands above the picture.
    """

    row: Row
    wave: Tensor
    sample_rate: int
    step_seconds: float
    labels: Sequence[str]
    temperature: float
    events: Sequence[Event] = ()
    title: str = ""

    @property
    def seconds(self) -> float:
        """How much of the sound the steps hear."""
        return len(self.row.logits) * self.step_seconds

    def scores(self) -> Tensor:
        """After each step, `[T, C]`."""
        return running_scores(self.row.logits, self.temperature, self.row.newest)

    def words(self, most: int = _WORDS) -> list[int]:
        """Those that were heard best anywhere, by class: all those of events, then others up to so many."""
        peaks = self.scores().amax(0)
        heard = list(dict.fromkeys(self.labels.index(event.label) for event in self.events))
        ranked = peaks.argsort(descending=True, stable=True).tolist()
        likely = [i for i in ranked if is_word(self.labels[i]) and float(peaks[i]) >= _HEARD]
        return list(dict.fromkeys([*heard, *likely]))[: max(most, len(heard))]

    def figures(self) -> dict[str, LayerFigures]:
        """Layer name -> firing rate, dead and saturated neurons, first spike."""
        return {name: layer_figures(spk.unsqueeze(1), framed=True) for name, spk in self.row.spk.items()}


def check_framed(network: nn.Module) -> FramedSNN:
    """The network, if it can hear a recording of any length at once.

    Raises:
        ConfigError: It can't.
    """
    if not isinstance(network, FramedSNN):
        raise ConfigError(
            f"{type(network).__name__} hears windows, and no recording as a whole",
            hint="a spiking network whose time steps are those of the sound, such as TempoSNN",
        )
    return network


@torch.inference_mode()
def hear(network: nn.Module, features: Features, wave: Tensor) -> Row:
    """What a network does along a recording, from rest.

    Args:
        network: Its time steps are those of the sound.
        features: Its front end, where the network is.
        wave: The recording `[N]` at the front end's rate; shorter than a window, silence fills it up.

    Raises:
        AudioError: It is longer than `LONGEST`.
        ConfigError: The network hears windows, or has no spikes.
    """
    spiking, c = check_framed(network), features.config
    seconds = len(wave) / c.sample_rate
    if seconds > LONGEST:
        raise AudioError(
            f"{seconds:.1f} s of sound are too long to be shown", hint=f"up to {LONGEST:g} s", code="too_long"
        )
    if len(wave) < c.num_samples:
        wave = fit(wave, c.num_samples)
    device = device_of(spiking)
    found = Recording(newest=spiking.num_steps)
    with no_autocast(device):
        x = features(wave.unsqueeze(0).to(device)).to(dtype_of(spiking))
        run_recorded(spiking, x, None, [found])
    return found.row(0)


def step_seconds(network: FramedSNN, features: Features) -> float:
    """How much sound a step of the network hears."""
    return network.facts().step_samples(features.config) / features.config.sample_rate


def told(sentence: Sentence) -> dict[str, Any]:
    """A recording's answers and firing rates over time, ready for JSON.

    Args:
        sentence: The recording.

    Returns:
        `step_seconds` and `num_steps`; `events`; `scores`, word -> its score after each step, of those that
        were heard best; `layers`, each with its figures and `rates`, the share of its neurons that fire, step
        by step.
    """
    scores = sentence.scores()
    figures = sentence.figures()
    return {
        "step_seconds": sentence.step_seconds,
        "num_steps": len(scores),
        "events": [
            {name: value for name, value in asdict(event).items() if name != "sound"}
            for event in sentence.events
        ],
        "scores": {
            sentence.labels[index]: [round(value, 4) for value in scores[:, index].tolist()]
            for index in sentence.words()
        },
        "layers": [
            {
                "name": name,
                **asdict(figures[name]),
                "rates": [round(rate, 4) for rate in spk.float().flatten(1).mean(1).tolist()],
            }
            for name, spk in sentence.row.spk.items()
        ],
    }


# --- the picture ------------------------------------------------------------------------------------


def draw_sentence(sentence: Sentence, path: Path) -> None:
    """Draw sound, scores with events, and the spikes of every layer, one above the other along the time.

    Args:
        sentence: What is shown.
        path: The file to write; its ending says in which format.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        ConfigError: The file can't be written.
    """
    mpl, figure_class = matplotlib("drawing spikes")
    layers = sentence.row.in_time().spk
    heights = [0.7, 1.2, 1.7, *[0.52] * len(layers)]
    with mpl.rc_context(STYLE):
        figure = figure_class(figsize=(_WIDTH, sum(heights) + 1.1))
        figure.suptitle(visible(sentence.title), x=0.012, ha="left", fontsize=14, fontweight="bold")
        axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
        _wave(axes[0], sentence)
        _features(axes[1], sentence)
        _scores(axes[2], sentence)
        figures = sentence.figures()
        for axis, (name, spk) in zip(axes[3:], layers.items(), strict=True):
            _layer(axis, sentence, f"{name}: {_fires(figures[name])}", spk)
        axes[0].set_xlim(0, sentence.seconds)
        axes[-1].tick_params(axis="x", labelsize=9, labelcolor=INK)
        axes[-1].set_xlabel("seconds")
        with picture(path) as (part, form):
            write_figure(figure, part, form)


def _fires(found: LayerFigures) -> str:
    return f"{found.neurons:,} neurons, {percent(found.rate)} fire in a step"


def _wave(axis: Any, sentence: Sentence) -> None:
    seconds = np.arange(len(sentence.wave)) / sentence.sample_rate
    axis.plot(seconds, sentence.wave.numpy(), color=BLUE, linewidth=0.5)
    axis.set_title("Sound")
    axis.grid(False)
    axis.set_yticks([])


def _features(axis: Any, sentence: Sentence) -> None:
    features = sentence.row.features[0].numpy()
    end = len(sentence.wave) / sentence.sample_rate
    axis.imshow(
        features,
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(0, end, 0, len(features)),
        interpolation="nearest",
    )
    axis.set_title(
        f"What the network hears: {len(features)} mel bands, {features.shape[1]:,} frames, each once"
    )
    axis.grid(False)
    axis.set_yticks([])


def _scores(axis: Any, sentence: Sentence) -> None:
    scores, step, newest = sentence.scores(), sentence.step_seconds, sentence.row.newest or 0
    times = step * np.arange(1, len(scores) + 1)
    words = sentence.words()
    others = [i for i in range(scores.shape[1]) if i not in words]
    if others:
        axis.plot(times, scores[:, others].numpy(), color=LINE, linewidth=0.6)
    colours = {index: COLOURS[place % len(COLOURS)] for place, index in enumerate(words)}
    for index, colour in colours.items():
        label = visible(sentence.labels[index])
        axis.plot(times, scores[:, index].numpy(), color=colour, linewidth=1.8, label=label)
    for event in sentence.events:
        colour, late = colours[sentence.labels.index(event.label)], event.time > 0.85 * sentence.seconds
        axis.axvspan(event.start, event.end, color=colour, alpha=0.12, linewidth=0)
        axis.axvline(event.time, color=colour, linestyle="--", linewidth=1)
        axis.annotate(
            f"{visible(event.label)} {event.time:.2f} s",
            (event.time, 1.0),
            xytext=(-3 if late else 3, -1),
            textcoords="offset points",
            ha="right" if late else "left",
            va="top",
            fontsize=8,
            color=colour,
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5},
        )
    axis.set_title(f"Scores by the newest {newest * step:g} s; a dashed line is the moment of an event")
    axis.set_ylim(0, 1.02)
    axis.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
    if words:
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _layer(axis: Any, sentence: Sentence, title: str, spk: Tensor) -> None:
    dots = dots_of(spk.T.unsqueeze(0), _DOTS_ACROSS)[0]
    shade(axis, dots / max(float(dots.max()), 1e-9), (0.0, sentence.seconds))
    axis.set_title(title, fontsize=8, fontweight="normal", pad=2)
    axis.tick_params(length=0, pad=1, labelsize=8, labelcolor=SOFT)
