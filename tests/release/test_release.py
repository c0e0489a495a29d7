"""How `make release` ends, without what takes minutes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.places import ROOT
from tests.release import __main__ as program
from tests.release.building import ReleaseError, run
from tests.release.contents import opened

Go = Callable[..., tuple[int, str]]


@pytest.fixture
def go(
    lite_wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Go:
    """Runs the program over a wheel that is built already; gives its exit code, and what it says."""
    archives = {"lite wheel": opened(lite_wheel), "npm package": opened(lite_wheel)}
    monkeypatch.setattr(program, "built", lambda out: archives)
    monkeypatch.setattr(program, "looked_into", lambda archives: [])
    monkeypatch.setattr(program, "run", lambda *words: "")
    monkeypatch.setattr(program, "tried", lambda *given: None)

    def going(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["release", "--out", str(tmp_path), *arguments])
        return program.main(), capsys.readouterr().out

    return going


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git is not here")
def test_it_says_what_is_left_to_do(go: Go) -> None:
    code, said = go()
    assert code == 0
    assert "A rehearsal. Before it is published:\n- " in said
    assert "names no Repository" in said
    assert "To publish" not in said


def test_it_says_how_to_publish(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "hindrances", lambda archives: iter(()))
    code, said = go()
    assert code == 0
    assert "To publish: git tag v" in said
    assert "not all were tried" in go("--install", "lite")[1]


def test_what_is_wrong_ends_it(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "looked_into", lambda archives: ["x.whl: tests/x is not for users"])
    code, said = go()
    assert code == 1
    assert "error: x.whl: tests/x is not" in said


def test_a_program_that_fails_is_told() -> None:
    with pytest.raises(ReleaseError, match="exit code 3"):
        run(shutil.which("sh") or "sh", "-c", "echo why; exit 3")
    with pytest.raises(ReleaseError, match="no-such-program is not installed"):
        run("no-such-program")
