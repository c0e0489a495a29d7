"""The page in a real browser, against the real service."""

from __future__ import annotations

import wave
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from tests.server.web.helpers import EXAMPLES, Service
from tests.server.web.page_helpers import YES, bars_drawn, problem, shows, sideways, windows, words
from tests.slowness import mostly_slow


def test_file_to_word(opened: Any) -> None:
    with opened() as page:
        page.wait_for_selector(".dot.good")
        assert bars_drawn(page) < 10  # a line
        page.set_input_files("#file", YES)
        found = words(page)
        assert len(found) == 5
        assert found[0][0] == page.inner_text("#word") == "yes"
        assert float(found[0][1].split()[0]) > 90
        assert page.inner_text("#clip-name") == "yes.wav"
        assert page.inner_text("#clip-facts").startswith("0.75 s")
        assert bars_drawn(page) > 50
        assert page.locator("#waveform").get_attribute("aria-label") == "Waveform of yes.wav"
        assert page.inner_text("#status").startswith("yes, 99")
        assert "Round trip" in page.inner_text("#times")
        assert page.inner_text("#model-name") == "resmel-snn"
        page.click("#vocabulary-title")
        assert "marvin, nine, no, off" in page.inner_text("#vocabulary-words")


def test_dropped_file(opened: Any) -> None:
    with opened() as page:
        page.evaluate(
            """async (bytes) => {
              const transfer = new DataTransfer();
              transfer.items.add(new File([new Uint8Array(bytes)], "dropped.wav"));
              const fire = (type) => document.body.dispatchEvent(
                new DragEvent(type, {dataTransfer: transfer, bubbles: true, cancelable: true}));
              const veil = document.getElementById("drop-veil");
              fire("dragover");
              if (veil.hidden) throw new Error("no veil");
              if (fire("drop")) throw new Error("the browser would open the file");
              if (!veil.hidden) throw new Error("the veil stays");
            }""",
            list((EXAMPLES / "stop.wav").read_bytes()),
        )
        assert words(page)[0][0] == "stop"
        assert page.inner_text("#clip-name") == "dropped.wav"


def test_times_of_the_service(opened: Any) -> None:
    def answer(route: Any) -> None:
        timing = "decode;dur=0.42, queue;dur=112.6;desc=x, broken, compute;dur=3.1, other;dur=7"
        route.fulfill(json=windows(("_silence_", 0.4)), headers={"Server-Timing": timing})

    with opened(before=lambda page: page.route("**/classify*", answer)) as page:
        page.set_input_files("#file", YES)
        assert words(page) == [("nobody speaks", "40.0 %"), ("another", "1.0 %")]
        times = page.inner_text("#times").split("\n")
        assert times[0] == "Round trip"
        assert times[2:] == ["Decode", "0.4 ms", "Queue", "113 ms", "Compute", "3.1 ms", "other", "7.0 ms"]


def test_recording_to_word(opened: Any) -> None:
    with opened() as page:
        page.wait_for_selector(".dot.good")
        # Playwright does not show the bytes of a blob that is sent.
        page.evaluate(
            """void (XMLHttpRequest.prototype.send = ((real) => function (body) {
              window.sent = body;
              real.call(this, body);
            })(XMLHttpRequest.prototype.send))"""
        )
        page.click("#record")
        page.wait_for_selector("#record.running")
        assert page.inner_text("#record").startswith("Speak now")
        assert words(page)[0][0] == "yes"
        sent = page.evaluate("[...new Uint8Array(window.sent)]")
        assert page.inner_text("#record") == "Record two seconds"
        assert page.inner_text("#clip-facts").startswith("2.00 s")
        assert bars_drawn(page) > 50
        with wave.open(BytesIO(bytes(sent))) as clip:
            assert (clip.getnchannels(), clip.getsampwidth()) == (1, 2)
            assert clip.getnframes() == 2 * clip.getframerate()
            assert np.abs(np.frombuffer(clip.readframes(clip.getnframes()), "<i2")).max() > 3000
        page.click("#play")
        page.wait_for_selector("#play.playing")
        page.wait_for_selector("#play:not(.playing)")  # two seconds later


@pytest.mark.slow
@pytest.mark.parametrize("way", ["button", "escape", "file"])
def test_recording_is_broken_off(opened: Any, way: str) -> None:
    with opened() as page:
        page.click("#record")
        page.wait_for_selector("#record.running")
        if way == "button":
            page.click("#record")
        elif way == "escape":
            page.keyboard.press("Escape")
        else:
            page.set_input_files("#file", str(EXAMPLES / "stop.wav"))
            assert words(page)[0][0] == "stop"
        page.wait_for_selector("#record:not(.running)")
        page.wait_for_timeout(2200)  # longer than the recording would have taken
        assert page.inner_text("#record") == "Record two seconds"
        assert page.inner_text("#clip-name") == ("stop.wav" if way == "file" else "No sound yet")
        assert page.locator("#notice p").count() == 0


