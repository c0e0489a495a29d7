"""Who takes part in `benchmarks.serving`, and how each is started and checked."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import importlib.util
import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.common import ROOT
from benchmarks.serving.client import first_label
from benchmarks.serving.peers.null import LABEL as NULL_LABEL
from benchmarks.serving.process import Running, ServerError, environment, free_port
from snn_voice_hub import SnnVoice
from snn_voice_hub.errors import ConfigError

HOST, PATH = "127.0.0.1", "/classify"
OURS, NAIVE, LOOP, LITSERVE, RAY, NULL = "ours", "naive", "naive-loop", "litserve", "ray", "null"
START_SECONDS = 180.0

_ONE_THREAD = {"OMP_NUM_THREADS": "1"}
_GAINS = (0.9, 0.6, 0.35)
_SHIFTS = (-400, 0, 400)  # samples
_MARGIN = 0.2  # a clip whose two best words lie nearer may be answered otherwise by rounding


@dataclass(frozen=True)
class Variant:
    """One way to set a server up.

    Attributes:
        name: What tables call it.
        arguments: For its program.
        env: For its environment.
    """

    name: str
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """One service.

    Attributes:
        name: Its short name.
        what: What it is, for the report.
        command: Its program; port, model, engine and the variant's arguments are added.
        package: What has to be installed for it.
        variants: Ways to set it up; the fastest is taken.
    """

    name: str
    what: str
    command: tuple[str, ...]
    package: str = ""
    variants: tuple[Variant, ...] = (Variant("defaults"),)


def peer(module: str, *arguments: str) -> tuple[str, ...]:
    """The command of a program of `serving/peers/`."""
    return (sys.executable, "-m", f"benchmarks.serving.peers.{module}", *arguments)


def our_command() -> tuple[str, ...]:
    """`snn-voice serve`, as this interpreter has it."""
    program = shutil.which("snn-voice", path=str(Path(sys.executable).parent))
    if program is not None:
        return (program, "serve")
    return (sys.executable, "-c", "from snn_voice_hub.cli import main; main()", "serve")


def contenders(cores: int) -> dict[str, Contender]:
    """All services by name.

    Args:
        cores: How many workers LitServe is advised to have.
    """
    threads = (Variant("defaults"), Variant("OMP_NUM_THREADS=1", env=_ONE_THREAD))
    each_core = ("--workers", str(cores))
    known = (
        Contender(OURS, "`snn-voice serve`, as it comes", our_command()),
        Contender(NAIVE, "FastAPI, `def` endpoint, `classify(bytes)`", peer("naive"), "fastapi", threads),
        Contender(
            LOOP,
            "the same, but the network runs as in the paper, snnTorch in a loop over the steps; under a "
            "lock, because its neurons keep their state in the module, where threads would mix it up",
            peer("naive", "--loop"),
            "snntorch",
            threads,
        ),
        Contender(
            LITSERVE,
            "LitServe, batches of up to 16, decoding in `decode_request`, `batch_timeout` of 10 ms",
            peer("lit"),
            "litserve",
            (
                *threads,
                Variant("OMP_NUM_THREADS=1, fast_queue", ("--fast-queue",), _ONE_THREAD),
                Variant("OMP_NUM_THREADS=1, batch_timeout 2 ms", ("--batch-timeout", "0.002"), _ONE_THREAD),
                Variant(
                    "OMP_NUM_THREADS=1, batch_timeout 0 (its default)", ("--batch-timeout", "0"), _ONE_THREAD
                ),
                Variant("OMP_NUM_THREADS=1, a worker for each core", each_core, _ONE_THREAD),
                Variant(
                    "OMP_NUM_THREADS=1, a worker for each core, fast_queue",
                    (*each_core, "--fast-queue"),
                    _ONE_THREAD,
                ),
            ),
        ),
        Contender(
            RAY,
            "Ray Serve, `@serve.batch` of up to 16, one replica",
            peer("ray_serve"),
            "ray",
            (
                Variant("defaults"),
                Variant("RAY_SERVE_THROUGHPUT_OPTIMIZED=1", env={"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}),
            ),
        ),
        Contender(NULL, "no service, one answer for all: the most that the clients can do", peer("null")),
    )
    return {contender.name: contender for contender in known}


def missing(contender: Contender) -> str:
    """Why a contender can't take part, or ""."""
    if contender.package and importlib.util.find_spec(contender.package) is None:
        return f"`{contender.name}` is left out: the package {contender.package} is not installed."
    return ""


