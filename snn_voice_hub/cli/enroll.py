"""`snn-voice enroll`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from snn_voice_hub.cli.options import OptionalModel, Revision
from snn_voice_hub.cli.output import say
from snn_voice_hub.errors import AudioError, SnnVoiceError
from snn_voice_hub.notation import percent, some

_NAMED = 10
# Of a corpus: sound that is mixed in, and is no word.
_BACKGROUND = "_background_noise_"


def enroll(
    folder: Annotated[Path, typer.Argument(help="A folder of folders of clips, word/clip.wav.")],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint; a new or an empty one.")],
    model: OptionalModel = None,
    revision: Revision = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="The words that the model knows stay, beside the new ones.")
    ] = False,
    name: Annotated[str, typer.Option(help="The checkpoint's name.", show_default="that of --out")] = "",
) -> None:
    """Teach a model other words from a few clips of each, in about a second: nothing is trained.

    What comes out opens with `SnnVoice.from_pretrained("runs/mine")`. It tells these words from each other
    about as well as what `snn-voice train --from` makes in minutes, but not from speech that goes on.
    """
    words = clips_of(folder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SnnVoiceError(f"{out} exists and is not an empty folder", hint="name a new folder")
    from snn_voice_hub.voice import SnnVoice

    voice = SnnVoice.from_pretrained(model, revision=revision)
    begun = time.monotonic()
    mine = voice.enroll(words, keep=keep, name=name or out.resolve().name)
    spent = time.monotonic() - begun
    mine.save_pretrained(out)
    count = sum(map(len, words.values()))
    say(f"{out}: {some(list(words), _NAMED)} from {count} clips, in {spent:.1f} s")
    if apart := mine.config.training["left_out"]:
        say(
            f"{percent(apart['right'])} of {apart['clips']} clips are right, each heard without itself",
            err=True,
        )


def clips_of(folder: Path) -> dict[str, list[str]]:
    """The sound files of each word of a folder of folders.

    Raises:
        SnnVoiceError: There is no such folder, none inside, or one without sound.
    """
    from snn_voice_hub.folders import is_litter, no_sound, walk

    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise SnnVoiceError(f"{folder} {what}", hint="a folder of folders of clips, word/clip.wav")
    found: dict[str, list[str]] = {}
    for inside in sorted(folder.iterdir()):
        if not inside.is_dir() or is_litter(inside.name) or inside.name == _BACKGROUND:
            continue
        paths = []
        for file in walk(inside):
            if not file.problem:
                paths.append(file.path)
            elif not file.lossless:
                raise AudioError(f"{file.path}: {file.problem}", code=file.code)
        if not paths:
            raise no_sound(inside)
        found[inside.name] = paths
    if not found:
        raise SnnVoiceError(f"{folder} holds no folder of a word", hint="word/clip.wav")
    return found
