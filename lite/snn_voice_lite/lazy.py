"""Packages whose names are imported when they are first asked for."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping


def lazily(
    package: str,
    homes: Mapping[str, Iterable[str]],
    elsewhere: Mapping[str, Iterable[str]] | None = None,
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """What a package takes as its `__getattr__`, `__dir__` and `__all__`.

    Its modules can be asked for as well, whether or not somebody has imported them.

    Args:
        package: Its `__name__`.
        homes: Module or package below it -> the public names that come from there.
        elsewhere: The same for modules of other packages.
    """
    home_of = {name: f"{package}.{home}" for home, names in homes.items() for name in names}
    home_of |= {name: home for home, names in (elsewhere or {}).items() for name in names}

    def find(name: str) -> object:
        found: object
        if name in home_of:
            found = getattr(importlib.import_module(home_of[name]), name)
        elif not name.startswith("_") and importlib.util.find_spec(f"{package}.{name}"):
            found = importlib.import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name)
        setattr(sys.modules[package], name, found)
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of})

    return find, names, sorted(home_of)
