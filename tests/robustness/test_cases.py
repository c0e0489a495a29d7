"""Parsers of strangers' bytes, with what fuzzing has found worth keeping: an answer or an error of ours."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.quiet import quietly
from tests.robustness import contract, kept, mutating
from tests.robustness.amount import amount
from tests.robustness.fuzzing import TARGETS, module_of

pytestmark = [pytest.mark.timeout(3600), pytest.mark.usefixtures("quiet")]


@pytest.fixture(scope="module")
def quiet() -> Iterator[None]:
    with quietly():
        yield


@pytest.mark.parametrize("target", TARGETS)
def test_cases_that_are_kept(target: str) -> None:
    run = module_of(target).run
    outcomes = Counter(
        contract.run(run, data) for data in [*module_of(target).seeds(), *kept.read(target).values()]
    )
    assert len(outcomes) > 1


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_like_them(target: str) -> None:
    """A fuzzer without eyes, for machines that have no atheris: bytes and values of the cases, changed."""
    module, r = module_of(target), random.Random(0)
    begin = [data for data in [*module.seeds(), *kept.read(target).values()] if len(data) < 20_000]
    words = [*getattr(module, "WORDS", ()), b"", b"\0\0\0\0", b"\xff\xff\xff\xff", bytes(100)]
    outcomes = Counter[str]()
    for _ in range(amount(60, 2000)):
        data = r.choice(begin)
        changed = mutating.mutated(data, r) if getattr(module, "JSON", False) and r.random() < 0.8 else None
        outcomes[contract.run(module.run, _changed(data, words, r) if changed is None else changed)] += 1
    assert len(outcomes) > 1


def _changed(data: bytes, words: list[bytes], r: random.Random) -> bytes:
    for _ in range(r.choice((1, 1, 2, 4))):
        at = r.randrange(len(data) + 1)
        what = r.choice((r.choice(words), r.randbytes(r.choice((1, 1, 2, 4)))))
        data = data[:at] + what + data[at + r.choice((0, len(what), r.randrange(40))) :]
    return data


def test_changes_of_json_leave_it_json() -> None:
    r = random.Random(0)
    text = b'{"a": [1, 2.5, "x", {"b": null}], "c": true}\0\1\2'
    found = {mutating.mutated(text, r) for _ in range(300)}
    assert len(found) > 150
    assert all(data is not None and data.endswith(b"\0\1\2") for data in found)
    assert mutating.mutated(b"{", r) is None


def test_the_contract_sees_what_it_is_there_for() -> None:
    def hungry(_: bytes) -> str:
        return str(len(bytearray(b"x") * (contract.MOST_MEMORY + 50 << 20)))

    def slow(_: bytes) -> str:
        end = time.process_time() + contract.MOST_SECONDS + 0.1
        while time.process_time() < end:
            pass
        return "done"

    assert contract.run(lambda _: "an answer", b"") == "an answer"
    with pytest.raises(contract.BrokenContractError, match=r"it took 2\.\d s"):
        contract.run(slow, b"")
    if contract.measures_memory():
        with pytest.raises(contract.BrokenContractError, match=r"it took 3\d\d MiB"):
            contract.run(hungry, b"")
