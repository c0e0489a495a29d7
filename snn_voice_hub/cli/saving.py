"""What `snn-voice listen --save` keeps: the sound of each word that was heard, and an index of it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from snn_voice_lite.visible import visible

from snn_voice_hub.cli.output import say
from snn_voice_hub.cli.wav import write_wav
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.writing import append_line, writing_into

if TYPE_CHECKING:
    from snn_voice_lite.streaming.detector import Event

INDEX: Final = "saved.jsonl"
MOST: Final = 1_000

_HINT = "another folder for --save"
# Of a label, in the name of a folder: any script is readable there, and nothing else.
_NO_NAME = re.compile(r"[^\w '-]")
_LONGEST_NAME = 60


class SavedSound:
    """A folder with a clip for each word that was heard: `label/date-time_score.wav`, and `saved.jsonl`.

    Args:
        folder: Where; it is made. What is there already stays, and counts.
        model: What heard the words, for the index.
        rate: Of the sound, in Hz.
        most: So many clips may be in the folder; then no more are kept.

    Raises:
        SnnVoiceError: The folder can't be made or read, or `most` is not legal.
    """

    def __init__(self, folder: Path, *, model: str, rate: int, most: int = MOST) -> None:
        if most < 1:
            raise SnnVoiceError(f"--save-most {most} is not legal", hint="a whole number, 1 or more")
        self._folder, self._model, self._rate, self._most = folder, model, rate, most
        self._full = False
        with writing_into(folder, _HINT):
            folder.mkdir(parents=True, exist_ok=True)
            # Not lines of the index: what a user moved elsewhere takes no room here.
            self._count = sum(1 for _ in folder.glob("*/*.wav"))

    def keep(self, event: Event) -> None:
        """Keep the sound of a word that was heard just now, unless there is enough.

        Args:
            event: With its `sound`.

        Raises:
            SnnVoiceError: It can't be written.
        """
        if self._full or event.sound is None:
            return
        if self._count >= self._most:
            self._full = True
            what = f"{visible(self._folder)} holds {self._count:,} clips: no more are kept"
            say(f"snn-voice: {what} (--save-most)", err=True)
            return
        now = datetime.now().astimezone()
        with writing_into(self._folder, _HINT):
            place = self._folder / folder_name(event.label)
            place.mkdir(exist_ok=True)
            path = _free(place, f"{now:%Y%m%d-%H%M%S}.{now.microsecond // 1000:03d}_{event.score:.2f}")
            write_wav(path, event.sound, self._rate, hint=_HINT)
            line = {
                "file": path.relative_to(self._folder).as_posix(),
                "label": event.label,
                "score": round(event.score, 6),
                "start": round(event.start, 3),
                "end": round(event.end, 3),
                "time": round(event.time, 3),
                "saved": now.astimezone(UTC).isoformat(timespec="milliseconds"),
                "model": self._model,
            }
            try:
                append_line(self._folder / INDEX, json.dumps(line))
            except OSError:
                path.unlink(missing_ok=True)  # a clip that the index does not know of
                raise
        self._count += 1


def folder_name(label: str) -> str:
    """What the folder of a label is called; labels are of whoever made the model, and may hold anything."""
    return _NO_NAME.sub("_", label)[:_LONGEST_NAME].strip() or "_"


def _free(folder: Path, stem: str) -> Path:
    """A file that is not there yet: a clock may be set back, and two words of a file be read within a ms."""
    path, number = folder / f"{stem}.wav", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.wav"
    return path
