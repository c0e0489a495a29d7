"""How many people does a word that was taught miss, and how often is it heard where nobody said it?

    python -m benchmarks.taught --heard runs/robot RECORDINGS --speech SPEECH

RECORDINGS is a folder of clips of the word by people from whom the model has not learned, or a folder of a
folder for each word, as `snn-voice teach --clips` takes them; `--heard` may be repeated. SPEECH is a folder
of other speech that it has not learned from, as `--negatives` takes it. The clips are said in six orders over
six pieces of noise: by the order and the noise alone, the share that is missed of thirty words moves by
twenty points. The threshold is the model's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from snn_voice_lite.streaming.detector import UNTUNED

from benchmarks.common import begin, make_parser, stop
from benchmarks.report import Report, Table
from snn_voice_hub.config import is_word
from snn_voice_hub.notation import points
from snn_voice_hub.training.clips.data import Clips, as_floats
from snn_voice_hub.training.clips.negatives import Negatives, read_negatives
from snn_voice_hub.training.lessons.noise import computed_noises
from snn_voice_hub.training.lessons.recordings import read_recordings
from snn_voice_hub.training.measuring.held_out import load_recordings
from snn_voice_hub.training.measuring.listening import Heard, Sounds, hear, listen
from snn_voice_hub.training.measuring.streams import Floats, Said, word_stream
from snn_voice_hub.voice import SnnVoice

ORDERS = 6
SNRS = (20, 10)
# Of the computed noise: lessons draw theirs by small ones.
_SEED = 9_000


def in_orders(
    voice: SnnVoice, clips: Clips, noises: Sequence[Floats], snr: int
) -> list[tuple[Heard, list[Said]]]:
    """What a model hears of clips in `ORDERS` orders, each over another piece of the noise."""
    heard = []
    for turn in range(ORDERS):
        behind = [np.roll(noise, -(turn * len(noise) // ORDERS)) for noise in noises]
        stream = word_stream(clips, behind, snr, sample_rate=voice.sample_rate, seed=turn)
        heard.append((hear(voice, stream.waveform), stream.said))
    return heard


def measured(
    voice: SnnVoice, clips: Clips, noises: Sequence[Floats], speech: Negatives
) -> tuple[dict[int, list[float]], float, float]:
    """How a model does at its own operating point.

    Returns:
        By loudness of the words over the noise in dB, the share that is missed in each order; false alarms an
        hour of the other speech; and how many hours of it there are.
    """
    point = voice.config.detection or UNTUNED
    sounds = listen(voice, clips, noises, speech, snrs=())
    shares = {}
    for snr in SNRS:
        # The other speech need not be counted again for each of them.
        each = [
            Sounds(sounds.labels, sounds.window, {"": [stream]}, [], [], [])
            for stream in in_orders(voice, clips, noises, snr)
        ]
        shares[snr] = [one.at(point)["missed"][""] for one in each]
    return shares, sounds.at(point)["false_alarms"]["speech"], sounds.hours()["speech"]


def spread(shares: Sequence[float]) -> str:
    """Mean, least and most, in percent."""
    return f"{points(float(np.mean(shares)))} ({points(min(shares))}-{points(max(shares))})"


def kept_back(lesson: Any) -> str:
    """What a lesson says of the voices and people that it kept back itself, in percent."""
    missed = lesson.get("missed") if isinstance(lesson, dict) else None
    return ", ".join(f"{name} {points(share)}" for name, share in (missed or {}).items())


def _noises(source: Path | None, rate: int) -> list[Floats]:
    """Recordings `[N]` in which nobody speaks, or, where none are given, computed ones."""
    if source is None:
        return [as_floats(sound.wave) for sound in computed_noises(rate, _SEED)]
    return [np.asarray(wave.numpy()) for wave in load_recordings(source, sample_rate=rate)[0].values()]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--heard", nargs=2, metavar=("MODEL", "RECORDINGS"), action="append", required=True,
        help="a checkpoint folder, and recordings of its words",
    )  # fmt: skip
    parser.add_argument("--speech", type=Path, nargs="+", required=True, help="other speech")
    parser.add_argument("--noise", type=Path, help="recordings behind the words; default: computed noise")
    parser.add_argument("--about", action="append", default=[], help="a sentence for the report")
    given = begin(parser, argv)
    report = Report("taught", "Words that were taught", given.out)
    for sentence in given.about:
        report.add(sentence)
    table = Table(
        *("model", "words", "clips", "not used", "threshold"),
        *(f"missed at {snr} dB, %: mean (least-most) of {ORDERS} orders" for snr in SNRS),
        *("false alarms an hour", "minutes of other speech", "missed of its own voices at 10 dB, %"),
    )
    for name, recordings in given.heard:
        voice = SnnVoice.from_pretrained(name)
        c, words = voice.config.features, [label for label in voice.labels if is_word(label)]
        clips = read_recordings(
            [Path(recordings)], words, sample_rate=c.sample_rate, num_samples=c.num_samples
        )
        if not len(clips):
            stop(f"{recordings} holds no clip that can be used")
        noises = _noises(given.noise, c.sample_rate)
        speech = read_negatives(given.speech, sample_rate=c.sample_rate)
        shares, alarms, hours = measured(voice, clips, noises, speech)
        point = voice.config.detection or UNTUNED
        table.add(
            *(voice.config.name, ", ".join(words), len(clips), len(clips.skipped)),
            f"{point.threshold:g} for {point.smoothing:g} s",
            *(spread(shares[snr]) for snr in SNRS),
            *(f"{alarms:.1f}", f"{60 * hours:.0f}", kept_back(voice.config.metrics.get("lesson"))),
        )
        print(table.rows[-1], flush=True)
    report.add(table)


if __name__ == "__main__":
    main()
