"""Text of others is shown on one line, printable and bounded; programs still read it whole."""

from __future__ import annotations

import json
import logging
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from snn_voice_lite.visible import LINE_LIMIT, NAME_LIMIT, module_logger, visible, visible_json

from snn_voice_hub.cli.output import say
from snn_voice_hub.config import FeatureConfig, VoiceConfig
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.cards.page import make_card
from snn_voice_hub.training.measuring.confusion import Confusion
from tests.places import ROOT

HOSTILE = {
    "escape": "\x1b]0;title\x07\x1b[31mred",
    "one byte escape": "\x9b31mred",
    "newline": "yes\r\nother.wav  no 1.00",
    "line separator": "yes\u2028\u2029\x85no",
    "order of reading": "\u202eoges\u2066\u200f",
    "half a pair": "w\ud800",
    "byte of a file's name": b"caf\xe9.wav".decode("utf-8", "surrogateescape"),
    "nothing": "a\x00b\ufeff\u00ad",
    "above": "\U000e0041\U0010ffff",
    "long": "\x1b" * 100_000,
}
OTHERS = ("yes", "größer/naïve.wav", "日本語", "क्\u200dष", "👩\u200d🚀", 'a "quoted" \\ path', "")


def harmless(text: str) -> bool:
    return all(c.isprintable() or c in "\u200c\u200d" for c in text)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_shown_text_is_printable_bounded_and_stays(text: str) -> None:
    shown = visible(text)
    assert harmless(shown)
    assert shown != text
    assert len(shown) <= NAME_LIMIT
    assert visible(shown) == shown


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_harmless_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_escapes_are_those_of_python() -> None:
    assert visible("a\x1b[2J\n\u202e\ud800\U000e0041") == r"a\x1b[2J\n\u202e\ud800\U000e0041"


@pytest.mark.parametrize("limit", [3, 4, 10, 11])
def test_the_middle_of_a_long_text_is_left_out(limit: int) -> None:
    text = "abcdefghijkl"
    shown = visible(text, limit)
    head, _, tail = shown.partition("…")
    assert len(shown) == limit
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) - len(tail) in (0, 1)


def test_no_escape_is_cut() -> None:
    for limit in range(3, 40):
        shown = visible("\x1b" * 20, limit)
        assert len(shown) <= limit
        assert shown.replace("…", "").replace(r"\x1b", "") == ""


@pytest.mark.parametrize("text", [*HOSTILE.values(), *OTHERS, "\U000e0041"])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_is_harmless_and_says_the_same(text: str, indent: int | None) -> None:
    told = visible_json({text: [text, 1.5, None]}, indent=indent)
    assert all(map(harmless, told.split("\n")))
    assert json.loads(told) == {text: [text, 1.5, None]}
    told.encode()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_errors_say_it_visibly(text: str) -> None:
    error = SnnVoiceError(f"no word {text}", hint=f"not {text}")
    for said in (str(error), error.message, error.hint, *map(str, error.args)):
        assert harmless(said)
    assert len(str(error)) <= 2 * LINE_LIMIT + 3
    again = pickle.loads(pickle.dumps(error))
    assert (again.message, again.hint) == (error.message, error.hint)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_line_of_a_command_is_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(f"file {text}: yes")
    out = capsys.readouterr().out
    assert out.endswith("\n")
    assert harmless(out[:-1])


# What UTF-8 can't hold is refused when a configuration is made.
WRITABLE = [text[:1000] for text in HOSTILE.values() if not re.search("[\ud800-\udfff]", text)]


@pytest.mark.parametrize("text", WRITABLE)
def test_a_card_says_it_visibly(text: str) -> None:
    config = VoiceConfig(
        architecture="M5SNN",
        network={"num_classes": 2},
        features=FeatureConfig(kind="waveform"),
        labels=["yes", text[:100]],
        name=text,
        description=text,
        license=text,
        data=[{"name": text, "license": text}],
        training={"lr": text, text: 1},
        metrics={"energy": {"model": text, "macs": 5, "constants": text, "pj_a_mac": 1, "pj_an_ac": 2}},
    )
    shown = str(make_card(config))
    assert all(map(harmless, shown.split("\n")))
    for line in HOSTILE["newline"].splitlines()[1:]:
        assert not any(said.startswith(line) for said in shown.splitlines())


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_of_the_log_can_be_forged(text: str, form: str) -> None:
    logs = pytest.importorskip("snn_voice_server.process.logs")
    formatter = logs.JsonLines() if form == "json" else logs.RequestLines()
    try:
        raise ValueError(text)
    except ValueError:
        trace = sys.exc_info()
    record = logging.LogRecord("snn_voice_hub", logging.INFO, "", 0, "loaded %s", (text,), trace)
    record.fields = {"model": text}
    first, *more = formatter.format(record).split("\n")
    assert harmless(first)
    assert all(harmless(line) and line.startswith("    ") for line in more)
    assert (form == "json") == (not more)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_the_library_logs_is_visible(text: str, caplog: pytest.LogCaptureFixture) -> None:
    logger = module_logger("snn_voice_hub.hub.checkpoints")
    with caplog.at_level("WARNING"):
        logger.warning("%s is a folder, 100 %% of it", text)
    assert harmless(caplog.messages[-1])
    assert caplog.messages[-1].endswith(" is a folder, 100 % of it")


def test_every_module_logs_so() -> None:
    """A plain logger would hand on what a name holds."""
    roots = (ROOT / "snn_voice_hub", ROOT / "lite")
    files = [path for root in roots for path in root.rglob("*.py")]
    plain = [path for path in files if "getLogger(__name__)" in path.read_text(encoding="utf-8")]
    assert files
    assert plain == []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", [text for text in HOSTILE.values() if len(text) < 1000])
def test_pictures_show_it_visibly(text: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    words = ["yes", text]
    Confusion(words, words, np.ones((2, 2), np.int64)).draw(tmp_path / "picture.png", f"{text} on {text}")
    assert (tmp_path / "picture.png").stat().st_size > 1000
