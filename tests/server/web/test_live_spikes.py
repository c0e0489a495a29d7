"""The spikes in the page's Live mode: they run by as somebody speaks, where the network has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from tests.server.web.helpers import Service
from tests.server.web.live_helpers import example, hellos, is_over, listens, until, watch
from tests.server.web.page_helpers import next_frame, sideways
from tests.slowness import mostly_slow
from tests.voice.stream_helpers import follower

LAYERS = [*(f"snn.{block}.lif{lif}" for block in range(5) for lif in (1, 2)), "lif"]


@pytest.fixture(scope="module")
def service_of_both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A network whose steps are those of the sound, and one that hears windows."""
    folder = tmp_path_factory.mktemp("both")
    follower().save_pretrained(folder / "follower")
    models = ("--model", str(folder / "follower"), "--model", "resmel-snn")
    running = Service.start(folder / "log", *models, "--engine", "torch")
    yield running
    running.stop()
    assert "Traceback" not in running.log.read_text(), running.log.read_text()


@pytest.fixture
def shown(opened: Any, service_of_both: Service) -> Any:
    """Opens the page where both are served."""
    return lambda **settings: opened("#live", url=service_of_both.url, before=watch, **settings)


def shares(page: Any) -> dict[str, float]:
    """Of each layer the percentage of its neurons that fire, as a screen reader says it."""
    label = page.locator("#firing").get_attribute("aria-label")
    before, _, found = label.partition(": ")
    assert before == "Neurons that fire in a step, of each layer in the last second"
    return {name: float(share) for name, share in re.findall(r"(\S+) ([\d.]+) %", found)}


def inked(page: Any) -> list[float]:
    """How much of the picture is drawn in the colour of the spikes, a tenth of its width each."""
    next_frame(page)
    found: list[float] = page.locator("#firing").evaluate(
        """canvas => {
          const colour = getComputedStyle(canvas).getPropertyValue("--spike-now").trim();
          const [red, , blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
          const copy = document.createElement("canvas");
          const {width, height} = Object.assign(copy, {width: canvas.width, height: canvas.height});
          const context = copy.getContext("2d", {willReadFrequently: true});
          context.drawImage(canvas, 0, 0);
          const left = Math.round(80 * devicePixelRatio);
          const size = Math.floor((width - left - 44 * devicePixelRatio) / 10);
          const rows = height - Math.ceil(40 * devicePixelRatio); // without the strip of words
          return Array.from({length: 10}, (_, part) => {
            const {data} = context.getImageData(left + part * size, 0, size, rows);
            let count = 0;
            for (let at = 0; at < data.length; at += 4) {
              count += data[at + 3] > 0 && Math.abs(data[at] - red) + Math.abs(data[at + 2] - blue) < 140;
            }
            return count / (size * rows);
          });
        }"""
    )
    return found


def inked_to_the_end(page: Any) -> list[float]:
    """`inked`, when the newest spikes have come: on a busy machine they come after the sound is over."""
    for _ in range(100):
        if (drawn := inked(page))[-1] > 0.01:
            break
        page.wait_for_timeout(100)
    return drawn


def fires(page: Any) -> None:
    """Wait until there are figures."""
    page.locator("#firing[aria-label^=Neurons]").wait_for()


@pytest.mark.parametrize("scheme", mostly_slow(["light", "dark"], "dark"))
def test_spikes_run_by(shown: Any, scheme: str) -> None:
    with shown(color_scheme=scheme) as page:
        page.wait_for_selector("#live-spikes:not([hidden])")
        assert page.is_hidden("#firing")
        asked = hellos(page)
        example(page, "yes")
        listens(page)
        fires(page)
        assert page.is_visible("#firing")
        assert page.inner_text("#live-spikes-note") == "1,568 neurons in 11 layers, 50 steps a second."
        assert list(shares(page)) == LAYERS
        assert max(shares(page).values()) > 1
        assert [hello["spikes"] for hello in asked] == [True]
        is_over(page)
        drawn = inked_to_the_end(page)
        assert max(drawn[:5]) == 0  # it came in from the right
        assert min(drawn[8:]) > 0.01


@pytest.mark.slow
def test_who_wants_nothing_to_move_sees_them_from_the_left(shown: Any) -> None:
    with shown(reduced_motion="reduce") as page:
        example(page, "yes")
        fires(page)
        is_over(page)
        drawn = inked(page)
        assert drawn[0] > 0.01
        assert max(drawn[5:]) == 0


@pytest.mark.slow
def test_in_silence_none_fires(shown: Any, tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(8_000)
    sf.write(tmp_path / "noise.wav", np.concatenate([noise, np.zeros(48_000)]), 16_000)
    with shown() as page:
        page.wait_for_selector("#live-spikes:not([hidden])")
        page.set_input_files("#file", str(tmp_path / "noise.wav"))
        fires(page)
        assert max(shares(page).values()) > 1
        is_over(page)
        assert set(shares(page).values()) == {0.0}


@pytest.mark.slow
def test_chosen_model_has_none(shown: Any) -> None:
    """It may change while somebody speaks."""
    with shown() as page:
        page.wait_for_selector("#live-spikes:not([hidden])")
        asked = hellos(page)
        page.click("#listen")
        fires(page)
        page.select_option("#model-select", "resmel-snn")
        page.locator("#live-spikes").wait_for(state="hidden")
        until(page, "sockets.length === 2 && sockets[1].readyState === WebSocket.OPEN")
        listens(page)
        page.select_option("#model-select", "follower")
        page.wait_for_selector("#live-spikes:not([hidden])")
        until(page, "sockets.length > 2 && sockets.at(-1).readyState === WebSocket.OPEN")
        listens(page)
        page.click("#listen")
        is_over(page)
        assert [hello.get("spikes") for hello in (*asked[:2], asked[-1])] == [True, None, True]


@pytest.mark.slow
def test_networks_that_hear_windows_have_none(opened: Any) -> None:
    with opened("#live", before=watch) as page:
        page.wait_for_selector("#vocabulary:not([hidden])")
        asked = hellos(page)
        example(page, "yes")
        listens(page)
        assert page.is_hidden("#live-spikes")
        is_over(page)
        assert "spikes" not in asked[0]


@pytest.mark.parametrize("width", mostly_slow([320, 390], 320))
def test_narrow_screens(shown: Any, width: int) -> None:
    settings = {"viewport": {"width": width, "height": 800}, "is_mobile": True, "has_touch": True}
    with shown(permissions=["geolocation"], **settings) as page:
        page.wait_for_selector("#live-spikes:not([hidden])")
        assert not sideways(page)
        example(page, "yes")
        fires(page)
        assert not sideways(page)
        is_over(page)
        assert inked_to_the_end(page)[-1] > 0.01
