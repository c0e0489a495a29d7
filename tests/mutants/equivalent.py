"""Mutants that no test can notice, and why: they change nothing that anybody relies on."""

from __future__ import annotations

from typing import Final


def change(diff: str) -> str:
    """What a mutant changes, in one line: `before -> after`."""
    lines = [line for line in diff.split("\n") if line[:3] not in ("---", "+++")]
    before, after = (" ".join(line[1:].strip() for line in lines if line[:1] == sign) for sign in "-+")
    return f"{before} -> {after}"


EQUIVALENT: Final[dict[str, dict[str, str]]] = {}
