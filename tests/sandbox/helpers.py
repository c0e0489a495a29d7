"""A running sandbox Hub, and Python snippets that use it in a process of their own."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from huggingface_hub import CommitOperationAdd, HfApi
from snn_hub_sandbox.app import create_app
from snn_hub_sandbox.faults import Fault, Faults
from snn_hub_sandbox.gate import RequestLog
from snn_hub_sandbox.serving import configuration
from snn_hub_sandbox.store import Hub
from snn_voice_server.process.running import bind, url_of

from tests.places import ROOT

ME = "me"


@dataclass
class Ran:
    """How a snippet ended.

    Attributes:
        code: Exit code.
        out: What it printed.
        err: What it wrote to stderr.
        seconds: How long it took, without the imports that were made beforehand.
    """

    code: int
    out: str
    err: str
    seconds: float

    @property
    def value(self) -> Any:
        """The last printed line, which the snippet wrote as JSON."""
        return json.loads(self.out.splitlines()[-1])


@dataclass
class Sandbox:
    """A running Hub.

    Attributes:
        url: Where it is, for `endpoint=`.
        hub: Its store; a test may look into it and change it.
        faults: `faults.add("cut", "*/model.safetensors", bytes=12_000_000)` and so on.
        requests: `requests.find("*/resolve/*", method="GET")`, `requests.clear()`.
        home: HF_HOME of the snippets; a test that wants another cache gives another one.
    """

    url: str
    hub: Hub
    faults: Faults
    requests: RequestLog
    home: Path

    def reset(self) -> None:
        """Nothing is wrong any more, and all repositories are gone."""
        self.faults.clear()
        for user in set(self.hub.tokens.values()):
            for repo in self.hub.all(user):
                if repo.owner == user:
                    self.hub.delete(repo.id, user)
        self.requests.clear()

    def token(self, user: str = ME) -> str:
        """A token of a user, who needs not be known before."""
        token = f"hf_{user}"
        self.hub.tokens[token] = user
        return token

    def api(self, user: str | None = ME) -> HfApi:
        """The plain client of a user; None is somebody without a token."""
        return HfApi(endpoint=self.url, token=self.token(user) if user else False)

    def push(self, repo_id: str, files: dict[str, bytes | str | Path], **settings: Any) -> str:
        """Make a repository if it is missing, and commit files to it.

        Args:
            repo_id: `owner/name`.
            files: Path -> content; a `Path` is a file to be uploaded, a `str` is text.
            **settings: Of `HfApi.create_repo`, such as `private=True`.

        Returns:
            The commit's name.
        """
        api = self.api(repo_id.partition("/")[0])
        api.create_repo(repo_id, exist_ok=True, **settings)
        adds = [
            CommitOperationAdd(path, content.encode() if isinstance(content, str) else content)
            for path, content in files.items()
        ]
        return api.create_commit(repo_id, adds, commit_message="push").oid

    def fault(self, kind: Any, path: str = "*", **settings: Any) -> Fault:
        """Switch a fault on; see `snn_hub_sandbox.faults.Fault`."""
        return self.faults.add(kind, path, **settings)

    def count(self, path: str = "*", method: str | None = None) -> int:
        """How many requests matched so far, or since `requests.clear()`."""
        return len(self.requests.find(path, method))

    def environment(self, user: str | None = ME, home: Path | None = None, **more: str) -> dict[str, str]:
        """What a process needs in order to meet this Hub, besides what this process has."""
        found = {
            "HF_ENDPOINT": self.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": str(home or self.home),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), str(ROOT / "server"), os.environ.get("PYTHONPATH", "")]
            ),
            **more,
        }
        if user:
            found["HF_TOKEN"] = self.token(user)
        return found

    def run(
        self,
        snippet: str,
        *,
        user: str | None = ME,
        home: Path | None = None,
        check: bool = True,
        **more: str,
    ) -> Ran:
        """Run Python in a process of its own, with the environment set before huggingface_hub is imported.

        Args:
            snippet: The program.
            user: Whose token it has; None for none.
            home: Its HF_HOME; the fixture's by default, so that two snippets share a cache.
            check: Whether it must end with code 0.
            **more: More of its environment.

        Returns:
            How it ended.
        """
        return self.run_together([snippet], user=user, home=home, check=check, **more)[0]

    def run_together(
        self,
        snippets: list[str],
        *,
        user: str | None = ME,
        home: Path | None = None,
        check: bool = True,
        **more: str,
    ) -> list[Ran]:
        """Run several snippets at the same time; see `run`."""
        found = nursery().run(snippets, self.environment(user, home, **more))
        for ran in found:
            assert not check or ran.code == 0, f"code {ran.code}\n{ran.out}\n{ran.err}"
        return found


@contextmanager
def running(folder: Path, home: Path, tokens: dict[str, str] | None = None) -> Iterator[Sandbox]:
    """A Hub in a thread of this process, on a free port."""
    app = create_app(folder, tokens)
    with bind("127.0.0.1", 0) as listener:
        listener.listen(128)
        server = uvicorn.Server(configuration(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        end = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive(), "the sandbox did not start"
            assert time.monotonic() < end, "the sandbox did not start in time"
            time.sleep(0.01)
        try:
            yield Sandbox(url_of(listener), app.state.hub, app.state.faults, app.state.requests, home)
        finally:
            server.should_exit = True
            thread.join(10)


# Importing torch takes seconds, and a snippet needs a process of its own only for huggingface_hub, which
# reads its environment when it is imported. So one process imports the former without the latter, and forks.
_NURSERY = """
import json, os, sys, time, traceback
import numpy, soundfile, soxr, torch, torchaudio, snntorch
torch.set_num_threads(1)
assert "huggingface_hub" not in sys.modules
print("ready", flush=True)

