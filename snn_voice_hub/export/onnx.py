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
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from snn_voice_hub._version import __version__
from snn_voice_hub.errors import SnnVoiceError, needs_extra
from snn_voice_hub.export.neurons import LIF, expand_neurons, widen_convolutions
from snn_voice_hub.export.tracing import tracing
from snn_voice_hub.features import Features
from snn_voice_hub.hub.weights import broken_weight
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.lif import check_run
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import OverBatch, Pass, SpikingNetwork, over_time
from snn_voice_hub.tensors import FLOAT32, tensors_of

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
    encoding that gives each step another input. Its output `logits` is `[B, C]`, summed over the steps. The
    batch B is free, everything else is fixed; weights and computation are float32, and batch norm is folded
    into the convolutions.

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
        SnnVoiceError: The exporter can't translate the network.
    """
    with export_extra("export to ONNX"):
        import onnx
        import onnxscript  # noqa: F401  # the exporter would raise an error of its own

    shape = default_clip_shape(network) if clip_shape is None else tuple(clip_shape)
    network = plain_copy(network)
    network.check_features(torch.empty(2, 1, *shape, **FLOAT32))
    model, largest = graph_of(
        AllSteps(network),
        torch.zeros(_input_steps(network), 2, 1, *shape, **FLOAT32),
        batch_axis=1,
        names=("input", "logits"),
        title=type(network).__name__,
    )
    describe(model, {"architecture": type(network).__name__, _LARGEST: str(largest)} | neuron_facts(network))
    if path is not None:
        onnx.save(model, os.fspath(path))
    return model


def graph_of(
    module: nn.Module, example: Tensor, *, batch_axis: int, names: Sequence[str], title: str
) -> tuple[onnx.ModelProto, int]:
    """A module as a graph, with its neurons unrolled.

    Args:
        module: A module of one input, on the CPU, whose networks are run by `AllSteps`.
        example: An input of two clips.
        batch_axis: Its axis that stays free.
        names: Of the input, then of the outputs.
        title: What it is, for messages.

    Returns:
        The graph, and the values in its largest tensor between two layers for one clip.

    Raises:
        SnnVoiceError: The exporter can't translate it.
    """
    with tracing():
        try:
            model = _trace(module, example, batch_axis, names)
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


class _TracedPass(Pass):
    """Leaves each layer of neurons as one node."""

    def __init__(self, num_steps: int, neurons: dict[int, tuple[float, float]]) -> None:
        super().__init__(num_steps, summed=True)
        self._neurons = neurons

    def fire(
        self, name: str, lif: Lif, x: Tensor, then: OverBatch | None = None, *, steps: int | None = None
    ) -> Tensor:
        """See `Pass.fire`."""
        check_run(x, None, self.num_steps if steps is None else steps)
        if id(lif) not in self._neurons or steps is not None:
            return super().fire(name, lif, x, then, steps=steps)
        self._check_fires_once(name)
        beta, threshold = self._neurons[id(lif)]
        sizes = [int(size) for size in x.shape[2:]]
        pool = _max_pool(then, len(sizes) - 1)
        facts: dict[str, Any] = {
            "steps": self.num_steps,
            "beta": beta,
            "threshold": threshold,
            "before_decay": int(lif.reset == "subtract-before-decay"),
            "given": int(x.shape[0]),
            "shape": sizes,
        }
        out = sizes[1:]
        if pool is not None:
            kernel, stride = pool
            facts["pool"] = [*kernel, *stride]
            out = [(n - k) // s + 1 for n, k, s in zip(out, kernel, stride, strict=True)]
            then = None
        spk = torch.onnx.ops.symbolic(
            LIF, (x,), facts, dtype=x.dtype, shape=[self.num_steps, x.shape[1], sizes[0], *out]
        )
        return spk if then is None else over_time(then, spk)


def _max_pool(layer: OverBatch | None, dims: int) -> tuple[list[int], list[int]] | None:
    """Kernel and stride of a plain max pooling over all `dims`; None for anything else."""
    if type(layer) not in (nn.MaxPool1d, nn.MaxPool2d):
        return None
    assert isinstance(layer, nn.MaxPool1d | nn.MaxPool2d)

    def each(value: Any) -> list[int]:
        return [int(v) for v in value] if isinstance(value, tuple | list) else [int(value)] * dims

    plain = not (any(each(layer.padding)) or layer.return_indices or layer.ceil_mode)
    if not plain or any(d != 1 for d in each(layer.dilation)):
        return None
    kernel, stride = each(layer.kernel_size), each(layer.stride)
    return (kernel, stride) if len(kernel) == len(stride) == dims else None


class AllSteps(nn.Module):
    """The forward pass of a network that is traced: encoded input in, summed logits out."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        # Read before tracing, where a tensor has no value; by id, since the tracer prints what a module has.
        # Neurons of another kind are traced step by step.
        self.neurons = {
            id(lif): (float(lif.beta.detach().clamp(0, 1)), float(lif.threshold.detach()))
            for lif in network.modules()
            if type(lif) is Lif and lif.beta.numel() == lif.threshold.numel() == 1
        }

    def forward(self, x: Tensor) -> Tensor:
        """See `Network.forward_encoded`."""
        network = self.network
        if (
            isinstance(network, SpikingNetwork)
            and type(network).forward_encoded is SpikingNetwork.forward_encoded
        ):
            return network.layers(x, _TracedPass(network.num_steps, self.neurons)).sum(0)
        return network.forward_encoded(x)


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


def _trace(module: nn.Module, example: Tensor, batch_axis: int, names: Sequence[str]) -> onnx.ModelProto:
    with _quiet():
        program = torch.export.export(
            module,
            (example,),
            dynamic_shapes=({batch_axis: torch.export.Dim("batch")},),
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
            input_names=list(names[:1]),
            output_names=list(names[1:]),
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
    """What a graph's metadata say of a spiking network; nothing of a CNN."""
    if not isinstance(network, SpikingNetwork):
        return {}
    return {"num_steps": str(network.num_steps), "encoding": network.encoding, "reset": network.reset}


def describe(model: onnx.ModelProto, facts: dict[str, str]) -> None:
    """Write who made a graph, its metadata, and the name of its free axis; nothing of this machine stays."""
    from onnx import helper

    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")  # stack traces, with the paths of this machine

    model.producer_name, model.producer_version = "snn-voice-hub", __version__
    helper.set_model_props(model, facts)
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = "batch"
