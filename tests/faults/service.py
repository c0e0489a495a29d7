"""The service, killed at random moments under requests and streams."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import torch

import snn_voice_hub as sv
from snn_voice_hub import cli
from tests.server.helpers import wait_until, wav
from tests.server.http.stream_helpers import HELLO
from tests.server.process.load_helpers import Load

_CLIENTS, _STREAMS = 4, 2
# Until the moment, at most.
_LONGEST_SECONDS = 1.5
_END_SECONDS = 60.0


@dataclass
class Streams:
    """Streams that begin anew when they are over, each in a thread, until no connection is taken.

    Attributes:
        ends: How those ended that were taken: the last message, and the code.
        lost: What happened to others.
    """

    address: tuple[str, int]
    ends: list[tuple[Any, int]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    heard: int = 0

    def __post_init__(self) -> None:
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(_STREAMS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(_END_SECONDS)
            if thread.is_alive():
                raise SystemExit("service: a stream never ends")

    def _run(self) -> None:
        from websockets import exceptions
        from websockets.sync.client import connect

        sound = wav(1)[44:]
        while True:
            try:
                socket = connect("ws://{}:{}/stream".format(*self.address))
            except (OSError, exceptions.InvalidStatus):  # nobody listens, or the service says that it ends
                return
            except (EOFError, exceptions.WebSocketException) as error:
                self.lost.append(repr(error))
                return
            last: Any = None
            with socket:
                try:
                    socket.send(json.dumps({**HELLO, "scores": True}))
                    while True:
                        last = json.loads(socket.recv(timeout=_END_SECONDS))
                        self.heard += 1
                        socket.send(sound)
                except exceptions.ConnectionClosed as closed:
                    while True:  # what came before the end is still to be read
                        try:
                            last = json.loads(socket.recv(timeout=0))
                        except (exceptions.ConnectionClosed, TimeoutError, EOFError):
                            break
                    self.ends.append((last, closed.rcvd.code if closed.rcvd else 0))
                except TimeoutError as error:
                    self.lost.append(repr(error))


def _started(checkpoint: Path, log: Path) -> tuple[int, str]:
    """A service that is ready: process and URL."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        code = 1
        try:
            os.dup2(writing, 1)
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            serve = "serve", "--port", "0", "--device", "cpu", "--model", str(checkpoint)
            sys.argv = ["snn-voice", *serve]
            cli.main()
            code = 0
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else int(done.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as said:
        greeting = said.readline()
    if "http://" not in greeting:
        raise SystemExit(f"service: no greeting; {log.read_text()}")
    url = "http://" + greeting.split("http://")[1].split()[0]
    wait_until(lambda: httpx.get(f"{url}/ready").status_code == 200)
    return child, url


def service_killed(base: Path, kills: int, rng: random.Random, until: float) -> int:
    """End the service under load, by SIGTERM twice out of three times, else by SIGKILL.

    By SIGTERM each request that was taken is answered, and each stream is told; by SIGKILL nothing is lost
    but connections: the next one starts and answers as before.

    Args:
        base: An empty folder.
        kills: How often.
        rng: Says when and how.
        until: No further ones after this time (monotonic).

    Returns:
        How many kills there were.

    Raises:
        SystemExit: A request was lost, a stream was told nothing, or the service ended otherwise than well.
    """
    torch.manual_seed(0)
    sv.TcySNN().save_pretrained(base / "words")
    answers: set[str] = set()
    done = 0
    while done < kills and time.monotonic() < until:
        child, url = _started(base / "words", base / "log")
        host, _, port = url.removeprefix("http://").rpartition(":")
        answers.add(httpx.post(f"{url}/classify", content=wav(1), timeout=60).text)
        how = rng.choice((signal.SIGTERM, signal.SIGTERM, signal.SIGKILL))
        load, streams = Load((host, int(port)), _CLIENTS), Streams((host, int(port)))
        with load:
            streams.start()
            load.wait_for(_CLIENTS)
            moment = rng.uniform(0, _LONGEST_SECONDS)
            time.sleep(moment)
            os.kill(child, how)
            load.join()
            streams.join()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        done += 1
        found: list[str] = []
        if code != (0 if how == signal.SIGTERM else -signal.SIGKILL):
            found.append(f"exit code {code}: {(base / 'log').read_text()[-2000:]}")
        if how == signal.SIGTERM:
            found += load.tally.lost + streams.lost
            found += [f"answers {load.tally.answered}"] * (not set(load.tally.answered) <= {200, 503})
            told = {"type": "closed", "reason": "stopping", "code": 1001}
            found += [f"a stream ended with {end}" for end in streams.ends if end != (told, 1001)]
        if len(answers) != 1:
            found.append("another answer than before")
        if found:
            raise SystemExit(f"service: kill {done}, {how.name} after {moment:.3f} s: {'; '.join(found)}")
    return done
