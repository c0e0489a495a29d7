"""The JavaScript of the guide and of the package's README, as a reader would type it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.places import ROOT
from tests.slowness import mostly_slow
from tests.web_package.helpers import Laid, Samples

_BLOCK = re.compile(r"^```js\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_IMPORT = re.compile(r'^import (\{.*?\}) from "(.*?)";', re.MULTILINE)

# What a reader has: a file, sound in pieces, and a console.
_BEFORE = """async (sound) => {
  const samples = new Float32Array(await (await fetch(sound)).arrayBuffer());
  const header = new DataView(new ArrayBuffer(44));
  const names = [[0, 0x52494646], [8, 0x57415645], [12, 0x666d7420], [36, 0x64617461]];
  names.forEach((x) => header.setUint32(...x));
  [[16, 16], [24, 16000], [28, 32000], [40, 2 * samples.length]].forEach((x) => header.setUint32(...x, true));
  [[20, 1], [22, 1], [32, 2], [34, 16]].forEach((x) => header.setUint16(...x, true));
  const file = new File([header, Int16Array.from(samples, (x) => 32768 * x)], "yes.wav");
  const chunks = [0, 1, 2].map((i) => samples.subarray(i * 9_000, (i + 1) * 9_000));
  const told = [];
  const console = { log: (...given) => told.push(given) };
"""


@pytest.mark.parametrize("name", mostly_slow(["docs/web.md", "web/README.md"], "web/README.md"))
def test_a_reader_succeeds(opened: Any, laid: Laid, sentence: Samples, name: str) -> None:
    blocks = _BLOCK.findall((ROOT / name).read_text())
    assert blocks
    code = _IMPORT.sub(r'const \1 = await import("\2");', "\n".join(blocks))
    with opened() as page:
        told = page.evaluate(
            f"{_BEFORE}\n{code}\nawait stop(); return told; }}", laid(sentence[12_800:27_000])
        )
    first = told[0][0] if name.startswith("docs") else told[0][0][0]["label"]
    assert first == "yes"
