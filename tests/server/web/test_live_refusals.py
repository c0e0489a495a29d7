"""What Live mode says when something does not work, and how it goes on where it can."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.server.web.helpers import OTHER_NAME, Service
from tests.server.web.live_helpers import example, hears, is_over, listens, until, watch
from tests.server.web.page_helpers import problem

MUTED = """
  navigator.mediaDevices.getUserMedia = async () => new AudioContext().createMediaStreamDestination().stream;
"""


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("NotAllowedError", "The microphone was refused. Allow it beside the page's address"),
        pytest.param("NotFoundError", "No microphone was found.", marks=pytest.mark.slow),
        pytest.param(
            "NotReadableError",
            "The microphone can't be opened. Another program may be using it.",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_microphone_that_does_not_come(opened: Any, name: str, sentence: str) -> None:
    refuse = (
        f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('inner', '{name}'))"
    )
    with opened("#live", before=lambda page: page.add_init_script(refuse)) as page:
        page.click("#listen")
        assert problem(page).startswith(sentence)
        assert page.inner_text("#listen") == "Listen"
        example(page, "yes")
        hears(page, "yes")
        assert page.locator("#notice p").count() == 0


@pytest.mark.slow
def test_page_of_another_computer_without_https(opened: Any, service: Service) -> None:
    with opened("#live", url=service.url.replace("127.0.0.1", OTHER_NAME)) as page:
        page.click("#listen")
        assert "https or on localhost" in problem(page)
        example(page, "yes")
        hears(page, "yes")


@pytest.mark.slow
def test_muted_microphone(opened: Any) -> None:
    with opened("#live", before=lambda page: page.add_init_script(MUTED)) as page:
        page.click("#listen")
        page.wait_for_selector("text=The microphone gives only silence.")
        listens(page)  # it may be switched on
        example(page, "yes")
        page.locator("#live-note", has_text="Listening for one of 35 words.").wait_for()


def test_microphone_that_is_unplugged(opened: Any) -> None:
    with opened("#live", before=watch) as page:
        page.click("#listen")
        listens(page)
        page.evaluate("void streams[0].getTracks()[0].dispatchEvent(new Event('ended'))")
        assert problem(page).startswith("The microphone stopped. Was it unplugged?")
        is_over(page)
        page.click("text=Try again")
        listens(page)


def test_microphone_that_is_waited_for(opened: Any) -> None:
    """It is allowed after somebody has given up waiting, and is off again."""
    late = """window.allow = () => {};
      const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = (asked) => new Promise((resolve) => {
        window.allow = () => real(asked).then((stream) => { resolve(window.stream = stream); });
      });"""
    with opened("#live", before=lambda page: page.add_init_script(late)) as page:
        page.click("#listen")
        assert page.inner_text("#listen") == "Waiting for the microphone"
        page.click("#listen")
        assert page.inner_text("#listen") == "Listen"
        page.evaluate("allow()")
        until(page, "window.stream?.getTracks()[0].readyState === 'ended'")
        assert page.inner_text("#listen") == "Listen"


def test_file_that_the_browser_cannot_read(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"no sound")
    with opened("#live") as page:
        page.set_input_files("#file", str(tmp_path / "x.wav"))
        assert problem(page).startswith("This browser can't read the file.")
        assert page.inner_text("#listen") == "Listen"


def first_streams(*ways: Callable[[Any], None]) -> Callable[[Any], None]:
    """What becomes of the first streams that a page opens; later ones get through."""
    left = list(ways)

    def route(socket: Any) -> None:
        if left:
            left.pop(0)(socket)
        else:
            socket.connect_to_server()

    return lambda page: page.route_web_socket("**/stream", route)


def answer(code: int, *messages: dict[str, Any]) -> Callable[[Any], None]:
    """Answer the hello by messages, and end."""

    def how(socket: Any) -> None:
        def on_message(_: str | bytes) -> None:
            for message in messages:
                socket.send(json.dumps(message))
            socket.close(code=code)

        socket.on_message(on_message)

    return how


READY = {"type": "ready", "model": "x", "words": ["yes"], "threshold": {"yes": 0.9}}
BUSY = {"type": "error", "code": "busy", "message": "the service is busy", "hint": "", "retry_after": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "messages", "text"),
    [
        (1001, [READY], "The service is stopping. Trying again in 1 s."),
        (1012, [READY], "The model was exchanged. Trying again in 1 s."),
        (1006, [READY], "The connection was lost. Trying again in 1 s."),
        (4503, [BUSY], "The service is busy. Trying again in 1 s."),
        (
            4503,
            [{**BUSY, "code": "not_ready", "message": "the model is being loaded"}],
            "The model is being loaded.",
        ),
    ],
)
def test_what_passes_is_waited_for(opened: Any, code: int, messages: list[dict[str, Any]], text: str) -> None:
    with opened("#live", before=first_streams(answer(code, *messages))) as page:
        example(page, "yes")
        page.locator("#live-note", has_text=text).wait_for()
        assert page.inner_text("#listen") == "Stop listening"
        hears(page, "yes")  # the clip has waited too
        assert page.locator("#notice p").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "messages", "text"),
    [
        (
            4400,
            [
                {
                    "type": "error",
                    "code": "not_supported",
                    "message": "no streams with `--ray`",
                    "hint": "try without",
                }
            ],
            "No streams with --ray. Try without.",
        ),
        (
            4500,
            [{"type": "error", "code": "internal", "message": "the model failed", "hint": ""}],
            "The model failed.",
        ),
        (1006, [], "The service does not answer. It, or a proxy before it, may not let WebSockets through."),
    ],
)
def test_what_does_not_pass_is_told(
    opened: Any, code: int, messages: list[dict[str, Any]], text: str
) -> None:
    with opened("#live", before=first_streams(answer(code, *messages))) as page:
        example(page, "yes")
        assert problem(page) == text
        assert page.inner_text("#listen") == "Listen"
        example(page, "yes")
        hears(page, "yes")


def test_answer_that_is_none(opened: Any) -> None:
    def how(socket: Any) -> None:
        socket.on_message(lambda _: socket.send("<html>"))

    with opened("#live", before=first_streams(how)) as page:
        example(page, "yes")
        assert problem(page) == "The service gave an answer that this page can't read."


@pytest.mark.slow
def test_service_that_is_away_for_a_while(opened: Any) -> None:
    with opened("#live", before=first_streams(answer(1001, READY), answer(1006))) as page:
        example(page, "yes")
        page.wait_for_selector("text=The service is stopping.")
        page.wait_for_selector("text=The service does not answer. Trying again in 2 s.")
        hears(page, "yes")


def test_waiting_can_be_stopped(opened: Any) -> None:
    seen: list[object] = []

    def before(page: Any) -> None:
        page.clock.install()
        page.on("websocket", lambda socket: seen.append(socket))
        first_streams(answer(4503, {**BUSY, "retry_after": 45}))(page)

    with opened("#live", before=before) as page:
        example(page, "yes")
        page.wait_for_selector("text=The service is busy. Trying again in 4")
        page.click("#listen")
        assert page.inner_text("#listen") == "Listen"
        page.clock.run_for(60_000)
        assert page.inner_text("#listen") == "Listen"
        assert seen == []  # none got through


def test_network_that_is_too_slow(opened: Any) -> None:
    slow = "Object.defineProperty(WebSocket.prototype, 'bufferedAmount', {get: () => 1e9})"
    with opened("#live", before=lambda page: page.add_init_script(slow)) as page:
        example(page, "yes")
        assert problem(page).startswith("The sound piles up here.")
        assert page.inner_text("#listen") == "Listen"


@pytest.mark.slow
def test_key(opened: Any, tmp_path: Path) -> None:
    guarded = Service.start(tmp_path / "log", "--engine", "torch", "--api-keys", "secret-number-1")
    try:
        with opened("#live", url=guarded.url, refused=("/models", "/model"), before=watch) as page:
            page.wait_for_selector("#key")
            page.fill("#key", "another-number")
            page.keyboard.press("Enter")
            page.wait_for_selector("#key")
            assert page.evaluate("streams.length") == 0  # nobody has asked to listen yet
            example(page, "yes")
            assert "API key" in problem(page)
            page.fill("#key", "secret-number-1")
            page.keyboard.press("Enter")
            hears(page, "yes")
            assert page.is_hidden("#key")
            assert "$KEY" in page.locator("#curl").text_content()
    finally:
        guarded.stop()


@pytest.mark.slow
def test_limit_and_reload_and_drain(opened: Any, tmp_path: Path) -> None:
    """A real service that is full, loads its model again, and ends."""
    other = Service.start(tmp_path / "log", "--engine", "torch", "--max-streams", "1", "--drain-delay", "0")
    try:
        url = other.url.replace("http", "ws") + "stream"
        with opened("#live", url=other.url, refused=("/ready", "/stream"), before=watch) as page:
            with connect(url) as socket:
                socket.send('{"sample_rate": 16000, "encoding": "pcm16"}')
                assert json.loads(socket.recv())["type"] == "ready"
                page.click("#listen")
                page.wait_for_selector("text=The service is busy: it listens to 1 streams. Trying again")
            listens(page)
            other.process.send_signal(signal.SIGHUP)
            page.wait_for_selector("text=The model was exchanged. Trying again in 1 s.")
            listens(page)
            example(page, "yes")
            hears(page, "yes")
            other.process.send_signal(signal.SIGTERM)
            page.wait_for_selector("text=The service is stopping. Trying again in 1 s.")
            page.click("#listen")
            is_over(page)
        assert other.process.wait(30) == 0
    finally:
        other.stop()
