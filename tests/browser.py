"""A real browser, for the tests of what people see."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """A browser.

    As long as Playwright runs, this thread has a running event loop, in which no other test could start its
    own: a fixture around it goes with the last test of a folder. Without a browser, tests are skipped.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    system = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with playwright.sync_playwright() as started:
        if not system and not Path(started.chromium.executable_path).exists():
            pytest.skip("no chromium: `apt-get install chromium`, or `playwright install chromium`")
        browser = started.chromium.launch(executable_path=system, args=["--no-sandbox", *flags])
        yield browser
        browser.close()


@contextmanager
def chromium_hearing(recording: Path, *flags: str) -> Iterator[Any]:
    """A browser whose microphone hears a recording, once; see `chromium`."""
    microphone = f"--use-file-for-fake-audio-capture={recording}%noloop"
    with chromium("--use-fake-device-for-media-stream", microphone, *flags) as browser:
        yield browser
