"""docs/hub-library.md: the entry that is to be proposed for the Hub's list of libraries."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from snn_voice_hub.config import LIBRARY_NAME
from tests.hub.publishing import folder, push
from tests.places import ROOT
from tests.sandbox.helpers import Sandbox

__all__ = ["folder"]

ENTRY, SNIPPET = re.findall(r"```ts\n(.*?)```", (ROOT / "docs" / "hub-library.md").read_text(), re.DOTALL)
# What the Hub counts where a library has no rule of its own.
COUNTED = ("config.json", "config.yaml", "hyperparams.yaml", "params.json", "meta.yaml")


def test_the_key_is_what_cards_say() -> None:
    assert re.match(r'\t"([\w-]+)": \{\n', ENTRY)[1] == LIBRARY_NAME  # type: ignore[index]
    (name,) = re.findall(r"snippets\.(\w+)", ENTRY)
    assert f"export const {name} = (model: ModelData): string[] => [" in SNIPPET
    assert "filter: false" in ENTRY
    assert "countDownloads" not in ENTRY


def test_the_snippet_runs_and_one_file_is_counted(hub: Sandbox, folder: Path, tmp_path: Path) -> None:
    push(hub, folder, "me/listed")
    (python,) = re.findall(r"`(.*?)`", SNIPPET, re.DOTALL)
    shutil.copy(ROOT / "examples" / "yes.wav", tmp_path / "clip.wav")
    hub.requests.clear()
    ran = hub.run(
        f"import os; os.chdir({str(tmp_path)!r})\n" + python.replace("${model.id}", "me/listed"), user=None
    )
    assert len(ran.out.splitlines()) == 3
    counts = {name: hub.count(f"/me/listed/resolve/*/{name}") for name in COUNTED}
    assert counts.pop("config.json") > 0
    assert not any(counts.values())
