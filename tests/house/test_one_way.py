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


# Who writes files otherwise than through `writing`, `picture`, or a `part` of theirs, and why no half of one
# is ever taken for whole. Whoever joins them joins `tests/faults/writers.py` as well.
WRITES = re.compile(
    r"(?<!\bpart)\.write_(?:text|bytes)\(|(?<!\bpart)\.open\(\s*\"[wxa]|open\([^)\n]*, \"[wxa]"
    r"|[^_]save_file\((?!\)|state_dict)|onnx\.save\(|\b(?:sf|soundfile)\.write\((?!content|buffer)|np\.savez?(?:_compressed)?\((?!file|packed)"
)
WRITERS = {
    "snn_voice_hub/writing.py": "the way itself",
    "snn_voice_hub/hub/legacy/conversion.py": "into a folder that gets its name when it is complete",
    "snn_voice_hub/export/c/files.py": "into a folder that gets its name when it is complete",
    "snn_voice_hub/export/c/checking.py": "into a temporary folder",
    "snn_voice_hub/bulk/worker.py": "into a temporary folder",
    "snn_voice_hub/bulk/ray_session.py": "to what is no file on a disk",
    "snn_voice_hub/cli/answers.py": "row by row, as they become known",
    "snn_voice_hub/native/build.py": "a checksum, which fits or does not",
    "server/snn_voice_server/teaching/leash.py": "to what is no file on a disk",
    "server/snn_voice_server/teaching/unpacking.py": "into the folder of a lesson, which goes where it fails",
    "server/snn_voice_server/http/documentation.py": "to memory",
    "lite/snn_voice_lite/containers/quiet.py": "to what is no file on a disk",
    "lite/snn_voice_lite/shell/streams.py": "to what is no file on a disk",
}


def test_files_are_written_whole() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in SOURCES if WRITES.search(path.read_text("utf-8"))}
    assert {path for path in found if not path.startswith("benchmarks/")} == WRITERS.keys()
