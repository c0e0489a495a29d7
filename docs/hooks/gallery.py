"""The table of the bundled models, out of what was measured of them."""

from __future__ import annotations

import csv
import re
from typing import Final

from mkdocs.structure.pages import Page

from snn_voice_hub.hub.catalog import results_csv
from snn_voice_hub.notation import markdown_table, microjoules, percent, whole

MARKER: Final = "<!-- models -->"
_PAGE: Final = "docs/gallery.md"
# Title -> column of the CSV, and how its figures are written.
_SHARES: Final = {
    "top-1": "top1",
    "mean over 20 words": "covered_mean",
    "in noise, 10 dB": "top1_recorded_noise_10_db",
    "fires": "spike_rate",
    "commands missed": "commands_missed_10_db",
}


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """The gallery with its table."""
    return markdown.replace(MARKER, table()) if page.file.src_uri == _PAGE else markdown


def table() -> str:
    """A row for each bundled model, linked to its card; `docs/assets/sortable.js` sorts by any column."""
    found = list(csv.DictReader(results_csv().splitlines()))
    rows = [
        (
            f"[{row['model']}](../model_cards/{row['model']}.md)",
            "spiking" if row["spiking"] == "True" else "plain",
            row["num_steps"] or "-",
            whole(_number(row["parameters"])),
            *(percent(_number(row[column])) for column in _SHARES.values()),
            microjoules(_number(row["energy_uj_a_clip"])),
            f"{float(row['cpu_ms_one_clip']):.1f} ms" if row["cpu_ms_one_clip"] else "-",
        )
        for row in found
    ]
    head = ("model", "kind", "steps", "parameters", *_SHARES, "µJ a clip", "CPU time")
    return markdown_table(head, rows, words=2)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?[\d.]+(e-?\d+)?", text) else None
