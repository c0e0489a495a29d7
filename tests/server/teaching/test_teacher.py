"""The life of a training: one at a time, in a process of its own, ended by whatever may end it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from snn_voice_server.failures import RequestError, Stopped
from snn_voice_server.teaching.jobs import Training
from snn_voice_server.teaching.lessons import TeachRequest
from snn_voice_server.teaching.teacher import Tutor

from tests.server.conftest import until
from tests.server.teaching.helpers import FIGURES, asked, pids, runs, takes, teacher_of
from tests.slowness import mostly_slow


async def ended(teacher: Tutor) -> Training:
    assert teacher.job is not None
    async with asyncio.timeout(120):  # of low priority, it waits for all others
        while teacher.job.state == "running":
            await asyncio.sleep(0.05)
    return teacher.job


def lesson(*words: str) -> TeachRequest:
    return TeachRequest(archive=takes(*words))


def test_clips_become_a_model(checkpoint: Path, tmp_path: Path) -> None:
    async def main() -> None:
        teacher, pupils = teacher_of(checkpoint, tmp_path / "kept", seconds=100.0)
        begun = await teacher.begin(lesson("lumos", "hey nox"), "ann")
        assert begun.state == "running"
        assert begun.words == ["lumos", "hey nox"]
        assert dict(begun.counts) == {"lumos": 2, "hey nox": 2}
        job = await ended(teacher)
        assert job is begun
        assert (job.state, job.error, job.name) == ("done", None, "lumos-hey-nox")
        assert pupils.folders == {"lumos-hey-nox": job.folder / "lumos-hey-nox"}
        assert (job.folder / "lumos-hey-nox" / "model.safetensors").exists()
        told = asked(job.folder)
        assert told["clips"] == [f"{w}/me_nohash_{i}.wav" for w in ("hey nox", "lumos") for i in (0, 1)]
        assert (told["words"], told["synthetic"], told["count"]) == (["lumos", "hey nox"], False, 250)
        assert told["nice"] == min(19, os.nice(0) + 10)
        assert job.progress.figures == FIGURES
        assert list(job.progress.lines) == [
            "reads 4 clips in _clips",
            "a line that is no JSON",
            *(f"trains, epoch {i}" for i in (1, 2, 3)),
            "loads the new model into the service",
        ]
        await teacher.close()
        assert job.folder.parent == tmp_path / "kept"
        assert job.folder.is_dir()

    asyncio.run(main())


def test_synthesisers_alone(checkpoint: Path, tmp_path: Path) -> None:
    async def main() -> None:
        teacher, _ = teacher_of(checkpoint, tmp_path)
        await teacher.begin(TeachRequest(("lumos", "help"), name="mine"), "")
        job = await ended(teacher)
        assert (job.state, job.name) == ("done", "mine")
        told = asked(job.folder)
        assert (told["words"], told["synthetic"], told["clips"]) == (["lumos", "help"], True, [])
        await teacher.begin(TeachRequest(archive=takes("lumos"), synthetic=False), "")
        assert asked((await ended(teacher)).folder)["count"] == 0
        await teacher.close()

    asyncio.run(main())


def test_a_temporary_folder_goes_with_the_service(checkpoint: Path) -> None:
    async def main() -> None:
        teacher, _ = teacher_of(checkpoint, None)
        await teacher.begin(lesson("lumos"), "")
        job = await ended(teacher)
        assert job.folder.is_dir()
        await teacher.close()
        assert not job.folder.parent.exists()

    asyncio.run(main())


def test_old_ones_make_room(checkpoint: Path, tmp_path: Path) -> None:
    async def main() -> None:
        teacher, pupils = teacher_of(checkpoint, tmp_path, keep=2)
        folders = []
        for _ in range(3):
            await teacher.begin(lesson("lumos"), "")
            folders.append((await ended(teacher)).folder)
        await until(lambda: not folders[0].exists())
        assert pupils.names == ["first", "lumos-2", "lumos-3"]
        assert folders[1].exists()
        await teacher.close()

    asyncio.run(main())


def test_one_at_a_time(checkpoint: Path, tmp_path: Path) -> None:
    async def main() -> None:
        teacher, _ = teacher_of(checkpoint, tmp_path)
        # Of two that come together, one is still unpacking.
        both = await asyncio.gather(
            *(teacher.begin(lesson("slow"), "") for _ in range(2)), return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in both) == ["RequestError", "Training"]
        with pytest.raises(RequestError, match=r"another training is under way.*DELETE /teach") as refusal:
            await teacher.begin(lesson("lumos"), "")
        assert refusal.value.code == "teaching"
        await teacher.close()

    asyncio.run(main())


@pytest.mark.parametrize("word", mostly_slow(["slow", "stubborn"], "slow"))
def test_cancelled(checkpoint: Path, tmp_path: Path, word: str) -> None:
    """All processes are ended, also one that takes no notice of SIGTERM."""

    async def main() -> None:
        teacher, pupils = teacher_of(checkpoint, tmp_path)
        job = await teacher.begin(lesson(word), "ann")
        await until(lambda: pids(job.folder))
        assert all(map(runs, pids(job.folder)))
        await until(lambda: job.progress.step == "train")
        assert job.progress.of == 0.0  # too many to count
        with pytest.raises(RequestError, match="another API key"):
            await teacher.cancel("bob")
        assert job.state == "running"
        assert await teacher.cancel("ann") is job
        assert job.state == "cancelled"
        assert not any(map(runs, pids(job.folder)))
        assert pupils.names == ["first"]
        with pytest.raises(RequestError, match="no training is under way"):
            await teacher.cancel("ann")
        await teacher.begin(lesson("lumos"), "bob")
        assert (await ended(teacher)).state == "done"
        await teacher.close()

    asyncio.run(main())


def test_the_end_of_the_service(checkpoint: Path, tmp_path: Path) -> None:
    async def main() -> None:
        teacher, _ = teacher_of(checkpoint, tmp_path)
        job = await teacher.begin(lesson("slow"), "")
        await until(lambda: pids(job.folder))
        teacher.stop()
        with pytest.raises(Stopped):
            await teacher.begin(lesson("lumos"), "")
        await teacher.close()
        assert job.state == "cancelled"
        assert not any(map(runs, pids(job.folder)))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("word", "limits", "code", "message"),
    [
        ("slow", {"seconds": 1.0}, "took_too_long", "longer than 1 s"),
        ("hungry", {"memory_mb": 100.0}, "out_of_memory", "more than 100 MB"),
        ("wrong", {}, "training_failed", r"^too few clips of wrong \(record more\)$"),
        ("crash", {}, "training_failed", r"ended with code 1 \(the service's log says why\)"),
        ("killed", {}, "training_failed", "no memory left"),
        ("mute", {}, "training_failed", "told no model"),
        ("bad", {}, "bad_config", "can't be used"),
    ],
)
def test_failures(
    checkpoint: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    word: str,
    limits: dict[str, float],
    code: str,
    message: str,
) -> None:
    async def main() -> Training:
        teacher, _ = teacher_of(checkpoint, tmp_path, **limits)
        await teacher.begin(lesson(word), "")
        job = await ended(teacher)
        assert not any(map(runs, pids(job.folder)))
        teacher.check_free()
        await teacher.close()
        return job

    job = asyncio.run(main())
    assert job.state == "failed"
    assert job.error is not None
    assert job.error.code == code
    with pytest.raises(type(job.error), match=message):
        raise job.error
    assert str(tmp_path) not in str(job.error)
    if word == "crash":
        assert "a tensor has a wrong shape" in caplog.text


@pytest.mark.parametrize(
    ("asked_for", "code"),
    [
        (TeachRequest(), "no_clips"),
        (TeachRequest(("lumos",), synthetic=False), "no_clips"),
        (TeachRequest(("lumos", "nox"), takes("lumos")), "no_clips"),
        (TeachRequest(("lumos",), takes("lumos", "nox")), "bad_word"),
        (TeachRequest(("_silence_",)), "bad_word"),
        (TeachRequest(("../x",)), "bad_word"),
        (TeachRequest(("x" * 61,)), "bad_word"),
        (TeachRequest(tuple("abcd")), "too_many_words"),
        (TeachRequest(("lumos",), name="first"), "name_taken"),
        (TeachRequest(("lumos",), name="a/b"), "bad_name"),
        (TeachRequest(("lumos",), name=".."), "bad_name"),
        (TeachRequest(archive=b"no zip"), "bad_zip"),
    ],
)
def test_what_can_not_be_taught(checkpoint: Path, tmp_path: Path, asked_for: TeachRequest, code: str) -> None:
    """Nothing is left of it, and the next one may begin."""

    async def main() -> None:
        teacher, _ = teacher_of(checkpoint, tmp_path, words=3)
        with pytest.raises(RequestError) as refusal:
            await teacher.begin(asked_for, "")
        assert refusal.value.code == code
        assert refusal.value.hint
        assert list(tmp_path.iterdir()) == []
        teacher.check_free()
        await teacher.close()

    asyncio.run(main())
