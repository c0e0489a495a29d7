"""The panel of the spikes, in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.web.helpers import EXAMPLES, Service
from tests.server.web.page_helpers import YES, next_frame, shows, sideways, words
from tests.slowness import mostly_slow

# Not the page's own spikes.js and spikes.css.
ROUTE = re.compile(r"/spikes\?")


def ask_for_spikes(page: Any, clip: str = YES) -> None:
    page.set_input_files("#file", clip)
    words(page)
    page.click("#spikes-show")
    page.wait_for_selector("#running-bars li")


def drawn(page: Any) -> list[int]:
    """How many pixels of the raster have each colour, the commonest first."""
    next_frame(page)
    counts = page.locator("#raster").evaluate(
        """canvas => {
          const {width, height} = canvas;
          const copy = Object.assign(document.createElement("canvas"), {width, height});
          const context = copy.getContext("2d", {willReadFrequently: true});
          context.drawImage(canvas, 0, 0);
          const {data} = context.getImageData(0, 0, width, height);
          const counts = {};
          for (let i = 0; i < data.length; i += 4) {
            if (data[i + 3] === 255) {
              const key = [data[i], data[i + 1], data[i + 2]].join();
              counts[key] = (counts[key] || 0) + 1;
            }
          }
          return counts;
        }"""
    )
    return sorted(counts.values(), reverse=True)


def go_to(page: Any, step: int) -> None:
    page.locator("#step").fill(str(step))


def scores(page: Any) -> list[str]:
    return [row.inner_text() for row in page.locator("#running-bars .score").all()]


def test_the_spikes_of_a_clip(opened: Any, service: Service) -> None:
    answer = httpx.post(f"{service.url}spikes", content=(EXAMPLES / "yes.wav").read_bytes()).json()
    with opened() as page:
        assert page.is_hidden("#spikes")
        page.set_input_files("#file", YES)
        words(page)
        shows(page, "#spikes-note", "Which neurons fired for this sound?")
        assert page.is_hidden("#spikes-body")
        page.click("#spikes-show")
        shows(page, "#spikes-note", "11 layers, 37,984 neurons, 4 steps.")
        assert page.is_hidden("#spikes-show")
        page.wait_for_selector("#steps-play.playing")
        shows(page, "#step-label", "Step 1 of 4")
        shows(page, "#step-label", "Step 4 of 4")  # by itself
        page.wait_for_selector("#steps-play:not(.playing)")
        assert page.inner_text("#running-note") == "“yes” is the best from step 1 on."
        assert page.inner_text("#status").startswith("The spikes of 4 steps are shown.")
        assert page.inner_text("#running-bars li.lead .label") == "yes"
        rows = page.locator("#layer-figures tr")
        page.click(".layers summary")
        first = answer["layers"][0]
        wanted = ["snn.0.lif1", "4,896", f"{100 * first['rate']:.1f} %", f"{first['dead']:,}"]
        assert rows.nth(0).inner_text().split("\t")[:4] == wanted
        assert rows.count() == 11


def test_each_step_has_a_picture_and_an_answer(opened: Any, service: Service) -> None:
    answer = httpx.post(f"{service.url}spikes", content=(EXAMPLES / "yes.wav").read_bytes()).json()
    with opened(reduced_motion="reduce") as page:
        ask_for_spikes(page)
        next_frame(page)
        assert page.inner_text("#step-label") == "Step 4 of 4"  # nothing moves
        assert page.locator("#steps-play.playing").count() == 0
        seen = []
        for step in (1, 2, 4):
            go_to(page, step)
            shows(page, "#step-label", f"Step {step} of 4")
            best = answer["decision"]["scores"][step - 1][0]
            assert scores(page)[0] == f"{100 * best:.1f} %"
            fires = sum(len(layer["spikes"][step - 1]) for layer in answer["layers"])
            shown = sum(len(layer["rows"]) * len(layer["columns"]) for layer in answer["layers"])
            wanted = f"in 11 layers: {100 * fires / shown:.1f} % of the shown neurons fire"
            assert page.get_attribute("#raster", "aria-label") == f"Spikes of step {step} of 4 {wanted}"
            seen.append(drawn(page))
        assert len(seen[0]) >= 2  # what fires, and what does not
        assert len({tuple(counts) for counts in seen}) == 3
        # After the first step, some have fired before: a third colour with many pixels.
        assert seen[0][2:3] < [1000] < seen[2][2:3]


def test_the_energy_beside_the_twins(opened: Any, service: Service) -> None:
    found = httpx.post(f"{service.url}spikes", content=(EXAMPLES / "yes.wav").read_bytes()).json()["energy"]
    with opened() as page:
        ask_for_spikes(page)
        names = page.locator("#energy-figures dt").all_inner_texts()
        values = [float(text.split()[0]) for text in page.locator("#energy-figures dd").all_inner_texts()]
        wanted = {
            "This clip, spiking": found["energy_uj"],
            "with the input layer run once": found["energy_once_uj"],
            "A CNN of the same layers": found["cnn"]["energy_dense_uj"],
        }
        told = dict(zip(names, values, strict=True))
        assert {name: told[name] for name in wanted} == pytest.approx(wanted, rel=0.01)
        note = page.inner_text("#energy-note")
        assert f"{found['synops']:,} synaptic operations" in note
        assert "4.6 pJ a MAC, 0.9 pJ an AC" in note
        assert "Memory traffic" in note
        # Bars of their shares: the dense CNN's is the longest.
        shares = [
            float(re.search(r"--share: ([\d.]+)%", row.get_attribute("style")).group(1))  # type: ignore[union-attr]
            for row in page.locator("#energy-figures dd").all()
        ]
        assert shares == pytest.approx([100 * value / max(values) for value in values], abs=0.5)


@pytest.mark.slow
def test_a_measured_twin_and_none(opened: Any, service: Service) -> None:
    answer = httpx.post(f"{service.url}spikes", content=(EXAMPLES / "yes.wav").read_bytes()).json()
    answer["energy"]["cnn"] |= {"model": "that-cnn", "energy_uj": 25.5}
    bodies = [answer, {**answer, "energy": None}]

    def spikes(route: Any) -> None:
        route.fulfill(json=bodies.pop(0))

    with opened(before=lambda page: page.route(ROUTE, spikes)) as page:
        ask_for_spikes(page)
        told = page.inner_text("#energy-figures").split("\n")
        assert told[-2:] == ["that-cnn, which skips zeros", "25.5 µJ"]
        assert "the twin's a mean of its test clips" in page.inner_text("#energy-note")
        page.set_input_files("#file", str(EXAMPLES / "no.wav"))
        page.wait_for_selector("#spikes-show:visible")
        page.click("#spikes-show")
        page.wait_for_selector("#spikes-body:visible")
        assert page.is_hidden("#energy")


def test_a_new_clip_takes_the_spikes_with_it(opened: Any) -> None:
    with opened() as page:
        ask_for_spikes(page)
        page.set_input_files("#file", str(EXAMPLES / "stop.wav"))
        shows(page, "#word", "stop")
        assert page.is_hidden("#spikes-body")
        page.click("#spikes-show")
        shows(page, "#running-note", "“stop” is the best from step 1 on.")


@pytest.mark.slow
def test_play_and_stop(opened: Any) -> None:
    with opened(before=lambda page: page.clock.install(), reduced_motion="reduce") as page:
        ask_for_spikes(page)
        page.click("#steps-play")
        page.wait_for_selector("#steps-play.playing")
        assert page.inner_text("#steps-play-text") == "Stop"
        shows(page, "#step-label", "Step 2 of 4")
        page.click("#steps-play")
        page.wait_for_selector("#steps-play:not(.playing)")
        page.clock.fast_forward(5000)
        next_frame(page)
        assert page.inner_text("#step-label") == "Step 2 of 4"
        page.focus("#step")
        page.keyboard.press("ArrowRight")
        shows(page, "#step-label", "Step 3 of 4")
        assert "yes" in page.get_attribute("#step", "aria-valuetext")


@pytest.mark.parametrize("case", mostly_slow(["no spikes", "no network", "nonsense"], "no spikes"))
def test_what_can_go_wrong(opened: Any, case: str) -> None:
    def spikes(route: Any) -> None:
        if case == "no network":
            route.abort()
        elif case == "nonsense":
            route.fulfill(json={"layers": "none"})
        else:
            error = {"code": "no_spikes", "message": "m5-cnn has no spikes", "hint": "a spiking model"}
            route.fulfill(status=400, body=json.dumps({"error": error}))

    with opened(before=lambda page: page.route(ROUTE, spikes), refused=("/spikes",)) as page:
        page.set_input_files("#file", YES)
        words(page)
        page.click("#spikes-show")
        note = {
            "no spikes": "5-cnn has no spikes",  # a sentence begins with a large letter
            "no network": "",
            "nonsense": "The service gave an answer that this page can't read.",
        }[case]
        page.locator(
            "#spikes-note", has_text=re.compile(rf"^(?!Which|Recording).*{re.escape(note)}")
        ).wait_for()
        assert page.is_hidden("#spikes-body")
        assert page.is_visible("#spikes-show")  # once more
        assert page.inner_text("#word") == "yes"


@pytest.mark.parametrize("width", mostly_slow([360, 700, 1600], 360))
def test_it_fits(opened: Any, width: int) -> None:
    with opened(viewport={"width": width, "height": 800}, color_scheme="dark") as page:
        ask_for_spikes(page)
        page.click(".layers summary")
        assert not sideways(page)
        box = page.locator("#raster").bounding_box()
        assert box["width"] > 250


@pytest.mark.slow
def test_a_network_without_neurons_offers_no_spikes(opened: Any, tmp_path: Path) -> None:
    running = Service.start(tmp_path / "log", "--engine", "torch", "--model", "resmel-cnn")
    try:
        with opened(url=running.url) as page:
            page.set_input_files("#file", YES)
            assert words(page)[0][0] == "yes"
            page.wait_for_selector("text=The 35 words it knows")
            next_frame(page)
            assert page.is_hidden("#spikes")
    finally:
        running.stop()
