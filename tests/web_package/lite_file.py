"""The files that a browser takes: lite files, and those that `snn-voice export` writes for any runtime."""

from __future__ import annotations

from pathlib import Path

from snn_voice_hub import SnnVoice
from snn_voice_hub.export.lite import export_lite
from snn_voice_hub.export.step import export_onnx_step
from snn_voice_hub.export.whole import export_onnx
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import Framed


def write_plain(voice: SnnVoice, path: Path) -> Path:
    """Write a whole graph, or one step of a network on frames."""
    network = voice.network
    assert isinstance(network, Network)
    (export_onnx_step if isinstance(network, Framed) else export_onnx)(network, voice.config, path)
    return path


def write_lite(voice: SnnVoice, path: Path) -> Path:
    """Write a model's lite file."""
    network = voice.network
    assert isinstance(network, Network)
    export_lite(network, voice.config, path)
    return path
