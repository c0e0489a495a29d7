"""What is to be taught, as it stands in a run's folder: a call that goes on has to ask for the same."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from snn_voice_lite.visible import visible

from snn_voice_hub.config import check_int
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.bundled import DEFAULT_MODEL
from snn_voice_hub.writing import write_whole, writing_into

# Of the checkpoint's folder: all that is made on the way.
WORK: Final = "lesson"
# Of that folder: what was asked for; clips of a microphone.
_ASKED: Final = "asked.json"
RECORDED: Final = "recorded"
COUNT: Final = 400
ELSEWHERE: Final = "another --out"


@dataclass(frozen=True)
class Lesson:
    """What is asked of `teach`.

    Attributes:
        words: As they were typed, perhaps with a pronunciation.
        model: Name, path or repository of the model that learns them.
        clips: Paths of recordings.
        negatives: Paths of other sound.
        count: Synthetic clips a word; 0 for none.
        seed: Of all that is drawn.
    """

    words: tuple[str, ...]
    model: str = DEFAULT_MODEL
    clips: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()
    count: int = COUNT
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what can be checked without looking at files.

        Raises:
            ConfigError: A number is out of range.
            SnnVoiceError: There is no word, or nothing to learn one from.
        """
        check_int("count", self.count, low=0)
        check_int("seed", self.seed, low=0)
        if not self.words:
            raise SnnVoiceError(
                "there is no word to teach", hint='snn-voice teach "hey robot" --out runs/robot'
            )
        if not self.count and not self.clips:
            raise SnnVoiceError("there is nothing to learn from", hint="recordings, or synthetic clips")

    def begin(self, out: Path) -> None:
        """Note in the folder what is asked for, so that a call that goes on can be told from another.

        Raises:
            SnnVoiceError: The folder holds something else, or can't be written.
        """
        asked = json.loads(json.dumps(dataclasses.asdict(self)))
        path = out / WORK / _ASKED
        if path.exists():
            try:
                before = json.loads(path.read_text(encoding="utf-8"))
                for name, value in asked.items():
                    if before[name] != value:
                        raise SnnVoiceError(
                            f"{out} was taught with {name} {visible(before[name])}, not {visible(value)}",
                            hint=f"the same again goes on; {ELSEWHERE} begins anew",
                        )
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                raise SnnVoiceError(f"{path} can't be read: {error}", hint=ELSEWHERE) from error
            return
        if out.exists() and (not out.is_dir() or {path.name for path in out.iterdir()} - {WORK}):
            raise SnnVoiceError(f"{out} exists and is not an empty folder", hint=ELSEWHERE)
        with writing_into(out, ELSEWHERE):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asked, indent=1), hint=ELSEWHERE)

    def undo(self, out: Path, *made: Path | None) -> None:
        """Take back what was begun in the folder, so that another lesson can take its place.

        Args:
            out: The folder.
            made: Folders of clips; what was recorded stays.
        """
        for folder in filter(None, made):
            shutil.rmtree(folder, ignore_errors=True)
        (out / WORK / _ASKED).unlink(missing_ok=True)
