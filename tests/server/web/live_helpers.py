"""What a person does in the page's Live mode, and what becomes of microphone and sockets."""

from __future__ import annotations

import json
import time
from typing import Any

# Keeps what the page opens, for a look at its state.
WATCH = """
  window.streams = [];
  window.sockets = [];
  const media = navigator.mediaDevices;
  if (media) {
    const real = media.getUserMedia.bind(media);
    media.getUserMedia = async (...args) => {
      const stream = await real(...args);
      window.streams.push(stream);
      return stream;
    };
  }
  window.WebSocket = class extends WebSocket {
    constructor(...args) { super(...args); window.sockets.push(this); }
  };
"""

FREE = """streams.every((stream) => stream.getTracks().every((track) => track.readyState === "ended"))
  && sockets.every((socket) => socket.readyState === WebSocket.CLOSED)"""


def watch(page: Any) -> None:
    page.add_init_script(WATCH)


def example(page: Any, word: str) -> None:
    page.locator("#examples").get_by_text(word, exact=True).click()


def hears(page: Any, word: str) -> float:
    """Wait until that word stands in the list; its score, in percent."""
    from playwright.sync_api import TimeoutError  # the fixture has skipped the test where it is missing

    row = page.locator("#live-list li").filter(has=page.locator(".what", has_text=word)).first
    try:
        row.wait_for()
    except TimeoutError:
        said = page.locator("#live-view .panel, #status").all_inner_texts()
        raise AssertionError(f"{word!r} was not heard; the page says {said}") from None
    return float(row.locator(".score").inner_text().split()[0])


def all_heard(page: Any) -> list[str]:
    """The words so far, the first first."""
    return list(reversed(page.locator("#live-list .what").all_inner_texts()))


def listens(page: Any) -> None:
    page.locator("#listen.running").wait_for()


def is_over(page: Any) -> None:
    """Wait until nobody listens, and nothing is left open."""
    page.locator("#listen:not(.running):not(.opening)").wait_for(state="attached")
    until(page, FREE)


def until(page: Any, expression: str) -> None:
    """Wait until it is true. Playwright's own way to do that needs a page that lets text be run."""
    end = time.monotonic() + 30
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def hellos(page: Any) -> list[dict[str, Any]]:
    """A list that holds what the page asks of each stream."""
    found: list[dict[str, Any]] = []

    def on_socket(socket: Any) -> None:
        first: list[object] = []

        def on_frame(frame: str | bytes) -> None:
            if not first and isinstance(frame, str):
                found.append(json.loads(frame))
            first.append(frame)

        socket.on("framesent", on_frame)

    page.on("websocket", on_socket)
    return found


def ink(page: Any) -> tuple[float, float]:
    """Where the picture of the sound is drawn, in the mean: 0 to 1 from the left, and from the bottom."""
    x, y = page.locator("#picture").evaluate(
        """canvas => {
          const copy = document.createElement("canvas");
          const {width, height} = Object.assign(copy, {width: canvas.width, height: canvas.height});
          const context = copy.getContext("2d", {willReadFrequently: true});
          context.drawImage(canvas, 0, 0);
          const rows = height - Math.ceil(31 * devicePixelRatio); // without the strip of words
          const {data} = context.getImageData(0, 0, width, rows);
          let [sum, x, y] = [0, 0, 0];
          for (let at = 0; at < width * rows; at += 1) {
            const much = data[4 * at + 3] > 128 ? data[4 * at + 3] : 0;
            sum += much;
            x += much * (at % width);
            y += much * Math.floor(at / width);
          }
          return [x / sum / width, 1 - y / sum / rows];
        }"""
    )
    return float(x), float(y)
