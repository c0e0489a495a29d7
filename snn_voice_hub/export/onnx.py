"""A network as an ONNX graph: encoded input in, summed logits out, all time steps inside.

PyTorch's exporter translates everything but the neurons, which it leaves as one node a layer; those are
unrolled here. So the export takes a second or two however many steps there are, and the steps are the few
operations that a runtime has fast kernels for.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from snn_voice_hub._version import __version__
from snn_voice_hub.errors import SnnVoiceError, needs_extra
from snn_voice_hub.export.neurons import expand_neurons, widen_convolutions
from snn_voice_hub.export.traced import AllSteps, AnySteps, OneStep
from snn_voice_hub.export.tracing import tracing
from snn_voice_hub.features import Features
from snn_voice_hub.hub.weights import broken_weight
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.tensors import FLOAT32, tensors_of
from snn_voice_hub.writing import check_target, write_whole

if TYPE_CHECKING:
    import onnx

# The exporter's own set, which it need not convert.
OPSET = 18
_PACKAGES = ("onnx", "onnx_ir", "onnxscript", "onnxruntime")
_LARGEST = "largest_tensor"


def export_extra(what: str) -> contextlib.AbstractContextManager[None]:
    """Around imports that need the extra `[export]`; see `needs_extra`."""
    return needs_extra(what, "export", "onnx, onnxscript and onnxruntime", _PACKAGES)


def export_network(
    network: Network,
    path: str | os.PathLike[str] | None = None,
    *,
    clip_shape: Sequence[int] | None = None,
) -> onnx.ModelProto:
    """Make an ONNX graph of a network.

    The graph's input `input` is what `network.encoded` gives: `[1, B, 1, ...]`, or `[T, B, 1, ...]` under an
    encoding that gives each step another input; a network on frames has as many as they make. Its output
    `logits` is `[B, C]`, summed over the steps. The batch B is free, everything else is fixed; weights and
    computation are float32, and batch norm is folded into the convolutions.

    Args:
        network: The network; exported as in evaluation mode.
        path: Where to write the graph; None to have it in memory alone.
        clip_shape: Shape of one clip's features without batch and channel, such as `(60, 134)`; by default
            that of the network's own front end.

    Returns:
        The graph.

    Raises:
        ConfigError: The network can't take clips of that shape.
        MissingExtraError: The extra `[export]` is not installed.
        SnnVoiceError: The exporter can't translate the network, or the graph can't be written.
    """
    with export_extra("export to ONNX"):  # the exporter would raise an error of its own
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401

    shape = default_clip_shape(network) if clip_shape is None else tuple(clip_shape)
    network = plain_copy(network)
    clips = torch.zeros(2, 1, *shape, **FLOAT32)
    network.check_features(clips)
    if isinstance(network, Framed):
        example = network.encoded(clips)
    else:
        example = clips.expand(_input_steps(network), *clips.shape).contiguous()
    model, largest = graph_of(
        AllSteps(network),
        (example,),
        free=({1: "batch"},),
        names=("input", "logits"),
        title=type(network).__name__,
    )
    describe(model, {"architecture": type(network).__name__, _LARGEST: str(largest)} | neuron_facts(network))
    if path is not None:
        write_whole(check_target(path), model.SerializeToString())
    return model


def export_step(network: Framed, *, at_once: bool = False) -> onnx.ModelProto:
    """Make an ONNX graph of one step of a network on frames.

    Its inputs are `frames` `[B, 1, n_mels, frames_per_step]` and `state` `[B, n]`, zeros where a stream
    begins; its outputs are `logits` `[B, C]` of this step and `next_state`, laid out by `state_layout`.

    Args:
        network: The network; exported as in evaluation mode.
        at_once: Take any number of steps in a run, at least one: `frames` are then
            `[T, B, 1, n_mels, frames_per_step]`, and `logits` `[T, B, C]`.

    Returns:
        The graph.

    Raises:
        MissingExtraError: The extra `[export]` is not installed.
        SnnVoiceError: The exporter can't translate the network.
    """
    with export_extra("export to ONNX"):
        import onnxscript  # noqa: F401  # the exporter would raise an error of its own

    network = cast(Framed, plain_copy(network))
    frames = torch.zeros(2, 1, network.min_shape[0], network.frames_per_step, **FLOAT32)
    if at_once:
        frames = frames.expand(3, *frames.shape).contiguous()
    model, largest = graph_of(
        (AnySteps if at_once else OneStep)(network),
        (frames, torch.zeros(2, network.state_size(), **FLOAT32)),
        free=({0: "steps", 1: "batch"} if at_once else {0: "batch"}, {0: "batch"}),
        names=("frames", "state", "logits", "next_state"),
        title=type(network).__name__,
    )
    if at_once:
        for value in (model.graph.input[0], model.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_param = "steps"
    describe(model, {"architecture": type(network).__name__, _LARGEST: str(largest)} | neuron_facts(network))
    return model


def graph_of(
    module: nn.Module,
    examples: tuple[Tensor, ...],
    *,
    free: Sequence[Mapping[int, str]],
    names: Sequence[str],
    title: str,
) -> tuple[onnx.ModelProto, int]:
    """A module as a graph, with its neurons unrolled.

    Args:
        module: A module on the CPU, whose networks are run by what is in `traced`.
        examples: Its inputs for two clips.
        free: The axes of each that stay free, and what they are: "batch", or "steps".
        names: Of the inputs, then of the outputs.
        title: What it is, for messages.

    Returns:
        The graph, and the values in its largest tensor between two layers for one clip.

    Raises:
        SnnVoiceError: The exporter can't translate it.
    """
    with tracing():
        try:
            model = _trace(module, examples, free, names)
            largest = _largest_tensor(model)
            expand_neurons(model)
            widen_convolutions(model)
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise SnnVoiceError(
                f"{title} can't be exported to ONNX: {reason}", code="not_exportable"
            ) from error
    return model, largest


def default_clip_shape(network: Network) -> tuple[int, ...]:
    """Shape of one clip's features, without batch and channel, after the network's own front end."""
    loaded = network._loaded_config
    config = network.default_features if loaded is None else loaded.features
    return tuple(Features(config)(torch.zeros(1, config.num_samples, **FLOAT32)).shape[2:])


def largest_tensor(model: onnx.ModelProto) -> int:
    """Values in the largest tensor between two layers, all steps together, for one clip."""
    return int({prop.key: prop.value for prop in model.metadata_props}[_LARGEST])


def _largest_tensor(model: onnx.ModelProto) -> int:
    largest = 1
    for value in (*model.graph.input, *model.graph.value_info):
        dims = value.type.tensor_type.shape.dim
        if any(dim.dim_param for dim in dims):  # else it is a weight
            largest = max(largest, math.prod(dim.dim_value for dim in dims if not dim.dim_param))
    del model.graph.value_info[:]  # some of these tensors will not be there any more
    return largest


def _input_steps(network: Network) -> int:
    if not isinstance(network, SpikingNetwork) or network.encoding == "repeat":
        return 1
    return network.num_steps


def plain_copy(network: Network) -> Network:
    """A copy that is ready for the exporter; it shares the tensors that are.

    A copy, since the exporter puts tensors without values into the modules while it traces: another thread
    may be running the network.

    Raises:
        SnnVoiceError: A weight is NaN or infinite.
    """
    tensors = list(tensors_of(network))
    if broken := broken_weight(network):
        what = f"{type(network).__name__} can't be exported: {broken}"
        raise SnnVoiceError(what, code="not_exportable")
    ready = not network.training and all(
        tensor.device.type == "cpu"
        and not tensor.is_inference()
        and (tensor.dtype == torch.float32 or not tensor.is_floating_point())
        for tensor in tensors
    )
    shared: dict[int, object] = {id(tensor): tensor for tensor in tensors} if ready else {}
    with torch.inference_mode(False):
        twin = copy.deepcopy(network, shared)
        return twin if ready else twin.to("cpu", torch.float32).eval()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the exporter says about its own workings, and about packages that are not there."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _trace(
    module: nn.Module,
    examples: tuple[Tensor, ...],
    free: Sequence[Mapping[int, str]],
    names: Sequence[str],
) -> onnx.ModelProto:
    dims = {name: torch.export.Dim(name) for axes in free for name in axes.values()}
    with _quiet():
        program = torch.export.export(
            module,
            examples,
            dynamic_shapes=tuple({axis: dims[name] for axis, name in axes.items()} for axes in free),
            strict=False,
        )
        exported = torch.onnx.export(
            program,
            (),
            dynamo=True,
            verbose=False,
            optimize=True,
            opset_version=OPSET,
            custom_translation_table={torch.ops.aten._adaptive_avg_pool2d.default: _adaptive_average},
            input_names=list(names[: len(examples)]),
            output_names=list(names[len(examples) :]),
        )
    assert exported is not None
    model: onnx.ModelProto = exported.model_proto
    return model


def _adaptive_average(x: Any, size: Sequence[int]) -> Any:
    """Adaptive average pooling as two products with matrices; the exporter makes a gather of each corner."""
    from onnxscript import opset18

    rows, columns = (averages(int(n), m) for n, m in zip(x.shape[-2:], size, strict=True))
    right = opset18.Constant(value=_tensor(columns.T))
    return opset18.MatMul(opset18.Constant(value=_tensor(rows)), opset18.MatMul(x, right))


def averages(size: int, out: int) -> Tensor:
    """The matrix `[out, size]` that averages as `nn.AdaptiveAvgPool1d` does."""
    matrix = torch.zeros(out, size, **FLOAT32)
    for i in range(out):
        first, end = i * size // out, -(-(i + 1) * size // out)
        matrix[i, first:end] = 1 / (end - first)
    return matrix


def _tensor(matrix: Tensor) -> onnx.TensorProto:
    from onnx import numpy_helper

    return numpy_helper.from_array(matrix.contiguous().numpy())


def neuron_facts(network: Network) -> dict[str, str]:
    """What a graph's metadata say of a network's steps and neurons; nothing of a CNN that hears windows."""
    facts = {}
    if isinstance(network, SpikingNetwork):
        facts = {"num_steps": str(network.num_steps), "encoding": network.encoding, "reset": network.reset}
    if isinstance(network, Framed):
        facts |= {"num_steps": str(network.num_steps), "frames_per_step": str(network.frames_per_step)}
    return facts


def describe(model: onnx.ModelProto, facts: dict[str, str]) -> None:
    """Write who made a graph, its metadata, and the names of its free axes; nothing of this machine stays."""
    from onnx import helper

    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")  # stack traces, with the paths of this machine

    model.producer_name, model.producer_version = "snn-voice-hub", __version__
    helper.set_model_props(model, facts)
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param not in ("", "steps"):
                dim.dim_param = "batch"
