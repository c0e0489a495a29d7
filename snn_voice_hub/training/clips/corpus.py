"""What is known of Speech Commands v0.02, and of the clips of it that the bundled models learned from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from snn_voice_hub.config import SPEECH_COMMANDS
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.paper import DATA

CORPUS = "speech_commands"
ROOT_VARIABLE = "SNN_VOICE_DATA"
# What torchaudio unpacks, below the root.
FOLDER = Path("SpeechCommands", "speech_commands_v0.02")

# Words with at least a few hundred training speakers in the data at hand; accuracy is averaged over these,
# and the others are reported apart.
COVERED = (
    *("one", "zero", "two", "five", "three", "four", "left", "right", "cat", "happy"),
    *("bed", "down", "up", "go", "stop", "yes", "no", "eight", "off", "on"),
)
# Of these the ones with hundreds of recordings, where the others have thousands.
FEWER = ("off", "on", "eight")

# The ten that its makers meant for commands.
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")

BACKGROUND = "_background_noise_"  # the folder of recordings that are mixed in, and are no word
# Recordings of it that nothing learns from, so that false alarms can be measured on them.
HELD_OUT_NOISE = ("exercise_bike", "running_tap")

LISTS = ("validation_list.txt", "testing_list.txt")

_NAME = re.compile(r"[0-9a-f]{8}_nohash_[0-9]+\.[a-z]+")
_SUBSETS = {"train": "training", "val": "validation", "test": "testing"}


def speaker(name: str) -> str:
    """The speaker of a file's name: what stands before `_nohash_`."""
    return PurePosixPath(name).name.split("_nohash_")[0]


def facts_of(names: Iterable[str], words: Iterable[str]) -> dict[str, str]:
    """What clips of these names and words are, where they tell that they are the corpus's; else nothing."""
    own = all(_NAME.fullmatch(PurePosixPath(name).name) for name in names)
    return dict(DATA) if own and set(words) <= set(SPEECH_COMMANDS) else {}


def root_of(data: str) -> Path:
    """The folder that `FOLDER` lies in.

    Args:
        data: "speech_commands" (it is under `$SNN_VOICE_DATA` or in the current folder), or
            "speech_commands:ROOT", where the root may be named by the folder in it as well.
    """
    root = Path(data.partition(":")[2] or os.environ.get(ROOT_VARIABLE) or ".").expanduser()
    return root.parent if root.name == FOLDER.parent.name and (root / FOLDER.name).is_dir() else root


def corpus_rows(root: Path, download: bool) -> list[tuple[str, str, str]]:
    """`(path below SpeechCommands, word, part)` of each clip and background recording.

    Raises:
        SnnVoiceError: The corpus is not there, can't be read, or could not be downloaded.
    """
    from torchaudio.datasets import SPEECHCOMMANDS

    rows = []
    hint = f"download it, or say where it is by {CORPUS}:ROOT or ${ROOT_VARIABLE}; ./{CORPUS} is a folder"
    unpacked = root / FOLDER
    if not download and not unpacked.is_dir():
        raise SnnVoiceError(f"Speech Commands under {root} is not there: no folder {unpacked}", hint=hint)
    try:
        if download:
            root.mkdir(parents=True, exist_ok=True)
        for part, subset in _SUBSETS.items():
            found = SPEECHCOMMANDS(root, download=download, subset=subset)
            for i in range(len(found)):
                path, _, word, *_ = found.get_metadata(i)
                if not Path(path).name.startswith("."):
                    rows.append((path, word, part))
    # torchaudio stumbles over lists that are missing and names that are not the corpus's.
    except (OSError, RuntimeError, ValueError) as error:
        why = "could not be downloaded" if download else "can't be read"
        said = " ".join(str(error).split())
        raise SnnVoiceError(f"Speech Commands under {root} {why}: {said}", hint=hint) from error
    noises = sorted((unpacked / BACKGROUND).glob("*.wav"))
    below = f"{FOLDER.name}/{BACKGROUND}"
    return rows + [(f"{below}/{p.name}", BACKGROUND, "train") for p in noises if p.name[0] != "."]
