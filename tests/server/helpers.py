"""A real service in a process of its own, and sound files to send to it."""

from __future__ import annotations

import io
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import soundfile as sf

from tests.places import ROOT

# What `snn-voice` does with the command: the service's own errors become one line and exit code 2.
PROGRAM = """
import sys, typer
from snn_voice_hub import SnnVoiceError
from snn_voice_server.command import serve
app = typer.Typer(pretty_exceptions_enable=False)
app.command(cls=serve.command_class)(serve)
try:
    app()
except SnnVoiceError as error:
    print(f"snn-voice: error: {error}", file=sys.stderr)
    sys.exit(2)
"""

# format and subtype of soundfile -> Content-Type
FORMATS = {
    ("WAV", "PCM_16"): "audio/wav",
    ("WAV", "PCM_24"): "audio/x-wav",
    ("WAV", "FLOAT"): "audio/wave",
    ("WAV", "ULAW"): "audio/basic",
    ("FLAC", "PCM_16"): "audio/flac",
    ("OGG", "VORBIS"): "audio/ogg",
    ("OGG", "OPUS"): "audio/opus",
    ("MP3", "MPEG_LAYER_III"): "audio/mpeg",
    ("AIFF", "PCM_16"): "audio/aiff",
}


# `snn-voice --help` loads the command, also where the extra is not installed.
LEAN_PROGRAM = PROGRAM.replace(
    "try:",
    """loaded = {name.partition(".")[0] for name in sys.modules}
extra = {"fastapi", "prometheus_client", "pydantic", "uvicorn", "starlette", "python_multipart"}
assert not loaded & extra, loaded
try:""",
)


def start(log: Path, *arguments: str, descriptors: int | None = None) -> subprocess.Popen[str]:
    """Start the command on a free port; stderr goes to a file, so that it can't fill a pipe.

    It may have so many descriptors open, as under `ulimit -n`.
    """
    path = os.pathsep.join([str(ROOT), str(ROOT / "server"), os.environ.get("PYTHONPATH", "")])
    with log.open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-c", LEAN_PROGRAM, "--device", "cpu", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            cwd=log.parent,
            preexec_fn=None if descriptors is None else lambda: _allow(descriptors),
        )


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Look again and again until something is true."""
    end, tick = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        tick.wait(0.02)


def _allow(descriptors: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))


@dataclass
class Running:
    """A service that runs.

    Attributes:
        process: Its process.
        log: What it wrote to stderr.
        greeting: The line it printed.
        url: Where it is, without a slash at the end.
    """

    process: subprocess.Popen[str]
    log: Path
    greeting: str
    url: str

    @classmethod
    def wait_for(cls, process: subprocess.Popen[str], log: Path, seconds: float = 180.0) -> Running:
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], seconds)[0]:
            process.kill()
            raise AssertionError(f"no greeting after {seconds} s; stderr: {log.read_text()}")
        greeting = process.stdout.readline()
        assert "http://" in greeting, f"greeting {greeting!r}; stderr: {log.read_text()}"
        url = "http://" + greeting.split("http://")[1].split()[0]
        running = cls(process, log, greeting, url)
        wait_until(lambda: httpx.get(f"{url}/ready").status_code == 200, seconds)
        return running

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=30)

    def connections(self) -> float:
        """How many are open, the one that asks among them."""
        page = httpx.get(f"{self.url}/metrics").text
        return float(page.partition("\nsnn_voice_connections ")[2].partition("\n")[0])

    def refuses_connections(self) -> bool:
        try:
            self.connect().close()
        except OSError:
            return True
        return False

    def peak_megabytes(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def stop(self, sig: signal.Signals) -> int:
        """Ask it to end; a traceback in its log is a failure of whatever test caused it."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end that it was asked for; a second signal would cut it short."""
        code = self.process.wait(timeout=40)
        assert "Traceback" not in self.log.read_text(), self.log.read_text()
        return code


def clip(seed: int, seconds: float = 0.9, rate: int = 16_000) -> np.ndarray:
    """A sweep with noise, different for every seed."""
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    low, high = random.uniform(100, 1500), random.uniform(1500, 3500)
    sweep = np.sin(2 * np.pi * (low * t + (high - low) * t**2 / (2 * max(seconds, 0.1))))
    envelope = np.exp(-(((t - random.uniform(0.2, 0.7)) / random.uniform(0.05, 0.3)) ** 2))
    return (0.6 * sweep * envelope + 0.02 * random.standard_normal(len(t))).astype(np.float32)


def encoded(samples: np.ndarray, kind: str = "WAV", subtype: str = "PCM_16", rate: int = 16_000) -> bytes:
    """A sound file with those samples."""
    file = io.BytesIO()
    sf.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def wav(seed: int = 0, seconds: float = 0.9) -> bytes:
    return encoded(clip(seed, seconds))


def raw_request(
    body: bytes, *headers: str, method: str = "POST", path: str = "/classify", length: int | None = None
) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *headers]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read_response(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of one answer with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split()[0])
    while len(body) < length:
        body += _more(connection)
    return int(head.split()[1]), body


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    assert data, "the connection was closed"
    return data


def check(answer: httpx.Response, status: int, code: str) -> str:
    """Every error has this form, and tells nothing of the inside."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert list(answer.json()) == ["error"]
    assert list(error) == ["code", "message", "hint"]
    assert error["code"] == code
    assert error["message"]
    assert all(isinstance(value, str) for value in error.values())
    for secret in ("Traceback", ".py", "Error(", "site-packages", "/tmp", "soundfile", "libsndfile"):
        assert secret not in answer.text
    return f"{error['message']} | {error['hint']}"
