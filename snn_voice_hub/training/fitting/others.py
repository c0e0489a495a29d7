"""What the class `_unknown_` is learned from: other speech, and what is made of the words themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from snn_voice_hub.config import is_word
from snn_voice_hub.spoken import FADE, SAME_REVERSED, at_edge, extent, faded, part, side_by_side
from snn_voice_hub.training.clips.data import Clips, Wave, as_floats
from snn_voice_hub.training.clips.negatives import Negatives, Span
from snn_voice_hub.training.fitting.recipe import Mixture


@dataclass
class Others:
    """Makes clips of the class `_unknown_`, and puts other speech around words.

    Args:
        recorded: Clips of words, of which pieces are made.
        negatives: Other speech, or None where there is none.
        labels: The model's.
        mixture: How much of what.
    """

    recorded: Clips
    negatives: Negatives | None
    labels: Sequence[str]
    mixture: Mixture
    _makers: list[Callable[[np.random.Generator], Wave]] = field(init=False)
    _chance: npt.NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        """Count what there is of each kind."""
        self.length = self.recorded.waveforms.shape[1]
        words = np.array([is_word(label) for label in self.recorded.labels])
        self._words = np.flatnonzero(words)
        self._turned = np.flatnonzero(words & ~np.isin(self.recorded.labels, SAME_REVERSED))
        spans = self.negatives.spans(self.labels) if self.negatives else []
        self._running = self._weighted([span for span in spans if not span.single])
        self._single = self._weighted([span for span in spans if span.single])
        m = self.mixture
        made: list[tuple[float, Callable[[np.random.Generator], Wave]]] = [
            (m.speech * bool(self._running[0]), self._speech),
            (m.words * bool(self._single[0]), self._word),
            (m.pieces * bool(len(self._words)), self._piece),
            (m.joined * bool(len(self._words)), self._joined),
            (m.reversed * bool(len(self._turned)), self._reversed),
        ]
        self._makers = [make for weight, make in made if weight]
        if not any(weight for weight, _ in made):  # only words that stay the same when they are turned round
            made = [(1.0, self._piece)]
        total = sum(weight for weight, _ in made)
        self._chance = np.array([weight / total for weight, _ in made if weight])

    def _weighted(self, spans: list[Span]) -> tuple[list[Span], npt.NDArray[np.float64]]:
        """Spans with the chance of each: who says more is heard more often, by the root of the time."""
        sounds = self.negatives.sounds if self.negatives else ()
        units = [sounds[span.sound].unit for span in spans]
        # A single word counts once, however long it is.
        size = np.array([1.0 if span.single else span.end - span.start for span in spans])
        index = {unit: i for i, unit in enumerate(dict.fromkeys(units))}
        owner = np.array([index[unit] for unit in units], dtype=np.int64)
        mass = np.bincount(owner, weights=size, minlength=len(index)) if len(spans) else np.zeros(0)
        chance = size / np.sqrt(mass[owner]) if len(spans) else size
        return spans, chance / chance.sum() if len(spans) else chance

    @property
    def can_surround(self) -> bool:
        """Whether there is speech to put around words."""
        return bool(self._running[0])

    def clips(self, count: int, rng: np.random.Generator) -> Tensor:
        """Clips of the class `_unknown_`, `[B, N]`."""
        kinds = rng.choice(len(self._makers), count, p=self._chance)
        return torch.from_numpy(np.stack([self._makers[kind](rng) for kind in kinds]))

    def speech(self, rng: np.random.Generator) -> Wave:
        """A window of other speech `[N]`."""
        return self._speech(rng)

    def running(self, streams: int, length: int, rng: np.random.Generator) -> Tensor:
        """Other speech that goes on, window by window: `[streams * length, N]`."""
        found = np.zeros((streams, length * self.length), np.float32)
        for stream in found:
            begin = 0
            while begin < len(stream):
                piece = self._run_of(len(stream) - begin, rng)
                stream[begin : begin + len(piece)] = piece
                begin += len(piece)
        return torch.from_numpy(found).view(streams * length, self.length)

    # --- of negatives -----------------------------------------------------------------------------

    def _heard(self, span: Span, start: int, length: int) -> Wave:
        assert self.negatives is not None
        wave = self.negatives.sounds[span.sound].wave
        first, last = max(start, 0), min(start + length, len(wave))
        out = np.zeros(length, np.float32)
        if last > first:
            out[first - start : last - start] = as_floats(wave[first:last])
        return out

    def _speech(self, rng: np.random.Generator) -> Wave:
        spans, chance = self._running
        span = spans[rng.choice(len(spans), p=chance)]
        room = span.end - span.start - self.length
        if room >= 0:
            return self._heard(span, span.start + int(rng.integers(room + 1)), self.length)
        # Shorter than a window: all of it, anywhere in the window, and silence around it.
        piece = faded(self._heard(span, span.start, span.end - span.start))
        out = np.zeros(self.length, np.float32)
        begin = int(rng.integers(-room + 1))
        out[begin : begin + len(piece)] = piece
        return out

    def _run_of(self, most: int, rng: np.random.Generator) -> Wave:
        """So many samples of one recording, or all there are."""
        spans, chance = self._running
        span = spans[rng.choice(len(spans), p=chance)]
        size = min(most, span.end - span.start)
        start = span.start + int(rng.integers(span.end - span.start - size + 1))
        return faded(self._heard(span, start, size))

    def _word(self, rng: np.random.Generator) -> Wave:
        spans, chance = self._single
        span = spans[rng.choice(len(spans), p=chance)]
        size = span.end - span.start
        if size >= self.length:
            return self._heard(span, span.start + int(rng.integers(size - self.length + 1)), self.length)
        piece = faded(self._heard(span, span.start, size))
        out = np.zeros(self.length, np.float32)
        begin = int(rng.integers(self.length - size + 1))
        out[begin : begin + size] = piece
        return out

    # --- of words ---------------------------------------------------------------------------------

    def _drawn(self, rng: np.random.Generator, among: npt.NDArray[np.int64]) -> Wave:
        return as_floats(self.recorded.waveforms[rng.choice(among)])

    def _piece(self, rng: np.random.Generator) -> Wave:
        end = rng.random() < 0.5
        return at_edge(part(self._drawn(rng, self._words), rng, end=end), self.length, end=end)

    def _joined(self, rng: np.random.Generator) -> Wave:
        one = part(self._drawn(rng, self._words), rng, end=True)
        other = part(self._drawn(rng, self._words), rng, end=False)
        return side_by_side(one, other, self.length, rng)

    def _reversed(self, rng: np.random.Generator) -> Wave:
        return self._drawn(rng, self._turned)[::-1].copy()

    # --- around words -----------------------------------------------------------------------------

    def surrounded(self, wave: Wave, rng: np.random.Generator) -> Wave:
        """A word `[N]` with other speech before it, after it, or on both sides."""
        first, last = extent(wave)
        power = float(np.square(wave[first:last]).mean()) ** 0.5
        out = wave.copy()
        side = int(rng.integers(3))
        for before in (True, False):
            if side == int(before):
                continue
            room = (first if before else len(wave) - last) - int(rng.uniform(320, 1600))
            if room <= FADE:
                continue
            other = self._speech(rng)
            level = float(np.square(other).mean()) ** 0.5
            piece = other[:room] if not before else other[len(other) - room :]
            piece = faded(piece * (power / max(level, 1e-4) * 10 ** (rng.uniform(-12, 0) / 20)))
            if before:
                out[:room] += piece
            else:
                out[len(out) - room :] += piece
        return out.clip(-1, 1)
