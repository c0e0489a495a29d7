"""SIGTERM under load: nothing that was accepted is lost, however often one tries.

`KILLS=20 pytest -s -k sigterm_under_load tests/server` ends as many services and prints what was counted.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.server.helpers import Running, start
from tests.server.process.load_helpers import Load, Tally

CLIENTS = 32
KILLS = int(os.environ.get("KILLS", "2"))


def killed_under_load(folder: Path, checkpoint: Path, delay: float, answers: int) -> tuple[int, int, Tally]:
    """In flight at SIGTERM, exit code, and what became of all requests."""
    folder.mkdir()
    options = ("--drain-delay", str(delay), "--max-queue", "1000")
    process = start(folder / "log", "--model", str(checkpoint), *options)
    try:
        running = Running.wait_for(process, folder / "log")
        with Load(running.address, CLIENTS) as load:
            load.wait_for(answers)
            in_flight = load.tally.in_flight
            process.send_signal(signal.SIGTERM)
            load.join()
        return in_flight, running.ended(), load.tally
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.timeout(60 + 30 * KILLS)
def test_sigterm_under_load_loses_nothing(checkpoint: Path, tmp_path: Path) -> None:
    def kill(index: int) -> tuple[int, int, Tally]:
        delay = 0.5 * (index % 2)
        return killed_under_load(tmp_path / str(index), checkpoint, delay, 200 + 37 * index)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(kill, range(KILLS)))
    for index, (in_flight, code, tally) in enumerate(results):
        print(f"kill {index}: {in_flight} in flight, exit code {code}, {tally}")
    assert [tally.lost for _, _, tally in results] == [[]] * KILLS
    assert [code for _, code, _ in results] == [0] * KILLS
    for in_flight, _, tally in results:
        assert in_flight > 0
        assert set(tally.answered) == {200}
        assert tally.refused == CLIENTS  # each client has gone on until nobody was let in
