"""A small model, and ways to spoil it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import snn_voice_hub as sv

WORDS = ["yes", "no", "_silence_"]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456\n"


def made(architecture: str = "TcySNN") -> sv.SnnVoice:
    voice = sv.SnnVoice(getattr(sv, architecture)(num_classes=3), labels=WORDS, name="mine", engine="torch")
    return voice.eval()


def set_to(value: float, name: str = "fc.weight") -> Callable[[Any], None]:
    def change(voice: Any) -> None:
        voice.network.state_dict()[name].view(-1)[1] = value

    return change


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