# --- the model and the clips --------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """What all services serve, and what they are asked.

    Attributes:
        model: Bundled name or folder.
        engine: How the network is run.
        title: For the report.
        clips: Files with one second of sound each, and their best labels.
        spiking: Whether it has time steps.
        folder: For what is written meanwhile.
        keep_malloc: Run all with the allocator's settings of the other benchmarks.
    """

    model: str
    engine: str
    title: str
    clips: list[tuple[str, str]]
    spiking: bool
    folder: Path
    keep_malloc: bool = False

    def clips_of(self, contender: Contender) -> list[tuple[str, str]]:
        """The clips with the labels that this contender has to answer."""
        if contender.name == NULL:
            return [(file, NULL_LABEL) for file, _ in self.clips]
        return self.clips


def make_subject(given: argparse.Namespace, folder: Path) -> Subject:
    """The checkpoint with the wanted number of steps, and clips with the answers of the library.

    Raises:
        SnnVoiceError: The checkpoint can't be used, or has no time steps.
    """
    model = given.model
    if given.num_steps is not None:
        model = with_steps(model, given.num_steps, folder / "model")
    voice = SnnVoice.from_pretrained(model, engine=given.engine).requires_grad_(False)
    steps = getattr(voice.network, "num_steps", None)
    title = f"`{voice.config.name}`" + (f", T = {steps}" if steps else "")
    title += f", engine {voice.engine_info()['engine']} (asked for: {given.engine})"
    clips = []
    for path in write_clips(folder):
        found = voice.classify(path, top_k=2)
        if found[0].score - found[1].score >= _MARGIN:
            clips.append((str(path), found[0].label))
    return Subject(model, given.engine, title, clips, steps is not None, folder, given.malloc == "kept")


def with_steps(model: str, num_steps: int, folder: Path) -> str:
    """A copy of a checkpoint that has another number of time steps: services take that from the checkpoint.

    Raises:
        ConfigError: It has no time steps.
    """
    voice = SnnVoice.from_pretrained(model)
    if "num_steps" not in voice.config.network:
        raise ConfigError(f"{model} has no time steps", hint="leave --num-steps out")
    voice.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["network"]["num_steps"] = num_steps
    path.write_text(json.dumps(config))
    return str(folder)


def write_clips(folder: Path) -> list[Path]:
    """One-second WAV files: each example at three loudnesses and at three places in its second."""
    files = []
    variants = list(itertools.product(_GAINS, _SHIFTS))
    for path in sorted((ROOT / "examples").glob("*.wav")):
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
        second = np.zeros(rate, np.float32)
        second[: min(rate, len(sound))] = sound[:rate, 0]
        for number, (gain, shift) in enumerate(variants):
            files.append(folder / f"{path.stem}-{number}.wav")
            soundfile.write(files[-1], gain * np.roll(second, shift), rate, subtype="PCM_16")
    return files


# --- starting -----------------------------------------------------------------------------------------


@dataclass
class Served:
    """A server that answers.

    Attributes:
        port: Where.
        running: Its processes.
        start_seconds: How long it took to the first answer.
        wrong: Clips that it answers otherwise than the library.
    """

    port: int
    running: Running
    start_seconds: float
    wrong: int

    def load(self, clips: Sequence[tuple[str, str]], **settings: Any) -> dict[str, Any]:
        """Settings of `client.Load` for this server."""
        return {"host": HOST, "port": self.port, "path": PATH, "clips": list(clips), **settings}


@contextlib.contextmanager
def serving(
    contender: Contender, variant: Variant, subject: Subject, *extra: str, limit: float = START_SECONDS
) -> Iterator[Served]:
    """Start a server, wait until it answers, ask it every clip once, and end it at the end.

    Args:
        contender: Which one.
        variant: How it is set up.
        subject: What it serves.
        *extra: More arguments of its program.
        limit: Seconds until the first answer.

    Raises:
        ServerError: It does not come to answer.
    """
    port = free_port()
    command = [*contender.command, "--port", str(port), "--model", subject.model, "--engine", subject.engine]
    extra_env = {**_QUIET, "RAY_TMPDIR": str(subject.folder), **variant.env}
    env = environment(extra_env, keep_malloc=subject.keep_malloc)
    log = subject.folder / f"{contender.name}.log"
    clips = subject.clips_of(contender)
    began = time.monotonic()
    with Running([*command, *variant.arguments, *extra], env, log) as running:
        while True:
            running.check()
            label, said = ask(port, clips[0][0])
            if label is not None:
                break
            if time.monotonic() - began > limit:
                raise ServerError(f"no answer within {limit:g} s ({said}): {running.last_words()}")
            time.sleep(0.1)
        seconds = time.monotonic() - began
        wrong = 0
        for file, right in clips:
            label, said = ask(port, file)
            if label is None:
                raise ServerError(f"no answer to a clip: {said}")
            wrong += label != right
        yield Served(port, running, seconds, wrong)


_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}


def ask(port: int, file: str, timeout: float = 10.0) -> tuple[str | None, str]:
    """The best label that a server gives for a file, or None; and its status or what went wrong."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request("POST", PATH, Path(file).read_bytes(), {"Content-Type": "audio/wav"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        return None, f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    return (first_label(body) if response.status == 200 else None), f"status {response.status}"


def run_offline(subject: Subject, seconds: float) -> dict[str, Any]:
    """What `benchmarks.serving.offline` measures, in a process set up like the servers.

    Raises:
        ServerError: It fails.
    """
    command = [sys.executable, "-m", "benchmarks.serving.offline", subject.model, subject.engine]
    command += [str(seconds), *(file for file, _ in subject.clips)]
    limit = START_SECONDS + 10 * seconds
    env = environment(_QUIET, keep_malloc=subject.keep_malloc)
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ServerError(f"it does not end within {limit:g} s") from error
    if done.returncode != 0:
        raise ServerError((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
