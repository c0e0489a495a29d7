"""docs/security.md names tests, and they are there."""

from __future__ import annotations

import ast
import re

import pytest

from tests.places import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_the_test_is_there(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert not name or name in tests
    assert any(test.startswith("test_") for test in tests)


def test_every_point_of_the_list_has_a_test() -> None:
    points = re.split(r"\n\*\*API(\d+), ", PAGE.split("## Files")[0])
    assert [int(number) for number in points[1::2]] == list(range(1, 11))
    assert all("::test_" in text for text in points[2::2])
