"""What was measured of a model, and how it is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from snn_voice_hub.config import DetectionConfig
from snn_voice_hub.errors import MissingExtraError
from snn_voice_hub.notation import csv_text
from snn_voice_hub.training.measuring.confusion import Confusion
from snn_voice_hub.training.measuring.curve_plot import draw_curves, points
from snn_voice_hub.training.measuring.listening import Sounds
from snn_voice_hub.writing import write_together, writing_into


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        figures: Figures by name, as they stand in `config.json` under `metrics.test`.
        words: Precision, recall, F1 and clips of each word, see `Confusion.per_word`.
        confusion: Which word was taken for which.
        sounds: What the model heard where it listened, for curves; None where there were no negatives.
        point: The operating point that it was measured at.
        skipped: `(file, reason)` of each file that can't be read.
        notes: What else a reader should know, a sentence each.
    """

    figures: dict[str, Any]
    words: dict[str, dict[str, float | int | None]]
    confusion: Confusion
    sounds: Sounds | None = None
    point: DetectionConfig = field(default_factory=DetectionConfig)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def report(self, **about: Any) -> dict[str, Any]:
        """All of it, for JSON.

        Args:
            **about: What comes first, for example the model's name.
        """
        return {
            **about,
            **self.figures,
            "words": self.words,
            "confusion": self.confusion.to_dict(),
            "skipped_files": [list(pair) for pair in self.skipped],
            "notes": self.notes,
        }

    def write(self, out: Path, title: str, **about: Any) -> list[str]:
        """Write `report.json`, `words.csv`, `confusion.csv` and `confusion.png`; of what listened, its curve.

        Args:
            out: Folder, made if missing.
            title: Stands above the picture.
            **about: What comes first in `report.json`.

        Returns:
            What could not be made, a sentence each: the pictures, where matplotlib is not installed.

        Raises:
            SnnVoiceError: The folder can't be written.
        """
        columns = ("precision", "recall", "f1", "clips")
        words = ([word, *(row[name] for name in columns)] for word, row in self.words.items())
        files = {
            "report.json": json.dumps(self.report(**about), indent=2, ensure_ascii=False) + "\n",
            "words.csv": csv_text([["word", *columns], *words]),
            "confusion.csv": self.confusion.to_csv(),
        }
        pictures = {"confusion.png": partial(self.confusion.draw, title=title)}
        if self.sounds is not None:
            curve, streams = self.sounds.curve(self.point), list(self.sounds.streams)
            files["listening.csv"] = _curve_csv(curve, streams)
            curves = {f"words at {name.replace('_db', ' dB')}": points(curve, name) for name in streams}
            pictures["listening.png"] = partial(draw_curves, curves, title=title)
        with writing_into(out, "another folder"):
            out.mkdir(parents=True, exist_ok=True)
            write_together({out / name: text for name, text in files.items()})
            notes = [_drawn(out / name, draw) for name, draw in pictures.items()]
        return [note for note in notes if note]


def _curve_csv(curve: Sequence[tuple[float, Mapping[str, Any]]], streams: Sequence[str]) -> str:
    """Words missed and false alarms an hour, a row a threshold."""
    noises = list(curve[0][1]["false_alarms"])
    head = ["threshold", *(f"missed_{s}" for s in streams), *(f"alarms_{n}" for n in noises)]
    values = (
        [*(figures["missed"][s] for s in streams), *figures["false_alarms"].values()] for _, figures in curve
    )
    rows = ([at, *(f"{value:.4f}" for value in told)] for (at, _), told in zip(curve, values, strict=True))
    return csv_text([head, *rows])


def _drawn(path: Path, draw: Callable[[Path], None]) -> str:
    """Draw a picture; a sentence where that is not possible, and none of an earlier report is left."""
    path.unlink(missing_ok=True)
    try:
        draw(path)
    except MissingExtraError as error:
        return f"{path.name} is left out: {error}"
    return ""
