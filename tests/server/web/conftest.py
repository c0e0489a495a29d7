from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser import chromium_hearing
from tests.server.web.helpers import OTHER_NAME, Service, spoken_into_microphone


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service.start(tmp_path_factory.mktemp("web") / "log", "--engine", "torch")
    yield running
    running.stop()
    assert "Traceback" not in running.log.read_text(), running.log.read_text()


@pytest.fixture(scope="package")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose microphone hears "yes"; it goes with the folder's last test."""
    spoken = spoken_into_microphone(tmp_path_factory.mktemp("microphone") / "yes.wav")
    with chromium_hearing(spoken, f"--host-resolver-rules=MAP {OTHER_NAME} 127.0.0.1") as browser:
        yield browser


@dataclass
class Watched:
    """A page in the browser, and what must not happen in it.

    Attributes:
        page: Playwright's.
        refused: Ends of the paths of requests that the test lets fail: the browser writes each failed request
            to the console, and no page can keep it from that.
    """

    page: Any
    refused: tuple[str, ...] = ()
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def watch(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("request", lambda request: self._on_request(request.url))
        self.page.on("websocket", lambda socket: self._on_request(socket.url))

    def _on_request(self, url: str) -> None:
        if urlsplit(url).scheme not in ("blob", "data"):
            self.hosts.add(urlsplit(url).netloc)

    def _on_console(self, message: Any) -> None:
        path = urlsplit(message.location["url"]).path
        failed = message.text.startswith("Failed to load resource") and path.endswith(self.refused or (" ",))
        if message.type in ("error", "warning") and not failed:
            self.complaints.append(f"{message.type}: {message.text} ({path})")


@pytest.fixture
def opened(service: Service, chromium: Any) -> Any:
    """Opens the page, and says at the end whether it kept still and to itself."""

    @contextmanager
    def opening(
        path: str = "", *, url: str = "", refused: tuple[str, ...] = (), before: Any = None, **settings: Any
    ) -> Iterator[Any]:
        address = url or service.url
        usual = {"viewport": {"width": 1280, "height": 800}, "permissions": ["microphone"]}
        context = chromium.new_context(**(usual | settings))
        context.set_default_timeout(30_000)
        watched = Watched(context.new_page(), refused)
        watched.watch()
        try:
            if before:
                before(watched.page)
            watched.page.goto(address + path)
            yield watched.page
            assert watched.complaints == []
            assert watched.hosts == {urlsplit(address).netloc}
        finally:
            context.close()

    return opening
