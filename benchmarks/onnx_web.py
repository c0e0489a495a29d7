"""Do exported ONNX files run in a browser, with the same answer?

Exports models into a copy of `examples/web_onnx`, opens it in headless Chromium, and compares the scores of
ONNX Runtime Web with PyTorch's on the repository's clips. It needs `npm ci` in `web/`.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import sync_playwright

from benchmarks.common import RESULTS, ROOT
from benchmarks.report import Report, Table
from snn_voice_hub import audio
from snn_voice_hub.export.whole import export_onnx
from snn_voice_hub.hub.bundled import bundled_names
from snn_voice_hub.inference.windows import fit
from snn_voice_hub.models.base import Network
from snn_voice_hub.voice import SnnVoice

_RUN = """async ([file, clips]) => {
  const { Voice } = await import("@snn-voice/web");
  const voice = await Voice.load(file);
  const answers = [];
  let spent = 0;
  for (let round = 0; round < 4; round++) {
    for (const clip of clips) {
      const began = performance.now();
      const found = await voice.classify(new Float32Array(clip), { topK: voice.labels.length });
      if (round > 0) spent += performance.now() - began;
      if (round === 0) answers.push(voice.labels.map((l) => found.find(({ label }) => label === l).score));
    }
  }
  return { answers, milliseconds: spent / clips.length / 3 };
}"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def serve(folder: Path) -> http.server.ThreadingHTTPServer:
    """Serve a folder on a free port."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def laid_out(folder: Path) -> None:
    """The page in a folder, with all that it needs but a model."""
    shutil.copytree(ROOT / "examples" / "web_onnx", folder, dirs_exist_ok=True)
    subprocess.run(["node", ROOT / "web" / "bin" / "fill.js", folder], check=True, capture_output=True)


def by_hand(page: Any, address: str, clip: Path) -> str:
    """The page itself: a file is chosen, and its best word read."""
    page.goto(address)
    page.set_input_files("#file:not([disabled])", str(clip))
    row = page.locator("#answer tr").first
    return f"{row.locator('td').nth(0).inner_text()} {row.locator('td').nth(1).inner_text()}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=bundled_names())
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    clips = sorted((ROOT / "examples").glob("*.wav"))
    waves = torch.stack([fit(audio.load(clip, target_rate=16_000), 16_000) for clip in clips])
    table = Table("model", "weights", "MB", "largest difference of a score", "same best word", "ms a clip")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as started:
        folder = Path(scratch)
        laid_out(folder)
        server = serve(folder)
        address = f"http://127.0.0.1:{server.server_address[1]}/index.html"
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        about = f"Chromium {browser.version} without a window, one thread; {len(clips)} clips"
        for name in given.models:
            voice = SnnVoice.from_pretrained(name, engine="torch")
            assert isinstance(voice.network, Network)
            with torch.inference_mode():
                expected = (voice(waves) / voice.config.temperature).softmax(1)
            for int8 in (False, True):
                written = export_onnx(voice.network, voice.config, folder / "model.onnx", int8=int8)
                seen = by_hand(page, address, clips[-1])
                found = page.evaluate(_RUN, ["model.onnx", waves.tolist()])
                scores = torch.tensor(found["answers"])
                best = int(scores[-1].argmax())
                # The browser's samples differ from ours by 2e-5, which may flip spikes: the word is the same.
                assert seen.split()[0] == voice.labels[best], seen
                same = int((scores.argmax(1) == expected.argmax(1)).sum())
                apart = f"{float((scores - expected).abs().max()):.1e}"
                weights = "int8" if int8 else "float32"
                table.add(
                    name, weights, written.size / 1e6, apart, f"{same} of {len(clips)}", found["milliseconds"]
                )
                print(name, weights, seen, flush=True)
        browser.close()
        server.shutdown()
    assert not complaints, complaints
    report = Report("onnx_web", "Exported files in a browser", given.out)
    report.add(f"ONNX Runtime Web (WebAssembly), {about}. Scores are compared with PyTorch's.")
    report.add(table)


if __name__ == "__main__":
    main()
