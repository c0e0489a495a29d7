"""Changes of JSON that leave it JSON: what a fuzzer of bytes seldom finds."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Final

_VALUES: Final[Sequence[Any]] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        3,
        0.5,
        1.5,
        1e308,
        -1e308,
        1e-308,
        2**31,
        2**53 + 1,
        2**63,
        -(2**63),
        10**30,
    ),
    *(
        10**400,
        -(10**400),
        float("nan"),
        float("inf"),
        "",
        "x",
        "yes",
        "_silence_",
        "\0",
        "\n",
        "\x1b[31m",
        "\ud800",
    ),
    *(
        "\u202e",
        "a" * 300,
        "9" * 40,
        [],
        {},
        [0],
        [[]],
        [None],
        ["yes", "yes"],
        {"": 0},
        {"a": []},
        {"yes": 0.5},
    ),
)
Path = tuple[Any, Any]


def mutated(data: bytes, r: random.Random) -> bytes | None:
    """JSON with one to three of its values, names or entries changed; None where it is no JSON.

    What stands behind a first zero byte stays as it is.

    Args:
        data: The text.
        r: Says what is changed.
    """
    text, zero, rest = data.partition(b"\0")
    try:
        value = json.loads(text)
        for _ in range(r.choice((1, 1, 1, 2, 3))):
            value = _changed(value, r)
        return json.dumps(value).encode() + zero + rest
    except (ValueError, RecursionError):
        return None


def _changed(whole: Any, r: random.Random) -> Any:
    places = list(_places(whole))
    if not places or r.random() < 0.02:
        return r.choice(_VALUES)
    inside, key = r.choice(places)
    what = r.random()
    if what < 0.45:
        inside[key] = _other(inside[key], r)
    elif what < 0.6:
        box, name = r.choice(places)  # another one of its values
        inside[key] = json.loads(json.dumps(box[name]))
    elif what < 0.75:
        del inside[key]
    elif isinstance(inside, dict):
        name = r.choice((*_names(places), "extra", "\ud800", ""))
        inside[name] = inside.pop(key) if r.random() < 0.5 else r.choice(_VALUES)
    else:
        inside.insert(r.randrange(len(inside) + 1), r.choice((inside[key], r.choice(_VALUES))))
    return whole


def _other(value: Any, r: random.Random) -> Any:
    if r.random() < 0.5 or isinstance(value, bool | list | dict | None):
        return r.choice(_VALUES)
    if isinstance(value, str):
        at = r.randrange(len(value) + 1)
        return (
            value[:at]
            + r.choice(("", "x", "0", value, "\u00e4", "\U0001f600"))
            + value[at + r.randrange(3) :]
        )
    return r.choice(
        (-value, value + 1, value - 1, value * 2, value * 10, float(value) if abs(value) < 1e300 else 0)
    )


def _places(value: Any) -> list[Path]:
    found: list[Path] = []
    waiting = [value]
    while waiting and len(found) < 2000:
        inside = waiting.pop()
        pairs = (
            inside.items()
            if isinstance(inside, dict)
            else enumerate(inside)
            if isinstance(inside, list)
            else ()
        )
        for key, item in pairs:
            found.append((inside, key))
            waiting.append(item)
    return found


def _names(places: Sequence[Path]) -> list[str]:
    return [key for _, key in places if isinstance(key, str)]
