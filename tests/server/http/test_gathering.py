"""Rows of many streams go to their model together, and none fails for the sake of another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import torch
from snn_voice_server.failures import Busy, ModelFailure
from snn_voice_server.http.gathering import Gathering
from snn_voice_server.models.served import Entry
from snn_voice_server.models.work import STREAMED
from snn_voice_server.queue.places import Limits
from torch import Tensor

from tests.server.models.helpers import FakeVoice, Watch, library_of, play, until

BAD = -1.0


class RowVoice(FakeVoice):
    """A model of streams: a row is a number, and the network gives it back. It fails on `BAD`.

    Attributes:
        batches: The rows of each run.
    """

    def __init__(self) -> None:
        super().__init__(0.0)
        self.batches: list[list[float]] = []

    def run_inputs(self, rows: list[float]) -> Tensor:
        self.batches.append(list(rows))
        assert self.go_on.wait(30)
        if BAD in rows:
            raise RuntimeError("not this one")
        return torch.tensor(rows).unsqueeze(1)


async def served(limits: Limits) -> tuple[Entry, RowVoice, Any]:
    voice = RowVoice()
    library = library_of(Watch(lambda _: voice), names=("a",), limits=limits)
    return await library.get(), voice, library


async def told(gathering: Gathering, row: float, *, first: bool = False) -> float:
    return float((await gathering.run(row, first=first)).output[0])


def test_what_comes_while_the_model_works_goes_together() -> None:
    async def scene() -> None:
        entry, voice, library = await served(Limits(batch_windows=3))
        gathering = Gathering(entry, "", 30)
        voice.go_on.clear()
        tasks = [asyncio.create_task(told(gathering, 1.0))]
        await until(lambda: voice.batches)
        tasks += [asyncio.create_task(told(gathering, row, first=row == 5.0)) for row in (2.0, 3.0, 4.0, 5.0)]
        await asyncio.sleep(0)
        voice.go_on.set()
        assert await asyncio.gather(*tasks) == [1.0, 2.0, 3.0, 4.0, 5.0]
        assert voice.batches == [[1.0], [5.0, 2.0, 3.0], [4.0]]
        await library.close()

    play(scene())


def test_no_stream_fails_for_the_sake_of_another() -> None:
    async def scene() -> None:
        entry, _, library = await served(Limits())
        gathering = Gathering(entry, "", 30)
        rows = (1.0, BAD, 3.0)
        found = await asyncio.gather(*(told(gathering, row) for row in rows), return_exceptions=True)
        assert (found[0], found[2]) == (1.0, 3.0)
        assert isinstance(found[1], ModelFailure)
        assert await told(gathering, 4.0) == 4.0
        await library.close()

    play(scene())


def test_who_hung_up_is_not_run() -> None:
    async def scene() -> None:
        entry, voice, library = await served(Limits())
        gathering = Gathering(entry, "", 30)
        voice.go_on.clear()
        waits = asyncio.create_task(told(gathering, 1.0))
        await until(lambda: voice.batches)
        gone, stays = (asyncio.create_task(told(gathering, row)) for row in (2.0, 3.0))
        await asyncio.sleep(0)
        gone.cancel()
        voice.go_on.set()
        assert await asyncio.gather(waits, stays) == [1.0, 3.0]
        assert voice.batches == [[1.0], [3.0]]
        await library.close()

    play(scene())


@pytest.mark.parametrize("patient", [True, False])
def test_rows_wait_for_room_in_a_full_queue(patient: bool) -> None:
    """A request would be refused at once; a stream may not lose a row before its time is over."""

    async def scene() -> None:
        entry, voice, library = await served(Limits(queue_windows=1))
        gathering = Gathering(entry, "", 30 if patient else 0.05)
        with entry.admit(STREAMED, seconds=30):
            waits = asyncio.create_task(told(gathering, 1.0))
            if patient:
                await asyncio.sleep(0.1)
                assert not waits.done()
            else:
                await until(waits.done)
            assert voice.batches == []
        if patient:
            assert await waits == 1.0
        else:
            with pytest.raises(Busy):
                await waits
        await library.close()

    play(scene())
