"""Imports run downhill, stay light, and the version is one."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import snn_voice_hub as sv

ROOT = Path(sv.__file__).parent
FLOORS = {
    **dict.fromkeys(("errors", "config", "packages", "tensors", "text", "visible", "install", "_version"), 0),
    **dict.fromkeys(("containers", "samples", "decoding", "audio", "folders"), 1),
    **dict.fromkeys(("features", "hub", "native", "plotting", "streaming", "writing"), 1),
    "models": 2,
    "registry": 3,
    **dict.fromkeys(("inference", "spikes", "export"), 4),
    "voice": 5,
    **dict.fromkeys(("training", "bulk"), 6),
    "cli": 7,
    **dict.fromkeys(("__init__", "__main__"), 8),
    "templates": 9,  # of files that are published as they are; nothing imports them
}


def imported(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names]
                if node.module == "snn_voice_hub"
                else []
            )
            found += names or [node.module]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


def test_imports_run_downhill() -> None:
    uphill = []
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for module in imported(path):
            parts = module.split(".")
            if parts[0] == "snn_voice_server":
                uphill.append(f"{path.name} imports the server")
            if parts[0] == "snn_voice_hub" and len(parts) > 1:
                # What is no room is a public name.
                floor = FLOORS.get(parts[1], FLOORS["__init__"])
                if floor > FLOORS[room]:
                    uphill.append(f"{path.name} imports {module}")
    assert uphill == []


def test_the_rooms_of_training_import_only_what_lies_below() -> None:
    rooms = ("clips", "measuring", "fitting", "study")
    uphill = []
    for path in (ROOT / "training").rglob("*.py"):
        room = path.relative_to(ROOT / "training").parts[0]
        for module in imported(path):
            named = module.removeprefix("snn_voice_hub.training.").split(".")[0]
            if room in rooms and named in rooms and rooms.index(named) > rooms.index(room):
                uphill.append(f"{room}/{path.name} imports {module}")
    assert uphill == []


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


def test_public_names_are_there() -> None:
    assert sorted(sv.__all__) == sorted(set(sv.__all__))
    for name in sv.__all__:
        assert getattr(sv, name) is not None
