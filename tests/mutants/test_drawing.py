"""What `make mutants` tries, and what it is told of mutants that change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.equivalent import EQUIVALENT, change
from tests.mutants.modules import TARGETS
from tests.places import ROOT

SOURCE = '''"""A module."""
from __future__ import annotations

LIMIT: int | None = 3


def grown(x: float | None, *, by: int) -> float | None:
    return None if x is None else x * by + LIMIT


def merged(**given: int) -> dict[str, int]:
    return {**given, "a": 1}
'''


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_tried_and_what_has_to_notice_are_there(name: str) -> None:
    assert (ROOT / TARGETS[name].path).is_file()
    files = [argument.partition("::")[0] for argument in TARGETS[name].tests if argument.startswith("tests/")]
    assert files
    assert all((ROOT / file).is_file() for file in files)


@pytest.mark.parametrize("name", EQUIVALENT)
def test_what_is_known_to_change_nothing_is_still_there(name: str) -> None:
    lines = {line.strip() for line in (ROOT / TARGETS[name].path).read_text(encoding="utf-8").splitlines()}
    assert [known for known in EQUIVALENT[name] if known.partition(" -> ")[0] not in lines] == []


def test_a_change_is_told_in_one_line() -> None:
    assert change("--- \n+++ \n@@ -3 +3 @@\n-    x = 1\n+    x = 2") == "x = 1 -> x = 2"
    assert change("--- \n+++ \n@@ -3 +2,0 @@\n-    @property") == "@property -> "


def test_a_sample_is_spread_over_all_places_and_can_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cosmic_ray")
    from cosmic_ray.commands import init
    from cosmic_ray.work_db import use_db

    from tests.mutants.drawing import drawn, meaning, mutated

    monkeypatch.chdir(tmp_path)
    module = Path("module.py")
    module.write_text(SOURCE)
    with use_db("all.sqlite") as session:
        init([module], session, {})
        items = session.work_items
    few, many = (drawn(SOURCE, items, count, "seed") for count in (6, 1000))
    codes = [mutated(SOURCE, item.mutations[0]) for item in many]
    assert many[:6] == few
    # The annotations and the stars of `merged` are none: 3, the condition and its `is`, *, +, 1.
    assert len({item.mutations[0].start_pos for item in few}) == 6
    assert {item.mutations[0].start_pos for item in many} == {item.mutations[0].start_pos for item in few}
    assert len({*map(meaning, map(str, codes))} - {meaning(SOURCE)}) == len(many)
    assert not any("<<" in str(code) or "&" in str(code) for code in codes)
