"""Imports run downhill as `docs/architecture.md` says, stay light, and the public names are there."""

from __future__ import annotations

import graphlib
import re
import subprocess
import sys
from collections import Counter
from types import ModuleType

import pytest

import snn_voice_hub as sv
from snn_voice_hub import training
from tests.house import architecture
from tests.places import ROOT

FLOORS = architecture.floors()


def test_the_tables_are_read() -> None:
    assert set(FLOORS) >= {*architecture.PACKAGES, "snn_voice_hub.training", "snn_voice_hub.hub"}
    assert architecture.packages_allowed().keys() == architecture.PACKAGES.keys()
    assert architecture.packages_allowed()["snn_voice_hub"] == ["snn_voice_lite"]
    assert architecture.packages_allowed()["snn_voice_lite"] == []
    modules = {"a", "a.b", "a.b.c"}
    for source, found in {
        "import a.b.c": {"a.b.c"},
        "from a import b, d": {"a.b", "a"},
        "def f():\n    from a.b.c import d": {"a.b.c"},
        "if TYPE_CHECKING:\n    import a.b": {"a.b"},
        "import ab, os.path": set(),
    }.items():
        assert architecture.imported(source, modules) == found
    lines = [["cli"], ["voice", "bulk"], ["errors"]]
    assert architecture.uphill(lines, {("cli", "errors"), ("bulk", "errors")}) == []
    edges = {("errors", "cli"), ("voice", "bulk"), ("cli", "voice")}
    assert architecture.uphill(lines, edges) == ["errors imports cli", "voice imports bulk"]


@pytest.mark.parametrize("package", FLOORS)
def test_every_room_has_its_line(package: str) -> None:
    listed = Counter(room for line in FLOORS[package] for room in line)
    assert set(listed) == architecture.rooms_on_disk(package)
    assert set(listed.values()) == {1}


@pytest.mark.parametrize("package", FLOORS)
def test_imports_run_downhill(package: str) -> None:
    edges = architecture.between_rooms(package)
    assert edges
    assert architecture.uphill(FLOORS[package], edges) == []


def test_packages_import_what_they_may() -> None:
    forbidden = []
    for package, others in architecture.packages_allowed().items():
        for module, targets in architecture.imports().items():
            if architecture.inside(package, module):
                beyond = [
                    t for t in targets if not any(architecture.inside(o, t) for o in (package, *others))
                ]
                forbidden += [f"{module} imports {target}" for target in beyond]
    assert forbidden == []


def test_no_import_leads_back() -> None:
    """Not even one inside a function."""
    graphlib.TopologicalSorter(architecture.imports()).prepare()


def test_the_tree_shows_every_room() -> None:
    shown = architecture.tree()
    assert [path for path in shown if not (ROOT / path).exists()] == []
    files = [path.relative_to(ROOT) for path in architecture.module_files().values()]
    packages = {path.parent for path in files if path.name == "__init__.py"}
    tops = {path.relative_to(ROOT) for path in architecture.PACKAGES.values()}
    modules = {path for path in files if path.parent in tops and path.name != "__init__.py"}
    assert (packages | modules) - shown == set()


def test_the_ways_lead_through_modules_that_there_are() -> None:
    roots = ("snn_voice_hub", "snn_voice_hub.training", "snn_voice_lite")
    for place in architecture.places():
        whole, _, attribute = place.rpartition(".")
        modules = architecture.module_files()
        if not any(f"{root}.{place}" in modules for root in roots):
            texts = [
                modules[f"{root}.{whole}"].read_text(encoding="utf-8")
                for root in roots
                if f"{root}.{whole}" in modules
            ]
            assert any(re.search(rf"^(def|class) {attribute}\b", text, re.MULTILINE) for text in texts)
    assert architecture.places()


def test_the_order_is_told_once() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        assert "(docs/architecture.md)" in (ROOT / name).read_text(encoding="utf-8")
    rooms = architecture.rooms_on_disk("snn_voice_hub")
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for cells in architecture.rows(text):
        assert not any(set(architecture.NAME.findall(cell)) & rooms for cell in cells), cells


def test_importing_needs_no_extra() -> None:
    code = "import sys; from snn_voice_hub import *; print(*sys.modules)"
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )
    extras = {
        "fastapi",
        "uvicorn",
        "pytest",
        "matplotlib",
        "lightning",
        "snn_voice_server",
        "prometheus_client",
        "pydantic",
        "ray",
        "snn_voice_hub.bulk",
        "snn_voice_hub.training",
    }
    assert "torch" in loaded
    assert not loaded & extras


@pytest.mark.parametrize("package", [sv, training])
def test_public_names_are_there(package: ModuleType) -> None:
    assert sorted(package.__all__) == sorted(set(package.__all__))
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018
