"""What a spiking network's `layers` does, as a list of operations.

`layers` is run once on tensors that have a shape and no values, and that write down every function of PyTorch
they are given to. Nothing is patched, neither PyTorch nor the network, so that any thread may trace while
others run modules; what a module really does is seen (a hook, a subclass's own `forward`), not what its class
suggests.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import OverBatch, Pass, SpikingNetwork, over_time

# A prime, so that no product of other sizes is mistaken for the batch.
_MANY = 1009
# Arguments that are the same where they are equal; of others, only an object itself is the same.
_PLAIN = (int, float, str, slice, torch.dtype, torch.device)
# What a tensor says about where it is: that it has no values is nobody's business.
_ABOUT: dict[object, object] = {
    cast(Any, Tensor.device).__get__: torch.device("cpu"),
    cast(Any, Tensor.is_cpu).__get__: True,
    cast(Any, Tensor.is_meta).__get__: False,
}


class Untraceable(Exception):  # noqa: N818  # no error: whoever traces has another way
    """`layers` does what can't be written down; the message says what."""


class BadShape(Untraceable):
    """PyTorch refuses input of that shape; the message is its own."""


@dataclass(eq=False)
class Operation:
    """One call of a function.

    Attributes:
        function: What is called; None for the input. `fire` stands for a layer of neurons.
        args: Its arguments; an `Operation` stands for its value.
        kwargs: Those given by name.
        shape: Of its value; empty where that is several tensors.
        dtype: Of its value.
        module: Path of the innermost module of the network in which it is called.
        readers: The operations that read its value.
    """

    function: Callable[..., Any] | None
    args: tuple[Any, ...] = field(repr=False)
    kwargs: dict[str, Any] = field(repr=False)
    shape: tuple[int, ...]
    dtype: torch.dtype | None
    module: str
    readers: list[Operation] = field(default_factory=list, repr=False)

    @property
    def inputs(self) -> list[Operation]:
        """The operations whose values it reads."""
        return [leaf for leaf in pytree.tree_leaves((self.args, self.kwargs)) if isinstance(leaf, Operation)]


@dataclass(frozen=True)
class Trace:
    """The operations of a network in their order.

    Attributes:
        operations: All of them; the first is the input.
        output: The one whose value `layers` returns.
        clips: In the batch that was traced. No other size in it is a multiple of this one by chance.
    """

    operations: list[Operation]
    output: Operation
    clips: int


def fire(lif: Lif, x: Tensor) -> Tensor:
    """Stands for a layer of neurons in a list of operations; whoever reads the list knows what to do."""
    raise NotImplementedError


def past(x: Tensor, count: int) -> Tensor:
    """Stands for `Pass.with_past` in a list of operations."""
    raise NotImplementedError


def trace(network: SpikingNetwork, shape: Sequence[int], *, summed: bool = False) -> Trace:
    """The operations of a network on input of one shape, for any number of clips.

    Args:
        network: The network, in evaluation mode, on the CPU. It is not changed.
        shape: Of the encoded input without the batch: `[T or 1, 1, ...]`; of a network on frames T is free.
        summed: Whether the pass wants the sum over the steps alone; see `Pass`.

    Returns:
        The trace.

    Raises:
        BadShape: The layers can't take that shape.
        Untraceable: They do what can't be followed: a branch on values, a change in place, tensors that are
            neither weights nor made of the input, or what differs with the number of clips.
    """
    one, many = (_Recorder(network).run(shape, clips, summed) for clips in (1, _MANY))
    if len(one.operations) != len(many.operations):
        raise Untraceable("its operations differ with the number of clips")
    index = {op: i for i, op in enumerate(one.operations)} | {op: i for i, op in enumerate(many.operations)}
    for a, b in zip(one.operations, many.operations, strict=True):
        if not _alike(a, b, index):
            raise Untraceable(f"{name_of(b)} is called otherwise for another number of clips")
    if index[one.output] != index[many.output]:
        raise Untraceable("its output differs with the number of clips")
    return many