def test_keyboard_alone(opened: Any) -> None:
    with opened() as page:
        page.wait_for_selector(".dot.good")
        for _ in range(10):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "record":
                break
        page.keyboard.press("Enter")
        assert words(page)[0][0] == "yes"
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Tab")
            page.keyboard.press("Space")
        chooser.value.set_files(str(EXAMPLES / "no.wav"))
        shows(page, "#word", "no")


def test_format_that_browsers_do_not_know(opened: Any, tmp_path: Path) -> None:
    samples, rate = sf.read(YES)
    sf.write(tmp_path / "yes.aiff", samples, rate, format="AIFF")
    with opened() as page:
        page.set_input_files("#file", str(tmp_path / "yes.aiff"))
        assert words(page)[0][0] == "yes"
        assert page.inner_text("#stage-hint") == "No picture of this file"
        assert page.is_disabled("#play")


def test_newer_clip_wins(opened: Any) -> None:
    from playwright.sync_api import Error  # the fixture has skipped the test where it is missing

    waiting: list[Any] = []

    def hold_first(route: Any) -> None:
        if waiting:
            route.continue_()
        else:
            waiting.append(route)

    with opened(before=lambda page: page.route("**/classify*", hold_first)) as page:
        page.set_input_files("#file", YES)
        page.wait_for_selector("body.busy")
        page.set_input_files("#file", str(EXAMPLES / "stop.wav"))
        assert words(page)[0][0] == "stop"
        assert page.locator("body.busy").count() == 0
        with suppress(Error):  # nobody may be waiting for it any more
            waiting[0].fulfill(json=windows(("late", 1)))
        page.wait_for_timeout(300)
        assert page.inner_text("#word") == "stop"


def test_choice_of_models(opened: Any) -> None:
    asked: list[str] = []

    def before(page: Any) -> None:
        entry = {"name": "resmel-snn", "loaded": True, "default": True}
        models = [{"name": "m5-snn", "loaded": False, "default": False}, entry]
        page.route("**/models", lambda route: route.fulfill(json={"models": models}))
        page.route("**/model?*", lambda route: route.fulfill(json={"name": "m5-snn", "labels": ["a", "b"]}))

        def classify(route: Any) -> None:
            asked.append(route.request.url.partition("?")[2])
            route.fulfill(json=windows(("a", 1)))

        page.route("**/classify*", classify)

    with opened(before=before) as page:
        page.wait_for_selector("#model-select")
        assert page.input_value("#model-select") == "resmel-snn"
        page.set_input_files("#file", YES)
        words(page)
        page.select_option("#model-select", "m5-snn")
        page.wait_for_selector("text=The 2 words it knows")
        words(page)
        line = page.locator("#curl").text_content()
        assert line.endswith("/classify?model=m5-snn'")
    assert asked == ["top_k=5&windows=true", "top_k=5&windows=true&model=m5-snn"]


def test_under_a_path(opened: Any, service: Service) -> None:
    prefix = service.url + "some/prefix/"

    def forward(route: Any) -> None:
        route.fulfill(response=route.fetch(url=route.request.url.replace(prefix, service.url)))

    def before(page: Any) -> None:
        page.route("**/*", lambda route: route.abort())  # whatever leaves the path
        page.route(prefix + "**", forward)

    with opened("some/prefix/", before=before) as page:
        page.wait_for_selector(".dot.good")
        page.set_input_files("#file", YES)
        assert words(page)[0][0] == "yes"
        assert page.locator("#curl").text_content().endswith(f" {prefix}classify")
        links = page.eval_on_selector_all("footer a", "links => links.map((link) => link.href)")
        assert links == [prefix + "docs", prefix + "metrics"]


@pytest.mark.parametrize("width", mostly_slow([320, 390, 768], first=1))
def test_narrow_screens(opened: Any, tmp_path: Path, width: int) -> None:
    name = "a-very-long-name-without-any-place-to-break-it-" * 3 + ".wav"
    text = {"name": name, "mimeType": "audio/wav", "buffer": b"no sound" * 9}
    settings = {"viewport": {"width": width, "height": 800}, "is_mobile": True, "has_touch": True}
    with opened(refused=("/classify",), **settings) as page:
        page.wait_for_selector(".dot.good")
        assert not sideways(page)
        page.click("text=Call it from a terminal")
        page.set_input_files("#file", text)
        problem(page)
        assert not sideways(page)
        page.set_input_files("#file", YES)
        words(page)
        assert not sideways(page)


def test_everything_has_a_name(opened: Any) -> None:
    with opened() as page:
        page.set_input_files("#file", YES)
        words(page)
        tree = page.locator("body").aria_snapshot()
        for entry in (
            'heading "Which word was that?"',
            'button "Play the clip"',
            'button "Record two seconds"',
        ):
            assert entry in tree
        assert 'img "Waveform of yes.wav"' in tree
        nameless = page.evaluate(
            """[...document.querySelectorAll("button, input:not([hidden]), select, canvas, a")]
              .filter((node) => !(node.textContent.trim() || node.labels?.length || node.ariaLabel))
              .length"""
        )
        assert nameless == 0
