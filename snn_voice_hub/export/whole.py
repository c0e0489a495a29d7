"""A whole model as one graph: waveforms in, scores out, checked before anyone gets it.

The graph holds front end, encoding, all time steps, and the softmax. What is written is first run on built-in
signals and compared with PyTorch.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from snn_voice_hub._version import __version__
from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.export.agreement import Agreement, agreement, signals
from snn_voice_hub.export.front_end import FrontEnd, encode_each
from snn_voice_hub.export.onnx import describe, export_extra, graph_of, neuron_facts, plain_copy
from snn_voice_hub.export.traced import AllSteps, ScannedPass
from snn_voice_hub.export.tracing import tracing
from snn_voice_hub.features import Features
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import Framed, in_steps
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.tensors import FLOAT32, no_autocast
from snn_voice_hub.writing import check_target, write_whole

# What is run: a batch of the graph's input -> logits.
Runner = Callable[[Tensor], Tensor]

_OUTPUTS = ("scores", "logits")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: The file.
        size: Its bytes.
        agreement: How its answers compare with PyTorch's on the built-in signals.
    """

    path: Path
    size: int
    agreement: Agreement


class Whole(nn.Module):
    """The forward pass that is exported.

    Args:
        network: The network, in evaluation mode.
        config: The model's configuration.
        run: Encoded input -> summed logits.
        features_outside: Whether the input is the features instead of waveforms.
    """

    def __init__(
        self, network: Network, config: VoiceConfig, run: nn.Module, *, features_outside: bool = False
    ) -> None:
        super().__init__()
        self.run = run
        self.front_end = nn.Identity() if features_outside else FrontEnd(config.features)
        self.temperature = config.temperature
        self.encoding, self.num_steps = "repeat", 1
        self.frames_per_step = network.frames_per_step if isinstance(network, Framed) else 0
        if isinstance(network, SpikingNetwork) and not self.frames_per_step:
            self.encoding, self.num_steps = network.encoding, network.num_steps
        # What can't be exported says so before anything is traced.
        encode_each(torch.zeros(1, 1, 1, **FLOAT32), self.encoding, self.num_steps)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and logits, both `[B, C]`, of waveforms `[B, num_samples]` or of features `[B, 1, ...]`."""
        x = self.front_end(x)
        if self.frames_per_step:
            steps = in_steps(x, self.frames_per_step)
        else:
            steps = encode_each(x, self.encoding, self.num_steps)
        logits = self.run(steps)
        return torch.softmax(logits / self.temperature, dim=-1), logits


class _Encoded(nn.Module):
    """`Network.forward_encoded` as a module."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        network = self.network
        if isinstance(network, Framed) and type(network).forward_encoded is Framed.forward_encoded:
            return network.layers(x, ScannedPass(len(x)))[-network.num_steps :].sum(0)
        return network.forward_encoded(x)


def export_onnx(
    network: Network,
    config: VoiceConfig,
    path: str | os.PathLike[str],
    *,
    features_outside: bool = False,
    int8: bool = False,
) -> Exported:
    """Write a model as an ONNX file.

    Its input `waveforms` is `[batch, num_samples]` at the model's rate, or `features` `[batch, 1, ...]`; its
    outputs are `scores` (softmax of the logits by the temperature) and `logits` (summed over the steps), both
    `[batch, classes]`. The batch is free. Labels, rate, window and temperature are in its metadata.

    Args:
        network: The network; exported as in evaluation mode, in float32.
        config: The model's configuration.
        path: The file.
        features_outside: Leave the front end out.
        int8: Keep the weights as int8 with a scale for each channel; computation stays in float32.

    Raises:
        MissingExtraError: The extra `[export]` is not installed.
        SnnVoiceError: The model can't be exported, the file does not answer as PyTorch does, or it can't be
            written.
    """
    target = check_target(path)
    content, agreed = onnx_file(network, config, features_outside=features_outside, int8=int8)
    write_whole(target, content)
    return Exported(target, len(content), agreed)


