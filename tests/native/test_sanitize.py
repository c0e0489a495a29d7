"""What `make sanitize` runs is all that there is: no kernel is left out, also none that comes later."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from snn_voice_hub.native import lif
from snn_voice_hub.native.build import SOURCES, BuildError
from snn_voice_hub.native.kernels import load_kernels
from tests.generated import generate
from tests.native import sanitize


def test_every_kernel_is_run_and_compared_with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        lif._kernels.cache_clear()  # it may hold kernels that another test has loaded
        library = load_kernels().library
    except BuildError as error:
        pytest.skip(str(error))
    texts = "\n".join(source.read_text() for source in SOURCES)
    names = set(re.findall(r"^\w+ (snn_\w+)\(", texts, re.MULTILINE)) - {"snn_abi"}
    assert len(names) >= 4
    called = set[str]()

    def watched(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            called.add(name)
            return kernel(*arguments)

        return call

    for name in names:
        monkeypatch.setattr(library, name, watched(name, getattr(library, name)))
    for generator in sanitize.GENERATORS:
        module = importlib.import_module(generator)
        # That of whole networks counts by itself.
        outcomes = generate(module.drawn, 20, 0) if hasattr(module, "drawn") else module.generate(20, 0)
        assert not [outcome for outcome in outcomes if outcome.startswith("WRONG")]
    assert called == names
