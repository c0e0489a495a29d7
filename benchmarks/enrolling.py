"""A few clips of new words: what does `enroll` hear at once, and what does training hear after minutes?

    python -m benchmarks.enrolling --data WORDS --unheard SPEECH --noise NOISE --runs runs/enrolling

WORDS is a folder of words that the model does not know, `word/speaker_nohash_0.wav`, of twenty speakers to
learn from and some more; SPEECH is a folder of speech that no training has heard, NOISE one of noise, as
`--negatives` takes them. About two fifths of the speakers are held back. From 1, 3, 5, 10 and 20 clips of
each word, every one by another speaker, the words are enrolled, and learned by training, with all layers or
with the last layer alone; a single clip of a word can't be trained with, as none is left to choose the epoch
by. A second call goes on where the first one stopped.
"""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from snn_voice_lite.streaming.detector import UNTUNED

from benchmarks.common import begin_training, make_parser, stop
from benchmarks.fine_tuning import divided, few, learn, told
from benchmarks.report import Report, Table
from snn_voice_hub.config import is_word
from snn_voice_hub.hub.checkpoints import resolve
from snn_voice_hub.notation import percent, points
from snn_voice_hub.plotting import COLOURS, DPI, STYLE, matplotlib, picture
from snn_voice_hub.training.clips.data import Clips, as_floats, load_clips
from snn_voice_hub.training.clips.negatives import Negatives, read_negatives
from snn_voice_hub.training.clips.sources import Dataset
from snn_voice_hub.training.clips.splits import by_speaker, speakers_of
from snn_voice_hub.training.measuring.listening import Sounds, listen
from snn_voice_hub.training.measuring.logits import clip_logits
from snn_voice_hub.training.measuring.streams import Floats
from snn_voice_hub.voice import SnnVoice
from snn_voice_hub.writing import write_whole

SIZES = (1, 3, 5, 10, 20)
ENROLLED = "enrolled"
TRAINED = ("all layers", "last layer")
# Of the speakers.
_HELD_BACK = 0.4
_SNR = 20
_MOST_ALARMS = (10.0, 100.0)
_SMOOTHING = (0.3, 0.5)


def held_back(clips: Clips) -> tuple[Clips, Clips]:
    """Clips to learn from, and those of speakers to measure with."""
    speakers = speakers_of(clips.names, [""] * len(clips))
    kept = by_speaker(clips.names, clips.labels, speakers, _HELD_BACK)
    if kept is None:
        stop("the clips are of one speaker: names such as anna_nohash_0.wav tell them apart")
    pool, test = (clips.pick([i for i, own in enumerate(kept) if own == part]) for part in (False, True))
    return pool, test


def by_words(clips: Clips) -> dict[str, list[Floats]]:
    """Clips as `enroll` takes them."""
    found: dict[str, list[Floats]] = {}
    for word, wave in zip(clips.labels, clips.waveforms, strict=True):
        found.setdefault(word, []).append(as_floats(wave))
    return found


def right(voice: SnnVoice, test: Clips) -> tuple[float, float]:
    """Share of the clips whose word is the best of all words, and of all labels."""
    logits = clip_logits(voice, test)
    targets = torch.tensor([voice.labels.index(word) for word in test.labels])
    words = torch.tensor([is_word(label) for label in voice.labels])
    among = logits.masked_fill(~words, -torch.inf).argmax(1)
    return tuple(float((best == targets).float().mean()) for best in (among, logits.argmax(1)))  # type: ignore[return-value]


def least_missed(sounds: Sounds, voice: SnnVoice, most: float) -> float:
    """The smallest share of words that is missed at a threshold with so few false alarms an hour."""
    point = voice.config.detection or UNTUNED
    found = [
        figures["missed"][f"{_SNR}_db"]
        for smoothing in _SMOOTHING
        for _, figures in sounds.curve(dataclasses.replace(point, smoothing=smoothing))
        if figures["false_alarms"]["speech"] <= most
    ]
    return min(found, default=1.0)


def measured(voice: SnnVoice, test: Clips, noises: list[Floats], unheard: Negatives | None) -> dict[str, Any]:
    """All figures of a model."""
    among, best = right(voice, test)
    found: dict[str, Any] = {"among": among, "right": best}
    if unheard is not None:
        sounds = listen(voice, test, noises, unheard, snrs=(_SNR,))
        at = sounds.at(voice.config.detection or UNTUNED)
        found["missed"], found["alarms"] = at["missed"][f"{_SNR}_db"], at["false_alarms"]["speech"]
        found["least"] = [least_missed(sounds, voice, most) for most in _MOST_ALARMS]
        found["hours"] = sounds.hours()["speech"]
    return found


