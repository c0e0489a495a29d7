"""The closed table of names that a checkpoint's pickle may hold, and what stands for each of them.

Nothing here is imported because a file names it. torch's tensors become descriptions (`TensorRef`), dicts
become dicts, numpy's scalars numbers; a call of anything else becomes a `StandIn`, which keeps what the file
wanted and does nothing. What builds a value gets arguments that the file chose, so it trusts none of them,
and never copies one: a short pickle could ask for that a million times.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import torch

# torch dtype of each storage class.
STORAGES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}


class MalformedPickleError(ValueError):
    """The pickle is damaged, or no checkpoint's; for this package's own use."""


@dataclass(frozen=True, eq=False, slots=True)
class Name:
    """A name in the table, as the file wrote it: `module.attribute`."""

    name: str


@dataclass(eq=False, slots=True)
class StandIn:
    """What the file wanted to make by calling a name; it was not called.

    Attributes:
        name: The callable's name.
        args: Its arguments.
        state: What the file wanted to set as the object's attributes, where it did.
    """

    name: str
    args: tuple[object, ...]
    state: object = None


@dataclass(frozen=True, eq=False, slots=True)
class StorageRef:
    """A storage of the file: `numel` values of `dtype` under `key`; its device tag is ignored."""

    dtype: torch.dtype
    key: str
    numel: int


@dataclass(frozen=True, eq=False, slots=True)
class TensorRef:
    """A tensor of the file, not read yet; sizes and strides are not negative, nothing else is checked.

    Attributes:
        storage: Where its values are.
        offset: Its first value, in values.
        shape: Its sizes.
        stride: Its strides, in values.
    """

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


Builder = Callable[[tuple[object, ...]], object]


# --- the table ------------------------------------------------------------------------------------


def count(value: object) -> int:
    """A size, stride or offset."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise MalformedPickleError("a tensor's size, stride or offset is no whole number from 0")
    return value


def _counts(value: object) -> tuple[int, ...]:
    if type(value) is not tuple or len(value) > 64:
        raise MalformedPickleError("a tensor's sizes or strides are no short tuple")
    return tuple(map(count, value))


def _tensor(args: tuple[object, ...]) -> TensorRef:
    """`torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, ...)`."""
    if len(args) < 4 or not isinstance(args[0], StorageRef):
        raise MalformedPickleError("a tensor without a storage")
    shape, stride = _counts(args[2]), _counts(args[3])
    if len(shape) != len(stride):
        raise MalformedPickleError("a tensor whose sizes and strides differ in number")
    return TensorRef(args[0], count(args[1]), shape, stride)


def _parameter(args: tuple[object, ...]) -> TensorRef:
    """`torch._utils._rebuild_parameter(tensor, requires_grad, hooks)`: the tensor."""
    if not args or not isinstance(args[0], TensorRef):
        raise MalformedPickleError("a parameter without a tensor")
    return args[0]


def _tensor_with_attributes(args: tuple[object, ...]) -> TensorRef:
    """`torch._tensor._rebuild_from_type_v2(function, type, args, state)`: the tensor alone."""
    if len(args) == 4 and isinstance(args[0], Name) and isinstance(args[2], tuple):
        builder = TABLE.get(args[0].name)
        if builder in (_tensor, _parameter):
            found = builder(args[2])
            assert isinstance(found, TensorRef)
            return found
    raise MalformedPickleError("a tensor with attributes is not made from a tensor")


def _empty_dict(args: tuple[object, ...]) -> dict[object, object]:
    # Never a copy of an argument: a short pickle could ask for it a million times.
    if args:
        raise MalformedPickleError("a dict is made from arguments")
    return {}


def _default_dict(args: tuple[object, ...]) -> dict[object, object]:
    if len(args) > 1 or not all(isinstance(arg, Name) or arg is None for arg in args):
        raise MalformedPickleError("a defaultdict has a factory of its own")
    return {}


# numpy's kinds of scalars, as `struct` calls them.
_NUMPY_KINDS = {
    **{"b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q"},
    **{"f2": "e", "f4": "f", "f8": "d"},
}


def _numpy_scalar(args: tuple[object, ...]) -> object:
    """`numpy.core.multiarray.scalar(dtype, data)` as Python's own number; of an unusual kind, a stand-in."""
    if len(args) != 2:
        raise MalformedPickleError("a numpy scalar without its data")
    dtype, data = args
    kind = (
        dtype.args[0] if isinstance(dtype, StandIn) and dtype.name == "numpy.dtype" and dtype.args else None
    )
    # Protocol 2 has no bytes: they are a text in Latin-1.
    if isinstance(data, StandIn) and data.name == "_codecs.encode" and data.args:
        text = data.args[0]
        data = text.encode("latin-1") if isinstance(text, str) and len(text) <= 16 else None
    code = _NUMPY_KINDS.get(kind) if isinstance(kind, str) else None
    if code is None or not isinstance(data, bytes):
        return StandIn("numpy scalar", args)
    state = dtype.state if isinstance(dtype, StandIn) else None
    big = isinstance(state, tuple) and len(state) > 1 and state[1] == ">"
    value: object = struct.unpack((">" if big else "<") + code, data)[0]
    return value


