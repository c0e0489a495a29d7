"""An installation that lacks a package."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest


def lack(monkeypatch: pytest.MonkeyPatch, package: str, *users: str) -> None:
    """Make importing a package fail for the rest of a test, and forget it and those that have imported it."""
    gone = tuple(f"{name}." for name in (package, *users))
    for name in [name for name in sys.modules if f"{name}.".startswith(gone)]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
