"""Models are loaded when they are needed, on every device."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from snn_voice_server.failures import NotReady, UnknownModel
from snn_voice_server.models.compute import Device
from snn_voice_server.models.library import Library
from snn_voice_server.models.naming import source_of, sources_of
from snn_voice_server.models.work import LOGITS
from snn_voice_server.queue.places import Limits

from snn_voice_hub import CheckpointError, ConfigError, SnnVoice, TcySNN
from tests.server.models.helpers import MARKS, FakeVoice, Watch, answer, by_mark, library_of, play, until

# --- loading --------------------------------------------------------------------------------------


def test_loaded_when_asked_for() -> None:
    watch = Watch(by_mark)

    async def scene() -> None:
        library = library_of(watch)
        assert library.names == ["a", "b", "c"]
        assert library.default == "a"
        assert library.loaded() is library.loaded("b") is None
        assert library.trouble() == "the model is not warmed up yet"
        first = await library.get()
        assert first is await library.get("a") is library.loaded() is library.loaded("a")
        assert library.trouble() == ""
        assert watch.events == ["+a"]
        assert await answer(await library.get("b"), 7) == 207
        assert await answer(first, 8) == 108
        assert watch.events == ["+a", "+b"]
        assert library.loaded("c") is None
        await library.close()

    play(scene())
    assert watch.loads == [("/home/someone/a", "cpu"), ("/home/someone/b", "cpu")]


def test_many_first_requests_load_it_once() -> None:
    go_on = threading.Event()

    def slow(spec: str) -> FakeVoice:
        assert go_on.wait(30)
        return by_mark(spec)

    watch = Watch(slow)

    async def scene() -> None:
        library = library_of(watch)
        tasks = [asyncio.create_task(library.get(name)) for name in "abc" * 5]
        await until(lambda: watch.loads)
        go_on.set()
        entries = await asyncio.gather(*tasks)
        assert [entry.name for entry in entries] == list("abc" * 5)
        assert len({id(entry) for entry in entries}) == 3
        await library.close()

    play(scene())
    assert len(watch.loads) == 3
    assert watch.most == 1  # two at once would both find room


def test_unknown() -> None:
    watch = Watch(by_mark)

    async def scene() -> None:
        library = library_of(watch)
        for name in ("d", "A", "/home/someone/a", "../a", "a "):
            with pytest.raises(UnknownModel, match="a, b, c") as found:
                await library.get(name)
            assert "/home" not in str(found.value)
            assert library.loaded(name) is None

    play(scene())
    assert watch.loads == []


@pytest.mark.parametrize(
    "error",
    [
        CheckpointError("/home/someone/b has no config.json"),
        ConfigError("bad", hint="see /home/someone/b"),
        OSError("/home/someone/b: no such file"),
        RuntimeError("CUDA error in /home/someone"),
        torch.OutOfMemoryError("CUDA out of memory in /home/someone"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("warming_up", [False, True])
def test_one_that_can_not_be_loaded(
    error: Exception, warming_up: bool, caplog: pytest.LogCaptureFixture
) -> None:
    broken = True

    class Cold(FakeVoice):
        def warm_up(self, *sizes: int) -> None:
            if broken and self.mark == 200:
                raise error

    def make(spec: str) -> FakeVoice:
        if broken and not warming_up and spec.endswith("b"):
            raise error
        return Cold(MARKS[spec])

    watch = Watch(make)

    async def scene() -> None:
        nonlocal broken
        library = library_of(watch)
        await library.get()
        for _ in range(2):
            with pytest.raises(NotReady, match="the model b can't be loaded now") as refusal:
                await library.get("b")
            assert "/home" not in str(refusal.value)
            assert refusal.value.retry_after == 30
        assert "the model b can't be loaded" in caplog.text
        assert library.trouble() == ""
        assert await answer(await library.get("c")) == 300
        broken = False
        assert await answer(await library.get("b")) == 200
        await library.close()

    play(scene())
    assert [spec[-1] for spec, _ in watch.loads] == ["a", "b", "b", "c", "b"]


def test_a_default_that_can_not_be_loaded_says_why() -> None:
    """At the start, to the one who can mend it."""

    def make(spec: str) -> FakeVoice:
        raise ConfigError("no such thing")

    async def scene() -> None:
        with pytest.raises(ConfigError, match="no such thing"):
            await library_of(Watch(make)).get()

    play(scene())


def test_who_asked_first_leaves_while_it_loads() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(spec: str) -> FakeVoice:
        begun.set()
        assert go_on.wait(30)
        return by_mark(spec)

    async def scene() -> None:
        library = library_of(Watch(slow))
        first, second = asyncio.create_task(library.get()), asyncio.create_task(library.get())
        await until(begun.is_set)
        first.cancel()
        go_on.set()
        assert await answer(await second) == 100
        await library.close()

    play(scene())


# --- devices and settings -------------------------------------------------------------------------


def test_each_device_has_its_copy() -> None:
    watch = Watch(by_mark)

    async def scene() -> None:
        library = library_of(watch, devices=("one", "two"), limits=Limits(batch_windows=1))
        assert [device.name for device in library._devices] == ["one", "two"]
        entry = await library.get()
        for voice in watch.voices:
            voice.go_on.clear()
        tasks = [asyncio.create_task(answer(entry, value)) for value in range(6)]
        await until(lambda: all(voice.threads for voice in watch.voices))  # both at once
        for voice in watch.voices:
            voice.go_on.set()
        assert await asyncio.gather(*tasks) == [100, 101, 102, 103, 104, 105]
        assert entry.megabytes == pytest.approx(2.0)
        facts = entry.facts()
        assert facts["device"] == "cpu,cpu"
        assert facts["engine"] == {"engine": "torch"}  # and not where its library lies
        await library.close()

    play(scene())
    assert watch.loads == [("/home/someone/a", "one"), ("/home/someone/a", "two")]
    assert [{name.rpartition("_")[0] for name in voice.threads} for voice in watch.voices] == [
        {"snn-voice-one"},
        {"snn-voice-two"},
    ]


@pytest.mark.parametrize(
    ("voice", "limits", "size", "warm"),
    [
        ({}, Limits(batch_windows=32), 32, (1, 32)),
        ({"engine": "compile"}, Limits(batch_windows=24), 24, (1, 2, 4, 8, 16, 24)),
        ({}, Limits(batch_windows=32, batch_seconds=5.5), 32, (1, 5)),
        ({}, Limits(batch_windows=32, batch_seconds=0.1), 32, (1,)),
        # What such a clip's features are depends on the others of its batch.
        ({"normalization": "batch"}, Limits(batch_windows=32), 1, (1,)),
    ],
)
def test_batches_of_a_model(voice: dict[str, str], limits: Limits, size: int, warm: tuple[int, ...]) -> None:
    watch = Watch(lambda _: FakeVoice(0, **voice))  # type: ignore[arg-type]

    async def scene() -> None:
        library = library_of(watch, limits=limits)
        entry = await library.get()
        assert entry.queue(LOGITS).limits.batch_windows == size
        assert entry.queue(LOGITS).limits.queue_windows == limits.queue_windows
        await library.close()

    play(scene())
    assert watch.voices[0].warm == warm


def test_a_model_that_the_caller_has_made() -> None:
    watch = Watch(by_mark)
    voice = SnnVoice(TcySNN(num_classes=3), labels=["a", "b", "c"], engine="torch").train()
    source = source_of(voice)

    async def scene() -> None:
        library = Library([source], [Device("cpu")], watch.load, Limits(), max_megabytes=100, watcher=watch)
        entry = await library.get()
        assert not voice.training
        wave = torch.randn(voice.config.features.num_samples)
        with entry.admit(LOGITS, seconds=30) as place:
            outcome = await place.run([wave, -wave], voice.config.features.seconds)
        with torch.inference_mode():
            wanted = voice(torch.stack([wave, -wave]))
        torch.testing.assert_close(torch.from_numpy(np.stack(outcome.rows)), wanted)
        assert entry.facts()["parameters"] == voice.num_parameters()
        await library.close()

    play(scene())
    assert watch.loads == []
    assert source.name == "TcySNN"


def test_names(tmp_path: Path) -> None:
    folder = tmp_path / "v1.0"
    folder.mkdir()
    file = tmp_path / "words.ckpt"
    file.write_bytes(b"")
    found = sources_of([str(folder), str(file), "someone/words", "resmel-snn"])
    assert [source.name for source in found] == ["v1.0", "words", "someone/words", "resmel-snn"]
    assert [source.spec for source in found] == [str(folder), str(file), "someone/words", "resmel-snn"]
    assert len(sources_of([])) == 1
    two = sources_of(["someone/words@v1.0", "someone/words@v2.0"])
    assert [(source.name, source.spec) for source in two] == [(f"someone/words@v{i}.0",) * 2 for i in (1, 2)]
    with pytest.raises(ConfigError, match="two models are called v1"):
        sources_of([str(folder), f"{folder}/"])