def _under(module: str, names: str) -> list[str]:
    return [f"{module}.{name}" for name in names.split()]


# Names that stand for nothing but themselves; calling one makes a `StandIn`.
_INERT = [
    *STORAGES,
    *_under("torch", "Size device Tensor float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool"),
    *_under("torch.nn.parameter", "Parameter Buffer"),
    *_under("torch.optim.optimizer", "Optimizer"),
    *("torch.optim.adam.Adam", "torch.optim.adamw.AdamW", "torch.optim.sgd.SGD", "torch.optim.lbfgs.LBFGS"),
    *("torch.optim.rmsprop.RMSprop", "torch.optim.rprop.Rprop", "torch.optim.asgd.ASGD"),
    *("torch.optim.adagrad.Adagrad", "torch.optim.adadelta.Adadelta", "torch.optim.adamax.Adamax"),
    *("torch.optim.nadam.NAdam", "torch.optim.radam.RAdam", "torch.optim.sparse_adam.SparseAdam"),
    *_under("torch.optim.lr_scheduler", "LRScheduler _LRScheduler OneCycleLR CyclicLR LambdaLR StepLR"),
    *_under("torch.optim.lr_scheduler", "MultiplicativeLR MultiStepLR ConstantLR LinearLR ExponentialLR"),
    *_under("torch.optim.lr_scheduler", "PolynomialLR CosineAnnealingLR CosineAnnealingWarmRestarts"),
    *_under("torch.optim.lr_scheduler", "SequentialLR ChainedScheduler ReduceLROnPlateau"),
    *_under("snn_voice.utils.time_step_replica", "repeat_replica rate_replica latency_replica"),
    *_under("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"),
    *_under("pytorch_lightning.callbacks.early_stopping", "EarlyStopping"),
    *(
        name
        for module in ("__builtin__", "builtins")
        for name in _under(module, "getattr object set frozenset")
    ),
    *(name for module in ("__builtin__", "builtins") for name in _under(module, "list tuple int float bool")),
    *(name for module in ("__builtin__", "builtins") for name in _under(module, "str bytes complex slice")),
    *("copy_reg._reconstructor", "copyreg._reconstructor", "_codecs.encode", "typing.Any"),
    *("argparse.Namespace", "collections.deque", "datetime.datetime", "datetime.timedelta"),
    *(name for part in ("pathlib", "pathlib._local") for name in _under(part, "Path PosixPath WindowsPath")),
    *(
        name
        for p in ("pathlib", "pathlib._local")
        for name in _under(p, "PurePath PurePosixPath PureWindowsPath")
    ),
    *_under("numpy", "dtype ndarray"),
    *("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"),
    *("omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"),
    *_under("omegaconf.base", "ContainerMetadata Metadata"),
    *_under(
        "omegaconf.nodes", "AnyNode StringNode IntegerNode FloatNode BooleanNode BytesNode PathNode EnumNode"
    ),
]

TABLE: dict[str, Builder | None] = {
    **dict.fromkeys(_INERT),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _tensor_with_attributes,
    "collections.OrderedDict": _empty_dict,
    "collections.defaultdict": _default_dict,
    "__builtin__.dict": _empty_dict,
    "builtins.dict": _empty_dict,
    "pytorch_lightning.utilities.parsing.AttributeDict": _empty_dict,
    "lightning.pytorch.utilities.parsing.AttributeDict": _empty_dict,
    "lightning.fabric.utilities.data.AttributeDict": _empty_dict,
    "lightning_fabric.utilities.data.AttributeDict": _empty_dict,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
}


def unwrap(value: object) -> object:
    """What a stand-in of a plain container holds; any other value as it is.

    Args:
        value: A value of a pickle.

    Returns:
        A dict for `argparse.Namespace` and OmegaConf's `DictConfig` (its values still as the file has them),
        the value of an OmegaConf node.
    """
    if not isinstance(value, StandIn):
        return value
    state = value.state if isinstance(value.state, dict) else {}
    if value.name == "argparse.Namespace":
        return state
    if value.name in ("omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"):
        return state.get("_content")
    if value.name.startswith("omegaconf.nodes."):
        return state.get("_val")
    return value
