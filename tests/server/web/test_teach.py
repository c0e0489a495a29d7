"""The page's tab Teach in a real browser: takes become a zip, or a model of the service."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile as sf
from snn_voice_server.teaching.lessons import TeachLimits
from snn_voice_server.teaching.unpacking import unpack

from snn_voice_hub.audio import load
from snn_voice_hub.hub.checkpoints import resolve
from snn_voice_hub.training.clips.takes import judged
from tests.server.helpers import encoded
from tests.server.teaching.helpers import WITH_FAKE, program
from tests.server.web.helpers import EXAMPLES, Service
from tests.server.web.live_helpers import hears, is_over, listens, watch
from tests.server.web.page_helpers import problem, sideways


def said(word: str, *, gain: float = 1.0, before: float = 0.4, after: float = 0.4) -> np.ndarray:
    """A word of the examples with a quiet room around it, `[N]` at 16 kHz."""
    wave = gain * sf.read(EXAMPLES / f"{word}.wav", dtype="float32")[0]
    room = np.concatenate([np.zeros(round(16_000 * before)), wave, np.zeros(round(16_000 * after))])
    return (room + 3e-4 * np.random.default_rng(0).standard_normal(len(room))).astype(np.float32)


# In milliseconds; what trains has a low priority.
PATIENCE = 120_000
TIME = np.arange(24_000) / 16_000
# Takes that are to be judged as `snn-voice record` judges them.
TAKES = {
    "good": said("yes"),
    "soft": said("no", gain=0.1),
    "loud": np.clip(said("go", gain=30), -1, 1),
    "silent": np.zeros(16_000, np.float32),
    "quiet": said("go", gain=0.004),
    "noise": 0.1 * np.random.default_rng(1).standard_normal(16_000).astype(np.float32),
    "click": np.where(np.abs(TIME - 0.7) < 0.02, 0.5 * np.sin(9_000 * TIME), 0).astype(np.float32),
    "late": said("yes", after=0)[:-6_000],
    "long": np.where(np.abs(TIME - 0.75) < 0.6, 0.3 * np.sin(3_000 * TIME), 0).astype(np.float32),
}


def files(*names: str) -> list[dict[str, Any]]:
    """Takes as Playwright hands them over."""
    return [
        {"name": f"{name}.wav", "mimeType": "audio/wav", "buffer": encoded(TAKES[name])} for name in names
    ]


def add(page: Any, word: str, *names: str) -> None:
    before = page.locator(".take").count() + page.locator("#teach-refused li").count()
    page.fill("#teach-word", word)
    page.set_input_files("#teach-files", files(*names))
    while page.locator(".take").count() + page.locator("#teach-refused li").count() < before + len(names):
        page.wait_for_timeout(20)


@pytest.fixture(scope="module")
def teaching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("teaching")
    fake = WITH_FAKE.format(program(resolve("resmel-snn").config.parent))
    running = Service.start(folder / "log", "--engine", "torch", "--allow-teach", before=fake)
    yield running
    running.stop()
    assert "Traceback" not in running.log.read_text(), running.log.read_text()


def test_takes_become_a_zip(opened: Any, service: Service, tmp_path: Path) -> None:
    with opened("#teach", before=watch) as page:
        page.wait_for_selector(".dot.good")
        assert page.is_hidden("#teach-begin")
        assert "--allow-teach" in page.inner_text("#teach-how")
        assert page.is_disabled("#teach-download")
        page.click("#teach-record")
        assert problem(page) == "Which word is it? Type the word or phrase first."
        page.fill("#teach-word", "hey yes")
        page.keyboard.press("Enter")
        page.locator("#teach-record.running").wait_for()
        assert page.inner_text("#teach-sign") == "Say “hey yes”"
        page.locator(".take").nth(1).wait_for()
        page.click("#teach-record")
        page.locator("#teach-record:not(.running)").wait_for()
        assert page.inner_text("#teach-record") == "Record 8 more"
        assert page.inner_text(".takes-of h3") == "hey yes 2 takes"
        assert page.evaluate("streams.flatMap((s) => s.getTracks()).every((t) => t.readyState === 'ended')")
        page.get_by_role("button", name="Play Take 2 of hey yes").click()
        page.wait_for_selector(".take .play.playing")
        page.get_by_role("button", name="Drop Take 1 of hey yes").click()
        page.fill("#teach-speaker", "anna")
        add(page, "grüß's gott", "good", "soft")
        assert page.locator(".takes-of h3").all_inner_texts() == ["hey yes 1 take", "grüß's gott 2 takes"]
        assert page.locator("#curl").text_content() == (
            "snn-voice teach 'hey yes' 'grüß'\\''s gott' "
            "--clips 'hey-yes-grüß'\\''s-gott.zip' --out runs/mine"
        )
        with page.expect_download() as download:
            page.click("#teach-download")
        assert download.value.suggested_filename.startswith("hey-yes-gr")
        content = Path(download.value.path()).read_bytes()
    names = ["hey yes/me_nohash_2.wav", *(f"grüß's gott/anna_nohash_{i}.wav" for i in (1, 2))]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == names
        assert archive.testzip() is None
        spoken = archive.read(names[0])
    with sf.SoundFile(io.BytesIO(spoken)) as clip:
        assert (clip.samplerate, clip.channels, clip.subtype) == (16_000, 1, "PCM_16")
        assert 0.4 < clip.frames / clip.samplerate < 1.2
    # What the microphone heard is in it, and the service's own reader takes it.
    answer = httpx.post(f"{service.url}classify", content=spoken, timeout=60).json()
    assert answer[0]["label"] == "yes"
    assert unpack(content, tmp_path, TeachLimits()) == {"hey yes": 1, "grüß's gott": 2}
    wanted = judged(load(encoded(TAKES["good"])).numpy(), 1.0).waveform
    np.testing.assert_allclose(load(tmp_path / names[1]).numpy(), wanted, atol=1e-4)


def test_takes_are_judged_as_by_record(opened: Any) -> None:
    wanted, kept = [], []
    for name, wave in TAKES.items():
        take = judged(load(encoded(wave)).numpy(), 1.0)
        if take.problem:
            wanted.append(f"{name}.wav was not kept: {take.problem} ({take.hint}).")
        else:
            kept.append(f"{take.seconds:.2f} s, {take.level:.0f} dB")
    assert len(kept) == 2
    with opened("#teach") as page:
        add(page, "lumos", *TAKES)
        told = list(reversed(page.locator("#teach-refused li").all_inner_texts()))
        assert told == wanted
        assert page.locator(".take-facts").all_inner_texts() == kept


def test_words_that_are_none(opened: Any) -> None:
    with opened("#teach") as page:
        for word in ("_silence_", "a/b", "../x", "-x", "c:"):
            page.fill("#teach-word", word)
            page.set_input_files("#teach-files", files("good"))
            page.locator("#notice", has_text=f"“{word}”").wait_for()
            assert problem(page).startswith(f"A word can't be called “{word}”. Letters, digits, spaces")
        assert page.locator(".take").count() == 0


@pytest.mark.slow
def test_taught_here_and_listened_with(opened: Any, teaching: Service) -> None:
    with opened("#teach", url=teaching.url, before=watch) as page:
        page.wait_for_selector("#teach-begin:visible")
        assert page.is_hidden("#teach-how")
        assert page.is_disabled("#teach-begin")
        page.fill("#teach-word", "lumos")
        assert page.inner_text("#teach-begin") == "Teach it here, without takes"
        add(page, "lumos", "good", "soft")
        assert page.inner_text("#teach-begin") == "Teach it here"
        page.click("#teach-begin")
        page.locator("#lesson-title", has_text="It knows “lumos”").wait_for(timeout=PATIENCE)
        assert "The model is called lumos." in page.inner_text("#lesson-note")
        figures = page.inner_text("#lesson-figures").split("\n")
        assert figures == [
            *("Missed, recordings", "12.5 %", "Missed, synthetic voices", "0.0 %"),
            *("False alarms an hour, speech", "0.5", "Threshold", "0.813"),
        ]
        assert page.locator("#lesson-lines").text_content().startswith("reads 2 clips in _clips\n")
        page.click("#lesson-listen")
        page.wait_for_selector("#live-view:visible")
        assert page.input_value("#model-select") == "lumos"
        page.click("#listen")
        listens(page)
        hears(page, "yes")  # it is a copy of the default
        page.click("#listen")
        is_over(page)


@pytest.mark.slow
def test_followed_and_cancelled(opened: Any, teaching: Service) -> None:
    with opened("#teach", url=teaching.url) as page:
        page.wait_for_selector("#teach-begin:visible")
        add(page, "slow", "good")
        page.click("#teach-begin")
        page.locator("#lesson-title", has_text="Learning “slow”").wait_for()
        assert page.is_disabled("#teach-begin")
    with opened(url=teaching.url) as page:  # somebody comes back
        page.click("#teach-tab")
        page.locator("#lesson-note", has_text="Trains.").wait_for(timeout=PATIENCE)
        page.click("#lesson-cancel")
        page.locator("#lesson-title", has_text="Cancelled").wait_for()
        assert page.is_hidden("#lesson-cancel")
        add(page, "wrong", "good")
        page.click("#teach-begin")
        page.locator("#lesson-title", has_text="It has not learned “wrong”").wait_for(timeout=PATIENCE)
        assert page.inner_text("#lesson-note") == "Too few clips of wrong (record more)."
        assert page.is_hidden("#lesson-listen")
        assert page.is_enabled("#teach-begin")


def test_narrow_screens_and_names(opened: Any, teaching: Service) -> None:
    settings = {"viewport": {"width": 320, "height": 800}, "is_mobile": True, "has_touch": True}
    with opened("#teach", url=teaching.url, **settings) as page:
        page.wait_for_selector("#teach-begin:visible")
        add(page, "a phrase of some words", "good", "silent")
        assert not sideways(page)
        tree = page.locator("body").aria_snapshot()
        for entry in (
            'tab "Teach" [selected]',
            'textbox "Word or phrase"',
            'textbox "Who speaks"',
            'button "Record 9 more"',
            'img "Waveform of Take 1 of a phrase of some words"',
            'button "Drop Take 1 of a phrase of some words"',
        ):
            assert entry in tree
