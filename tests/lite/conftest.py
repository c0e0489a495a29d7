"""Models of both kinds, by both runtimes."""

from __future__ import annotations

from pathlib import Path

import pytest
from snn_voice_lite import Voice

import snn_voice_hub as sv
from snn_voice_hub.export.lite import export_lite
from snn_voice_hub.models.base import Network
from tests.slowness import mostly_slow


def exported(name: str, folder: Path, *, int8: bool = False) -> Path:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    voice = sv.SnnVoice.from_pretrained(name, engine="torch")
    assert isinstance(voice.network, Network)
    return export_lite(voice.network, voice.config, folder / f"{name}.onnx", int8=int8).path


@pytest.fixture(
    scope="session", params=mostly_slow(["resmel-snn", "tempo-snn", "m5-snn"], "resmel-snn", "tempo-snn")
)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[sv.SnnVoice, Voice]:
    """A model by PyTorch, and by ONNX Runtime; the last one is not bundled, and is exported."""
    name: str = request.param
    lite = Voice(exported(name, tmp_path_factory.mktemp("lite")) if name == "m5-snn" else name)
    return sv.SnnVoice.from_pretrained(name, engine="torch"), lite
