"""What npm would publish."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from tests.places import ROOT
from tests.web_package.helpers import WEB

README = (WEB / "README.md").read_text()
GUIDE = (ROOT / "docs" / "web.md").read_text()


@pytest.mark.skipif(not shutil.which("npm"), reason="no npm: `apt-get install npm`")
def test_content_and_size() -> None:
    done = subprocess.run(
        ["npm", "pack", "--dry-run", "--json", "--offline"],
        cwd=WEB,
        capture_output=True,
        text=True,
        check=True,
    )
    packed = json.loads(done.stdout)
    (found,) = packed if isinstance(packed, list) else packed.values()
    files = {entry["path"] for entry in found["files"]}
    sources = {str(path.relative_to(WEB)) for path in (WEB / "src").rglob("*.js")}
    assert files == sources | {"LICENSE", "README.md", "bin/fill.js", "package.json", "types/index.d.ts"}
    said = re.search(r"(\d+) kB packed", GUIDE)
    assert said
    assert found["size"] / 1000 == pytest.approx(int(said[1]), abs=2)


def test_licence() -> None:
    assert (WEB / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_each_module_is_short_and_says_what_it_is_for() -> None:
    for path in [*(WEB / "src").rglob("*.js"), *(WEB / "bin").glob("*.js")]:
        lines = path.read_text().splitlines()
        assert len(lines) < 400, path
        assert path.name == "index.js" or any(line.startswith("/**") for line in lines[:2]), path
