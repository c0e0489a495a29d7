"""The demo page in a real browser: laid out by the documented command, and used as people would."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.web_package.helpers import SPOKEN, WEB, Samples, needs_modules


def test_a_file(opened: Any, clips: dict[str, Path]) -> None:
    with opened() as page:
        page.set_input_files("#file", clips["yes"])
        row = page.locator("#answer tr").first
        assert row.locator("td").nth(0).inner_text() == "yes"
        assert float(row.locator("td").nth(1).inner_text().split()[0]) > 99
        assert page.locator("#answer tr").count() == 5
        assert page.inner_text("#state") == "yes.wav, 0.8 s"
        assert page.inner_text("#about summary") == "resmel-snn knows 35 words"


@pytest.mark.slow
def test_a_longer_file_is_dropped(opened: Any, sentence: Samples, tmp_path: Path) -> None:
    import soundfile as sf

    sf.write(tmp_path / "all.wav", sentence, 16_000)
    with opened() as page:
        page.evaluate(
            """(bytes) => {
              const transfer = new DataTransfer();
              transfer.items.add(new File([new Uint8Array(bytes)], "all.wav"));
              const fire = (type) => document.body.dispatchEvent(
                new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
              if (fire("dragover") || fire("drop")) throw new Error("the browser would open the file");
            }""",
            list((tmp_path / "all.wav").read_bytes()),
        )
        page.locator("#heard li").nth(len(SPOKEN) - 1).wait_for()
        assert page.locator("#heard .word").all_inner_texts() == list(reversed(SPOKEN))
        assert float(page.locator("#heard .when").last.inner_text().split()[1]) < 1.5


def test_listening(opened: Any) -> None:
    with opened() as page:
        page.click("#listen")
        page.locator("#heard .word", has_text="yes").wait_for()
        assert page.inner_text("#listen") == "Stop"
        assert page.locator("#level").is_visible()
        page.click("#listen")
        page.locator("#listen:not(.on):not([disabled])").wait_for()
        assert page.locator("#level").is_hidden()


@pytest.mark.slow
def test_what_can_not_be_used_is_said(opened: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "no.wav").write_bytes(b"no sound")
    (tmp_path / "no.onnx").write_bytes(b"no model")
    with opened(permissions=[]) as page:
        for name, problem in (("no.wav", "no sound"), ("no.onnx", "no ONNX file")):
            page.set_input_files("#file", tmp_path / name)
            page.locator("#state.problem", has_text=problem).wait_for()
        page.set_input_files("#file", folder / "plain.onnx")
        page.locator("#about summary", has_text="tcy-cnn knows 35 words").wait_for()


@needs_modules
def test_what_fill_refuses(tmp_path: Path) -> None:
    for arguments in ([], [str(tmp_path / "nowhere")], [str(tmp_path), "more"]):
        done = subprocess.run(
            ["node", WEB / "bin" / "fill.js", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr.startswith("snn-voice-web: ")
        assert done.stderr.count("\n") == 1
