"""The notebook runs from top to bottom, and shows what it prints."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.house.document_helpers import Step, driver, steps, tells
from tests.nursery import nursery
from tests.places import EXAMPLES, ROOT
from tests.sandbox.helpers import Sandbox

NOTEBOOK = EXAMPLES / "quickstart.ipynb"


def cells(kind: str) -> list[dict[str, Any]]:
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def shown(cell: dict[str, Any]) -> list[str]:
    """The lines of text below a cell."""
    texts = [out.get("text") or out["data"].get("text/plain", []) for out in cell["outputs"]]
    lines = [line.strip() for text in texts for line in "".join(text).splitlines()]
    return [line for line in lines if line and not re.match(r"<Figure .*>", line)]


@pytest.mark.timeout(200)
def test_it_runs_and_shows_what_is_so(hub: Sandbox, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    folder = tmp_path / "examples"
    shutil.copytree(EXAMPLES, folder)
    code = cells("code")
    parts = [steps(f"```python\n{''.join(cell['source'])}\n```\n") for cell in code]
    typed: list[Step] = [step for part in parts for step in part]
    environment = hub.environment(home=tmp_path / "home", MPLBACKEND="Agg")
    (ended,) = nursery().run([driver(typed, folder, {})], environment, seconds=180)
    ran = iter(ended.value)
    for cell, part in zip(code, parts, strict=True):
        told = [next(ran) for _ in part]
        out = "".join(text for _, text in told)
        assert [status for status, _ in told] == [0] * len(part), out
        for line in shown(cell):
            assert tells(out, line), f"{line}\nis not in\n{out}"
    assert sum(bool(shown(cell)) for cell in code) >= 6


def test_it_is_small_and_of_nobody() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 60_000
    assert not re.search(r"/(home|root|work|tmp|Users)/", text)
    prose = "".join(line for cell in cells("markdown") for line in cell["source"])
    for named in re.findall(r"`((?:docs|examples)/[\w./-]+)`", prose):
        assert (ROOT / named).exists(), named
