"""What libmpg123 says of a damaged MP3 stays out of what programs write to stderr, and nothing else does."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

# Decodes in four threads while it logs, first as a program, then as a library.
PROGRAM = """
import os, sys, threading
from snn_voice_hub import AudioError, audio
from snn_voice_lite.containers.quiet import keep_stderr
if sys.argv[2] == "program":
    keep_stderr()
data = open(sys.argv[1], "rb").read()
def decode():
    for _ in range(20):
        try:
            audio.load(data)
        except AudioError:
            print("told", file=sys.stderr)
threads = [threading.Thread(target=decode) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
os.write(2, b"by C\\n")
print(len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0)
"""


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    t = np.arange(48_000) / 16_000
    file = io.BytesIO()
    sf.write(file, 0.5 * np.sin(2 * np.pi * 440 * t), 16_000, format="MP3")
    data = bytearray(file.getvalue())
    random = np.random.default_rng(0)
    for at in random.integers(1000, len(data), 60):
        data[at] ^= 0x55
    path = tmp_path_factory.mktemp("mp3") / "damaged.mp3"
    path.write_bytes(data)
    return path


def run(path: Path, kind: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(path), kind]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


@pytest.mark.slow
def test_program_says_only_what_it_says(damaged: Path) -> None:
    assert run(damaged, "program").stderr.splitlines() == ["told"] * 80 + ["by C"]


def test_library_leaves_the_process_alone(damaged: Path) -> None:
    said = run(damaged, "library").stderr.splitlines()
    assert said.count("told") <= 80
    assert len(said) > 200, "libmpg123 is silent by itself: then this is not needed any more"


@pytest.mark.slow
def test_command_line_says_one_line(damaged: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from snn_voice_hub.cli import main; main()",
        "classify",
        str(damaged),
        "--engine",
        "torch",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