def onnx_file(
    network: Network,
    config: VoiceConfig,
    *,
    features_outside: bool = False,
    int8: bool = False,
    more: Mapping[str, str] | None = None,
) -> tuple[bytes, Agreement]:
    """The content of the file of `export_onnx`, compared with PyTorch.

    Args:
        network: See there.
        config: See there.
        features_outside: See there.
        int8: See there.
        more: Texts by name, for the metadata.

    Raises:
        MissingExtraError: See there.
        SnnVoiceError: See there.
    """
    with export_extra("export to ONNX"):
        import onnxruntime
        import onnxscript  # noqa: F401

    from snn_voice_hub.export.int8 import store_as_int8

    network = plain_copy(network)
    module = Whole(network, config, AllSteps(network), features_outside=features_outside)
    inputs = graph_inputs(config, features_outside=features_outside)
    name = "features" if features_outside else "waveforms"
    model, _ = graph_of(
        module,
        (torch.zeros_like(inputs[:2]),),
        free=({0: "batch"},),
        names=(name, *_OUTPUTS),
        title=type(network).__name__,
    )
    describe(model, facts(network, config) | {"input": name} | dict(more or {}))
    if int8:
        store_as_int8(model)
    content: bytes = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["logits"], {name: x.numpy()})[0])

    return content, compared(network, config, run, inputs, exact=not int8)


def export_torch(network: Network, config: VoiceConfig, path: str | os.PathLike[str]) -> Exported:
    """Write a model as a `torch.export` program (`.pt2`): waveforms in, `(scores, logits)` out.

    `torch.export.load(path).module()` runs it without this library. Facts as in `export_onnx` are in its
    extra file `snn_voice_hub.json`.

    Args:
        network: The network; exported as in evaluation mode, in float32.
        config: The model's configuration.
        path: The file.

    Raises:
        SnnVoiceError: As in `export_onnx`.
    """
    target = check_target(path)
    network = plain_copy(network)
    module = Whole(network, config, _Encoded(network))
    inputs = graph_inputs(config)
    with tracing():
        try:
            program = torch.export.export(
                module,
                (torch.zeros_like(inputs[:2]),),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                strict=False,
            )
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise SnnVoiceError(
                f"{type(network).__name__} can't be exported: {reason}", code="not_exportable"
            ) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it holds the paths of this machine
    loaded = program.module()

    def run(x: Tensor) -> Tensor:
        logits: Tensor = loaded(x)[1]
        return logits

    agreed = compared(network, config, run, inputs, exact=True)
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={"snn_voice_hub.json": json.dumps(facts(network, config))})
    content = file.getvalue()
    write_whole(target, content)
    return Exported(target, len(content), agreed)


def graph_inputs(config: VoiceConfig, *, features_outside: bool = False) -> Tensor:
    """The built-in signals as a graph's input."""
    waveforms = signals(config.features)
    with torch.inference_mode(False), torch.no_grad():
        return Features(config.features)(waveforms) if features_outside else waveforms


def facts(network: Network, config: VoiceConfig) -> dict[str, str]:
    """What a file says of its model."""
    c = config.features
    return {
        "made_by": f"snn-voice-hub {__version__}",
        "name": config.name,
        "architecture": type(network).__name__,
        "labels": json.dumps(config.labels, ensure_ascii=False),
        "sample_rate": str(c.sample_rate),
        "num_samples": str(c.num_samples),
        "temperature": repr(config.temperature),
        "license": config.license,
    } | neuron_facts(network)


def compared(network: Network, config: VoiceConfig, run: Runner, inputs: Tensor, *, exact: bool) -> Agreement:
    """Compare with PyTorch, in two sizes of batch.

    Args:
        network: The network, in evaluation mode, in float32 on the CPU.
        config: The model's configuration.
        run: What is compared.
        inputs: What it takes: waveforms `[n, N]`, or features.
        exact: Whether it has to be equal.

    Raises:
        SnnVoiceError: It is not.
    """
    with torch.inference_mode(False), torch.no_grad(), no_autocast(inputs.device):
        features = Features(config.features)(inputs) if inputs.ndim == 2 else inputs
        # Seeds, for encodings that look at a clip by itself or at the batch as a whole.
        seeds = range(len(features))
        expected = network.forward_encoded(network.encoded(features, seeds))
        found = agreement(torch.cat([run(inputs[:1]), run(inputs[1:])]), expected)
    if exact and not found.good:
        raise SnnVoiceError(f"the exported graph does not answer as PyTorch does: {found}", code="not_equal")
    return found
