"""`make test` leaves out what is marked as slow, and nothing else; `make test-all` leaves out nothing."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.places import ROOT
from tests.slowness import mostly_slow

# What would choose among the tests, in options of pytest.
CHOOSING = ("-m", "-k", "--ignore", "--ignore-glob", "--deselect", "--lf", "--last-failed")

TESTS = """
import pytest
from tests.slowness import mostly_slow

@pytest.mark.{mark}
def test_long(): ...

def test_short(): ...

@pytest.mark.parametrize(("name", "number"), mostly_slow([("a", 1), ("b", 2)], ("b", 2)))
def test_both(name, number): ...
"""
LONG, SHORT = {"test_long", "test_both[a-1]"}, {"test_short", "test_both[b-2]"}


def options(target: str) -> list[str]:
    """What pytest is given by a target of the Makefile."""
    if not shutil.which("make"):
        pytest.skip("no make")
    command = ["make", "--no-print-directory", "--dry-run", target]
    # Whoever has called this test by `make test ARGS=...` has said so to each make below, too.
    plain = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "ARGS")}
    told = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in told.splitlines() if "-m pytest" in line]
    return shlex.split(line.partition(";")[0].partition("-m pytest")[2])


def collected(folder: Path, *given: str, mark: str = "slow") -> tuple[int, set[str], str]:
    """Exit code, names and output of pytest, with this project's settings, in a folder with `TESTS`."""
    (folder / "test_some.py").write_text(TESTS.format(mark=mark))
    fixed = ["-p", "xdist", "-p", "pytest_timeout", "-c", ROOT / "pyproject.toml", "--rootdir", folder]
    here = ["--collect-only", "-q", "-n", "0", "-p", "no:cacheprovider"]  # other processes list nothing
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *fixed, *given, *here, folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # some import for seconds
    )
    names = {line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line}
    return done.returncode, names, done.stdout


def test_all_are_selected_by_test_all_and_the_quick_ones_by_test(tmp_path: Path) -> None:
    quick, every = options("test"), options("test-all")
    assert quick == [*every, "-m", "not slow"]
    assert not set(every) & set(CHOOSING)
    assert options("coverage") == options("test-all")
    assert collected(tmp_path, *every)[:2] == (0, LONG | SHORT)
    assert collected(tmp_path, *quick)[:2] == (0, SHORT)


def test_settings_leave_nothing_out() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert settings["testpaths"] == ["tests"]
    assert not set(settings["addopts"].split()) & set(CHOOSING)
    assert not set(settings) & {"norecursedirs", "python_files", "python_functions", "python_classes"}


def test_a_mark_that_is_misspelled_is_an_error(tmp_path: Path) -> None:
    code, _, told = collected(tmp_path, mark="slwo")
    assert code != 0
    assert "'slwo' not found in `markers`" in told


def test_a_parameter_that_is_none_is_not_taken_for_quick() -> None:
    with pytest.raises(AssertionError, match=r"\['c'\] are none of \['a', 'b'\]"):
        mostly_slow(["a", "b"], "a", "c")
