"""A slice of the generated networks through the engines; `make sanitize` runs a thousand."""

from __future__ import annotations

import shutil

import pytest

from tests.inference.engines.generated_networks import generate

pytestmark = pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="no C++ compiler")


def test_generated_networks_give_the_answers_of_pytorch() -> None:
    found = generate(80, seed=11)
    assert [what for what in found if what.startswith("WRONG")] == []
    assert min(found[what] for what in ("equal", "left to the next engine", "refused")) > 10


@pytest.mark.parametrize("engine", ["torch", "loop"])
def test_the_plain_engines_too(engine: str) -> None:
    found = generate(25, seed=12, engine=engine)
    assert [what for what in found if what.startswith("WRONG")] == []
    assert found["equal"] > 10
