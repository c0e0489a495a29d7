"""What does a model that listens miss, and how often does it hear a word where none was said?

    python -m benchmarks.wild --data CORPUS --negatives FOLDER resmel-snn m5-snn

Words of CORPUS follow each other over noise; NEGATIVES hold speech without the words, noise, music and
single other words (`docs/training.md`). A word is heard where its event comes from its beginning to a second
after its end, and events less than a second apart are one, as in MLPerf Tiny's streaming benchmark. To be
fair, both are such that no model has learned from them.

The last table has the shape of that benchmark: twenty minutes of speech with one word in it fifty times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from snn_voice_lite.streaming.detector import Detector, Event

from benchmarks.common import begin, make_parser, stop
from benchmarks.report import Report, Table
from snn_voice_hub.config import DetectionConfig
from snn_voice_hub.notation import percent
from snn_voice_hub.spoken import extent
from snn_voice_hub.training.clips.corpus import COMMANDS
from snn_voice_hub.training.clips.data import Clips, as_floats
from snn_voice_hub.training.clips.negatives import Negatives, read_negatives
from snn_voice_hub.training.measuring.curve_plot import Point, draw_curves, points
from snn_voice_hub.training.measuring.held_out import load_test
from snn_voice_hub.training.measuring.listening import HOP, Sounds, hear, listen
from snn_voice_hub.training.measuring.streams import (
    LEVEL_DB,
    Floats,
    Said,
    Stream,
    missed,
    rms,
    word_stream,
)
from snn_voice_hub.voice import SnnVoice

# As a user would write it who knows nothing of operating points.
NAIVE = DetectionConfig(threshold=0.9)
SNRS = (20, 10, 5)
_SHOWN = (0.5, 0.7, 0.9, 0.95, 0.99)
# As in MLPerf Tiny's streaming benchmark.
_MINUTES, _TIMES = 20, 50
_CHUNK = 0.08


def recorded(voice: SnnVoice, data: Path, noise: Path | None) -> tuple[Clips, list[Floats]]:
    """Clips of words, and recordings `[N]` to put behind them, at a model's rate."""
    c = voice.config.features
    clips, recordings = load_test(data, noise, sample_rate=c.sample_rate, num_samples=c.num_samples)
    return clips, [np.asarray(wave.numpy(), dtype=np.float32) for wave in recordings.values()]


def by_point(voice: SnnVoice, sounds: Sounds) -> Table:
    """Figures at the model's own operating point, and at thresholds that a user would think of."""
    table = Table(
        "threshold",
        "listens for",
        *(f"missed at {snr} dB, %" for snr in SNRS),
        "false alarms an hour, speech",
        "noise and music",
        "other single words, %",
    )
    own = voice.config.detection
    commands = [word for word in COMMANDS if word in voice.labels]
    rows = [("own point", own)] if own else []
    rows += [(f"{threshold:g}", DetectionConfig(threshold=threshold)) for threshold in _SHOWN]
    for title, point in rows:
        for what, words in (("all words", None), (f"{len(commands)} commands", commands)):
            if words == []:
                continue
            figures = sounds.at(point, words)
            missed = [figures["missed"].get(f"{snr}_db") for snr in SNRS]
            alarms = [figures["false_alarms"].get(name) for name in ("speech", "noise")]
            single = figures.get("single")
            table.add(
                title,
                what,
                *(None if share is None else f"{100 * share:.1f}" for share in missed),
                *(None if count is None else f"{count:.1f}" for count in alarms),
                None if single is None else f"{100 * single:.1f}",
            )
    return table


def fifty_times(clips: Clips, speech: Sequence[Floats], rate: int, seed: int = 0) -> Stream:
    """Twenty minutes of speech, and a word that is said fifty times in it, after a short pause.

    Args:
        clips: Of the word; where there are fewer than fifty, some are heard twice.
        speech: Other speech `[N]`, one piece after the other; all of it is brought to one loudness.
        rate: Of all, in Hz.
        seed: Of where the word is said.
    """
    rng = np.random.default_rng(seed)
    length = _MINUTES * 60 * rate
    level = np.float32(10 ** (LEVEL_DB / 20))
    talk = np.concatenate([wave * (level / max(rms(wave), 1e-4)) for wave in speech])
    sound = np.resize(talk, length).astype(np.float32)
    order = np.resize(rng.permutation(len(clips)), _TIMES)
    slot = length // _TIMES
    said = []
    for i, pick in enumerate(order.tolist()):
        wave = as_floats(clips.waveforms[pick])
        first, last = extent(wave)
        begin = i * slot + int(rng.integers(slot - 3 * rate)) + rate
        pause = rate // 4
        sound[begin - pause : begin + len(wave) + pause] = 0
        sound[begin : begin + len(wave)] = wave * (level / max(rms(wave[first:last]), 1e-4))
        said.append(Said(clips.labels[pick], (begin + first) / rate, (begin + last) / rate))
    return Stream(sound.clip(-1, 1), said)


