"""Kernels that were compiled elsewhere, for machines without a compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import snn_voice_hub as sv
from snn_voice_hub.native import __main__ as command
from snn_voice_hub.native import build, kernels, ready

needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("c++", "g++", "clang++")), reason="no C++ compiler"
)
pytestmark = needs_compiler


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image") / "kernels"
    ready.build_all(folder)
    return folder


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv(build.CACHE_VARIABLE, str(tmp_path / "cache"))
    kernels._load.cache_clear()
    yield
    kernels._load.cache_clear()


@pytest.mark.slow
def test_one_library_a_generation(made: Path) -> None:
    libraries = sorted(made.glob("*.so"))
    assert len(libraries) == len(ready.levels())
    assert len(list(made.iterdir())) == 2 * len(libraries)  # each with its checksum
    assert all(library.stat().st_mode & 0o777 == 0o644 for library in libraries)


@pytest.mark.usefixtures("no_compiler")
def test_they_are_used_without_a_compiler_and_from_a_folder_that_is_only_read(
    made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(ready.READY_VARIABLE, str(made))
    before = {path: path.stat().st_mtime_ns for path in made.iterdir()}
    voice = sv.SnnVoice.from_pretrained("m5-snn", engine="native")
    facts = voice.engine_info()
    assert facts["engine"] == "native", facts
    assert Path(facts["library"]).parent == made
    assert facts["compiler"].startswith("ready for ")
    assert facts["build_seconds"] == 0
    assert voice.classify("examples/yes.wav")[0].label == "yes"
    assert {path: path.stat().st_mtime_ns for path in made.iterdir()} == before
    assert not (tmp_path / "cache").exists()


@pytest.mark.skipif(len(ready.levels()) == 1, reason="one generation of this kind of processor")
def test_a_processor_gets_the_best_that_it_can_run(
    made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(ready.READY_VARIABLE, str(made))
    opened: list[str] = []
    # Loading a library of a newer processor is no question of this test.
    monkeypatch.setattr(ready, "open_library", lambda path: opened.append(path.name))
    cpu_info = tmp_path / "cpuinfo"
    monkeypatch.setattr(ready, "_CPU_INFO", cpu_info)
    for level, needs in ready.levels().items():
        cpu_info.write_text(f"model name\t: x\nflags\t\t: fpu {needs} other\n\nflags\t: {ready._FOURTH}\n")
        ready.find()
        assert opened.pop().endswith(f"-{level}.so")
        # What lacks one of them gets less.
        cpu_info.write_text(f"flags : {' '.join(needs.split()[1:])}\n")
        ready.find()
        assert opened.pop().endswith(f"-{level}.so") == (not needs)
    cpu_info.unlink()
    ready.find()
    assert opened.pop().endswith("-x86-64.so")


@pytest.mark.usefixtures("no_compiler")
def test_what_does_not_fit_is_not_loaded(made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "kernels"
    monkeypatch.setenv(ready.READY_VARIABLE, str(folder))
    with pytest.raises(build.BuildError, match=r"holds no kernels .*; no C\+\+ compiler"):
        kernels.load_kernels()
    # Of another release, and cut off on the way.
    shutil.copytree(made, folder)
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace("kernels-", "kernels-0")))
    with pytest.raises(build.BuildError, match="holds no kernels"):
        ready.find()
    shutil.rmtree(folder)
    shutil.copytree(made, folder)
    for library in folder.glob("*.so"):
        library.write_bytes(library.read_bytes()[:1000])
    with pytest.raises(build.BuildError, match="holds no kernels"):
        ready.find()
    assert sv.SnnVoice.from_pretrained("m5-snn").classify("examples/yes.wav")[0].label == "yes"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("what", ["folder", "library"])
def test_what_others_may_write_is_not_loaded(
    made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    folder = tmp_path / "kernels"
    shutil.copytree(made, folder)
    for path in [folder] if what == "folder" else folder.glob("*.so"):
        path.chmod(0o777)
    monkeypatch.setenv(ready.READY_VARIABLE, str(folder))
    with pytest.raises(build.BuildError, match=f"written by others .*{ready.READY_VARIABLE}"):
        ready.find()


@pytest.mark.slow
def test_without_fitting_ones_the_compiler_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(ready.READY_VARIABLE, str(tmp_path / "nothing"))
    monkeypatch.setenv(build.CACHE_VARIABLE, str(tmp_path / "cache"))
    kernels._load.cache_clear()
    try:
        assert kernels.load_kernels().path.parent == tmp_path / "cache" / "native"
    finally:
        kernels._load.cache_clear()


@pytest.mark.slow
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = [sys.executable, "-m", "snn_voice_hub.native", str(tmp_path / "made")]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    *libraries, last = done.stdout.splitlines()
    assert len(libraries) == len(ready.levels())
    assert all(Path(library).is_file() for library in libraries)
    assert last.endswith(f"SNN_VOICE_KERNELS={tmp_path / 'made'}")
    (tmp_path / "file").write_text("")
    for arguments, says in (
        ([], "usage:"),
        (["--help"], "usage:"),
        ([str(tmp_path / "file")], "can't be written"),
    ):
        assert command.main(arguments) == 2
        assert says in capsys.readouterr().err


@pytest.mark.usefixtures("no_compiler")
def test_the_command_without_a_compiler(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path / "made")]) == 2
    assert "error: no C++ compiler" in capsys.readouterr().err
