"""A model as one file for `snn_voice_lite`, which runs it without PyTorch."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from typing import Any

import torch
from snn_voice_lite.facts import FRAMES, KEY, MADE_FROM, WINDOWS, FramesText, LiteConfig, front_end_text
from snn_voice_lite.streaming.detector import UNTUNED
from snn_voice_lite.voice import Voice
from torch import Tensor

from snn_voice_hub._version import __version__
from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.export.onnx import plain_copy
from snn_voice_hub.export.step import step_file
from snn_voice_hub.export.whole import Exported, compared, graph_inputs, onnx_file
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.writing import check_target, write_whole

# Of the figures in `metrics.test` of a configuration.
_FIGURES = ("top1", "top5")


def export_lite(
    network: Network, config: VoiceConfig, path: str | os.PathLike[str], *, int8: bool = False
) -> Exported:
    """Write a model as a lite file: an ONNX graph whose metadata say all that its runtime needs.

    Networks that hear windows are the graph of `export_onnx`. Those on frames are that of `export_onnx_step`,
    of any number of steps where that can be traced. Before it is written, `snn_voice_lite` runs it, and is
    compared with PyTorch.

    Args:
        network: The network; exported as in evaluation mode, in float32.
        config: The model's configuration.
        path: The file.
        int8: Keep the weights as int8 with a scale for each channel; computation stays in float32.

    Raises:
        MissingExtraError: The extra `[export]` is not installed.
        SnnVoiceError: The model can't be exported, the file does not answer as PyTorch does, or it can't be
            written.
    """
    target = check_target(path)
    network = plain_copy(network)
    made_from = {MADE_FROM: source_of(network, config)}
    if isinstance(network, Framed):
        content = _frames_file(network, config, made_from, int8=int8)
    else:
        more = {KEY: told(network, config).text()} | made_from
        content, _ = onnx_file(network, config, int8=int8, more=more)
    voice = Voice.from_bytes(content)

    def run(waveforms: Tensor) -> Tensor:
        return torch.from_numpy(voice.logits(waveforms.numpy()))

    agreed = compared(network, config, run, graph_inputs(config), exact=not int8)
    write_whole(target, content)
    return Exported(target, len(content), agreed)


def _frames_file(network: Framed, config: VoiceConfig, made_from: dict[str, str], *, int8: bool) -> bytes:
    """Of a network on frames: a graph of any number of steps, or of one where that can't be traced."""
    for at_once in (True, False):
        more = {KEY: told(network, config, at_once=at_once).text()} | made_from
        try:
            return step_file(network, config, int8=int8, more=more, at_once=at_once)[0]
        except SnnVoiceError as error:
            if not at_once or error.code != "not_exportable":
                raise
    raise AssertionError


def told(network: Network, config: VoiceConfig, *, at_once: bool = True) -> LiteConfig:
    """What the file says of its model.

    Args:
        network: The network.
        config: Of the model.
        at_once: Of a network on frames: whether a run of the graph takes several steps.
    """
    c = config.features
    test = config.metrics.get("test")
    figures: dict[str, Any] = test if isinstance(test, dict) else {}
    frames = None
    if isinstance(network, Framed):
        facts = network.facts()
        frames = FramesText(
            frames_per_step=facts.frames_per_step,
            lead_frames=facts.lead_frames,
            num_steps=facts.num_steps,
            state_size=facts.state_size,
            step_seconds=facts.step_samples(c) / c.sample_rate,
            features=front_end_text(c),
            at_once=at_once,
            neurons=list(facts.neurons),
        )
    return LiteConfig(
        kind=WINDOWS if frames is None else FRAMES,
        labels=config.labels,
        sample_rate=c.sample_rate,
        num_samples=c.num_samples,
        temperature=config.temperature,
        detection=config.detection or UNTUNED,
        name=config.name,
        architecture=type(network).__name__,
        license=config.license,
        made_by=f"snn-voice-hub {__version__}",
        metrics={name: figures[name] for name in _FIGURES if name in figures},
        frames=frames,
        format_version=2 if frames is not None and at_once else 1,
    )


def source_of(network: Network, config: VoiceConfig) -> str:
    """A hash of the weights and facts that a file is made from; with another one it is out of date."""
    digest = hashlib.sha256(dataclasses.replace(told(network, config), made_by="").text().encode())
    for name, tensor in sorted(network.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {list(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
