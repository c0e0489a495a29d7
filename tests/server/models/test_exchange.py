"""Models make room for each other, are exchanged while they answer, and end."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from typing import Any

import pytest
import torch
from snn_voice_server.failures import NotReady
from snn_voice_server.models.compute import Device, load_voice
from snn_voice_server.models.library import Library
from snn_voice_server.models.naming import Source
from snn_voice_server.models.work import LOGITS
from snn_voice_server.queue.places import Limits

from snn_voice_hub import CheckpointError, SnnVoice
from tests.server.models.helpers import MARKS, FakeVoice, Watch, answer, by_mark, library_of, play, until

# --- room -----------------------------------------------------------------------------------------


def test_the_one_unused_for_longest_makes_room() -> None:
    watch = Watch(by_mark)

    async def scene() -> None:
        library = library_of(watch, megabytes=3.5)
        library._sources["d"] = Source("d", "/home/someone/c")
        for name in ("", "b", "c"):
            await library.get(name)
        await answer(await library.get("b"))  # so c is the older one, and a is the default
        await library.get("d")
        assert [name for name in "abcd" if library.loaded(name)] == ["a", "b", "d"]
        await answer(await library.get("d"))
        await library.get("c")
        assert [name for name in "abcd" if library.loaded(name)] == ["a", "c", "d"]
        await library.close()

    play(scene())
    assert watch.events == ["+a", "+b", "+c", "-c", "+d", "-b", "+c"]


def test_what_is_under_way_on_the_one_that_goes_is_answered() -> None:
    watch = Watch(by_mark)

    async def scene() -> None:
        library = library_of(watch, megabytes=2.5, limits=Limits(batch_windows=1))
        await library.get()
        old = await library.get("b")
        voice = watch.voices[-1]
        voice.go_on.clear()
        tasks = [asyncio.create_task(answer(old, value)) for value in range(4)]
        await until(lambda: voice.threads and voice.mark == 200 and old.queue(LOGITS).held == 3)
        loading = asyncio.create_task(library.get("c"))  # it waits for the device's thread
        await until(lambda: len(watch.loads) == 3)
        voice.go_on.set()
        assert await answer(await loading) == 300
        assert library.loaded("b") is None
        assert await asyncio.gather(*tasks) == [200, 201, 202, 203]
        # It comes back as a new one.
        assert await answer(await library.get("b")) == 200
        await library.close()

    play(scene())


def test_too_large_a_model_drives_nobody_out() -> None:
    watch = Watch(lambda spec: FakeVoice(MARKS[spec], 3.0 if spec.endswith("c") else 1.0))

    async def scene() -> None:
        library = library_of(watch, megabytes=3.5)
        for name in ("a", "b"):
            await library.get(name)
        with pytest.raises(NotReady, match="no room for the model c beside the default"):
            await library.get("c")
        assert library.loaded("a")
        assert library.loaded("b")
        await library.close()

    play(scene())
    assert watch.events == ["+a", "+b"]


def test_a_default_larger_than_the_bound_is_served() -> None:
    async def scene() -> None:
        library = library_of(Watch(by_mark), megabytes=0.5)
        assert await answer(await library.get()) == 100
        with pytest.raises(NotReady):
            await library.get("b")
        await library.close()

    play(scene())


# --- reload ---------------------------------------------------------------------------------------


def test_reload_while_requests_run() -> None:
    made = itertools.count()
    watch = Watch(lambda spec: FakeVoice(1000 * next(made) + MARKS[spec]))

    async def scene() -> None:
        library = library_of(watch)
        for name in ("a", "b"):
            await library.get(name)
        old = {"a": 100.0, "b": 1200.0}
        done = asyncio.Event()

        async def client(name: str, found: list[float]) -> None:
            while not done.is_set():
                # As in the service: between these two nothing else happens.
                entry = library.loaded(name)
                assert entry is not None
                found.append(await answer(entry))

        found: list[list[float]] = [[] for _ in range(8)]
        clients = [asyncio.create_task(client("ab"[index % 2], one)) for index, one in enumerate(found)]
        await until(lambda: all(found))
        assert await library.reload() == ["a", "b"]
        before = list(map(len, found))
        # The answer that was under way, and one more.
        await until(lambda: all(len(one) > count + 1 for one, count in zip(found, before, strict=True)))
        done.set()
        await asyncio.gather(*clients)
        for index, answers in enumerate(found):
            name = "ab"[index % 2]
            new = {"a": 2100.0, "b": 3200.0}[name]
            assert answers[0] == old[name]
            assert answers[-1] == new
            assert answers == sorted(answers)
            assert set(answers) == {old[name], new}
        await until(lambda: not library._retiring)  # the old ones have ended
        await library.close()

    play(scene())
    assert watch.events == ["+a", "+b", "+a", "+b"]


def test_a_reload_that_fails_changes_nothing() -> None:
    broken = ""
    made = itertools.count()

    def make(spec: str) -> FakeVoice:
        if broken and spec.endswith(broken):
            raise CheckpointError(f"{spec} is half written")
        return FakeVoice(1000 * next(made) + MARKS[spec])

    watch = Watch(make)

    async def scene() -> None:
        nonlocal broken
        library = library_of(watch)
        entries = [await library.get(name) for name in ("a", "b")]
        for name in ("a", "b"):  # the second fails after the first has been loaded
            broken = name
            with pytest.raises(CheckpointError, match="half written"):
                await library.reload()
            assert [library.loaded(name) for name in ("a", "b")] == entries
            assert [await answer(entry) for entry in entries] == [100, 1200]
        broken = ""
        assert await library.reload() == ["a", "b"]
        assert library.loaded("a") not in entries
        await library.close()

    play(scene())


@pytest.mark.parametrize("engine", ["loop", "torch", "auto"])
def test_what_was_exchanged_goes_with_its_last_reference(engine: str) -> None:
    """The collector would not find it: it is kept away from what was there at the start."""
    networks: list[weakref.ref[Any]] = []

    def load(spec: str, device: str) -> SnnVoice:
        voice = load_voice(spec, device, engine, "float32")
        networks.append(weakref.ref(voice.network))
        return voice

    async def scene() -> None:
        library = Library(
            [Source("a", "tcy-snn")],
            [Device("cpu")],
            load,
            Limits(),
            max_megabytes=100,
            watcher=Watch(by_mark),
        )
        entry = await library.get()
        entry.stream(sample_rate=16_000).feed(torch.zeros(32_000))
        with entry.admit(LOGITS, seconds=30) as place:
            await place.run([torch.zeros(entry.config.features.num_samples)], 1.0)
        del entry, place
        await library.reload()
        await until(lambda: networks[0]() is None)
        assert [network() is not None for network in networks] == [False, True]
        await library.close()

    gc.collect()
    gc.disable()
    try:
        play(scene())
    finally:
        gc.enable()


def test_reload_of_nothing() -> None:
    async def scene() -> None:
        assert await library_of(Watch(by_mark)).reload() == []

    play(scene())


# --- trouble and the end --------------------------------------------------------------------------


def test_trouble_of_any_model_is_trouble() -> None:
    async def scene() -> None:
        library = library_of(Watch(by_mark))
        await library.get()
        other = await library.get("b")
        for _ in range(3):
            other.queue(LOGITS).health.failed("out_of_memory", asyncio.get_running_loop().time())
        assert "out of memory" in library.trouble()
        await library.close()

    play(scene())


def test_the_end() -> None:
    """Of those that answer, and of one that was exchanged and still has requests."""
    watch = Watch(by_mark)

    async def scene() -> None:
        library = library_of(watch)
        old, other = await library.get(), await library.get("b")
        watch.voices[0].go_on.clear()
        tasks = [asyncio.create_task(answer(old)), asyncio.create_task(answer(old))]
        await until(lambda: watch.voices[0].threads)
        library._retire(library._entries.pop("a"))
        tasks.append(asyncio.create_task(answer(other)))
        ending = asyncio.create_task(library.close())
        await until(lambda: other._closing)
        assert not ending.done()
        watch.voices[0].go_on.set()
        await ending
        assert await asyncio.gather(*tasks) == [100, 100, 200]

    play(scene())
