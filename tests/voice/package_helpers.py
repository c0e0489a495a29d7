"""Packages with networks of their own, laid where Python finds them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import snn_voice_hub as sv
from snn_voice_hub import packages
from snn_voice_hub.registry import get_architecture
from tests.models.registered import registry_as_before

# A network small enough to be made in no time.
NETWORK = """
import torch
from snn_voice_hub import ConvNetwork, register_architecture

class {name}(ConvNetwork):
    def build(self):
        self.fc = torch.nn.Linear(1, self.num_classes)

    def forward(self, features):
        return self.fc(features.mean(-1))
"""
REGISTERED = NETWORK.replace("\nclass", "\n@register_architecture\nclass")


def lay(folder: Path, name: str, code: str) -> Path:
    """A module, and a way to see whether it was imported: `NAME.log` beside it has a line for each time."""
    file = folder / f"{name}.py"
    log = f"open({str(folder / name)!r} + '.log', 'a').write('imported\\n')\n"
    file.write_text(log + code, encoding="utf-8")
    return file


def announce(folder: Path, name: str, version: str, *entries: str) -> None:
    """What an installer leaves of a package: its metadata, with its entry points."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("\n".join(["[snn_voice_hub.architectures]", *entries, ""]))


def imported(folder: Path, name: str) -> int:
    """How often a module that `lay` has laid was imported."""
    log = folder / f"{name}.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


@contextmanager
def fresh() -> Iterator[None]:
    """What is registered, imported and named meanwhile is forgotten afterwards."""
    known = {**sys.modules}
    packages._import_names.cache_clear()
    with registry_as_before(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        patch.setenv(packages.VARIABLE, "")
        yield
    packages._import_names.cache_clear()
    for name, module in {**sys.modules}.items():
        # Those of the test; parts of a library that were imported late stay.
        file = Path(getattr(module, "__file__", None) or "nowhere")
        if name not in known and (file.parent / f"{name}.log").exists():
            del sys.modules[name]


def saved(name: str, folder: Path) -> dict[str, Any]:
    voice = sv.SnnVoice(get_architecture(name)(num_classes=2), labels=["a", "b"])
    voice.save_pretrained(folder)
    found: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return found
