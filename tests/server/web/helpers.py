"""A real service in a process of its own, for a browser to open."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
import wave
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.places import ROOT

EXAMPLES = ROOT / "examples"

# A name that the browser takes for this computer: pages of it are not "secure", as those of other computers.
OTHER_NAME = "voice.test"

PROGRAM = "from snn_voice_hub.cli import main; main()"


@dataclass
class Service:
    """A service that runs.

    Attributes:
        process: Its process.
        url: Where it is, with a slash at the end.
        log: What it wrote to stderr.
    """

    process: subprocess.Popen[str]
    url: str
    log: Path

    @classmethod
    def start(cls, log: Path, *arguments: str, seconds: float = 90.0, before: str = "") -> Service:
        """Start the bundled default model on a free port, and wait until it is ready.

        What stands in `before` is run first, in its process.
        """
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT), str(ROOT / "server")]))
        command = [
            sys.executable,
            "-c",
            before + PROGRAM,
            "serve",
            "--port",
            "0",
            "--device",
            "cpu",
            *arguments,
        ]
        with log.open("w") as errors:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=log.parent,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            )
        assert process.stdout is not None
        ready = select.select([process.stdout], [], [], seconds)[0]
        greeting = process.stdout.readline() if ready else ""
        if "http://" not in greeting:
            process.kill()
            raise AssertionError(f"greeting {greeting!r}; stderr: {log.read_text()}")
        service = cls(process, "http://" + greeting.split("http://")[1].split()[0] + "/", log)
        end = time.monotonic() + seconds
        while httpx.get(f"{service.url}ready").status_code != 200:
            assert time.monotonic() < end, "never ready"
            time.sleep(0.1)
        return service

    def stop(self) -> None:
        """End it now; what it was doing does not matter any more."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


def spoken_into_microphone(path: Path) -> Path:
    """A file for the browser's false microphone: a word that begins after most of a second."""
    with wave.open(str(EXAMPLES / "yes.wav")) as source:
        rate, word = source.getframerate(), source.readframes(source.getnframes())
    with wave.open(str(path), "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(rate)
        target.writeframes(bytes(2 * int(0.8 * rate)) + word + bytes(2 * 5 * rate))
    return path
