"""Sounds longer than what the network hears at once, and sounds without a word that it knows."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from snn_voice_hub.config import SPEECH_COMMANDS
from tests.server.web.helpers import EXAMPLES
from tests.server.web.page_helpers import YES, shows, sideways, windows, words
from tests.slowness import mostly_slow

NONE = "none of my words"
SIX = ["yes", "no", "go", "stop", "left", "right"]


def joined(path: Path, names: list[str], pause: float = 0.6) -> Path:
    """A sound file of these words with pauses before, between and after them."""
    rate = sf.info(EXAMPLES / "yes.wav").samplerate
    silence = np.zeros(round(pause * rate))
    parts = [silence]
    for name in names:
        parts += [sf.read(EXAMPLES / f"{name}.wav")[0], silence]
    sf.write(path, np.concatenate(parts), rate)
    return path


def heard(page: Any) -> list[tuple[str, str]]:
    """The rows of the list: when and what."""
    rows = page.locator("#heard .heard").all()
    return [(row.locator(".when").inner_text(), row.locator(".what").inner_text()) for row in rows]


def headline(page: Any) -> list[str]:
    return str(page.inner_text("#word").replace("\N{NO-BREAK SPACE}", " ")).split(" · ")


@pytest.fixture
def answered(opened: Any) -> Callable[..., Any]:
    """Opens the page over a service that answers in these windows, with a model that knows these classes."""

    def opening(*answers: tuple[str, float], classes: Sequence[str] | None = None, **settings: Any) -> Any:
        def before(page: Any) -> None:
            page.route("**/classify*", lambda route: route.fulfill(json=windows(*answers)))
            if classes is not None:
                facts = {"name": "listening", "labels": [*SPEECH_COMMANDS, *classes]}
                page.route("**/model", lambda route: route.fulfill(json=facts))

        return opened(before=before, **settings)

    return opening


@pytest.mark.slow
def test_six_words_in_order(opened: Any, tmp_path: Path) -> None:
    with opened() as page:
        page.wait_for_selector("#vocabulary:not([hidden])")
        page.set_input_files("#file", str(joined(tmp_path / "six.wav", SIX)))
        assert words(page)[0][0] == "yes"
        assert headline(page) == SIX
        assert page.inner_text("#word-note").startswith(
            "6 words in 8.8 s of sound, each the likeliest of the 35"
        )
        assert [what for _, what in heard(page) if what != "no word"] == SIX
        times = [[float(part) for part in when.removesuffix(" s").split(" to ")] for when, _ in heard(page)]
        assert times[0][0] == 0
        assert times[-1][1] == 8.8
        assert all(one[1] == after[0] for one, after in pairwise(times))
        # On the time line each word stands under its sound: "no" begins after two pauses and "yes".
        line = page.locator("#strip").bounding_box()
        box = page.locator("#strip .part", has_text="no").first.bounding_box()
        spoken = (2 * 0.6 + sf.info(EXAMPLES / "yes.wav").duration) / 8.84
        assert box["x"] <= line["x"] + line["width"] * spoken <= box["x"] + box["width"]
        assert (
            page.inner_text("#status").replace("\N{NO-BREAK SPACE}", " ").startswith("yes · no · go · stop")
        )
        assert page.locator("#curl").text_content().endswith("/classify?windows=true'")
        page.set_input_files("#file", YES)  # nothing of the long sound is left
        shows(page, "#word", "yes")
        assert page.is_hidden("#strip")
        assert page.is_hidden("#heard")
        assert page.is_hidden("#bars-title")
        assert page.locator("#curl").text_content().endswith("/classify")


@pytest.mark.parametrize(
    ("answers", "found"),
    mostly_slow(
        [
            # What an edge makes of a word, is less sure than the word.
            ([("yes", 0.9), ("up", 0.7), ("no", 0.8)], ["0.0 to 1.0 yes", "1.0 to 2.0 no"]),
            (
                [("up", 0.7), ("yes", 0.9), ("up", 0.7)],
                ["0.0 to 0.5 no word", "0.5 to 1.5 yes", "1.5 to 2.0 no word"],
            ),
            # Who is beaten by one that is beaten itself, stays.
            ([("yes", 0.6), ("up", 0.7), ("no", 0.8)], ["0.0 to 1.0 yes", "1.0 to 2.0 no"]),
            # Of words that follow fast, each is certain in its own window.
            ([("yes", 0.99), ("no", 0.995)], ["0.0 to 0.8 yes", "0.8 to 1.5 no"]),
            ([("yes", 0.98), ("no", 0.995)], ["0.0 to 0.5 no word", "0.5 to 1.5 no"]),
            # Neighbours of the same word are one; after a pause the word was said twice.
            ([("yes", 0.9), ("yes", 0.8), ("no", 0.7)], ["0.0 to 1.5 yes", "1.5 to 2.0 no word"]),
            (
                [("yes", 0.9), ("a", 0.1), ("a", 0.1), ("yes", 0.8)],
                ["0.0 to 1.0 yes", "1.0 to 1.5 no word", "1.5 to 2.5 yes"],
            ),
            # Silence says nothing about the half that a neighbour knows better; a guess says nothing at all.
            (
                [("_silence_", 0.99), ("yes", 0.6), ("_silence_", 0.99)],
                ["0.0 to 0.5 no word", "0.5 to 1.5 yes", "1.5 to 2.0 no word"],
            ),
            (
                [("yes", 0.49), ("no", 0.5), ("up", 0.49)],
                ["0.0 to 0.5 no word", "0.5 to 1.5 no", "1.5 to 2.0 no word"],
            ),
        ],
        first=2,
    ),
)
def test_which_windows_are_words(answered: Any, answers: list[tuple[str, float]], found: list[str]) -> None:
    with answered(*answers) as page:
        page.set_input_files("#file", YES)
        words(page)
        assert [f"{when.removesuffix(' s')} {what}" for when, what in heard(page)] == found
        assert headline(page) == [entry.split()[-1] for entry in found if not entry.endswith("no word")]


def test_the_scores_of_each_word_by_keyboard(answered: Any) -> None:
    with answered(("yes", 0.9), ("a", 0.1), ("no", 0.8), ("no", 0.95)) as page:
        page.set_input_files("#file", YES)
        assert words(page)[0] == ("yes", "90.0 %")
        assert page.inner_text("#bars-title") == "Scores at 0.0 to 1.0 s"
        tree = page.locator("#heard").aria_snapshot()
        assert 'button "0.0 to 1.0 s yes 90.0 %" [pressed]' in tree
        assert 'button "1.0 to 2.5 s no 95.0 %"' in tree
        page.focus("#heard button")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        shows(page, "#bars-title", "Scores at 1.0 to 2.5 s")
        assert words(page)[0] == ("no", "95.0 %")
        assert page.inner_text("#status") == "Scores at 1.0 to 2.5 s: no 95.0 %, another 1.0 %"
        assert page.get_attribute("#heard button >> nth=1", "aria-pressed") == "true"
        page.click("#strip .part >> nth=0")  # by the mouse, on the time line
        shows(page, "#bars-title", "Scores at 0.0 to 1.0 s")


@pytest.mark.parametrize(
    ("answers", "name", "note"),
    mostly_slow(
        [
            ([("follow", 0.45)], "not sure", "is clear: “follow” comes nearest, with 45.0 %."),
            ([("follow", 0.499)], "not sure", "“follow” comes nearest, with 49.9 %."),
            ([("follow", 0.5)], "follow", "The likeliest of the 35 words it knows, but not a clear one."),
            ([("follow", 0.9)], "follow", "Clearly the likeliest of the 35 words it knows."),
            ([("_silence_", 0.9)], "nobody speaks", "No word was heard: silence, or noise."),
            ([("_unknown_", 0.9)], NONE, "It hears somebody speak, but none of the 35 words it knows."),
            ([("_noise_", 0.9)], "noise", "No word was heard."),
            (
                [("_silence_", 0.3)],
                "not sure",
                "Nothing is clear: “nobody speaks” comes nearest, with 30.0 %.",
            ),
            (
                [("_silence_", 0.9), ("_silence_", 0.8)],
                "nobody speaks",
                "No word was heard: silence, or noise.",
            ),
            (
                [("_silence_", 0.9), ("_unknown_", 0.8), ("_silence_", 0.9)],
                NONE,
                "It hears somebody speak, but none of the 35 words it knows.",
            ),
            ([("_silence_", 0.9), ("follow", 0.3)], "not sure", "“follow” comes nearest, with 30.0 %."),
            ([("_silence_", 0.9), ("follow", 0.8)], "follow", "not a clear one, at 0.5 to 1.5 s."),
            ([("_unknown_", 0.9), ("follow", 0.8)], "follow", "not a clear one, at 0.5 to 1.5 s."),
        ],
        first=3,
    ),
)
def test_what_is_said_of_a_score(
    answered: Any, answers: list[tuple[str, float]], name: str, note: str
) -> None:
    with answered(*answers, classes=["_silence_", "_unknown_"]) as page:
        page.wait_for_selector("#vocabulary:not([hidden])")  # then it is known how many words there are
        page.set_input_files("#file", YES)
        words(page)
        assert page.inner_text("#word") == name
        assert note in page.inner_text("#word-note")
        assert page.inner_text("#status").startswith(name)
        # Without a word there is no time line; which part the scores are of is told all the same.
        assert page.is_visible("#heard") == (len(answers) > 1 and name == "follow")
        assert page.is_visible("#bars-title") == (len(answers) > 1)


@pytest.mark.slow
def test_what_no_word_may_have_in_several_classes(answered: Any) -> None:
    both = [{"label": "yes", "score": 0.4}, {"label": "_unknown_", "score": 0.35}]
    both.append({"label": "_silence_", "score": 0.2})
    found = [{"start": 0.0, "end": 1.0, "predictions": both}]
    with answered(classes=["_silence_", "_unknown_"]) as page:
        page.route("**/classify*", lambda route: route.fulfill(json=found))
        page.set_input_files("#file", YES)
        assert [label for label, _ in words(page)] == ["yes", NONE, "nobody speaks"]
        assert page.inner_text("#word") == NONE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classes", "caveat", "others"),
    [
        (
            [],
            "It takes other speech and noise for one of them, too.",
            "It takes other speech and noise for one of them, too.",
        ),
        (
            ["_silence_"],
            "It takes other speech for one of them, too.",
            "Silence and noise it calls “nobody speaks”. It takes other speech for one of them, too.",
        ),
        (
            ["_silence_", "_unknown_"],
            "",
            "Silence and noise it calls “nobody speaks”. Other speech it calls “none of my words”.",
        ),
    ],
)
def test_what_a_model_can_know(answered: Any, classes: list[str], caveat: str, others: str) -> None:
    told = f"Clearly the likeliest of the 35 words it knows. {caveat}".strip()
    with answered(("follow", 0.95), classes=classes) as page:
        page.wait_for_selector("#vocabulary:not([hidden])")
        assert page.locator("#vocabulary-others").text_content() == (others or caveat)
        page.set_input_files("#file", YES)
        words(page)
        assert page.inner_text("#word-note") == told
    with answered(("follow", 0.45), classes=classes) as page:
        page.wait_for_selector("#vocabulary:not([hidden])")
        page.set_input_files("#file", YES)
        words(page)
        # Who has never heard other speech can't say that this is some.
        assert page.inner_text("#word") == ("not sure" if "_unknown_" in classes else f"maybe {NONE}")


def test_a_minute_of_words_on_a_phone(answered: Any) -> None:
    answers = [(SIX[at // 2 % 6], 0.99) for at in range(120)]
    with answered(*answers, viewport={"width": 390, "height": 800}, color_scheme="dark") as page:
        page.set_input_files("#file", YES)
        words(page)
        assert len(headline(page)) == 60
        assert page.locator("#heard li").count() == 60
        assert not sideways(page)
        assert page.locator("#heard").bounding_box()["height"] < 400  # the list is turned by itself
        page.locator("#heard button").last.focus()
        page.keyboard.press("Enter")
        assert words(page)[0][0] == "right"


def test_the_line_for_a_terminal_can_be_copied(opened: Any) -> None:
    name = 'org/it\'s a "model" $HOME!'

    def before(page: Any) -> None:
        models = [{"name": one, "loaded": True, "default": one == name} for one in ("other", name)]
        page.route("**/models", lambda route: route.fulfill(json={"models": models}))

    with opened(before=before, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.wait_for_selector("#model-select")
        page.click("text=Call it from a terminal")
        page.click("#copy")
        shows(page, "#copy", "Copied")
        assert page.inner_text("#status") == "Copied"
        copied = page.evaluate("navigator.clipboard.readText()")
        program, option, file, address = shlex.split(copied)
        assert [program, option, file] == ["curl", "--data-binary", "@yes.wav"]
        asked = page.evaluate("(address) => new URL(address).searchParams.get('model')", address)
        assert asked == name
