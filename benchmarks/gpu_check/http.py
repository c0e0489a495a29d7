"""`snn-voice serve` as it is, loaded over HTTP by `benchmarks.serving.client`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT
from benchmarks.gpu_check.clock import Budget, LeftOut, WrongAnswer
from benchmarks.gpu_check.sound import EXAMPLES
from benchmarks.report import Table

_START_SECONDS = 90.0
_SERVE = "from snn_voice_hub.__main__ import main; main()"


def _environment() -> dict[str, str]:
    parts = [str(ROOT), str(ROOT / "server"), str(ROOT / "lite"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, parts)), "HF_HUB_OFFLINE": "1"}


def measure(device: str, budget: Budget, clients: tuple[int, ...], seconds: float) -> Table:
    """What so many clients get that each wait for an answer before they ask again.

    Raises:
        LeftOut: The service's extra is not installed.
        WrongAnswer: It answered something else than the word.
    """
    try:
        import fastapi  # noqa: F401  (the service needs it)
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise LeftOut(f"the extra serve is not installed: {error}") from error
    table = Table("clients", "answers/s", "p50, ms", "p99, ms", "refused or failed")
    command = [sys.executable, "-c", _SERVE, "serve", "--device", device, "--port", "0"]
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log"
        with log.open("w") as told:
            server = subprocess.Popen(
                command, cwd=place, env=_environment(), stdout=subprocess.PIPE, stderr=told, text=True
            )
        try:
            port = _port(server, log)
            for count in clients:
                if budget.part_left < 2 * seconds:
                    break
                table.add(count, *_loaded(port, count, seconds, Path(place)))
        finally:
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
            server.communicate()
    return table


def _port(server: subprocess.Popen[str], log: Path) -> int:
    assert server.stdout is not None
    greeting = server.stdout.readline()  # empty where it has ended
    found = re.search(r"http://[^:]+:(\d+)", greeting)
    if not found:
        raise WrongAnswer(f"snn-voice serve did not start: {log.read_text()[-1500:]}")
    return int(found[1])


def _loaded(port: int, clients: int, seconds: float, place: Path) -> tuple[float, float, float, int]:
    """Answers a second, milliseconds (median, 99 of 100), and how many were no answers."""
    given = {
        **{"host": "127.0.0.1", "port": port, "path": "/classify?top_k=1", "kind": "closed", "timeout": 20.0},
        "clips": [(str(path), path.stem) for path in sorted(EXAMPLES.glob("*.wav"))],
        "clients": clients,
    }
    settings = place / "load.json"
    settings.write_text(json.dumps(given))
    command = [sys.executable, "-m", "benchmarks.serving.client", str(settings)]
    load = subprocess.Popen(
        command, cwd=ROOT, env=_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert load.stdout is not None
    assert load.stdout.readline().strip() == "ready"
    time.sleep(seconds)
    out, _ = load.communicate()  # the end of its input ends it
    seen = json.loads(out.splitlines()[-1])
    wrong = [kind for _, kind in seen["errors"] if kind == "wrong answer"]
    if wrong or not seen["ok"]:
        raise WrongAnswer(
            f"over HTTP, {clients} clients: {len(wrong)} wrong answers, {len(seen['ok'])} right ones"
        )
    took = 1e3 * np.array([each for _, each in seen["ok"]])
    return (
        *(len(took) / seconds, float(np.median(took)), float(np.quantile(took, 0.99))),
        len(seen["errors"]),
    )
