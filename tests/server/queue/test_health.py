"""When failures mean that it is not the requests' doing."""

from __future__ import annotations

import math

import pytest
from snn_voice_server.queue.health import RecentFailures


def test_well_at_first() -> None:
    health = RecentFailures()
    assert health.trouble(0.0) == ""
    assert health.since_out_of_memory(1e9) == math.inf


@pytest.mark.parametrize(
    ("times", "now", "trouble"),
    [
        ([0, 1], 1, False),
        ([0, 1, 2], 2, True),
        ([0, 59, 60], 60, True),
        ([0, 59, 61], 61, False),
        ([0, 30, 40, 70], 70, True),  # the last three count
        ([0, 1, 2], 60, True),
        ([0, 1, 2], 60.5, False),
    ],
)
def test_out_of_memory_three_times_within_a_minute(times: list[float], now: float, trouble: bool) -> None:
    health = RecentFailures()
    for time in times:
        health.failed("out_of_memory", time)
    assert ("out of memory 3 times within a minute" in health.trouble(now)) == trouble
    assert bool(health.trouble(now)) == trouble
    assert health.since_out_of_memory(now) == now - times[-1]


def test_a_success_is_no_memory() -> None:
    health = RecentFailures()
    for time in range(3):
        health.failed("out_of_memory", time)
    health.succeeded()
    assert health.trouble(3)


def test_five_errors_without_a_success() -> None:
    health = RecentFailures()
    for time in range(4):
        health.failed("error", time)
    health.succeeded()
    for time in range(4, 8):
        health.failed("error", time)
        assert health.trouble(time) == ""
    health.failed("error", 8)
    assert "last 5 runs of the model failed" in health.trouble(8)
    assert "last 5 runs of the model failed" in health.trouble(64)
    assert health.trouble(64.5) == ""  # old enough to be tried again
    health.failed("error", 64.6)
    assert health.trouble(64.6)
    health.succeeded()
    assert health.trouble(64.6) == ""


def test_errors_and_memory_are_counted_apart() -> None:
    health = RecentFailures()
    for time in range(2):
        health.failed("out_of_memory", time)
    for time in range(4):
        health.failed("error", time)
    assert health.trouble(4) == ""
    assert health.since_out_of_memory(4) == 3


def test_the_longest_of_several_batches_counts() -> None:
    health = RecentFailures()
    with health.busy(0.0):
        with health.busy(20.0):
            assert health.trouble(30.0) == ""
            assert "running for over 30 s" in health.trouble(30.5)
        assert health.trouble(31.0)
    assert health.trouble(1e6) == ""


def test_a_batch_that_fails_does_not_run_any_more() -> None:
    health = RecentFailures()
    with pytest.raises(RuntimeError), health.busy(0.0):
        raise RuntimeError
    assert health.trouble(100.0) == ""