def name_of(op: Operation) -> str:
    """What an operation is called, for messages."""
    return "its input" if op.function is None else str(getattr(op.function, "__name__", op.function))


def _alike(a: Operation, b: Operation, index: dict[Operation, int]) -> bool:
    """Whether two operations are the same but for the batch in their shapes."""
    (left, form), (right, other) = (pytree.tree_flatten((op.args, op.kwargs)) for op in (a, b))
    if a.function != b.function or form != other or a.dtype != b.dtype:
        return False
    for x, y in zip(left, right, strict=True):
        if isinstance(x, Operation) or isinstance(y, Operation):
            if index.get(x, -1) != index.get(y, -2):
                return False
        elif x is not y and not (isinstance(x, _PLAIN) and type(x) is type(y) and x == y):
            return False
    return len(a.shape) == len(b.shape) and all(
        m in (n, n * _MANY) for n, m in zip(a.shape, b.shape, strict=True)
    )


class _Recorder:
    """One run of `layers`."""

    def __init__(self, network: SpikingNetwork) -> None:
        self._network = network
        self._own = {id(t): t for t in (*network.parameters(), *network.buffers())}
        self._paths = {id(module): path for path, module in network.named_modules()}
        self._bare: dict[int, Tensor] = {}  # the network's tensors without their values
        self._operations: list[Operation] = []

    def run(self, shape: Sequence[int], clips: int, summed: bool) -> Trace:
        # Outside inference mode, where PyTorch counts the changes in place.
        with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
            bare = torch.empty((shape[0], clips, *shape[1:]), dtype=torch.float32, device="meta")
            x = self._wrap(bare, None, (), {}, "")
            try:
                steps = shape[0] if isinstance(self._network, Framed) else self._network.num_steps
                out = self._network.layers(x, _RecordingPass(self, steps, summed))
            except Untraceable:
                raise
            except Exception as error:
                line = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise BadShape(line) from error
        if not isinstance(out, _RecordedTensor):
            raise Untraceable("its output is not made of its input")
        return Trace(self._operations, out.operation, clips)

    def fire(self, lif: Lif, x: _RecordedTensor, num_steps: int) -> Tensor:
        bare = torch.empty((num_steps, *x.bare.shape[1:]), dtype=x.bare.dtype, device="meta")
        return self._wrap(bare, fire, (lif, x), {}, self._paths.get(id(lif), ""))

    def past(self, x: _RecordedTensor, count: int) -> Tensor:
        bare = torch.empty((count + x.shape[0], *x.bare.shape[1:]), dtype=x.bare.dtype, device="meta")
        return self._wrap(bare, past, (x, count), {})

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if function in _ABOUT:
            return _ABOUT[function]
        leaves, form = pytree.tree_flatten((args, kwargs))
        bare = [self._without_values(leaf) for leaf in leaves]
        tensors = [leaf for leaf in bare if isinstance(leaf, Tensor)]
        versions = [tensor._version for tensor in tensors]
        plain_args, plain_kwargs = pytree.tree_unflatten(bare, form)
        with torch._C.DisableTorchFunctionSubclass():
            try:
                out = function(*plain_args, **plain_kwargs)
            except Exception as error:
                if function in _VALUES or isinstance(error, NotImplementedError):
                    raise Untraceable(f"{getattr(function, '__name__', function)} asks for values") from error
                raise
        if [tensor._version for tensor in tensors] != versions:
            raise Untraceable(f"{getattr(function, '__name__', function)} changes a tensor in place")
        if isinstance(out, Tensor):
            return self._wrap(out, function, args, kwargs)
        if isinstance(out, tuple | list) and any(isinstance(part, Tensor) for part in out):
            whole = self._note(function, args, kwargs, (), None, self._caller())
            parts = [
                self._wrap(part, operator.getitem, (whole, i), {}) if isinstance(part, Tensor) else part
                for i, part in enumerate(out)
            ]
            return type(out)(parts)  # those with names keep them
        return out

    def _without_values(self, leaf: Any) -> Any:
        if isinstance(leaf, _RecordedTensor):
            return leaf.bare
        if not isinstance(leaf, Tensor):
            return leaf
        if id(leaf) not in self._own:
            raise Untraceable("it uses a tensor that is neither a weight nor made of its input")
        if id(leaf) not in self._bare:
            self._bare[id(leaf)] = torch.empty_strided(
                leaf.shape, leaf.stride(), dtype=leaf.dtype, device="meta"
            )
        return self._bare[id(leaf)]

    def _wrap(
        self,
        bare: Tensor,
        function: Callable[..., Any] | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        module: str | None = None,
    ) -> Tensor:
        recorded = bare.as_subclass(_RecordedTensor)
        recorded.bare, recorded.recorder = bare, self
        where = self._caller() if module is None else module
        recorded.operation = self._note(function, args, kwargs, tuple(bare.shape), bare.dtype, where)
        return recorded

    def _note(
        self,
        function: Callable[..., Any] | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        shape: tuple[int, ...],
        dtype: torch.dtype | None,
        module: str,
    ) -> Operation:
        args, kwargs = pytree.tree_map(
            lambda leaf: leaf.operation if isinstance(leaf, _RecordedTensor) else leaf, (args, kwargs)
        )
        op = Operation(function, args, kwargs, shape, dtype, module)
        for source in op.inputs:
            source.readers.append(op)
        self._operations.append(op)
        return op

    def _caller(self) -> str:
        """Path of the innermost of the network's modules that is at work."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code is not _Recorder.run.__code__:
            path: str | None = self._paths.get(id(frame.f_locals.get("self")))
            if path is not None:
                return path
            frame = frame.f_back
        return ""


class _RecordedTensor(Tensor):
    """A tensor without values that writes down what is done with it."""

    bare: Tensor
    operation: Operation
    recorder: _Recorder

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """See `torch.overrides`."""
        leaves = pytree.tree_leaves((args, kwargs or {}))
        first = next((leaf for leaf in leaves if isinstance(leaf, _RecordedTensor)), None)
        if first is None:
            raise Untraceable(f"{getattr(func, '__name__', func)} hides what it reads")
        return first.recorder.call(func, args, kwargs or {})


class _RecordingPass(Pass):
    def __init__(self, recorder: _Recorder, num_steps: int, summed: bool) -> None:
        super().__init__(num_steps, summed=summed)
        self._recorder = recorder

    def fire(
        self, name: str, lif: Lif, x: Tensor, then: OverBatch | None = None, *, steps: int | None = None
    ) -> Tensor:
        """See `Pass.fire`."""
        count = self.num_steps if steps is None else steps
        self._check_fires_once(name)
        if type(lif) is not Lif:
            raise Untraceable(f"the neurons of {name} are a {type(lif).__name__}")
        if not isinstance(x, _RecordedTensor):
            raise Untraceable(f"the current of {name} is not made of the input")
        if x.ndim < 2 or x.shape[0] not in (1, count):
            raise BadShape(f"{name} gets {x.shape[0]} steps of a current, where there are {count}")
        spk = self._recorder.fire(lif, x, count)
        return spk if then is None else over_time(then, spk)

    def with_past(self, name: str, x: Tensor, count: int) -> Tensor:
        """See `Pass.with_past`."""
        if not isinstance(x, _RecordedTensor):
            raise Untraceable(f"what {name} looks back at is not made of the input")
        return self._recorder.past(x, count) if count else x


# Functions that are about values, which a branch or an index would depend on.
_VALUES: frozenset[object] = frozenset(
    (
        *(Tensor.__bool__, Tensor.__float__, Tensor.__int__, Tensor.__index__, Tensor.__complex__),
        *(Tensor.item, Tensor.tolist, Tensor.numpy, Tensor.__array__, Tensor.cpu, Tensor.to),
        *(Tensor.is_nonzero, Tensor.equal, Tensor.nonzero, Tensor.unique, Tensor.__contains__),
    )
)
