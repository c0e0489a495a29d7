"""`snn-voice synthesize`."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snn_voice_hub.cli.options import Quiet
from snn_voice_hub.cli.output import say, show
from snn_voice_hub.cli.speaking import Engines, KokoroFolder
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.bundled import DEFAULT_MODEL
from snn_voice_hub.terminal import rich_table
from snn_voice_hub.training.voices.synthesiser import COUNT, MAX_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snn_voice_hub.training.voices.batches import Spoken
    from snn_voice_hub.training.voices.synthesis import Synthesis


def synthesize(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="WORD",
            help="Words, and phrases in quotes; with a pronunciation in CMUdict's phonemes where "
            "synthesisers say one wrongly: 'sheila=SH IY1 L AH0'.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the clips, word/clip.wav; a second call goes on.")],
    count: Annotated[int, typer.Option(help="Clips a word.")] = COUNT,
    engine: Engines = None,
    kokoro: KokoroFolder = None,
    max_seconds: Annotated[
        float, typer.Option(help="Longest clip: how much the model hears at once.")
    ] = MAX_SECONDS,
    check: Annotated[
        Path | None,
        typer.Option(metavar="WHISPER", help="Folder of Whisper, which has to understand each clip."),
    ] = None,
    neighbours: Annotated[
        int,
        typer.Option(
            help="Clips, for each word, of what sounds like it and is not it: negatives, in a second folder."
        ),
    ] = 0,
    sentences: Annotated[
        int, typer.Option(help="Clips of other speech, which go into that folder as well.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of voices, speeds and pitches.")] = 0,
    jobs: Annotated[
        int | None, typer.Option(help="So many speak at once.", show_default="one a processor, up to 4")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Let synthesisers say words and phrases, as clips to train with.

    `snn-voice synthesize "hey robot" --out robot --neighbours 200` needs the programs espeak-ng, flite or
    festival, or Kokoro's files and the extra synth. What is silent, clipped, too long or not understood is
    thrown away, and said by another voice.
    """
    from snn_voice_hub.inference.progress import with_progress
    from snn_voice_hub.training.voices import synthesis

    made = synthesis.synthesize(
        words,
        out,
        count=count,
        engines=engine or (),
        kokoro=kokoro,
        max_seconds=max_seconds,
        check=check,
        neighbours=neighbours,
        sentences=sentences,
        seed=seed,
        jobs=jobs,
        show=None if quiet else partial(with_progress, doing="Speaking"),
    )
    for note in made.notes:
        say(note, err=True)
    _report(made, max_seconds)
    for word in made.words:
        if not word.kept:
            why, _ = word.thrown.most_common(1)[0]
            raise SnnVoiceError(f"of {word.text!r} no clip can be used: {why}", hint=_way_out(word, why))
    say(_training(made))


def _report(made: Synthesis, max_seconds: float) -> None:
    from snn_voice_hub.training.voices.sound import REASONS

    rows = [(word.text, *_figures([word], REASONS)) for word in made.words]
    if made.neighbours:
        rows.append((f"{len(made.neighbours)} that sound alike", *_figures(made.neighbours, REASONS)))
    if made.sentences:
        rows.append((f"{len(made.sentences)} sentences", *_figures(made.sentences, REASONS)))
    show(rich_table(("word", "made", "kept", *REASONS), rows))
    for word in made.words:
        if lengths := word.too_long:
            say(
                f"{word.text}: what was too long for --max-seconds {max_seconds:g} was "
                f"{lengths[0]:.2f} to {lengths[-1]:.2f} s",
                err=True,
            )


def _figures(words: Sequence[Spoken], reasons: Sequence[str]) -> list[str]:
    counts = [sum(word.made for word in words), sum(word.kept for word in words)]
    return [str(n) for n in [*counts, *(sum(word.thrown[reason] for word in words) for reason in reasons)]]


def _way_out(word: Spoken, why: str) -> str:
    from snn_voice_hub.training.voices.sound import NOT_RECOGNISED, TOO_LONG

    if why == TOO_LONG:
        return f"the shortest had {word.too_long[0]:.2f} s: --max-seconds, or another phrase"
    return "a pronunciation, such as 'sheila=SH IY1 L AH0'" if why == NOT_RECOGNISED else "another --engine"


def _training(made: Synthesis) -> str:
    """The command that trains with the clips."""
    line = ["snn-voice", "train", "--from", DEFAULT_MODEL, "--data", str(made.folder)]
    if made.neighbours_folder is not None:
        line += ["--negatives", str(made.neighbours_folder)]
    elif len(made.words) == 1:  # a model of one word has to know what is none
        line += ["--negatives", "OTHER_SPEECH"]
    return shlex.join([*line, "--out", f"runs/{made.folder.resolve().name}"])
