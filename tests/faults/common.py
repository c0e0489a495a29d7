"""How somebody who writes is named, and what several of them lay there and look at."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import soundfile
import torch

import snn_voice_hub as sv
from snn_voice_hub.writing import writing_into
from tests.faults.trial import Act, Writer
from tests.places import EXAMPLES

WRITERS: dict[str, Callable[[], Writer]] = {}
_KNOWN_WORDS = ("yes", "no", "go")


def writer(make: Callable[[], Writer]) -> Callable[[], Writer]:
    """Have a function's writer tried, under the function's name."""
    WRITERS[make.__name__] = make
    return make


def both(*acts: Act) -> Act:
    """One after the other."""

    def all_of_them(place: Path) -> None:
        for act in acts:
            act(place)

    return all_of_them


def checkpoint(seed: int, name: str = "model") -> Act:
    """Lay an untrained model there."""

    def lay(place: Path) -> None:
        network(seed).save_pretrained(place / name)

    return lay


@cache
def network(seed: int) -> sv.TcySNN:
    torch.manual_seed(seed)
    return sv.TcySNN(num_classes=3)


def opens(name: str = "model") -> Act:
    """A checkpoint answers."""

    def look(place: Path) -> None:
        sv.SnnVoice.from_pretrained(place / name, engine="torch").classify(EXAMPLES / "yes.wav")

    return look


def has(*names: str) -> Act:
    """Files are there, and can be read as what their endings say."""

    def look(place: Path) -> None:
        for name in names:
            path = place / name
            content = path.read_bytes()
            if path.suffix == ".json":
                json.loads(content)
            elif path.suffix == ".jsonl":
                [json.loads(line) for line in content.splitlines()]
            elif path.suffix in (".wav", ".flac"):
                assert len(soundfile.read(path)[0])
            elif path.suffix in (".png", ".gif"):
                from PIL import Image

                with Image.open(path) as image:
                    image.load()
            elif path.suffix == ".onnx":
                import onnx

                onnx.checker.check_model(onnx.load(path))
            assert content, name

    return look


def clips(place: Path, words: tuple[str, ...] = _KNOWN_WORDS, count: int = 3) -> None:
    """A folder of clips for each word."""
    for word in words:
        (place / "clips" / word).mkdir(parents=True)
        for number in range(count):
            shutil.copy(EXAMPLES / "yes.wav", place / "clips" / word / f"s{number}_nohash_0.wav")


def earlier(name: str) -> Act:
    """A file that was there before."""

    def lay(place: Path) -> None:
        (place / name).write_bytes(b"an earlier one")

    return lay


def once(module: Any, name: str) -> None:
    """Let a function of a module compute once; what it gives is written each time."""
    make, kept = getattr(module, name), []

    def remembered(*arguments: Any, **more: Any) -> Any:
        if not kept:
            kept.append(make(*arguments, **more))
        return kept[0]

    setattr(module, name, remembered)


@contextlib.contextmanager
def named(place: Path) -> Iterator[None]:
    """Of functions that raise OSError as it comes: who calls them says where it was."""
    with writing_into(place, "another folder"):
        yield
