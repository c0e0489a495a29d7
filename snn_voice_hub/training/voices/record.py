"""`synthesis.json`: who said which clip of a folder, and how. A run goes on by it, and cards tell it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from snn_voice_lite.visible import visible

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips.synthetic import RECORD
from snn_voice_hub.training.voices.orders import ELSEWHERE, Clip, ClipOrder
from snn_voice_hub.writing import write_whole

_ABOUT = "made by synthesisers: the settings of each word, and who said each clip, and how"


class ClipRecord:
    """What is known of the clips in a folder.

    Args:
        folder: Of the clips; it need not be there.

    Raises:
        SnnVoiceError: Its record can't be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / RECORD
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._clips: dict[str, dict[int, Clip]] = {}
        if self._path.exists():
            try:
                for text, word in json.loads(self._path.read_text(encoding="utf-8"))["words"].items():
                    self._settings[text] = dict(word["settings"])
                    clips = map(Clip.read, word["clips"])
                    self._clips[text] = {clip.number: clip for clip in clips}
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise SnnVoiceError(f"{self._path} can't be read: {error}", hint=ELSEWHERE) from error

    def begin(self, order: ClipOrder) -> None:
        """Make room for the clips of a word.

        Raises:
            SnnVoiceError: The folder holds some that were made otherwise; the message says in what.
        """
        text, wanted = order.said.text, order.settings
        before = self._settings.setdefault(text, wanted)
        self._clips.setdefault(text, {})
        for name, value in wanted.items():
            if before.get(name) != value:
                raise SnnVoiceError(
                    f"{self._folder} has clips of {text!r} with {name} {_shown(before.get(name))}, "
                    f"not {_shown(value)}",
                    hint=f"the same again, or {ELSEWHERE}",
                )

    def made(self, text: str, number: int) -> Clip | None:
        """A clip that was made before, and whose file is there; or of which nothing could be used."""
        clip = self._clips[text].get(number)
        return None if clip is None or (clip.path and not (self._folder / clip.path).is_file()) else clip

    def clips(self, text: str, count: int) -> tuple[Clip, ...]:
        """The first clips of a word, as far as they were made."""
        return tuple(clip for number, clip in sorted(self._clips[text].items()) if number < count)

    def add(self, text: str, clip: Clip) -> None:
        """Note a clip."""
        self._clips[text][clip.number] = clip

    def write(self) -> None:
        """Write the record.

        Raises:
            SnnVoiceError: It can't be written.
        """
        words = {
            text: {"settings": settings, "clips": [asdict(clip) for _, clip in sorted(clips.items())]}
            for (text, settings), clips in zip(self._settings.items(), self._clips.values(), strict=True)
        }
        write_whole(self._path, json.dumps({"about": _ABOUT, "words": words}, indent=1), hint=ELSEWHERE)


def _shown(value: object) -> str:
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return visible(value if value != "" else "none")