def tiny(voice: SnnVoice, clips: Clips, negatives: Negatives, word: str) -> list[str]:
    """One row of the last table: misses of fifty and false alarms in twenty minutes, at the own point."""
    asked = clips.pick(np.flatnonzero(np.array(clips.labels) == word))
    speech = [
        as_floats(negatives.sounds[span.sound].wave[span.start : span.end])
        for span in negatives.spans(voice.labels, ("speech",))
    ]
    stream = fifty_times(asked, speech, voice.sample_rate)
    scores = hear(voice, stream.waveform)
    point = voice.config.detection or NAIVE
    detector = Detector(voice.labels, point, window=voice.config.features.seconds, hop=HOP, words=[word])
    left, alarms = missed(stream.said, detector.feed(scores.scores, scores.ends))
    return [voice.config.name, word, f"{len(left)} of {_TIMES}", str(len(alarms))]


def streamed(voice: SnnVoice, clips: Clips, noises: Sequence[Floats], negatives: Negatives) -> str:
    """What `stream()` itself misses of the ten commands at 10 dB, and its false alarms, in a sentence."""
    commands = [word for word in COMMANDS if word in voice.labels]
    known = np.flatnonzero(np.isin(clips.labels, commands))
    stream = word_stream(clips.pick(known), noises, 10, sample_rate=voice.sample_rate)
    left, _ = missed(stream.said, _through(voice, stream.waveform, commands))
    waves = [
        as_floats(negatives.sounds[span.sound].wave[span.start : span.end])
        for span in negatives.spans(voice.labels, ("speech",))
    ]
    alarms = sum(len(_through(voice, wave, commands)) for wave in waves)
    hours = sum(map(len, waves)) / voice.sample_rate / 3600
    return (
        f"Through `stream()`, in chunks of 80 ms: {percent(len(left) / len(stream.said))} of "
        f"{len(stream.said)} commands at 10 dB missed, {alarms / hours:.1f} false alarms an hour of speech."
    )


def _through(voice: SnnVoice, wave: Floats, words: Sequence[str]) -> list[Event]:
    """What a session hears in a sound `[N]`; quiet is around it."""
    rate = voice.sample_rate
    chunk = round(_CHUNK * rate)
    padded = np.pad(wave, rate)
    chunks = [padded[i : i + chunk] for i in range(0, len(padded), chunk)]
    events = voice.listen(chunks, sample_rate=rate, words=words)
    return [dataclasses.replace(e, time=e.time - 1, start=e.start - 1, end=e.end - 1) for e in events]


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__)
    parser.add_argument("models", nargs="*", default=["resmel-snn", "m5-snn"])
    parser.add_argument("--negatives", type=Path, nargs="+", required=True)
    parser.add_argument("--word", default="stop", help="of the last table")
    parser.add_argument("--noise", type=Path, help="recordings behind the words; default: the corpus' own")
    given = begin(parser)
    if given.data is None:
        stop("Pass --data CORPUS: words of people whom the models have not heard.")
    negatives = read_negatives(given.negatives)
    report = Report("wild", "Words in the wild", given.out)
    curves: dict[str, list[Point]] = {}
    marked: dict[str, Point] = {}
    once: list[list[str]] = []
    for name in given.models:
        voice = SnnVoice.from_pretrained(name)
        clips, noises = recorded(voice, given.data, given.noise)
        sounds = listen(voice, clips, noises, negatives, SNRS)
        commands = [word for word in COMMANDS if word in voice.labels] or None
        report.add(f"## {name}")
        hours = sounds.hours()
        report.add(
            f"{hours['speech']:.2f} hours of speech without the words, {hours['noise']:.2f} of noise and "
            f"music, {len(sounds.single):,} other single words."
        )
        report.add(by_point(voice, sounds))
        own = voice.config.detection
        if own and commands:
            report.add(streamed(voice, clips, noises, negatives))
        curves[name] = points(sounds.curve(own or NAIVE, commands), "10_db")
        if own:
            marked[name] = points([(own.threshold, sounds.at(own, commands))], "10_db")[0]
        if given.word in voice.labels:
            once.append(tiny(voice, clips, negatives, given.word))
    if once:
        table = Table("model", "word", "missed", f"false alarms in {_MINUTES} minutes")
        for row in once:
            table.add(*row)
        report.add("## One word in twenty minutes of speech")
        report.add("MLPerf Tiny's streaming benchmark allows 8 misses of 50, and 8 false alarms.")
        report.add(table)
    title = "Ten commands at 10 dB, against speech without them"
    draw_curves(curves, report.folder / "wild.png", title=title, marked=marked)
    report.add("![curves](wild.png)")


if __name__ == "__main__":
    main()