def main() -> None:
    """Enrol, train, measure, print tables."""
    parser = make_parser(__doc__)
    parser.add_argument("--model", default="resmel-snn")
    parser.add_argument("--draws", type=int, default=5, help="draws of the clips; training has the first")
    parser.add_argument("--trained-from", type=int, nargs="*", default=[3, 5, 10, 20], help="clips a word")
    parser.add_argument("--unheard", type=Path, nargs="*", default=[], help="speech without the words")
    parser.add_argument("--noise", type=Path, nargs="*", default=[], help="to put behind the words")
    given = begin_training(parser, "folders of words")
    folder = resolve(given.model).config.parent
    base = SnnVoice.from_pretrained(folder)
    pool, test = held_back(load_clips(given.data, given.cache))
    unheard = read_negatives(given.unheard, sample_rate=base.sample_rate) if given.unheard else None
    noises = [
        as_floats(sound.wave)
        for sound in (read_negatives(given.noise).of_kind("noise") if given.noise else ())
    ]
    whole = Dataset(pool, test, None, {}, [], "", [])
    given.runs.mkdir(parents=True, exist_ok=True)

    def kept(name: str, make: Any, *, hears: bool) -> dict[str, Any]:
        """What was measured of a model, now or by an earlier call."""
        path: Path = given.runs / f"{name}.json"
        if not path.exists():
            begun = time.process_time()
            voice = make()
            seconds = time.process_time() - begun
            figures = measured(voice, test, noises, unheard if hears else None)
            write_whole(path, json.dumps({**figures, "cpu_seconds": seconds}))
        figures = json.loads(path.read_text(encoding="utf-8"))
        print(f"{name}: {percent(figures['among'])} of the words", flush=True)
        return dict(figures)

    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for size in SIZES:
        for draw in range(given.draws):
            clips = few(pool, size, draw)
            found.setdefault((ENROLLED, size), []).append(
                kept(
                    f"{size}-enrolled-{draw}",
                    lambda clips=clips: base.enroll(by_words(clips), sample_rate=base.sample_rate),
                    hears=draw == 0,
                )
            )
    for way in TRAINED:
        for size in given.trained_from:
            name = f"{size}-{way.replace(' ', '-')}-0"

            def train(size: int = size, way: str = way, name: str = name) -> SnnVoice:
                small = divided(few(pool, size, 0), whole)
                return SnnVoice.from_pretrained(learn(way, folder, small, given.runs / name, 0).folder)

            found[way, size] = [kept(name, train, hears=True)]
    _tell(given, found, test)


def _tell(given: Any, found: dict[tuple[str, int], list[dict[str, Any]]], test: Clips) -> None:
    words = sorted(set(test.labels))
    report = Report("enrolling", "New words at once", given.out)
    speakers = len(set(speakers_of(test.names, [""] * len(test))))
    report.add(
        f"`{given.model}`, and {', '.join(words)} as words that it does not know: {len(test)} clips of "
        f"{speakers} speakers, and others to learn from. Top-1 among the words in %, of enrolled words "
        f"mean (least to largest) over {given.draws} draws of clips, of training the first draw; "
        f"{100 / len(words):.0f} by chance."
    )
    table = Table("clips a word", ENROLLED, *TRAINED, "seconds of a core: enrolled", "trained")
    for size in SIZES:
        cells = [told([f["among"] for f in found[ENROLLED, size]])]
        cells += [told([f["among"] for f in found.get((way, size), [])]) for way in TRAINED]
        spent = found.get((TRAINED[0], size))
        table.add(
            size,
            *cells,
            float(np.median([f["cpu_seconds"] for f in found[ENROLLED, size]])),
            spent[0]["cpu_seconds"] if spent else None,
        )
    report.add(table)
    heard = [(key, rows[0]) for key, rows in found.items() if "missed" in rows[0]]
    if not heard:
        return
    report.add(
        f"Listening, first draw: words of the same clips missed in noise at {_SNR} dB in %, and false alarms "
        f"an hour on {heard[0][1]['hours']:.2f} hours of speech that no training has heard: at the operating "
        "point that the model has, and at the best threshold with at most so many alarms."
    )
    most = [f"missed at most {limit:g} an hour" for limit in _MOST_ALARMS]
    table = Table("clips a word", "", "missed", "alarms an hour", *most)
    for (way, size), figures in sorted(heard, key=lambda item: (item[0][1], item[0][0] != ENROLLED)):
        least = [points(share) for share in figures["least"]]
        table.add(size, way, points(figures["missed"]), f"{figures['alarms']:.0f}", *least)
    report.add(table)
    _draw(found, report.folder / "enrolling.png")
    report.add("![words named, and words missed, by the number of clips](enrolling.png)")


def _draw(found: dict[tuple[str, int], list[dict[str, Any]]], path: Path) -> None:
    """Both figures by the number of clips."""
    mpl, blank = matplotlib("drawing what few clips are worth")
    style: dict[Any, Any] = STYLE | {"axes.grid.axis": "both"}
    with mpl.rc_context(style):
        figure = blank(figsize=(9.0, 4.0))
        named, missed = figure.subplots(1, 2)
        for way, colour in zip((ENROLLED, *TRAINED), COLOURS, strict=False):
            rows = [(size, found[way, size]) for size in SIZES if (way, size) in found]
            sizes = [size for size, _ in rows]
            look: dict[str, Any] = {"color": colour, "lw": 2, "marker": "o", "label": way}
            named.plot(sizes, [100 * float(np.mean([f["among"] for f in each])) for _, each in rows], **look)
            missed.plot(sizes, [100 * each[0]["least"][-1] for _, each in rows], **look)
        named.set_title("words told from each other, %")
        missed.set_title(f"missed at {_MOST_ALARMS[-1]:g} false alarms an hour, %")
        for axes in (named, missed):
            axes.set_xscale("log")
            axes.set_xticks(SIZES, [str(size) for size in SIZES])
            axes.minorticks_off()
            axes.set_ylim(0, 100)
            axes.set_xlabel("clips a word")
        named.legend(loc="lower right")
        with picture(path) as (part, form):
            figure.savefig(part, dpi=DPI, format=form)


if __name__ == "__main__":
    main()
