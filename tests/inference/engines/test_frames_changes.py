"""A network that changes while its streams go on: when the slot sees it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch

from snn_voice_hub.inference.engines.slot import EngineSlot
from tests.inference.engines.framed_networks import exact, shaped, small, sound

pytestmark = pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="no C++ compiler")


def _step(network: Any) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.randn(2, 1, 40, 16)).square().sum().backward()
    optimizer.step()


def _load(network: Any) -> None:
    network.load_state_dict({key: value + 1 for key, value in network.state_dict().items()})


def _head(network: Any) -> None:
    with torch.no_grad():
        network.fc.bias.add_(1)


@pytest.mark.parametrize("change", [_step, _load, _head])
def test_changed_weights_are_seen_by_the_next_step(change: Callable[[Any], None]) -> None:
    network = small()
    slot, x = EngineSlot("native"), sound(3, 2)
    _, state = slot.advance(network, x, None)
    slot.advance(network, x, state)
    change(network)
    with torch.inference_mode():
        wanted, _ = network.advance(x, state)
    found, _ = slot.advance(network, x, state)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert slot.info(network)["engine"] == "native"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("snn_voice_hub.inference.engines.slot.time.monotonic", lambda: now[0])
    return now


def _uncounted(network: Any) -> None:
    network.fc.weight.data.mul_(2)


def _replaced(network: Any) -> None:
    network.snn[0].lif1.threshold = torch.tensor(0.5)


def _hooked(network: Any) -> None:
    network.stem.register_forward_hook(lambda module, args, out: out * 2)


@pytest.mark.parametrize("change", [_uncounted, _replaced, _hooked])
def test_all_other_changes_are_seen_within_a_second(
    change: Callable[[Any], None], clock: list[float]
) -> None:
    network = small()
    slot, x = EngineSlot("native"), sound(3, 2)
    before, state = slot.advance(network, x, None)
    assert torch.equal(slot.advance(network, x, None)[0], before)
    change(network)
    clock[0] += 0.9
    assert torch.equal(slot.advance(network, x, None)[0], before)
    clock[0] += 0.2
    with torch.inference_mode():
        wanted, _ = network.advance(x, state)
    found, _ = slot.advance(network, x, state)
    assert torch.allclose(found, wanted, atol=1e-5)
    # A call looks closely each time.
    change(network)
    features = torch.randn(1, 1, 40, 16, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.allclose(slot(network, features, None), network(features), atol=1e-5)


def test_another_network_in_the_slot_is_seen_at_once() -> None:
    one, other = small(), exact(shaped())
    slot, x = EngineSlot("native"), sound(2, 1)
    slot.advance(one, x, None)
    slot.advance(one, x, None)
    with torch.inference_mode():
        wanted, _ = other.advance(x)  # type: ignore[operator]
    assert torch.allclose(slot.advance(other, x, None)[0], wanted, atol=1e-5)
