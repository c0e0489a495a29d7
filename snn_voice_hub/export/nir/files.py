"""Networks in the Neuromorphic Intermediate Representation (NIR), written and read back.

The standard's neurons are reset to a value; ours subtract. So the rule stands in the metadata of each neuron
(`neurons="lif"`), or is said by nodes that every reader of the standard runs alike (`neurons="parts"`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
from pathlib import Path

import torch
from torch import Tensor

from snn_voice_hub._version import __version__
from snn_voice_hub.config import VoiceConfig, check_choice
from snn_voice_hub.errors import SnnVoiceError, needs_extra
from snn_voice_hub.export.agreement import Agreement, agreement
from snn_voice_hub.export.names import FORMS
from snn_voice_hub.export.nir.building import Builder
from snn_voice_hub.export.nir.frames import FramesBuilder
from snn_voice_hub.export.nir.graph import GraphBuilder
from snn_voice_hub.export.nir.module import NirNetwork
from snn_voice_hub.export.nir.nodes import DT
from snn_voice_hub.export.onnx import plain_copy
from snn_voice_hub.export.whole import graph_inputs
from snn_voice_hub.install import UPGRADE
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import FramedSNN
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.writing import check_target, write_whole

# Of the spikes on the built-in signals, so many are the network's own, or the file is not written.
LEAST_EQUAL = 0.999
# Of the layout of the metadata.
FORMAT = 1


def _extra(what: str) -> contextlib.AbstractContextManager[None]:
    return needs_extra(what, "export", "nir", ("nir", "h5py"))


@dataclasses.dataclass(frozen=True)
class ExportedNir:
    """What was written.

    Attributes:
        path: The file.
        size: Its bytes.
        equal_spikes: Share of the neurons and steps in which the file, read back, spikes as the network, on
            the built-in signals.
        agreement: How its logits compare on them.
    """

    path: Path
    size: int
    equal_spikes: float
    agreement: Agreement


def export_nir(
    network: Network, config: VoiceConfig, path: str | os.PathLike[str], *, neurons: str | None = None
) -> ExportedNir:
    """Write a network as a NIR graph, read it back, and compare.

    The graph takes the features of one clip and step; what it gives are the logits of that step. Front end,
    encoding, number of steps, reset rule and labels are in its metadata. Of a network on frames it takes the
    next frames, one after the other; see `frames` for its steps.

    Args:
        network: The network; exported as in evaluation mode.
        config: The model's configuration.
        path: The file (HDF5).
        neurons: "lif": one `LIF` node (or `IF`) a layer, with the rule of its reset in its metadata, which
            importers of others do not read. "parts": a leaky integrator, a threshold, and an edge back that
            subtracts: the same by the standard's own equations. None: "lif", but "parts" for networks on
            frames some of whose layers step more rarely than others.

    Raises:
        ConfigError: `neurons` is not legal.
        MissingExtraError: The extra `[export]` is not installed.
        SnnVoiceError: NIR can't say the network, or the file can't be written.
    """
    if neurons is not None:
        check_choice("neurons", neurons, FORMS)
    with _extra("export to NIR"):
        import nir
    if not isinstance(network, SpikingNetwork):
        raise SnnVoiceError(
            f"{type(network).__name__} can't be said in NIR: it has no spiking neurons",
            hint="its spiking twin, or --to onnx",
            code="not_exportable",
        )
    target = check_target(path)
    network = plain_copy(network)
    assert isinstance(network, SpikingNetwork)
    features = graph_inputs(config, features_outside=True)
    network.check_features(features)
    facts = _facts(network, config)
    builder: Builder
    if isinstance(network, FramedSNN):
        builder = on_frames = FramesBuilder(network, features.shape[2], neurons)
        on_frames.run()
        facts |= on_frames.facts(config.features.hop_length / config.features.feature_rate)
    else:
        builder = whole = GraphBuilder(network, tuple(features.shape[2:]), neurons or "lif")
        whole.run()
    try:
        graph = nir.NIRGraph(builder.nodes, builder.edges, metadata=facts | {"neurons": builder.form})
    except ValueError as error:
        raise SnnVoiceError(
            f"{type(network).__name__} can't be said in NIR: {error}", code="not_exportable"
        ) from error
    file = io.BytesIO()
    nir.write(file, graph)
    found = compare(network, NirNetwork(nir.read(file)).eval(), features)
    equal, agreed = found.equal / max(1, found.neurons), agreement(found.logits, found.expected)
    if equal < LEAST_EQUAL:
        raise SnnVoiceError(
            f"the graph does not spike as the network does: {equal:.2%} of the spikes are equal",
            code="not_equal",
        )
    content = file.getvalue()
    write_whole(target, content)
    return ExportedNir(target, len(content), equal, agreed)


def load(path: str | os.PathLike[str], *, reset: str | None = None) -> NirNetwork:
    """Read a NIR file of this library as a module that runs.

    Args:
        path: The file.
        reset: "zero" to run `LIF` nodes by the letter of the standard, as importers do that do not read our
            metadata; None for the rule that stands there.

    Returns:
        Features in, spikes and logits out; in evaluation mode.

    Raises:
        ConfigError: `reset` is not legal.
        MissingExtraError: The extra `[export]` is not installed.
        SnnVoiceError: Not a NIR file, not one of this library, or a node that is not known here.
    """
    if reset is not None:
        check_choice("reset", reset, ("zero",))
    with _extra("reading NIR"):
        import nir
    try:
        graph = nir.read(path)
    except FileNotFoundError as error:
        raise SnnVoiceError(f"{os.fspath(path)} does not exist") from error
    except Exception as error:  # HDF5, the package's own checks, assertions among them
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SnnVoiceError(f"{os.fspath(path)} is no readable NIR file: {reason}") from error
    if not isinstance(graph, nir.NIRGraph) or "snn_voice_hub_format" not in graph.metadata:
        raise SnnVoiceError(
            f"{os.fspath(path)} is not a NIR file of this library: its metadata lack the number of "
            "steps, the reset rule and the labels",
            hint="snn-voice export MODEL --to nir writes one; nirtorch.nir_to_torch reads others",
        )
    try:
        newer = int(graph.metadata["snn_voice_hub_format"]) > FORMAT
    except (TypeError, ValueError) as error:
        raise SnnVoiceError(f"{os.fspath(path)}: the graph's metadata are damaged: {error}") from error
    if newer:
        raise SnnVoiceError(f"{os.fspath(path)} was written by a newer release", hint=UPGRADE)
    return NirNetwork(graph, reset=reset).eval()


def _facts(network: SpikingNetwork, config: VoiceConfig) -> dict[str, str | int | float]:
    return {
        "snn_voice_hub_format": FORMAT,
        "made_by": f"snn-voice-hub {__version__}",
        "name": config.name,
        "license": config.license,
        "architecture": type(network).__name__,
        "num_steps": network.num_steps,
        "encoding": network.encoding,
        "reset": network.reset,
        "dt": DT,
        "logits": "the output of all steps, summed",
        "temperature": config.temperature,
        "labels": json.dumps(config.labels, ensure_ascii=False),
        "features": json.dumps(dataclasses.asdict(config.features)),
    }


@dataclasses.dataclass(frozen=True)
class Compared:
    """A network and a graph on the same features.

    Attributes:
        equal: Neurons and steps in which both spike, or neither does.
        neurons: All of them.
        logits: The graph's, `[B, C]`.
        expected: The network's.
    """

    equal: int
    neurons: int
    logits: Tensor
    expected: Tensor


def compare(network: SpikingNetwork, read: NirNetwork, features: Tensor) -> Compared:
    """Run a network and a graph of it, and count the spikes that are equal.

    Args:
        network: The network, in evaluation mode.
        read: What `load` gave.
        features: `[B, 1, ...]`.
    """
    equal, count = 0, 0
    seeds = range(len(features))
    spikes: dict[str, Tensor] = {}

    def keep(name: str, tensor: Tensor) -> None:
        if not name.endswith(".mem"):
            spikes[name] = tensor > 0

    def count_equal(name: str, tensor: Tensor) -> None:
        nonlocal equal, count
        equal += int((spikes.pop(name).flatten() == (tensor > 0).flatten()).sum())
        count += tensor.numel()

    with torch.inference_mode(False), torch.no_grad():
        # Of a network on frames there may be more outputs than those that make an answer.
        newest = slice(-network.num_steps, None)
        expected = network.forward_steps(features, tap=keep, clip_seeds=seeds)[newest].sum(0)
        logits = read.forward_steps(features, tap=count_equal, clip_seeds=seeds)[newest].sum(0)
    # A layer that the graph lacks has no equal spikes.
    count += sum(tensor.numel() for tensor in spikes.values())
    return Compared(equal, count, logits, expected)
