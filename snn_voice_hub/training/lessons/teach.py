"""`teach`: a word or a phrase, from its text or from recordings, to a checkpoint that listens for it.

>>> from snn_voice_hub.training import teach
>>> taught = teach(["hey robot"], "runs/robot", clips=["my_recordings"])
>>> taught.figures["missed"], taught.figures["false_alarms"]
({'recordings': 0.0, 'synthetic voices': 0.03}, {'speech': 0.0, 'noise': 0.0})
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.bundled import DEFAULT_MODEL
from snn_voice_hub.hub.cards.page import make_card
from snn_voice_hub.hub.checkpoints import read_config, resolve
from snn_voice_hub.hub.choice import CONFIG_FILE, WEIGHTS_FILE
from snn_voice_hub.hub.publish import CARD_FILE
from snn_voice_hub.training.clips.data import as_floats
from snn_voice_hub.training.clips.debian import default_negatives, is_complete
from snn_voice_hub.training.fitting.fit import fit, load_lightning
from snn_voice_hub.training.fitting.job import Job
from snn_voice_hub.training.fitting.teaching import TrainedModel
from snn_voice_hub.training.lessons.lesson import COUNT, ELSEWHERE, WORK, Lesson
from snn_voice_hub.training.lessons.material import Material, gather
from snn_voice_hub.training.lessons.recipe import lesson_recipe
from snn_voice_hub.training.lessons.recordings import read_recordings
from snn_voice_hub.training.measuring.listening import PointRule, listen, rounded
from snn_voice_hub.training.voices.batches import Spoken
from snn_voice_hub.training.voices.synthesis import Synthesis, synthesize
from snn_voice_hub.training.voices.wishes import wishes
from snn_voice_hub.voice import SnnVoice
from snn_voice_hub.writing import write_whole

# For each word, of what sounds like it; and for all together, of speech that goes on.
_NEIGHBOURS: Final = 150
_SENTENCES: Final = 100
# A lesson of many words is to take no longer than one of a few.
_MOST_SAID: Final = 1_500
# By so many clips it is seen how long a phrase takes; and how many of them may be too long.
_TRIED: Final = 16
_TOO_LONG: Final = 0.5
_NOISE_DB: Final = 10
# Machines speak so clearly that at 10 dB hardly any is missed, whatever the point; in noise as loud as they
# are it is about as many as of people, and points can be told apart.
_RULE: Final = PointRule(slack=0.02, snr=0)

# Of a lesson's own folder.
_SAID: Final = "said"
_RUN: Final = "run"
T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """How far a lesson is.

    Attributes:
        name: "synthesize", "read", "train", "measure".
        text: What is done, in words.
        done: How much of it.
        of: Of how much; 0 where that is not known.
    """

    name: str
    text: str
    done: int = 0
    of: int = 0


@dataclass(frozen=True)
class Taught:
    """What `teach` made.

    Attributes:
        folder: The checkpoint, with a card.
        words: What it listens for.
        figures: `missed`: share of the held back clips that are not heard in noise at 10 dB, by where they
            come from; `clips`: how many those are; `times_said`: how many times each of them was said, each
            time in another order and noise; `false_alarms`: events an hour of speech and of noise that were
            not learned from; `hours` of those; `threshold`.
        notes: What the user should know.
        skipped: Files that could not be used, with the reason.
    """

    folder: Path
    words: tuple[str, ...]
    figures: dict[str, Any]
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def teach(
    words: Sequence[str],
    out: str | os.PathLike[str],
    *,
    model: str = DEFAULT_MODEL,
    clips: Sequence[str | os.PathLike[str]] = (),
    negatives: Sequence[str | os.PathLike[str]] | None = None,
    count: int = COUNT,
    engines: Sequence[str] = (),
    kokoro: str | os.PathLike[str] | None = None,
    seed: int = 0,
    report: Callable[[Step], None] | None = None,
) -> Taught:
    """Teach a model words or phrases of one's own.

    The words are said by the synthesisers that are here, and so is what sounds like them and is not them;
    recordings, where there are some, count as much as all of that. Training begins with a model that has
    heard much other speech. By voices that were kept back, and other sound, the threshold is chosen.

    Args:
        words: Words and phrases, as `synthesize` takes them; each no longer than the model's window
            when it is said.
        out: Folder of the checkpoint, and of all that is made on the way. A second call goes on there.
        model: That learns them: a name, a path or a repository.
        clips: Folders of recordings, or zips of one, with a folder for each word.
        negatives: Folders or tars of sound without the words; None for those that `snn-voice negatives` has
            fetched, if it has.
        count: Synthetic clips a word; 0 for none.
        engines: Who speaks; none for all that are here.
        kokoro: Folder of Kokoro's files; None for that of `$SNN_VOICE_KOKORO`, or what `snn-voice voices`
            fetched.
        seed: Of all that is drawn.
        report: Is told how far it is.

    Raises:
        SnnVoiceError: A word takes too long to say, or nobody can say it; recordings can't be read; the
            folder holds something else or can't be written.
        MissingExtraError: An extra is not installed: `[train]`, or `[synth]` for synthetic clips.
        KeyboardInterrupt: SIGINT or SIGTERM came while it trained; what was made is kept.
    """
    folder = Path(out)
    tell = report or (lambda step: None)
    load_lightning()  # what is missing is told before minutes of speaking
    others, notes = _others(negatives)
    lesson = Lesson(tuple(words), model, tuple(map(str, clips)), tuple(map(str, others)), count, seed)
    wanted = [said.text for said in wishes(lesson.words)]
    checkpoint = resolve(model)
    config = read_config(checkpoint)
    c = config.features
    # What they are refused for is mended in the same folder.
    recordings = read_recordings(
        map(Path, lesson.clips), wanted, sample_rate=c.sample_rate, num_samples=c.num_samples
    )
    lesson.begin(folder)
    if (figures := _finished(folder)) is not None:
        return Taught(folder, tuple(wanted), figures, tuple(notes), ())
    said = None
    if count:
        made = _spoken(lesson, config, folder, engines, kokoro, tell)
        said = made.folder
        notes += made.notes
        if made.neighbours_folder is not None:
            others = [*others, made.neighbours_folder]
    tell(Step("read", "reading clips and other sound"))
    material = gather(
        recordings,
        said,
        others,
        words=wanted,
        sample_rate=c.sample_rate,
        num_samples=c.num_samples,
        unknown=True,
        seed=seed,
    )
    machines = len(material.synthetic) if material.synthetic is not None else 0
    recipe = lesson_recipe(config, len(wanted), recorded=material.recorded, machines=machines)
    job = Job(
        name=folder.resolve().name,
        recipe=dataclasses.replace(recipe, description=f"Listens for {', '.join(wanted)}"),
        seed=seed,
        start=TrainedModel.named(model, checkpoint),
    )
    tell(Step("train", "training", 0, recipe.epochs))

    def on_epoch(row: dict[str, float]) -> None:
        tell(Step("train", "training", round(row["epoch"]), recipe.epochs))
        if row["epoch"] == recipe.epochs:
            tell(Step("measure", "choosing the threshold"))

    run = folder / WORK / _RUN
    fit(
        job,
        material.dataset,
        run,
        synthetic=material.synthetic,
        negatives=material.learned,
        kept=material.kept,
        rule=_RULE,
        resume=True,
        on_epoch=on_epoch,
    )
    tell(Step("measure", "listening to voices that were kept back"))
    figures = _measured(run, material, seed)
    _publish(run, folder, figures)
    return Taught(folder, tuple(wanted), figures, tuple(notes), tuple(material.dataset.skipped))


def _finished(folder: Path) -> dict[str, Any] | None:
    """The figures of a lesson that is over; None of one that is not."""
    if not (folder / CARD_FILE).is_file():
        return None
    figures = VoiceConfig.load(folder / CONFIG_FILE).metrics.get("lesson")
    return figures if isinstance(figures, dict) else None


def _others(given: Sequence[str | os.PathLike[str]] | None) -> tuple[list[Path], list[str]]:
    """Folders of other sound, and what there is to say of it."""
    if given is not None:
        return [Path(path) for path in given], []
    fetched = default_negatives()
    if is_complete(fetched):
        return [fetched], []
    return [], [
        "no recordings of other speech are here; with those of `snn-voice negatives` less of it is taken for "
        "a word"
    ]


def _spoken(
    lesson: Lesson,
    config: VoiceConfig,
    folder: Path,
    engines: Sequence[str],
    kokoro: str | os.PathLike[str] | None,
    tell: Callable[[Step], None],
) -> Synthesis:
    """Clips of the words by synthesisers, and of what is to be told from them.

    Raises:
        SnnVoiceError: A word takes too long to say.
    """
    seconds = config.features.seconds
    share = min(1.0, _MOST_SAID / (len(lesson.words) * (lesson.count + _NEIGHBOURS)))

    def said(count: int, neighbours: int = 0, sentences: int = 0) -> Synthesis:
        return synthesize(
            lesson.words,
            folder / WORK / _SAID,
            count=count,
            engines=engines,
            kokoro=kokoro,
            max_seconds=seconds,
            neighbours=neighbours,
            sentences=sentences,
            seed=lesson.seed,
            show=lambda clips, total: _counted(clips, total, tell),
        )

    tried = said(min(_TRIED, lesson.count))
    try:
        for word in tried.words:
            _check_length(word, seconds)
    except SnnVoiceError:
        lesson.undo(folder, tried.folder, tried.neighbours_folder)
        raise
    return said(max(1, round(share * lesson.count)), max(1, round(share * _NEIGHBOURS)), _SENTENCES)


def _counted(clips: Generator[T, None, None], total: int, tell: Callable[[Step], None]) -> Iterable[T]:
    for number, clip in enumerate(clips, 1):
        tell(Step("synthesize", "letting synthesisers speak", number, total))
        yield clip


def _check_length(word: Spoken, seconds: float) -> None:
    if len(word.too_long) <= _TOO_LONG * word.made and word.kept:
        return
    if word.too_long:
        middle = word.too_long[len(word.too_long) // 2]
        raise SnnVoiceError(
            f"{word.text!r} takes {middle:.1f} s to say, and the model hears {seconds:g} s at once",
            hint="a shorter word or phrase, or a part of it",
        )
    why, _ = word.thrown.most_common(1)[0]
    raise SnnVoiceError(
        f"of {word.text!r} no synthetic clip can be used: {why}",
        hint="a pronunciation, such as 'sheila=SH IY1 L AH0', or recordings alone by --count 0",
    )


def _measured(run: Path, material: Material, seed: int) -> dict[str, Any]:
    """How a run's checkpoint does on what it has not learned from."""
    voice = SnnVoice.from_pretrained(run)
    point = voice.config.detection
    assert point is not None
    behind = [as_floats(sound.wave) for sound in material.kept.of_kind("noise")]
    figures: dict[str, Any] = {"missed": {}, "clips": {}, "times_said": {}, "threshold": point.threshold}
    for name, clips in material.held_back.items():
        sounds = listen(voice, clips, behind, None, snrs=(_NOISE_DB,), seed=seed)
        figures["missed"][name] = sounds.at(point)["missed"][f"{_NOISE_DB}_db"]
        said = sounds.said()
        figures["clips"][name], figures["times_said"][name] = said["clips"], said["times_said"]
    # `fit` listened to the other sound, at this very point.
    heard = voice.config.metrics["listening_validation"]
    figures["false_alarms"] = heard["words"]["false_alarms"]
    figures["hours"] = {name: hours for name, hours in heard["hours"].items() if hours}
    return dict(rounded(figures))


def _publish(run: Path, folder: Path, figures: dict[str, Any]) -> None:
    """Lay the checkpoint where it was asked for, with its figures and a card.

    Raises:
        SnnVoiceError: It can't be written.
    """
    config = VoiceConfig.load(run / CONFIG_FILE)
    config = dataclasses.replace(config, metrics={**config.metrics, "lesson": figures})
    write_whole(folder / WEIGHTS_FILE, (run / WEIGHTS_FILE).read_bytes(), hint=ELSEWHERE)
    write_whole(folder / CONFIG_FILE, config.to_json(), hint=ELSEWHERE)
    write_whole(folder / CARD_FILE, str(make_card(config, None)), hint=ELSEWHERE)
