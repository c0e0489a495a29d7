"""The one file that a browser needs of a model: its graph, and in the metadata all that is said of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import onnx
from snn_voice_lite.listening import UNTUNED

from snn_voice_hub import SnnVoice
from snn_voice_hub.export.step import export_onnx_step
from snn_voice_hub.export.whole import export_onnx
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import LEAD, Framed


def write_plain(voice: SnnVoice, path: Path) -> Path:
    """Write what a lite file is made of: a whole graph, or one step of a network on frames."""
    network = voice.network
    assert isinstance(network, Network)
    (export_onnx_step if isinstance(network, Framed) else export_onnx)(network, voice.config, path)
    return path


def write_lite(voice: SnnVoice, path: Path) -> Path:
    """Write a model's lite file."""
    return with_key(voice, write_plain(voice, path))


def with_key(voice: SnnVoice, path: Path) -> Path:
    """Write into a plain file what makes it a lite one."""
    network, config = voice.network, voice.config
    assert isinstance(network, Network)
    c = config.features
    said: dict[str, object] = {
        "format_version": 1,
        "kind": "windows",
        "name": config.name,
        "architecture": config.architecture,
        "license": config.license,
        "made_by": "tests",
        "labels": config.labels,
        "sample_rate": c.sample_rate,
        "num_samples": c.num_samples,
        "temperature": config.temperature,
        "detection": dataclasses.asdict(config.detection or UNTUNED),
        "metrics": {},
    }
    if isinstance(network, Framed):
        said["kind"] = "frames"
        said["frames"] = {
            "frames_per_step": network.frames_per_step,
            "lead_frames": LEAD,
            "num_steps": network.num_steps,
            "state_size": network.state_size(),
            "step_seconds": network.frames_per_step * c.hop_length / c.feature_rate,
            "features": dataclasses.asdict(c),
        }
    model = onnx.load(path)
    model.metadata_props.add(key="snn_voice_lite", value=json.dumps(said))
    onnx.save(model, path)
    return path
