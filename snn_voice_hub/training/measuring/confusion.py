"""Which word was taken for which: a table of counts, as CSV and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from snn_voice_lite.visible import visible
from torch import Tensor

from snn_voice_hub.notation import csv_text
from snn_voice_hub.plotting import matplotlib, picture

# With more answers than these, the counts in the cells and then the names could no longer be read.
_COUNTED = 60
_MOST_INCHES = 40.0


@dataclass(frozen=True)
class Confusion:
    """How often each word was answered for each.

    Attributes:
        words: The true words that occur: the model's in its order, then those that it does not know.
        answers: The model's labels.
        counts: `[words, answers]` clips.
    """

    words: list[str]
    answers: list[str]
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, logits: Tensor, words: Sequence[str], labels: Sequence[str]) -> Confusion:
        """Count.

        Args:
            logits: `[n, C]`.
            words: The n true words.
            labels: The model's C labels.
        """
        said = set(words)
        rows = [label for label in labels if label in said] + sorted(said - set(labels))
        row = {word: i for i, word in enumerate(rows)}
        counts = np.zeros((len(rows), len(labels)), np.int64)
        for word, answer in zip(words, logits.argmax(1).tolist(), strict=True):
            counts[row[word], answer] += 1
        return cls(rows, list(labels), counts)

    def per_word(self) -> dict[str, dict[str, float | int | None]]:
        """How each word does that was said or answered.

        Returns:
            For each word, sorted: precision (None where it was never answered), recall (None where no clip
            holds it), F1, and number of clips.
        """
        said = dict(zip(self.words, self.counts.sum(1).tolist(), strict=True))
        answered = dict(zip(self.answers, self.counts.sum(0).tolist(), strict=True))
        table: dict[str, dict[str, float | int | None]] = {}
        for word in sorted({*said, *(answer for answer, times in answered.items() if times)}):
            clips, given = said.get(word, 0), answered.get(word, 0)
            both = 0
            if clips and given:
                both = int(self.counts[self.words.index(word), self.answers.index(word)])
            table[word] = {
                "precision": round(both / given, 4) if given else None,
                "recall": round(both / clips, 4) if clips else None,
                "f1": round(2 * both / (clips + given), 4),
                "clips": clips,
            }
        return table

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"words": self.words, "answers": self.answers, "counts": self.counts.tolist()}

    def to_csv(self) -> str:
        """A row a true word, a column an answer."""
        rows = ([word, *row] for word, row in zip(self.words, self.counts.tolist(), strict=True))
        return csv_text([["said", *self.answers], *rows])

    def draw(self, path: Path, title: str) -> None:
        """A PNG: the shade is the share of a word's clips, the figure their number.

        Args:
            path: The file to write.
            title: Stands above it.

        Raises:
            MissingExtraError: Matplotlib is not installed.
        """
        mpl, figure_class = matplotlib("drawing figures")
        totals = self.counts.sum(1)
        shares = self.counts / totals[:, None]
        rows, columns = shares.shape
        words, answers = (
            [visible(word, 40) for word in self.words],
            [visible(word, 40) for word in self.answers],
        )
        longest = max(map(len, (*words, *answers)))
        margin = 1.3 + 0.08 * longest
        width = min(_MOST_INCHES, max(4.5, margin + 0.28 * columns))
        height = min(_MOST_INCHES, max(3.6, margin + 0.28 * rows))
        # A mathematical "$" in somebody's word would not be drawn as it stands.
        with mpl.rc_context({"text.parse_math": False}):
            figure = figure_class(figsize=(width, height), layout="constrained")
            axis = figure.subplots()
            # The square root: one clip in fifty must be seen beside forty-nine.
            axis.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1, aspect="auto")
            if max(rows, columns) <= _COUNTED:
                for i, j in np.argwhere(self.counts > 0):
                    colour = "white" if shares[i, j] > 0.3 else "#08306b"
                    axis.text(
                        j, i, str(self.counts[i, j]), ha="center", va="center", fontsize=8, color=colour
                    )
            axis.set_xticks(range(columns), answers, rotation=90, fontsize=9)
            axis.set_yticks(
                range(rows), [f"{w} ({n})" for w, n in zip(words, totals, strict=True)], fontsize=9
            )
            axis.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
            axis.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
            axis.grid(which="minor", color="#e8e8e8", linewidth=0.6)
            axis.tick_params(which="both", length=0)
            for spine in axis.spines.values():
                spine.set_visible(False)
            axis.set_xlabel("answered")
            axis.set_ylabel("said (clips)")
            axis.set_title(visible(title), loc="left", fontsize=11, wrap=True)
            with picture(path) as (part, form):
                figure.savefig(part, dpi=110, format=form)
