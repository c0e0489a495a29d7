"""The page's Live mode in a real browser, against the real service: sound goes on, and words come."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile as sf

from tests.server.web.helpers import EXAMPLES, Service
from tests.server.web.live_helpers import (
    all_heard,
    example,
    hears,
    hellos,
    ink,
    is_over,
    listens,
    until,
    watch,
)
from tests.server.web.page_helpers import next_frame, sideways
from tests.slowness import mostly_slow


def test_microphone_to_word(opened: Any, service: Service) -> None:
    with opened("#live", before=watch) as page:
        page.wait_for_selector(".dot.good")
        page.click("#listen")
        listens(page)
        assert page.inner_text("#listen") == "Stop listening"
        assert page.inner_text("#live-note") == "Listening for one of 35 words."
        assert hears(page, "yes") > 90
        assert page.inner_text("#live-word").startswith("yes")
        assert page.inner_text("#live-count") == "1 word heard"
        assert page.evaluate("streams.length") == page.evaluate("sockets.length") == 1
        page.click("#listen")
        is_over(page)
        assert page.inner_text("#listen") == "Listen"
        assert page.inner_text("#level-text") == ""
        assert all_heard(page) == ["yes"]
        assert "snn_voice_streams 0.0" in httpx.get(f"{service.url}metrics").text


@pytest.mark.slow
def test_examples_one_after_the_other_without_a_microphone(opened: Any) -> None:
    with opened("#live", before=watch, permissions=["geolocation"]) as page:
        example(page, "yes")
        example(page, "seven")
        listens(page)
        is_over(page)  # by itself
        assert all_heard(page) == ["yes", "seven"]
        assert page.evaluate("streams.length") == 0


@pytest.mark.slow
def test_example_in_place_of_the_microphone(opened: Any) -> None:
    with opened("#live", before=watch) as page:
        page.click("#listen")
        hears(page, "yes")
        example(page, "seven")
        hears(page, "seven")
        assert all_heard(page) == ["yes", "seven"]
        assert page.evaluate("sockets.length") == 1
        listens(page)  # still
        page.keyboard.press("Escape")
        is_over(page)


def test_file_is_heard(opened: Any, tmp_path: Path) -> None:
    clips = [sf.read(EXAMPLES / f"{word}.wav")[0] for word in ("go", "marvin")]
    sf.write(tmp_path / "two.ogg", np.concatenate([clips[0], np.zeros(16_000), clips[1]]), 16_000)
    with opened("#live", before=watch) as page:
        page.set_input_files("#file", str(tmp_path / "two.ogg"))
        listens(page)
        is_over(page)
        assert all_heard(page) == ["go", "marvin"]


@pytest.mark.slow
def test_threshold(opened: Any) -> None:
    """The example "stop" stays below the model's own threshold."""
    with opened("#live", before=watch) as page:
        page.wait_for_selector("#vocabulary:not([hidden])")
        asked = hellos(page)
        assert page.inner_text("#threshold-text") == "96 %, the model's own"
        example(page, "stop")
        listens(page)
        is_over(page)
        assert all_heard(page) == []
        page.locator("#threshold").fill("50")
        assert page.inner_text("#threshold-text") == "50 %"
        example(page, "stop")
        hears(page, "stop")
        is_over(page)
        page.click("#threshold-own")
        assert page.inner_text("#threshold-text") == "96 %, the model's own"
        example(page, "stop")
        listens(page)
        is_over(page)
        assert all_heard(page) == []
        assert [hello["threshold"] for hello in asked] == [None, 0.5, None]


@pytest.mark.slow
def test_threshold_that_changes_while_it_listens(opened: Any) -> None:
    with opened("#live", before=watch) as page:
        asked = hellos(page)
        page.click("#listen")
        hears(page, "yes")
        page.locator("#threshold").fill("10")
        until(page, "sockets.length === 2")
        listens(page)
        example(page, "no")
        hears(page, "no")
        assert [hello["threshold"] for hello in asked] == [None, 0.1]
        page.click("#listen")
        is_over(page)
        assert page.evaluate("streams.length") == 1  # the microphone stayed the same


@pytest.mark.slow
def test_chosen_words(opened: Any) -> None:
    with opened("#live", before=watch) as page:
        page.wait_for_selector("#vocabulary:not([hidden])")
        asked = hellos(page)
        assert page.inner_text("#live-words-title") == "Listens for all 35 words"
        page.click("#live-words-title")
        page.locator("#live-words").get_by_text("seven", exact=True).click()
        assert page.inner_text("#live-words-title") == "Listens for seven"
        example(page, "yes")
        example(page, "seven")
        listens(page)
        assert page.inner_text("#live-note") == "Listening for “seven”."
        is_over(page)
        assert all_heard(page) == ["seven"]
        page.click("#live-words-all")
        assert page.inner_text("#live-words-title") == "Listens for all 35 words"
        example(page, "yes")
        hears(page, "yes")
        assert [hello["words"] for hello in asked] == [["seven"], None]


def test_chosen_model(opened: Any) -> None:
    asked: list[str] = []

    def before(page: Any) -> None:
        watch(page)
        entries = [{"name": "resmel-snn", "loaded": True, "default": True}, {"name": "other", "loaded": True}]
        page.route("**/models", lambda route: route.fulfill(json={"models": entries}))
        other = {"name": "other", "labels": ["yes", "b"], "config": {"detection": {"threshold": 0.7}}}
        page.route("**/model?*", lambda route: route.fulfill(json=other))
        page.route_web_socket("**/stream", lambda socket: socket.on_message(lambda text: asked.append(text)))

    with opened("#live", before=before) as page:
        page.wait_for_selector("#model-select")
        page.select_option("#model-select", "other")
        page.wait_for_selector("text=The 2 words it knows")
        assert page.locator("#examples button:visible").all_inner_texts() == ["yes"]
        assert page.inner_text("#threshold-text") == "70 %, the model's own"
        assert page.locator("#live-words label").all_text_contents() == ["b", "yes"]
        example(page, "yes")
        while not asked:
            page.wait_for_timeout(20)
        page.click("#listen")
        page.locator("#curl", has_text="--model other").wait_for(state="attached")
    assert '"model":"other"' in asked[0]


