"""What `docs/architecture.md` says, and what the code imports."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from tests.places import ROOT

DOCUMENT = ROOT / "docs" / "architecture.md"
PACKAGES = {
    "snn_voice_hub": ROOT / "snn_voice_hub",
    "snn_voice_server": ROOT / "server" / "snn_voice_server",
    "snn_hub_sandbox": ROOT / "server" / "snn_hub_sandbox",
    "snn_voice_lite": ROOT / "lite" / "snn_voice_lite",
}
_HEADING = re.compile(r"^### `([\w.]+)`\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"`([\w.]+)`")


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in a text, without their heads."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if re.fullmatch(r"\|[ |-]+\|", line):
            found.pop()  # the head
        elif line.startswith("|"):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def floors() -> dict[str, list[list[str]]]:
    """Package -> its lines of rooms, the highest first."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return {
        package: [NAME.findall(cells[0]) for cells in rows(table)]
        for package, table in _HEADING.findall(text)
    }


def packages_allowed() -> dict[str, list[str]]:
    """Package -> what of the other packages it may import."""
    text = DOCUMENT.read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| package \| imports \|\n.*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    return {NAME.findall(package)[0]: NAME.findall(allowed) for package, allowed in rows(table)}


def tree() -> set[Path]:
    """The paths that the tree shows, below the project's root."""
    (block,) = re.findall(
        r"^```\n(snn_voice_hub/.*?)^```", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    found: set[Path] = set()
    above: list[str] = []
    for line in filter(None, block.splitlines()):
        bars, name = re.match(r"([│├└─ ]*)(\S+)", line).groups()  # type: ignore[union-attr]
        above = [*above[: len(bars) // 4], name]
        found.add(Path(*above))
    return found


def places() -> set[str]:
    """The modules, with or without a function of theirs, in the column `where` of the tables."""
    text = DOCUMENT.read_text(encoding="utf-8")
    tables = re.findall(r"^\| step \| where \|.*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    return {name for table in tables for cells in rows(table) for name in NAME.findall(cells[1])}


def module_files() -> dict[str, Path]:
    """Module -> file, of all packages; a package is named without its `__init__`."""
    found = {}
    for root in PACKAGES.values():
        for path in root.rglob("*.py"):
            parts = path.relative_to(root.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> dict[str, frozenset[str]]:
    """Module -> the modules of these packages that it imports, wherever in it."""
    files = module_files()
    return {
        module: imported(path.read_text(encoding="utf-8"), set(files)) - {module}
        for module, path in files.items()
    }


def imported(source: str, modules: set[str]) -> frozenset[str]:
    """Those of `modules` that a program imports; of `from package import name` the module, if it is one."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            wanted = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        else:
            continue
        for name in wanted:
            while name and name not in modules:
                name = name.rpartition(".")[0]
            found.add(name)
    return frozenset(found - {""})


def rooms_on_disk(package: str) -> set[str]:
    """The modules and folders right below a package, and `__init__` where that imports any."""
    inside = {module.rpartition(".")[2] for module in module_files() if module.rpartition(".")[0] == package}
    return inside | ({"__init__"} if imports()[package] else set())


def between_rooms(package: str) -> set[tuple[str, str]]:
    """Which room of a package imports which other."""
    found = set()
    for module, targets in imports().items():
        for target in targets:
            if inside(package, module) and inside(package, target):
                found.add((_room(package, module), _room(package, target)))
    return {(one, other) for one, other in found if one != other}


def uphill(lines: list[list[str]], edges: set[tuple[str, str]]) -> list[str]:
    """Imports that do not lead to a lower line."""
    line_of = {room: i for i, line in enumerate(lines) for room in line}
    return [f"{one} imports {other}" for one, other in sorted(edges) if line_of[one] >= line_of[other]]


def inside(package: str, module: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _room(package: str, module: str) -> str:
    return module.removeprefix(package).lstrip(".").partition(".")[0] or "__init__"
