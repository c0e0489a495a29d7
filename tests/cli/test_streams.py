"""`snn-voice` with closed or full streams, a reader that leaves, and signals: the right code, one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from snn_voice_hub import __version__
from snn_voice_hub.__main__ import main as program
from tests.places import EXAMPLES
from tests.slowness import mostly_slow

PROGRAM = str(Path(sys.executable).with_name("snn-voice"))
YES = str(EXAMPLES / "yes.wav")
FAST = ("--model", "tcy-snn", "--engine", "torch")


def shell(line: str, *arguments: str, unbuffered: bool = False) -> subprocess.CompletedProcess[str]:
    """A line for the shell, in which "$@" are the program and its arguments."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1" * unbuffered}
    return subprocess.run(
        ["bash", "-c", line, "bash", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )


def one_line(done: subprocess.CompletedProcess[str], code: int = 2) -> str:
    assert done.returncode == code, done
    assert done.stderr.startswith("snn-voice: error: "), done
    assert done.stderr.count("\n") == 1, done
    return done.stderr


# The second prints more, and like the first needs no PyTorch.
VERSION, ANSWER = ("--version",), ("train", "--model", "m5-snn", "--show-recipe")
# An answer takes seconds.
WAYS = mostly_slow([(VERSION, False), (VERSION, True), (ANSWER, False)], (VERSION, False), (VERSION, True))


@pytest.mark.parametrize(("arguments", "unbuffered"), WAYS)
def test_a_closed_stdout_is_an_error(arguments: tuple[str, ...], unbuffered: bool) -> None:
    assert "stdout can't be written: it is closed" in one_line(
        shell('"$@" >&-', *arguments, unbuffered=unbuffered)
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize(("arguments", "unbuffered"), WAYS)
def test_a_full_disk_behind_stdout_is_an_error(arguments: tuple[str, ...], unbuffered: bool) -> None:
    said = one_line(shell('"$@" > /dev/full', *arguments, unbuffered=unbuffered))
    assert "No space left on device" in said


def test_a_reader_that_leaves_is_no_error() -> None:
    """Its end of the pipe is closed before anything is written."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [PROGRAM, "--version"], stdout=write, stderr=subprocess.PIPE, timeout=120, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.slow
def test_a_closed_stdin_is_an_error() -> None:
    assert "stdin is closed" in one_line(shell('"$@" <&-', "classify", "-", *FAST))


def test_a_closed_stdin_has_no_spikes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(sys, "argv", ["snn-voice", "spikes", "-", "--model", "tcy-snn"])
    with pytest.raises(SystemExit) as ended:
        program()
    assert (ended.value.code, *capsys.readouterr()) == (2, "", "snn-voice: error: stdin is closed\n")


@pytest.mark.slow
def test_no_file_takes_the_place_of_a_stream() -> None:
    """With all three closed, the first files that are opened would be stdin, stdout and stderr."""
    done = shell('"$@" <&- >&- 2>&-', "classify", YES, *FAST)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.mark.parametrize(
    ("number", "code"),
    mostly_slow([(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)], (signal.SIGINT, 130)),
)
def test_a_signal_ends_it_and_what_was_answered_stays(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """It waits for the second file, a pipe that nobody writes, when the signal comes."""
    pipe, table = tmp_path / "pipe.wav", tmp_path / "out.csv"
    os.mkfifo(pipe)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    asked = [PROGRAM, "classify", YES, str(broken), str(pipe), "--windows", "--csv", str(table), *FAST]
    process = subprocess.Popen(asked, stderr=subprocess.PIPE, text=True)
    # Else this would wait for ever for a program that never comes to the pipe.
    release = threading.Timer(120, lambda: os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)))
    release.start()
    with pipe.open("wb"):  # opens when the program has come to it
        release.cancel()
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    rows = table.read_text().splitlines()
    assert rows[1].startswith(f"{YES},0.0,")
    assert rows[-1].startswith(f"{broken},,")
    assert "Traceback" not in said
    if number == signal.SIGINT:
        assert [str(broken) in line for line in said.splitlines()] == [True]


def test_ctrl_c_while_the_program_starts_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "snn_voice_hub.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "snn_voice_hub.cli", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted, *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        program()
    assert ended.value.code == 130


def test_the_module_is_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snn_voice_hub", "--version"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == f"snn-voice {__version__}\n"
