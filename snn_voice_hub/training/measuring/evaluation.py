"""What was measured of a model, and how it is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snn_voice_hub.config import DetectionConfig
from snn_voice_hub.errors import MissingExtraError, SnnVoiceError
from snn_voice_hub.training.measuring.confusion import Confusion
from snn_voice_hub.training.measuring.curve_plot import draw_curves, points
from snn_voice_hub.training.measuring.listening import Sounds


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
        try:
            out.mkdir(parents=True, exist_ok=True)
            text = json.dumps(self.report(**about), indent=2, ensure_ascii=False)
            (out / "report.json").write_text(text + "\n", encoding="utf-8")
            with (out / "words.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["word", "precision", "recall", "f1", "clips"])
                for word, row in self.words.items():
                    writer.writerow([word, row["precision"], row["recall"], row["f1"], row["clips"]])
            self.confusion.write_csv(out / "confusion.csv")
            notes = [_drawn(out / "confusion.png", lambda path: self.confusion.draw(path, title))]
            if self.sounds is not None:
                notes.append(self._write_curve(self.sounds, out, title))
        except OSError as error:
            raise SnnVoiceError(f"{out} can't be written: {error.strerror}") from error
        return [note for note in notes if note]

    def _write_curve(self, sounds: Sounds, out: Path, title: str) -> str:
        """Write `listening.csv` and `listening.png`: words missed and false alarms an hour by threshold."""
        curve = sounds.curve(self.point)
        with (out / "listening.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            streams, noises = list(sounds.streams), list(curve[0][1]["false_alarms"])
            writer.writerow(
                ["threshold", *(f"missed_{s}" for s in streams), *(f"alarms_{n}" for n in noises)]
            )
            for threshold, figures in curve:
                values = [*(figures["missed"][s] for s in streams), *figures["false_alarms"].values()]
                writer.writerow([threshold, *(f"{value:.4f}" for value in values)])
        curves = {f"words at {name.replace('_db', ' dB')}": points(curve, name) for name in streams}
        return _drawn(out / "listening.png", lambda path: draw_curves(curves, path, title=title))


def _drawn(path: Path, draw: Callable[[Path], None]) -> str:
    """Draw a picture; a sentence where that is not possible, and none of an earlier report is left."""
    path.unlink(missing_ok=True)
    try:
        draw(path)
    except MissingExtraError as error:
        return f"{path.name} is left out: {error}"
    return ""
