"""What a person reads off the page."""

from __future__ import annotations

import re
from typing import Any

from tests.server.web.helpers import EXAMPLES

YES = str(EXAMPLES / "yes.wav")


def words(page: Any) -> list[tuple[str, str]]:
    """The bars, when they are there: words and numbers."""
    page.wait_for_selector("#bars li")
    rows = page.locator("#bars li").all()
    return [(row.locator(".label").inner_text(), row.locator(".score").inner_text()) for row in rows]


def problem(page: Any) -> str:
    """What went wrong, when it is there; never the inside of a program."""
    text = page.locator("#notice .problem").inner_text()
    assert text[0].isupper()
    assert text[-1] in ".?"
    for inside in ("Error", "Traceback", "undefined", "[object", "null", ".js"):
        assert inside not in text
    return str(text)


def windows(*answers: tuple[str, float], seconds: float = 1.0) -> list[dict[str, Any]]:
    """An answer of the service: for each window, half of it after the one before, its best word and score."""
    return [
        {
            "start": at * seconds / 2,
            "end": at * seconds / 2 + seconds,
            "predictions": [{"label": label, "score": score}, {"label": "another", "score": 0.01}],
        }
        for at, (label, score) in enumerate(answers)
    ]


def bars_drawn(page: Any) -> int:
    """How high the waveform is: the rows of pixels in which something is drawn."""
    script = """canvas => {
      const copy = document.createElement("canvas");
      const {width, height} = Object.assign(copy, {width: canvas.width, height: canvas.height});
      const context = copy.getContext("2d", {willReadFrequently: true});
      context.drawImage(canvas, 0, 0);
      const {data} = context.getImageData(0, 0, width, height);
      let rows = 0;
      for (let y = 0; y < height; y += 1) {
        rows += data.subarray(4 * y * width, 4 * (y + 1) * width).some((value) => value > 0);
      }
      return rows;
    }"""
    next_frame(page)
    return int(page.locator("#waveform").evaluate(script))


def next_frame(page: Any) -> None:
    """Wait until what was asked for has been drawn."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def shows(page: Any, selector: str, text: str) -> None:
    """Wait until that text is all that stands there."""
    page.locator(selector, has_text=re.compile(f"^{re.escape(text)}$")).wait_for()


def sideways(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))
