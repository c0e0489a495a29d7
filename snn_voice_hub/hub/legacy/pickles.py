"""Reads the pickles of untrusted checkpoints without running them.

A pickle is a program: it names callables of any installed module and calls them. Here no unpickler of
Python's or torch's is used, but a small interpreter of its instructions. A name is looked up in a closed
table (`hub.legacy.stand_ins`) and never imported; calling it makes plain data or an inert stand-in. Tensors
stay descriptions until somebody wants one.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import BinaryIO, NoReturn

from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.legacy.stand_ins import (
    STORAGES,
    TABLE,
    MalformedPickleError,
    Name,
    StandIn,
    StorageRef,
    TensorRef,
    count,
)

_MAX_PROTOCOL = 5
# Python's hash of a whole number is that number modulo 2**61 - 1: larger ones could be chosen to collide.
_MAX_KEY = 2**60


def shown(text: object) -> str:
    """A text that the file chose, fit for one line of a message."""
    return repr(str(text)[:80]).strip("'\"")


def unpickle(
    stream: BinaryIO, source: str, on_storage: Callable[[StorageRef], object] = lambda _: None
) -> object:
    """Read one pickle; nothing in it is imported or called.

    Args:
        stream: An in-memory stream at the first byte of the pickle; left behind its last.
        source: The file's name, for messages.
        on_storage: Is told of each storage that the pickle refers to.

    Returns:
        Plain values, `TensorRef`, `Name` and `StandIn`.

    Raises:
        CheckpointError: The pickle wants a name that is not in the table (code "unsafe_pickle").
        MalformedPickleError: It is damaged.
    """
    return _Interpreter(stream, source, on_storage).run()


class _Interpreter:
    """The instructions of pickle on a stack of plain values; `op_X` serves the instruction X."""

    def __init__(self, stream: BinaryIO, source: str, on_storage: Callable[[StorageRef], object]) -> None:
        self.stream = stream
        self.source = source
        self.on_storage = on_storage
        self.stack: list[object] = []
        self.below: list[list[object]] = []
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        try:
            for code, arg, _ in pickletools.genops(self.stream):
                name = _GROUP_OF.get(code.name, code.name)
                serve = getattr(self, f"op_{name}", None)
                if serve is None:
                    self.refuse(f"the pickle instruction {code.name}")
                serve(arg)
            return self.stack.pop()
        except (CheckpointError, MalformedPickleError):
            raise
        # The standard parser and the plain operations below raise nearly anything for a damaged pickle.
        except Exception as error:
            raise MalformedPickleError(f"its pickle can't be read: {shown(error)}") from error

    def refuse(self, what: str) -> NoReturn:
        raise CheckpointError(
            f"{self.source} is refused: its pickle names {what}, which no checkpoint of this kind needs; "
            "nothing of it was run",
            hint="use files of people you trust, or ask them for safetensors",
            code="unsafe_pickle",
        )

    # Names and calls.

    def name(self, module: object, attribute: object) -> Name:
        full = f"{module}.{attribute}"
        if full not in TABLE:
            self.refuse(shown(full))
        return Name(full)

    def call(self, function: object, args: object) -> object:
        if not isinstance(function, Name):
            self.refuse("a callable that it made itself")
        if not isinstance(args, tuple):
            raise MalformedPickleError("a call without arguments")
        builder = TABLE[function.name]
        return StandIn(function.name, args) if builder is None else builder(args)

    def op_GLOBAL(self, arg: str) -> None:  # noqa: N802  (pickle's own spelling, here and below)
        self.stack.append(self.name(*arg.split(" ", 1)))

    def op_STACK_GLOBAL(self, _: object) -> None:  # noqa: N802
        attribute, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(module, str) and isinstance(attribute, str)):
            raise MalformedPickleError("a name that is no text")
        self.stack.append(self.name(module, attribute))

    def op_INST(self, arg: str) -> None:  # noqa: N802
        function = self.name(*arg.split(" ", 1))
        args = self.since_mark()
        self.stack.append(self.call(function, tuple(args)))

    def op_OBJ(self, _: object) -> None:  # noqa: N802
        function, *args = self.since_mark()
        self.stack.append(self.call(function, tuple(args)))

    def op_call(self, _: object) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self.call(function, args))

    def op_NEWOBJ_EX(self, _: object) -> None:  # noqa: N802
        self.stack.pop()  # keyword arguments
        self.op_call(None)

    def op_BUILD(self, _: object) -> None:  # noqa: N802
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, StandIn):
            target.state = state
        elif not isinstance(target, dict | TensorRef):  # whose attributes nobody needs
            raise MalformedPickleError("attributes are set on something that has none")

    def op_BINPERSID(self, _: object) -> None:  # noqa: N802
        match self.stack.pop():
            # The format before zip adds a description of a view: none in the files of any torch since 0.4.
            case ("storage", Name(name=kind), str(key), str(), int(numel), *view) if kind in STORAGES:
                if not all(item is None for item in view):
                    raise MalformedPickleError("a storage is a view of another")
                storage = StorageRef(STORAGES[kind], key, count(numel))
                self.on_storage(storage)
                self.stack.append(storage)
            case _:
                raise MalformedPickleError("a reference to a storage is malformed")

    # Plain values and containers.

    def since_mark(self) -> list[object]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def op_value(self, arg: object) -> None:
        self.stack.append(arg)

    def op_ignored(self, _: object) -> None:
        pass

    def op_PROTO(self, arg: int) -> None:  # noqa: N802
        if arg > _MAX_PROTOCOL:
            raise MalformedPickleError(f"pickle protocol {arg}")

    def op_NONE(self, _: object) -> None:  # noqa: N802
        self.stack.append(None)

    def op_NEWTRUE(self, _: object) -> None:  # noqa: N802
        self.stack.append(True)

    def op_NEWFALSE(self, _: object) -> None:  # noqa: N802
        self.stack.append(False)

    def op_MARK(self, _: object) -> None:  # noqa: N802
        self.below.append(self.stack)
        self.stack = []

    def op_POP(self, _: object) -> None:  # noqa: N802
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def op_POP_MARK(self, _: object) -> None:  # noqa: N802
        self.since_mark()

    def op_DUP(self, _: object) -> None:  # noqa: N802
        self.stack.append(self.stack[-1])

    def op_put(self, arg: int | None) -> None:
        self.memo[len(self.memo) if arg is None else arg] = self.stack[-1]

    def op_get(self, arg: int) -> None:
        self.stack.append(self.memo[arg])

    def op_EMPTY_TUPLE(self, _: object) -> None:  # noqa: N802
        self.stack.append(())

    def op_TUPLE(self, _: object) -> None:  # noqa: N802
        items = self.since_mark()
        self.stack.append(tuple(items))

    def op_TUPLE1(self, _: object) -> None:  # noqa: N802
        self.stack[-1:] = [(self.stack[-1],)]

    def op_TUPLE2(self, _: object) -> None:  # noqa: N802
        self.stack[-2:] = [(self.stack[-2], self.stack[-1])]

    def op_TUPLE3(self, _: object) -> None:  # noqa: N802
        self.stack[-3:] = [(self.stack[-3], self.stack[-2], self.stack[-1])]

    def op_EMPTY_LIST(self, _: object) -> None:  # noqa: N802
        self.stack.append([])

    def op_LIST(self, _: object) -> None:  # noqa: N802
        items = self.since_mark()
        self.stack.append(items)

    def op_APPEND(self, _: object) -> None:  # noqa: N802
        self.extend([self.stack.pop()])

    def op_items(self, _: object) -> None:
        self.extend(self.since_mark())

    def extend(self, items: list[object]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, StandIn):
            raise MalformedPickleError("items are appended to something that is no list")

    def op_EMPTY_SET(self, _: object) -> None:  # noqa: N802
        self.stack.append(StandIn("builtins.set", ()))

    def op_FROZENSET(self, _: object) -> None:  # noqa: N802
        items = self.since_mark()
        self.stack.append(StandIn("builtins.frozenset", tuple(items)))

    def op_EMPTY_DICT(self, _: object) -> None:  # noqa: N802
        self.stack.append({})

    def op_DICT(self, _: object) -> None:  # noqa: N802
        items = self.since_mark()
        self.stack.append({})
        self.update(items)

    def op_SETITEM(self, _: object) -> None:  # noqa: N802
        value, key = self.stack.pop(), self.stack.pop()
        self.update([key, value])

    def op_SETITEMS(self, _: object) -> None:  # noqa: N802
        self.update(self.since_mark())

    def update(self, items: list[object]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise MalformedPickleError("entries are set on something that is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a tuple goes as deep as the file nested it, past the end of C's stack.
            small = type(key) is not int or abs(key) < _MAX_KEY
            if not (small and isinstance(key, str | int | float | bytes | None | Name | TensorRef | StandIn)):
                raise MalformedPickleError("a dict has an unusual key")
            target[key] = value


# Instructions that do the same here.
_GROUPS = {
    "value": "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING "
    "UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8",
    "put": "PUT BINPUT LONG_BINPUT MEMOIZE",
    "get": "GET BINGET LONG_BINGET",
    "call": "REDUCE NEWOBJ",
    "items": "APPENDS ADDITEMS",
    "ignored": "STOP FRAME",
}
_GROUP_OF = {name: group for group, names in _GROUPS.items() for name in names.split()}
