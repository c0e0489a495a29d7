"""What is done at many places has one way, and nobody goes around it."""

from __future__ import annotations

import re

import pytest

from tests.places import ROOT

ROOTS = ("snn_voice_hub", "server", "lite", "benchmarks")
SOURCES = [path for root in ROOTS for path in (ROOT / root).rglob("*.py")]
# What it is, what shows somebody's own way, and who may have one: the way itself, or who can't take it.
WAYS = [
    ("a share in percent: notation.percent", r":\.1f\} %", set()),
    ("a table in Markdown: notation.markdown_table", r"\| ?---|\"---\"", {"snn_voice_hub/notation.py"}),
    ("a table of rich: terminal.rich_table", r"\.add_column\(", {"snn_voice_hub/terminal.py"}),
    ("a whole file: writing.replacing", r"mkstemp|NamedTemporary|os\.replace\(", set()),
    ("a picture: plotting.picture", r"\.savefig\((?!part,|drawn,)", set()),
    # A download goes on where there was no answer, and not where there was one.
    (
        "the Hub's refusals: remote.refusals",
        r"except \(?HfHubHTTPError",
        {"snn_voice_hub/hub/remote/cache.py"},
    ),
]


@pytest.mark.parametrize(("what", "pattern", "places"), WAYS)
def test_there_is_one_way(what: str, pattern: str, places: set[str]) -> None:
    found = {path for path in SOURCES if re.search(pattern, path.read_text(encoding="utf-8"))}
    assert {path.relative_to(ROOT).as_posix() for path in found} == places, what
