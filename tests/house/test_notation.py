"""Figures and tables are written in one way."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from snn_voice_hub.notation import markdown_table, microjoules, percent, points, whole
from snn_voice_hub.terminal import rich_table


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (percent(0.98765), "98.8 %"),
        (percent(None), "-"),
        (points(-0.0001), "0.0"),
        (points(0.25, sign=True), "+25.0"),
        (whole(1234567.0), "1,234,567"),
        (whole(None), "-"),
        (microjoules(0.06064), "0.0606"),
        (microjoules(1234.5), "1,234"),
        (microjoules(None), "-"),
    ],
)
def test_figures(written: str, text: str) -> None:
    assert written == text


def test_a_cell_of_markdown_stays_in_its_row_and_column() -> None:
    table = markdown_table(("word", "kind", "clips"), [("a|b\nc\x1b", "x", 7)], words=2)
    assert table.splitlines() == [
        "| word | kind | clips |",
        "| --- | --- | ---: |",
        r"| a\|b c\x1b | x | 7 |",
    ]
    assert markdown_table(("word", "clips"), []) == ""


def test_a_table_on_a_terminal_shows_text_as_it_is() -> None:
    file = io.StringIO()
    table = rich_table(("[b]word[/b]", "clips"), [("[red]\x1b[31m", "7")], title="[i]title[/i]")
    Console(file=file, width=60).print(table)
    title, _, head, _, row, _ = file.getvalue().splitlines()
    assert title.strip() == "[i]title[/i]"
    assert "[b]word[/b]" in head
    assert r"[red]\x1b[31m" in row
