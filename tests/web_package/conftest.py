from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

import snn_voice_hub as sv
from tests.browser import chromium_hearing
from tests.places import EXAMPLES
from tests.web_package.helpers import MODULES, SPOKEN, Laid, Samples


@pytest.fixture(scope="package")
def voices() -> dict[str, sv.SnnVoice]:
    """A model of either kind."""
    return {name: sv.SnnVoice.from_pretrained(name, engine="torch") for name in ("resmel-snn", "tempo-snn")}


@pytest.fixture(scope="package")
def sentence() -> Samples:
    """Words with pauses between them, `[N]` at 16 kHz."""
    pause = np.zeros(12_800, np.float32)
    words = [sf.read(EXAMPLES / f"{word}.wav", dtype="float32")[0] for word in SPOKEN]
    return np.concatenate([part for word in words for part in (pause, word)] + [np.zeros(24_000, np.float32)])


@pytest.fixture(scope="package")
def folder(voices: dict[str, sv.SnnVoice], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo page as anyone would lay it out, beside two models."""
    pytest.importorskip("onnx")
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not shutil.which("node") or not (MODULES / "onnxruntime-web").is_dir():
        pytest.skip("no onnxruntime-web: `npm ci` in web/")
    from benchmarks.onnx_web import laid_out
    from tests.web_package.lite_file import write_lite, write_plain

    folder = tmp_path_factory.mktemp("site")
    laid_out(folder)
    for name, voice in voices.items():
        write_lite(voice, folder / f"{name}.onnx")
    shutil.copy(folder / "resmel-snn.onnx", folder / "model.onnx")
    write_plain(sv.SnnVoice.from_pretrained("tcy-cnn", engine="torch"), folder / "plain.onnx")
    return folder


@pytest.fixture(scope="package")
def site(folder: Path) -> Iterator[str]:
    """The address of that page."""
    from benchmarks.onnx_web import serve

    server = serve(folder)
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()


@pytest.fixture
def laid(folder: Path) -> Laid:
    """Lists of numbers are slow ways into a page."""

    def laying(samples: Samples) -> str:
        samples.astype("<f4").tofile(folder / "sound.f32")
        return "sound.f32"

    return laying


@pytest.fixture(scope="package")
def chromium(sentence: Samples, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose microphone hears the sentence; it goes with the folder's last test."""
    recording = tmp_path_factory.mktemp("microphone") / "sentence.wav"
    sf.write(recording, sentence, 16_000, subtype="PCM_16")
    with chromium_hearing(recording, "--autoplay-policy=no-user-gesture-required") as browser:
        yield browser


@pytest.fixture
def opened(site: str, chromium: Any) -> Any:
    """Opens the demo page, and says at the end whether it complained or asked another host."""

    @contextmanager
    def opening(lets_fail: str = " ", **settings: Any) -> Iterator[Any]:
        context = chromium.new_context(**{"permissions": ["microphone"], **settings})
        context.set_default_timeout(30_000)
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))

        def on_console(message: Any) -> None:
            if message.type in ("error", "warning") and not message.location["url"].endswith(lets_fail):
                complaints.append(message.text)

        def on_request(request: Any) -> None:
            if not request.url.startswith((site, "data:", "blob:")):
                complaints.append(request.url)

        page.on("console", on_console)
        page.on("request", on_request)
        try:
            page.goto(site)
            page.locator("#listen:not([disabled])").wait_for()
            yield page
            assert complaints == []
        finally:
            context.close()

    return opening


@pytest.fixture(scope="package")
def clips() -> dict[str, Path]:
    """The repository's examples."""
    return {path.stem: path for path in sorted(EXAMPLES.glob("*.wav"))}