@pytest.mark.parametrize("way", ["tab", "escape", "out of sight"])
def test_microphone_is_set_free(opened: Any, way: str) -> None:
    with opened("#live", before=watch) as page:
        page.click("#listen")
        listens(page)
        if way == "tab":
            page.click("#clip-tab")
        elif way == "escape":
            page.keyboard.press("Escape")
        else:
            page.evaluate(
                """Object.defineProperty(document, "hidden", {value: true, configurable: true});
                document.dispatchEvent(new Event("visibilitychange"));"""
            )
            assert page.inner_text("#live-note") == "It stopped when this page went out of sight."
        is_over(page)
        assert page.evaluate("[streams.length, sockets.length]") == [1, 1]


@pytest.mark.slow
def test_keyboard_alone(opened: Any) -> None:
    with opened(before=watch) as page:
        page.wait_for_selector(".dot.good")

        def tab_to(name: str) -> None:
            for _ in range(12):
                if page.evaluate("document.activeElement.id") == name:
                    return
                page.keyboard.press("Tab")
            raise AssertionError(f"no way to {name}")

        tab_to("clip-tab")
        page.keyboard.press("ArrowRight")
        assert page.is_visible("#live-view")
        assert page.is_hidden("#clip-view")
        assert page.evaluate("[document.activeElement.id, location.hash]") == ["live-tab", "#live"]
        page.keyboard.press("Tab")
        tab_to("listen")
        page.keyboard.press("Enter")
        hears(page, "yes")
        page.keyboard.press("Enter")
        is_over(page)
        tab_to("threshold")
        page.keyboard.press("Home")
        assert page.inner_text("#threshold-text") == "5 %"
        tab_to("live-words-title")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        assert page.inner_text("#live-words-title") == "Listens for backward"
        page.locator("#live-tab").focus()
        page.keyboard.press("ArrowRight")
        assert page.evaluate("[document.activeElement.id, location.hash]") == ["teach-tab", "#teach"]
        page.keyboard.press("ArrowRight")
        assert page.evaluate("[document.activeElement.id, location.hash]") == ["clip-tab", ""]


@pytest.mark.parametrize("width", mostly_slow([320, 390], 320))
def test_narrow_screens(opened: Any, width: int) -> None:
    settings = {"viewport": {"width": width, "height": 800}, "is_mobile": True, "has_touch": True}
    with opened("#live", before=watch, permissions=["geolocation"], **settings) as page:
        page.wait_for_selector("#vocabulary:not([hidden])")
        assert not sideways(page)
        page.click("#listen")
        page.wait_for_selector("#notice .problem")
        page.click("#live-words-title")
        page.locator("#threshold").fill("42")
        page.click("text=Call it from a terminal")
        example(page, "yes")
        hears(page, "yes")
        assert not sideways(page)


def test_everything_has_a_name(opened: Any) -> None:
    with opened("#live", before=watch) as page:
        page.wait_for_selector("#vocabulary:not([hidden])")
        example(page, "yes")
        hears(page, "yes")
        is_over(page)
        tree = page.locator("body").aria_snapshot()
        for entry in (
            'tab "Live" [selected]',
            'tabpanel "Live"',
            'button "Listen"',
            "log",
            'slider "Threshold"',
            'meter "Level"',
            'group "Examples, as if somebody spoke"',
            'img "The sound of the last six seconds, by pitch"',
        ):
            assert entry in tree
        nameless = page.evaluate(
            """[...document.querySelectorAll("#live-view :is(button, input, canvas, summary)")]
              .filter((node) => !(node.textContent.trim() || node.labels?.length || node.ariaLabel))
              .length"""
        )
        assert nameless == 0
        log = page.locator("#live-view [role=log]")
        assert log.get_attribute("aria-live") == "polite"
        assert re.fullmatch(r"\d:\d\d\.\d yes \d\d\.\d %", " ".join(log.inner_text().split()))


@pytest.mark.slow
@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_picture_runs_only_for_who_likes_that(opened: Any, motion: str) -> None:
    with opened("#live", before=watch, reduced_motion=motion) as page:
        example(page, "yes")
        hears(page, "yes")
        still = page.locator("#live-word .said").evaluate("node => getComputedStyle(node).animationName")
        is_over(page)
        next_frame(page)
        left, _ = ink(page)
        if motion == "reduce":
            assert still == "none"
            assert left < 0.4  # where the picture begins
        else:
            assert still == "fade"
            assert left > 0.5  # it came in from the right


@pytest.mark.parametrize("hertz", mostly_slow([300, 1000, 4000], 1000))
def test_picture_shows_pitch(opened: Any, tmp_path: Path, hertz: int) -> None:
    time = np.arange(32_000) / 32_000
    sf.write(tmp_path / "tone.wav", 0.3 * np.sin(2 * math.pi * hertz * time), 32_000)
    with opened("#live", before=watch) as page:
        page.set_input_files("#file", str(tmp_path / "tone.wav"))
        listens(page)
        is_over(page)
        next_frame(page)
        _, height = ink(page)

    def mel(frequency: float) -> float:
        return 2595 * math.log10(1 + frequency / 700)

    assert height == pytest.approx((mel(hertz) - mel(60)) / (mel(7600) - mel(60)), abs=0.04)