def work(snippet, environment, out, err):
    code = 1
    try:
        for number, name in ((0, os.devnull), (1, out), (2, err)):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
        os.environ.pop("HF_TOKEN", None)
        os.environ.update(environment)
        sys.path[:0] = environment["PYTHONPATH"].split(os.pathsep)
        sys.argv = ["snippet"]
        exec(compile(snippet, "snippet", "exec"), {"__name__": "__main__"})
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

for line in sys.stdin:
    job = json.loads(line)
    start = time.monotonic()
    running = {}
    for number, snippet in enumerate(job["snippets"]):
        child = os.fork()
        if not child:
            stem = f"{job['folder']}/{number}"
            work(snippet, job["environment"], stem + ".out", stem + ".err")
        running[child] = number
    ended = [None] * len(running)
    while running:
        child, status = os.wait()
        ended[running.pop(child)] = [os.waitstatus_to_exitcode(status), time.monotonic() - start]
    print(json.dumps(ended), flush=True)
"""


class Nursery:
    """A process that has torch imported and forks a child for each snippet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._ready = False

    def run(self, snippets: list[str], environment: dict[str, str], seconds: float = 120.0) -> list[Ran]:
        """Run snippets at the same time, to their ends."""
        with self._lock, tempfile.TemporaryDirectory() as folder:
            if not self._ready:
                assert self._line(60) == "ready"
                self._ready = True
            assert self._process.stdin
            job = {"snippets": snippets, "environment": environment, "folder": folder}
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            return [
                Ran(code, Path(folder, f"{n}.out").read_text(), Path(folder, f"{n}.err").read_text(), took)
                for n, (code, took) in enumerate(json.loads(self._line(seconds)))
            ]

    def _line(self, seconds: float) -> str:
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            self.close()
            raise AssertionError(f"the snippet did not end in {seconds} s")
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End it."""
        global _nursery
        _nursery = None
        self._process.kill()
        self._process.communicate()


_nursery: Nursery | None = None


def nursery() -> Nursery:
    """The one of this test session; it starts while other things go on."""
    global _nursery
    if _nursery is None:
        _nursery = Nursery()
    return _nursery


def close_nursery() -> None:
    if _nursery is not None:
        _nursery.close()
