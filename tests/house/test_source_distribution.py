"""The source distribution holds what git holds, so that its tests can run."""

from __future__ import annotations

import subprocess
import tomllib

from tests.places import ROOT

# Of whoever works on a clone: what CI runs, hooks, what git leaves out. hatch adds pyproject.toml by itself.
LEFT_OUT = {".ci", ".github", ".gitignore", ".pre-commit-config.yaml", "pyproject.toml"}


def test_nothing_is_forgotten() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = set(settings["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    assert all((ROOT / name).exists() for name in included)
    if (ROOT / ".git").exists():  # not where the tests run from the distribution itself
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        tracked = {line.partition("/")[0] for line in listed.stdout.splitlines()}
        assert included == tracked - LEFT_OUT
