"""What type checkers and editors are shown of a package is what it has, and from where it has it."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import snn_voice_lite

import snn_voice_hub as sv
from snn_voice_hub.models import architectures
from snn_voice_hub.packages import package_of
from snn_voice_hub.registry import ARCHITECTURES

PACKAGES = (sv, sv.models, architectures, snn_voice_lite)


def shown(package: ModuleType) -> Iterator[tuple[str, str]]:
    """Public names of the imports that only type checkers run, and their modules."""
    assert package.__file__
    body = ast.parse(Path(package.__file__).read_text()).body
    hidden = next(node for node in body if isinstance(node, ast.If))
    for node in [*body, *hidden.body]:
        ours = ("snn_voice_hub", "snn_voice_lite")
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(ours):
            assert node.module
            for alias in node.names:
                if alias.name == "*":
                    yield from ((name, node.module) for name in importlib.import_module(node.module).__all__)
                # Without `as` a name is only shown where __all__ is a list that can be read.
                elif alias.asname == alias.name or package is architectures:
                    yield alias.name, node.module


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_type_checkers_are_shown_the_names_that_are_there(package: ModuleType) -> None:
    names = dict(shown(package))
    assert sorted(names) == sorted(package.__all__)
    for name, module in names.items():
        assert getattr(package, name) is getattr(importlib.import_module(module), name)


def test_every_bundled_architecture_is_public() -> None:
    bundled = {name for name, cls in ARCHITECTURES.items() if package_of(cls) is None}
    assert bundled == {*architectures.__all__}
    for name in bundled:
        assert inspect.getmodule(ARCHITECTURES[name]).__name__.startswith(f"{architectures.__name__}.")  # type: ignore[union-attr]
