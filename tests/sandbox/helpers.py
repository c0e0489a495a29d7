"""A running sandbox Hub, and Python snippets that use it in a process of their own."""

from __future__ import annotations

import os
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
from snn_voice_lite.process.sockets import bind, url_of

from tests.nursery import Ran, nursery
from tests.places import ROOT

ME = "me"


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
