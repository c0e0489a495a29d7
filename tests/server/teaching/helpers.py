"""Zips of clips, and a teacher whose program is a small one."""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from snn_voice_server.failures import RequestError
from snn_voice_server.teaching.lessons import TeachLimits
from snn_voice_server.teaching.teacher import Tutor

from snn_voice_hub import ConfigError
from tests.server.helpers import wav

# Run in the process of a service, it has a small program in place of `snn-voice teach`.
WITH_FAKE = "from snn_voice_server.teaching import teacher\nteacher.Tutor.__init__.__defaults__ = ({!r},)\n"

# What it says that it has measured.
FIGURES = {
    "missed": {"recordings": 0.125, "synthetic voices": 0.0},
    "clips": {"recordings": 8},
    "times_said": {"recordings": 8},
    "false_alarms": {"speech": 0.5},
    "threshold": 0.8125,
}
FAKE = Path(__file__).with_name("fake_teach.py")


def program(checkpoint: Path) -> tuple[str, ...]:
    """In place of `snn-voice teach`."""
    return sys.executable, "-I", "-S", str(FAKE), str(checkpoint)


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def takes(*words: str, count: int = 2) -> bytes:
    """A zip of so many clips of each word."""
    clip = wav(seconds=0.5)
    return zipped({f"{word}/me_nohash_{i}.wav": clip for word in words for i in range(count)})


class Pupils:
    """Where new models go; those of a name that begins with `bad` can't be loaded."""

    def __init__(self) -> None:
        self.names = ["first"]
        self.folders: dict[str, Path] = {}
        self.over: list[str] = []

    async def take_in(self, name: str, folder: Path) -> None:
        if name.startswith("bad"):
            raise ConfigError("the model can't be used")
        self.names.append(name)
        self.folders[name] = folder

    async def forget(self, name: str) -> None:
        self.names.remove(name)

    def ended(self, state: str, seconds: float) -> None:
        assert seconds >= 0
        self.over.append(state)


def teacher_of(checkpoint: Path, folder: Path | None, **limits: Any) -> tuple[Tutor, Pupils]:
    pupils = Pupils()
    usual = {"seconds": 60.0, "folder": folder}
    return Tutor(TeachLimits(**(usual | limits)), pupils, program(checkpoint)), pupils


def asked(folder: Path) -> dict[str, Any]:
    """What the program was asked for."""
    found: dict[str, Any] = json.loads((folder / "asked.json").read_text())
    return found


def pids(folder: Path) -> list[int]:
    """The processes of a slow training, when they are there."""
    file = folder / "pids"
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def runs(pid: int) -> bool:
    with suppress(OSError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    return False


def refused(error: RequestError) -> tuple[str, str]:
    return error.code, str(error)
