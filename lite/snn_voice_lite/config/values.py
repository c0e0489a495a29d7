"""Checks of single values: each names the field, and what would be legal."""

from __future__ import annotations

import dataclasses
import math
import sys
import types
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

from snn_voice_lite.errors import ConfigError
from snn_voice_lite.visible import visible

# Of what JSON may hold where no field says more: figures, recipes, what a network is made with.
MAX_DEPTH = 64
# What other readers of JSON take for a whole number.
MAX_INT = 2**63
# Of one text.
MAX_TEXT = 10_000
# Of PyTorch, or that decode: with a million of them the process ends in a segmentation fault.
MAX_THREADS = 512

T = TypeVar("T")


def shown(value: object) -> str:
    """A value as it may stand in a message: short, whatever it is."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= MAX_INT:
        return f"a number of {value.bit_length()} bits"
    try:
        return visible(repr(value), 100)
    except (RecursionError, ValueError):  # lists within lists, and numbers too long to be written, inside it
        return f"a {type(value).__name__}"


def refusal(name: str, value: object, legal: str) -> ConfigError:
    """The error of a value that is not legal."""
    return ConfigError(f"{name}={shown(value)} is not legal", hint=legal)


def check_choice(name: str, value: object, legal: tuple[str, ...]) -> str:
    """Return `value` if it is one of `legal`, else raise `ConfigError` naming the field."""
    if not isinstance(value, str) or value not in legal:
        raise refusal(name, value, f"one of {', '.join(map(repr, legal))}")
    return value


def check_int(name: str, value: object, *, low: int, high: int | None = None) -> int:
    """Return `value` if it is a whole number from `low` to `high`, else raise `ConfigError`."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    top = MAX_INT if high is None else high
    if not whole or not low <= typing.cast(int, value) <= top:
        most = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise refusal(name, value, f"a whole number {most}")
    return typing.cast(int, value)


def check_bool(name: str, value: object) -> bool:
    """Return `value` if it is True or False, else raise `ConfigError`."""
    if not isinstance(value, bool):
        raise refusal(name, value, "True or False")
    return value


def check_number(
    name: str,
    value: object,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    above: float | None = None,
) -> float:
    """Return `value` as a float if it is finite, within [low, high] and above `above`."""
    legal = "a finite number"
    if above is not None:
        legal += f" above {above:g}" + (f", up to {high:g}" if high < math.inf else "")
    elif low > -math.inf:
        legal += f" from {low:g}" + (f" to {high:g}" if high < math.inf else "")
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) == math.inf:
        raise refusal(name, value, legal)
    # Compared before it is made a float: a whole number may be too large for one.
    if not low <= value <= high or (above is not None and value <= above) or abs(value) > sys.float_info.max:
        raise refusal(name, value, legal)
    return float(value)


def check_text(name: str, value: object, *, most: int = MAX_TEXT) -> str:
    """Return `value` if it is a text of at most so many characters, each of which UTF-8 can hold."""
    if not isinstance(value, str) or len(value) > most:
        raise refusal(name, value, f"a text of at most {most:,} characters")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise refusal(name, value, "no lone surrogates: neither UTF-8 nor a JSON answer can hold them")
    return value


def check_plain(name: str, value: object) -> None:
    """Refuse what JSON can't hold, or what would not come back as it was.

    Args:
        name: The field, for the message.
        value: Texts, finite numbers, True, False, None, and lists and dicts of them.

    Raises:
        ConfigError: Something inside it is not; the message names where it stands.
    """
    _check_plain(value, [name])


def _check_plain(value: object, path: list[str]) -> None:
    # The path is joined where it is needed: names can be as long as the file.
    if len(path) > MAX_DEPTH:
        raise ConfigError(f"{_joined(path[:3])}... is nested too deeply", hint=f"at most {MAX_DEPTH} levels")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        if len(value) > MAX_TEXT or not value.isascii():
            check_text(_joined(path), value)
    elif isinstance(value, int):
        if abs(value) >= MAX_INT:
            raise refusal(_joined(path), value, "a number of at most 63 bits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise refusal(_joined(path), value, "a finite number")
    elif isinstance(value, dict):
        for key, item in value.items():
            check_text(f"a name in {_joined(path)}", key)
            _check_plain(item, [*path, f".{key}"])
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _check_plain(item, [*path, f"[{i}]"])
    else:
        raise refusal(_joined(path), value, "what JSON can hold")


def _joined(path: Sequence[str]) -> str:
    return visible("".join(path))


# --- dataclasses ----------------------------------------------------------------------------------


def read_dataclass(cls: type[T], data: object, where: str = "") -> T:
    """Build a dataclass, and those inside it, from a plain dict.

    Args:
        cls: The dataclass.
        data: What JSON or YAML gave.
        where: Dotted prefix of the fields' names in messages.

    Raises:
        ConfigError: An unknown or a missing field, or a wrong type.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{where.rstrip('.')} is {shown(data)}", hint="a JSON object")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = [key for key in data if key not in fields]
    if unknown:
        raise ConfigError(
            f"unknown field {where}{visible(unknown[0])}", hint=f"legal fields: {', '.join(fields)}"
        )
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in data:
            raise ConfigError(f"field {where}{name} is missing")
    hints = typing.get_type_hints(cls)
    return cls(**{key: _convert(hints[key], value, f"{where}{key}") for key, value in data.items()})


def _convert(hint: Any, value: Any, name: str) -> Any:
    """Check `value` against a type hint; nested dataclasses are built."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is types.UnionType:
        if value is None and type(None) in args:
            return None
        (inner,) = (a for a in args if a is not type(None))
        return _convert(inner, value, name)
    if dataclasses.is_dataclass(hint):
        return read_dataclass(typing.cast(type, hint), value, f"{name}.")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return check_number(name, value)
    if origin is tuple and isinstance(value, list | tuple) and len(value) == len(args):
        pairs = enumerate(zip(args, value, strict=True))
        return tuple(_convert(arg, item, f"{name}[{i}]") for i, (arg, item) in pairs)
    plain = origin or hint
    if not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
        raise refusal(name, value, f"a value of type {plain.__name__}")
    if origin is list:
        return [_convert(args[0], item, f"{name}[{i}]") for i, item in enumerate(value)]
    if origin is dict:
        return {key: _convert(args[1], item, f"{name}.{key}") for key, item in value.items()}
    return value
