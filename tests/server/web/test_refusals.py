"""What the page says when something does not work, in a real browser."""

from __future__ import annotations

import math
import struct
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.web.helpers import OTHER_NAME, Service
from tests.server.web.page_helpers import YES, bars_drawn, problem, shows, words
from tests.slowness import mostly_slow


def refuse(code: str, message: str, status: int, hint: str = "", **headers: str) -> dict[str, Any]:
    return {
        "status": status,
        "headers": headers,
        "json": {"error": {"code": code, "message": message, "hint": hint}},
    }


def test_no_sound(opened: Any, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("a few words, but written ones")
    with opened(refused=("/classify",)) as page:
        page.set_input_files("#file", YES)
        words(page)
        page.set_input_files("#file", str(text))
        assert "not sound in a known format" in problem(page)
        assert page.locator("#bars li").count() == 0  # nothing of the last clip is left
        assert page.inner_text("#word") == ""
        assert page.inner_text("#clip-name") == "notes.txt"
        assert page.is_disabled("#play")
        page.set_input_files("#file", YES)
        words(page)
        assert page.locator("#notice p").count() == 0


def test_long_file(opened: Any, tmp_path: Path) -> None:
    clip = tmp_path / "long.wav"
    with wave.open(str(clip), "wb") as target:
        target.setparams((1, 2, 8000, 0, "NONE", "none"))
        sweep = (struct.pack("<h", int(9000 * math.sin(i / 9))) for i in range(8000 * 90))
        target.writeframes(b"".join(sweep))
    with opened(refused=("/classify",)) as page:
        page.set_input_files("#file", str(clip))
        assert "longer than 60 s" in problem(page)
        shows(page, "#clip-facts", "90.00 s, 1.4 MB")
        assert bars_drawn(page) > 50


def test_file_that_is_too_large(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(bytes(26_000_000))
    with opened() as page:
        page.wait_for_selector("#vocabulary:not([hidden])")  # then the limits are known
        page.set_input_files("#file", str(tmp_path / "x.wav"))
        assert problem(page).startswith("The file has 26.0 MB; this service takes up to 25.0 MB.")
        assert page.locator("text=Try again").count() == 0  # it would be too large once more


NO_MICROPHONE = """void (
  navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("inner words", "{}"))
)"""


@pytest.mark.parametrize(
    ("name", "sentence"),
    mostly_slow(
        [
            ("NotAllowedError", "The microphone was refused."),
            ("NotFoundError", "No microphone was found."),
            ("NotReadableError", "The microphone can't be opened."),
            ("UnheardOfError", "The microphone can't be used."),
        ],
        first=1,
    ),
)
def test_microphone_that_does_not_come(opened: Any, name: str, sentence: str) -> None:
    with opened() as page:
        page.evaluate(NO_MICROPHONE.format(name))
        page.click("#record")
        assert problem(page).startswith(sentence)
        assert page.inner_text("#record") == "Record two seconds"
        page.set_input_files("#file", YES)
        assert words(page)[0][0] == "yes"


def test_refused_microphone(opened: Any) -> None:
    with opened(permissions=["geolocation"]) as page:  # granting something refuses all else
        page.click("#record")
        assert problem(page).startswith("The microphone was refused.")


@pytest.mark.slow
def test_muted_microphone(opened: Any) -> None:
    with opened() as page:
        page.evaluate(
            "void (navigator.mediaDevices.getUserMedia = async () =>"
            " new AudioContext().createMediaStreamDestination().stream)"
        )
        page.click("#record")
        assert problem(page).startswith("The microphone gave only silence.")


def test_page_of_another_computer_without_https(opened: Any, service: Service) -> None:
    with opened(url=service.url.replace("127.0.0.1", OTHER_NAME)) as page:
        page.click("#record")
        assert "https or on localhost" in problem(page)
        page.set_input_files("#file", YES)
        assert words(page)[0][0] == "yes"


@pytest.mark.slow
def test_service_that_was_stopped(opened: Any, tmp_path: Path) -> None:
    other = Service.start(tmp_path / "log", "--engine", "torch")
    try:
        with opened(url=other.url, refused=("/classify", "/health", "/ready")) as page:
            page.set_input_files("#file", YES)
            words(page)
            other.stop()
            page.set_input_files("#file", YES)
            assert problem(page).startswith("The service does not answer.")
            page.wait_for_selector(".dot.bad")
    finally:
        other.stop()


@pytest.mark.slow
def test_key(opened: Any, tmp_path: Path) -> None:
    guarded = Service.start(tmp_path / "log", "--engine", "torch", "--api-keys", "secret-number-1")
    try:
        with opened(url=guarded.url, refused=("/classify", "/models", "/model")) as page:
            page.set_input_files("#file", YES)
            assert "API key" in problem(page)
            page.fill("#key", "ключ")
            page.keyboard.press("Enter")
            page.locator("#notice", has_text="That is no API key.").wait_for()
            with page.expect_response("**/classify*") as answer:
                page.fill("#key", "another-number")
                page.keyboard.press("Enter")
            assert answer.value.status == 401
            page.wait_for_selector("#key")
            assert "$KEY" in page.locator("#curl").text_content()
            page.fill("#key", "secret-number-1")
            page.keyboard.press("Enter")
            assert words(page)[0][0] == "yes"
            assert page.is_hidden("#key")
            page.reload()
            page.set_input_files("#file", YES)
            assert words(page)[0][0] == "yes"
            assert page.evaluate("Object.keys(localStorage).length") == 0
    finally:
        guarded.stop()


@pytest.mark.slow
def test_service_that_is_not_ready_yet(opened: Any) -> None:
    asked: list[str] = []

    def warm_up(route: Any) -> None:
        asked.append(route.request.url)
        if len(asked) > 1:
            route.continue_()
        else:
            route.fulfill(**refuse("not_ready", "the model is not warmed up yet", 503))

    with opened(before=lambda page: page.route("**/ready", warm_up), refused=("/ready",)) as page:
        page.wait_for_selector("text=The model is not warmed up yet.")
        page.wait_for_selector(".dot.good")
        shows(page, "#model-name", "resmel-snn")


@pytest.fixture
def busy() -> Iterator[Any]:
    """Makes the service busy for the first so many requests."""
    asked = []

    def make(times: int, status: int, wait: str) -> Any:
        def before(page: Any) -> None:
            def answer(route: Any) -> None:
                asked.append(route.request.url)
                if len(asked) > times:
                    route.continue_()
                else:
                    route.fulfill(**refuse("busy", "too many wait", status, **{"Retry-After": wait}))

            page.route("**/classify*", answer)

        return before, asked

    return make


@pytest.mark.parametrize("status", mostly_slow([429, 503], 503))
def test_busy_service_is_asked_again(opened: Any, busy: Any, status: int) -> None:
    before, asked = busy(1, status, "1")
    with opened(before=before, refused=("/classify",)) as page:
        page.set_input_files("#file", YES)
        page.wait_for_selector("text=Too many wait. Trying again in 1 s.")
        assert words(page)[0][0] == "yes"
        assert len(asked) == 2
        assert page.locator("#notice p").count() == 0


@pytest.mark.parametrize(("wait", "times"), mostly_slow([("0", 2), ("3600", 1), ("soon", 1)], ("3600", 1)))
def test_busy_service_is_not_asked_for_ever(opened: Any, busy: Any, wait: str, times: int) -> None:
    before, asked = busy(9, 503, wait)
    with opened(before=before, refused=("/classify",)) as page:
        page.set_input_files("#file", YES)
        assert problem(page).startswith("Too many wait.")
        assert len(asked) == times


@pytest.mark.parametrize(
    ("answer", "sentence"),
    mostly_slow(
        [
            (
                refuse("deadline", "no answer within 10 s", 504, "send less"),
                "No answer within 10 s. Send less.",
            ),
            (
                {"status": 504, "body": "<html>"},
                "The service took too long to answer. Try again in a moment.",
            ),
            ({"status": 502, "body": "<html>"}, "The service does not answer. Try again in a moment."),
            ({"status": 418, "json": {"error": 3}}, "The service answered with status 418."),
            ({"status": 200, "body": "<html>"}, "The service gave an answer that this page can't read."),
            ({"status": 200, "json": {"a": 1}}, "The service gave an answer that this page can't read."),
        ],
        first=2,
    ),
)
def test_other_answers(opened: Any, answer: dict[str, Any], sentence: str) -> None:
    def before(page: Any) -> None:
        page.route("**/classify*", lambda route: route.fulfill(**answer))

    with opened(before=before, refused=("/classify",)) as page:
        page.set_input_files("#file", YES)
        assert problem(page) == sentence


@pytest.mark.parametrize(
    "answer", mostly_slow([{"status": 404, "json": {}}, {"json": []}, {"json": {"models": [3, {}]}}], first=1)
)
def test_service_that_lists_no_models(opened: Any, answer: dict[str, Any]) -> None:
    def before(page: Any) -> None:
        page.route("**/models", lambda route: route.fulfill(**answer))

    with opened(before=before, refused=("/models",)) as page:
        page.wait_for_selector("text=resmel-snn")
        assert page.is_hidden("#model-select")
        page.set_input_files("#file", YES)
        assert words(page)[0][0] == "yes"
