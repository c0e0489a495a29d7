"""What the page loads, what it says while it waits, and what may be tried again."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.server.web.helpers import Service
from tests.server.web.page_helpers import YES, problem, shows, windows, words


def test_few_requests_and_all_compressed(opened: Any, service: Service) -> None:
    answers: list[Any] = []
    with opened(before=lambda page: page.on("response", lambda answer: answers.append(answer))) as page:
        page.wait_for_selector("#vocabulary:not([hidden])")
        page.wait_for_load_state("networkidle")
        paths = [urlsplit(answer.url).path for answer in answers]
        assert len(paths) == len(set(paths))
        files = {"/", "/web/style.css", "/web/app.js", "/web/icon.svg"}
        assert set(paths) - {"/web/icon.svg"} == files - {"/web/icon.svg"} | {"/ready", "/model", "/models"}
        for answer in answers:
            if urlsplit(answer.url).path in files:
                assert answer.headers["content-encoding"] == "gzip"


def refusing(times: int, code: str) -> tuple[Any, list[str]]:
    """Refuses a sound so many times, for a second each."""
    asked: list[str] = []

    def before(page: Any) -> None:
        def classify(route: Any) -> None:
            asked.append(route.request.url)
            error = {"code": code, "message": "the model is still being loaded", "hint": ""}
            if len(asked) > times:
                route.continue_()
            else:
                route.fulfill(status=503, headers={"Retry-After": "1"}, json={"error": error})

        page.route("**/classify*", classify)

    return before, asked


@pytest.mark.slow
def test_a_model_that_is_being_loaded_is_waited_for(opened: Any) -> None:
    before, asked = refusing(3, "not_ready")
    with opened(before=before, refused=("/classify",)) as page:
        page.set_input_files("#file", YES)
        shows(page, "#word-note", "The model is still being loaded. Trying again in 1 s.")
        assert page.inner_text("#status") == "The model is still being loaded. Trying again in 1 s."
        assert words(page)[0][0] == "yes"
        assert len(asked) == 4
        assert page.locator("#notice p").count() == 0


def test_what_is_waited_for_and_how_long(opened: Any) -> None:
    from playwright.sync_api import Error  # the fixture has skipped the test where it is missing

    held: list[Any] = []

    def before(page: Any) -> None:
        page.clock.install()
        page.route("**/classify*", lambda route: held.append(route))

    with opened(before=before) as page:
        page.set_input_files("#file", YES)
        shows(page, "#word-note", "The network is listening.")
        assert page.inner_text("#status") == "Listening to the clip"
        page.clock.run_for(5000)
        assert page.inner_text("#word-note").startswith("The network is listening. ")
        assert page.inner_text("#word-note").endswith(" s so far.")
        assert page.inner_text("#status").endswith(" s so far.")
        page.clock.resume()
        held[0].fulfill(json=windows(("yes", 0.9)))
        shows(page, "#word", "yes")
        said = page.inner_text("#status")
        page.clock.run_for(20_000)
        assert page.inner_text("#status") == said  # nobody waits any more
        with suppress(Error):
            held[0].abort()


def test_how_much_is_sent(opened: Any) -> None:
    with opened() as page:
        page.wait_for_selector(".dot.good")
        page.evaluate(
            """void (XMLHttpRequest.prototype.send = function () {
              this.upload.dispatchEvent(new ProgressEvent("progress", {loaded: 41, total: 100}));
              window.upload = this.upload;
            })"""
        )
        page.set_input_files("#file", YES)
        shows(page, "#word-note", "Sending the sound: 41 %.")
        page.evaluate('void upload.dispatchEvent(new ProgressEvent("load"))')
        shows(page, "#word-note", "The network is listening.")


def test_a_model_that_loads_when_asked(opened: Any) -> None:
    loaded = [False]

    def before(page: Any) -> None:
        def models(route: Any) -> None:
            usual = {"name": "resmel-snn", "loaded": True, "default": True}
            entries = [usual, {"name": "m5-snn", "loaded": loaded[0], "default": False}]
            route.fulfill(json={"models": entries})

        page.route("**/models", models)
        page.route("**/model?*", lambda route: route.fulfill(json={"name": "m5-snn", "labels": ["yes"]}))
        page.route("**/classify*model=m5-snn", lambda route: held.append(route))

    held: list[Any] = []
    with opened(before=before) as page:
        page.wait_for_selector("#model-select")
        page.select_option("#model-select", "m5-snn")
        page.set_input_files("#file", YES)
        shows(page, "#word-note", "m5-snn is being loaded, then it listens.")
        loaded[0] = True
        for _ in range(200):  # the request may be on its way still
            if held:
                break
            page.wait_for_timeout(50)
        held[0].fulfill(json=windows(("yes", 0.9)))
        shows(page, "#word", "yes")
        page.wait_for_function("[...document.querySelectorAll('option')].at(-1).textContent === 'm5-snn'")


def test_what_failed_is_tried_again(opened: Any) -> None:
    with opened(refused=("/classify", "/health", "/ready")) as page:
        page.wait_for_selector(".dot.good")
        page.context.set_offline(True)
        page.set_input_files("#file", YES)
        assert problem(page).startswith("The service does not answer.")
        page.context.set_offline(False)
        page.focus("text=Try again")
        page.keyboard.press("Enter")
        assert words(page)[0][0] == "yes"
        assert page.evaluate("document.activeElement.id") == "answer"  # the keyboard's place is not lost
        assert page.locator("#notice *").count() == 0


def test_what_can_t_be_different_is_not_tried_again(opened: Any) -> None:
    text = {"name": "x.wav", "mimeType": "audio/wav", "buffer": b"no sound" * 9}
    with opened(refused=("/classify",)) as page:
        page.set_input_files("#file", text)
        problem(page)
        assert page.locator("text=Try again").count() == 0


def test_a_file_that_can_t_be_read(opened: Any) -> None:
    with opened() as page:
        page.wait_for_selector(".dot.good")
        page.evaluate("void (Blob.prototype.arrayBuffer = () => Promise.reject(new Error('inner words')))")
        page.set_input_files("#file", YES)
        assert problem(page) == "The file can't be read. Is it still there, and no folder?"
        assert page.locator(".dot.good").count() == 1


def test_failures_and_waits_have_live_regions(opened: Any) -> None:
    with opened() as page:
        page.wait_for_selector(".dot.good")
        assert page.get_attribute("#notice", "role") == "alert"
        assert page.get_attribute("#status", "role") == "status"
        assert page.get_attribute("#model-name", "aria-live") == "polite"


def test_nothing_moves_for_who_wants_that(opened: Any) -> None:
    held: list[Any] = []
    with opened(
        before=lambda page: page.route("**/classify*", lambda route: held.append(route)),
        reduced_motion="reduce",
    ) as page:
        page.set_input_files("#file", YES)
        page.wait_for_selector("body.busy")
        assert page.evaluate("document.getAnimations().length") == 0
