"""How a model does where it listens: words missed, and false alarms an hour, by threshold.

Accuracy on clips of words says nothing of it: whoever leaves a microphone open hears little that is a word of
the model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from snn_voice_lite.streaming.detector import Detector, Event, against_no_word, chosen_words

from snn_voice_hub.config import UNKNOWN, DetectionConfig, VoiceConfig, is_word
from snn_voice_hub.training.clips.corpus import COMMANDS
from snn_voice_hub.training.clips.data import Clips, as_floats
from snn_voice_hub.training.clips.negatives import Negatives
from snn_voice_hub.training.measuring.logits import logits_of
from snn_voice_hub.training.measuring.streams import Floats, Said, missed, sayings
from snn_voice_hub.voice import SnnVoice

HOP = 0.1
# Words in a stream: half an hour of them tells thresholds apart.
MOST_SAID = 500
# Thresholds of a curve: close together where scores are sure.
THRESHOLDS = tuple(float(f"{1 / (1 + np.exp(-x)):.5g}") for x in np.arange(-2.0, 9.01, 0.25))
_BATCH = 128


@dataclass(frozen=True)
class Heard:
    """Scores of a model over sound that goes on.

    Attributes:
        scores: `[W, C]`, of a window every `HOP` seconds.
        ends: Where each window ends, in seconds, `[W]`.
        seconds: Length of the sound.
        surest: The highest share of a word in any window, see `against_no_word`: below it there is no event.
    """

    scores: Floats
    ends: npt.NDArray[np.float64]
    seconds: float
    surest: float


def hear(model: SnnVoice, waveform: Floats) -> Heard:
    """Scores of the windows of a sound `[N]`, as a microphone hears it that was open before, and stays open.

    With quiet around it, a sound is in as many windows as it would be in a stream. A word counts by how long
    it is held: without, what is hardly longer than a window could make no event, whatever it sounds like.
    """
    c = model.config.features
    hop = max(1, round(HOP * c.sample_rate))
    before = c.num_samples - hop
    padded = np.pad(waveform, (before, c.num_samples))
    seconds = len(waveform) / c.sample_rate
    if model.remembers:
        along, ends = model.scores_along(padded, hop=HOP)
        first = before // hop
        scores, places = along[first:], np.array(ends[first:]) - before / c.sample_rate
        return Heard(scores, places, seconds, _surest(scores, model.labels))
    wave = torch.from_numpy(padded)
    windows = wave.unfold(0, c.num_samples, hop)
    logits = logits_of(model, (part.contiguous() for part in torch.split(windows, _BATCH)))
    scores = (logits / model.config.temperature).softmax(1).numpy()
    places = (c.num_samples - before + hop * np.arange(len(windows))) / c.sample_rate
    return Heard(scores, places, seconds, _surest(scores, model.labels))


def _surest(scores: Floats, labels: Sequence[str]) -> float:
    words = np.array([is_word(label) for label in labels])
    return float(against_no_word(scores, words, knows_others=UNKNOWN in labels).max(initial=0))


@dataclass(frozen=True)
class Sounds:
    """What a model's listening is measured on, as it heard it.

    Attributes:
        labels: Of the model.
        window: Length of its window in seconds.
        streams: Words over noise, with what is said, by a name such as "10_db"; one for each time that they
            are said.
        speech: Speech without the words, a piece each.
        noise: Noise and music.
        single: Recordings of single other words.
    """

    labels: list[str]
    window: float
    streams: dict[str, list[tuple[Heard, list[Said]]]]
    speech: list[Heard]
    noise: list[Heard]
    single: list[Heard]

    def _events(self, heard: Heard, point: DetectionConfig, words: Sequence[str] | None) -> list[Event]:
        # Most of what is no word is not sure at any threshold that is worth a try.
        if np.float32(heard.surest) < np.float32(min(point.threshold, *point.thresholds.values(), 1.0)):
            return []
        detector = Detector(self.labels, point, window=self.window, hop=HOP, words=words)
        return detector.feed(heard.scores, heard.ends)

    def at(self, point: DetectionConfig, words: Sequence[str] | None = None) -> dict[str, Any]:
        """Figures at an operating point.

        Args:
            point: The operating point.
            words: What is listened for; None for all words.

        Returns:
            `missed`: share of the words not heard at each loudness, of all times that they are said.
            `false_alarms`: events an hour on speech and on noise. `single`: share of other single words taken
            for a word. What there is no sound for is left out.
        """
        wanted = {self.labels[i] for i in chosen_words(self.labels, words)}
        figures: dict[str, Any] = {"missed": {}, "false_alarms": {}}
        for name, streams in self.streams.items():
            count = unheard = 0
            for heard, said in streams:
                asked = [word for word in said if word.label in wanted]
                if asked:
                    left, _ = missed(asked, self._events(heard, point, words))
                    count, unheard = count + len(asked), unheard + len(left)
            if count:
                figures["missed"][name] = unheard / count
        for name, sounds in (("speech", self.speech), ("noise", self.noise)):
            hours = self.hours()[name]
            if hours:
                count = sum(len(self._events(heard, point, words)) for heard in sounds)
                figures["false_alarms"][name] = count / hours
        if self.single:
            taken = [bool(self._events(heard, point, words)) for heard in self.single]
            figures["single"] = float(np.mean(taken))
        return figures

    def curve(
        self, point: DetectionConfig, words: Sequence[str] | None = None
    ) -> list[tuple[float, dict[str, Any]]]:
        """`at` for each of `THRESHOLDS`, all else as in `point`."""
        return [
            (threshold, self.at(dataclasses.replace(point, threshold=threshold, thresholds={}), words))
            for threshold in THRESHOLDS
        ]

    def figures(self, point: DetectionConfig) -> dict[str, Any]:
        """What is told of a model: `at` for all words and, where it knows some, for the ten commands."""
        commands = [word for word in COMMANDS if word in self.labels]
        hours = {name: round(hours, 3) for name, hours in self.hours().items()}
        told = {"hours": hours, "single_words": len(self.single), "threshold": point.threshold, **self.said()}
        told["words"] = self.at(point)
        return told | ({"commands": self.at(point, commands)} if commands else {})

    def said(self) -> dict[str, int]:
        """How many clips of words were said, and how many times each: `clips`, `times_said`."""
        streams = next(iter(self.streams.values()), [])
        return {"clips": len(streams[0][1]), "times_said": len(streams)} if streams else {}

    def hours(self) -> dict[str, float]:
        """Hours of speech and of noise."""
        return {
            name: sum(heard.seconds for heard in sounds) / 3600
            for name, sounds in (("speech", self.speech), ("noise", self.noise))
        }


def listen(
    model: SnnVoice,
    clips: Clips,
    noises: Sequence[Floats],
    negatives: Negatives | None,
    snrs: Sequence[int] = (20, 10, 5),
    most: int = MOST_SAID,
    seed: int = 0,
) -> Sounds:
    """Let a model hear words over noise, and sound without its words.

    A few words are said several times, see `sayings`; the other sound is heard once.

    Args:
        model: The model.
        clips: Words of people whom it has not heard, at its rate.
        noises: Recordings `[N]` behind the words, such that it has not heard.
        negatives: Sound without the words, at its rate; None for none.
        snrs: Loudness of the words over the noise, in dB.
        most: So many words are said in a stream; of more clips, every second one, or every third.
        seed: Of the order of the words, and the noise behind them.
    """
    rate = model.sample_rate
    streams = {}
    known = np.flatnonzero(np.isin(clips.labels, [label for label in model.labels if is_word(label)]))
    spread = np.linspace(0, len(known) - 1, min(len(known), most)).round().astype(int)
    asked = clips.pick(known[spread])
    for snr in snrs if len(known) else ():
        said = sayings(asked, noises, snr, sample_rate=rate, seed=seed)
        streams[f"{snr}_db"] = [(hear(model, stream.waveform), stream.said) for stream in said]
    speech: list[Heard] = []
    noise: list[Heard] = []
    single: list[Heard] = []
    if negatives is not None:
        for span in negatives.spans(model.labels):
            wave = as_floats(negatives.sounds[span.sound].wave[span.start : span.end])
            (single if span.single else speech).append(hear(model, wave))
        for sound in negatives.of_kind("noise", "music"):
            noise.append(hear(model, as_floats(sound.wave)))
    return Sounds(model.labels, model.config.features.seconds, streams, speech, noise, single)


# Smoothing times that are tried, in seconds.
_SMOOTHING = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


@dataclass(frozen=True)
class PointRule:
    """By what an operating point is chosen.

    Attributes:
        most_alarms: False alarms an hour on speech that are allowed, and on noise; where there is too little
            sound to tell, none at all.
        slack: Points that miss this much more than the best, as a share of the words, count as being as good.
            Where few clips tell them apart, that spares false alarms.
        snr: Loudness of the words over the noise, in dB, at which misses are counted: one at which some are
            missed, since misses tell no point from another where every word is heard at any.
    """

    most_alarms: float = 10.0
    slack: float = 0.0
    snr: int = 10


_RULE = PointRule()


def choose(
    sounds: Sounds,
    words: Sequence[str] | None = None,
    rule: PointRule = _RULE,
) -> DetectionConfig:
    """The operating point that misses the fewest words.

    Of false alarms one more is counted than there were: in a quarter of an hour of sound, none says little.
    Of points that miss as few, as where there are few clips, it is the one with the fewest false alarms, then
    the one for which a word is held the longest, at the lowest threshold.

    Args:
        sounds: What a model heard of validation speakers and of negatives that it has not learned from.
        words: What is listened for; None for all words.
        rule: How many false alarms are allowed, and where misses are counted.

    Returns:
        It, or, where no threshold has so few false alarms, the highest one for the longest time.
    """
    point = DetectionConfig(threshold=THRESHOLDS[-1], hop=HOP)
    once = {name: 1 / hours for name, hours in sounds.hours().items() if hours}
    found = []
    for smoothing in _SMOOTHING:
        for threshold, figures in sounds.curve(dataclasses.replace(point, smoothing=smoothing), words):
            alarms = figures["false_alarms"]
            if all(alarms[name] + once[name] <= max(rule.most_alarms, once[name]) for name in alarms):
                share = figures["missed"].get(f"{rule.snr}_db", 1.0)
                found.append((share, sum(alarms.values()), -smoothing, threshold))
    if not found:
        return dataclasses.replace(point, smoothing=_SMOOTHING[-1])
    fewest = min(found)[0]
    as_good = [(fewest, *rest) if share <= fewest + rule.slack else (share, *rest) for share, *rest in found]
    *_, smoothing, threshold = min(as_good)
    return dataclasses.replace(point, threshold=threshold, smoothing=-smoothing)


def with_point(
    model: SnnVoice,
    clips: Clips,
    noises: Sequence[Floats],
    negatives: Negatives,
    rule: PointRule = _RULE,
    seed: int = 0,
) -> VoiceConfig:
    """A model's configuration with the operating point that suits it, and how it does there.

    It is chosen for the ten commands, where the model knows them all, and otherwise for all its words.

    Args:
        model: The model.
        clips: Clips of validation speakers; those that are no words of it are left out.
        noises: Recordings `[N]` to put behind the words where the negatives have none.
        negatives: Sound without the words that it has not learned from.
        rule: How many false alarms are allowed, and where misses are counted.
        seed: Of the order of the clips, and the noise behind them.
    """
    behind = [as_floats(sound.wave) for sound in negatives.of_kind("noise")] or noises
    sounds = listen(model, clips, behind, negatives, snrs=(rule.snr,), seed=seed)
    point = choose(sounds, COMMANDS if set(COMMANDS) <= set(model.labels) else None, rule)
    metrics = {**model.config.metrics, "listening_validation": rounded(sounds.figures(point))}
    return dataclasses.replace(model.config, detection=point, metrics=metrics)


def rounded(figures: Any) -> Any:
    """Figures with four digits after the point, as they stand in a configuration."""
    if isinstance(figures, dict):
        return {key: rounded(value) for key, value in figures.items()}
    return round(figures, 4) if isinstance(figures, float) else figures
