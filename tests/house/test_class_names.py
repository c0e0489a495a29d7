"""A name is of one thing: no two classes of the packages have the same, whether or not they are private."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.house.architecture import PACKAGES

# A family of networks is one file, which is read alone: the blocks of each are called the same.
FAMILIES = PACKAGES["snn_voice_hub"] / "models" / "architectures"


def test_no_two_classes_share_a_name() -> None:
    places = defaultdict(list)
    for path in (path for package in PACKAGES.values() for path in package.rglob("*.py")):
        if path.parent != FAMILIES:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    places[node.name.strip("_").lower()].append(f"{path}:{node.lineno}: {node.name}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
