"""Which parameters of a test are quick enough for `make test`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def mostly_slow(values: Iterable[Any], *quick: Any, first: int = 0) -> list[Any]:
    """Parameters of which `make test` takes only the quick ones, and `make test-all` all.

    Args:
        values: What `parametrize` takes: a value for each time, or a tuple where there are several names.
        quick: Those that stand for the rest.
        first: So many from the beginning do, too.
    """
    found = list(values)
    unknown = [value for value in quick if value not in found]
    assert not unknown, f"{unknown} are none of {found}"
    return [value if number < first or value in quick else _slow(value) for number, value in enumerate(found)]


def _slow(value: Any) -> Any:
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=pytest.mark.slow)
