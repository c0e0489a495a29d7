"""Runs one training at a time, and hands the new models over."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol

from snn_voice_hub.errors import ConfigError, MissingExtraError, SnnVoiceError
from snn_voice_hub.install import extra_hint
from snn_voice_server.failures import RequestError, Stopped
from snn_voice_server.teaching.child import Child
from snn_voice_server.teaching.jobs import State, Training
from snn_voice_server.teaching.lessons import TeachLimits, TeachRequest, name_for, told
from snn_voice_server.teaching.unpacking import unpack

logger = logging.getLogger(__name__)

# What trains; words and options follow.
PROGRAM: Final = (sys.executable, "-m", "snn_voice_hub", "teach")

_LOOK_SECONDS: Final = 0.1
# How much the training holds is asked less often: it takes milliseconds.
_WEIGH_SECONDS: Final = 1.0
# Whoever cancels waits for the end no longer.
_END_SECONDS: Final = 15.0


def check_training() -> None:
    """Refuse a start where no training could run.

    Raises:
        MissingExtraError: It is not installed.
        ConfigError: Processes of this system can't be ended with all that they have started.
    """
    if not hasattr(os, "killpg"):
        raise ConfigError("--allow-teach needs Linux or macOS")
    if find_spec("lightning") is None:
        raise MissingExtraError("--allow-teach needs Lightning", hint=extra_hint("train"))


class School(Protocol):
    """Where new models go."""

    @property
    def names(self) -> Collection[str]:
        """Names that are taken."""

    async def take_in(self, name: str, folder: Path) -> None:
        """Answer by the checkpoint in that folder, too.

        Raises:
            SnnVoiceError: It can't be loaded.
        """

    async def forget(self, name: str) -> None:
        """Answer by that model no more."""

    def ended(self, state: State, seconds: float) -> None:
        """A training is over, and has taken so long."""


class Tutor:
    """Trainings, one after the other, each in a process of its own.

    Args:
        limits: How much a job may take.
        school: Where new models go.
        program: What trains.

    Attributes:
        limits: How much a job may take.
        program: What trains; the words and options follow.
        job: The newest one.
    """

    def __init__(self, limits: TeachLimits, school: School, program: Sequence[str] = PROGRAM) -> None:
        self.limits = limits
        self.program = tuple(program)
        self.job: Training | None = None
        self._school = school
        self._reserved = False
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._child: Child | None = None
        self._kept: deque[Training] = deque()
        self._temporary: Path | None = None

    @property
    def at_work(self) -> bool:
        """Whether a training runs."""
        return self.job is not None and self.job.state == "running"

    # --- what clients ask for ---------------------------------------------------------------------

    def check_free(self) -> None:
        """Refuse another job while there is one.

        Raises:
            RequestError: There is one.
            Stopped: The service ends.
        """
        if self._stopping:
            raise Stopped.now()
        if self._reserved or self.at_work:
            raise RequestError(
                "another training is under way",
                hint="GET /teach says how far it is, DELETE /teach cancels it",
                code="teaching",
            )

    async def begin(self, lesson: TeachRequest, key: str) -> Training:
        """Check the clips, and begin to train.

        Args:
            lesson: What is to be learned.
            key: Who asks.

        Raises:
            RequestError: It can't be learned from that, there is a job already, or no room for the clips.
            Stopped: The service ends.
        """
        lesson.check(self.limits)
        self.check_free()
        if lesson.name in self._school.names:
            raise RequestError(
                f"there is a model called {told(lesson.name)}", hint="another name", code="name_taken"
            )
        with self._reservation():
            try:
                folder = await asyncio.to_thread(self._new_folder)
                try:
                    job = await self._prepared(lesson, key, folder)
                    if self._stopping:
                        raise Stopped.now()
                except BaseException:
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                    raise
            except OSError as error:
                logger.error("the clips of a lesson can't be kept: %s", error)
                raise RequestError(
                    f"the service can't keep the clips: {error.strerror or 'it has no folder for them'}",
                    hint="its log says where; whoever runs it can make room there",
                    code="no_room",
                ) from error
            self.job = job
            self._task = asyncio.create_task(self._run(job))
        return job

    async def cancel(self, key: str) -> Training:
        """End the training that runs, and wait until it has ended.

        Args:
            key: Who asks; where there are several callers, only who began it may.

        Raises:
            RequestError: None runs, or it is somebody else's.
        """
        job = self.job
        if job is None or job.state != "running":
            raise RequestError("no training is under way", hint="GET /teach", code="no_job")
        if job.key != key:
            raise RequestError(
                "this training was begun with another API key", hint="that key cancels it", code="forbidden"
            )
        job.unwanted = True
        assert self._task is not None
        await asyncio.wait([self._task], timeout=_END_SECONDS)
        return job

    # --- the end of the service -------------------------------------------------------------------

    def stop(self) -> None:
        """Begin no more, and have the one that runs end; for signal handlers, too."""
        self._stopping = True
        if self.job is not None:
            self.job.unwanted = True
        if self._child is not None:
            self._child.ask_to_end()

    async def close(self) -> None:
        """End the training that runs; a temporary folder goes with all that is in it."""
        self.stop()
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._temporary is not None:
            await asyncio.to_thread(shutil.rmtree, self._temporary, ignore_errors=True)

    # --- a job ------------------------------------------------------------------------------------

    @contextmanager
    def _reservation(self) -> Iterator[None]:
        self._reserved = True
        try:
            yield
        finally:
            self._reserved = False

    def _new_folder(self) -> Path:
        if self.limits.folder is not None:
            base = self.limits.folder.absolute()
            base.mkdir(parents=True, exist_ok=True)
        elif self._temporary is None:
            base = self._temporary = Path(tempfile.mkdtemp(prefix="snn-voice-teach-"))
        else:
            base = self._temporary
        return Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=base))

    async def _prepared(self, lesson: TeachRequest, key: str, folder: Path) -> Training:
        counts: Counter[str] = Counter()
        words = list(dict.fromkeys(lesson.words))
        if lesson.archive:
            counts = await asyncio.to_thread(unpack, lesson.archive, folder / "_clips", self.limits)
            _check_same(words, counts)
            words = list(counts)
        name = lesson.name or name_for(words, self._school.names)
        return Training(name, words, counts, lesson.synthetic, key, folder, lesson.said)

    async def _run(self, job: Training) -> None:
        logger.info("training %s begins", job.name)
        try:
            checkpoint = await self._train(job)
            if checkpoint is not None:
                job.progress.now("load", "loads the new model into the service")
                await self._school.take_in(job.name, checkpoint)
        except SnnVoiceError as error:
            job.end("failed", error)
        except Exception:  # of PyTorch, while it is loaded; or the disk is full
            logger.exception("the training %s has failed", job.name)
            job.end("failed", SnnVoiceError("the training failed", hint="the service's log says why"))
        else:
            job.end("done" if checkpoint is not None else "cancelled")
        shown = f": {job.error}" if job.error is not None else ""
        level = logging.WARNING if job.state == "failed" else logging.INFO
        logger.log(level, "training %s: %s after %.0f s%s", job.name, job.state, job.seconds, shown)
        self._school.ended(job.state, job.seconds)
        self._kept.append(job)
        while len(self._kept) > self.limits.keep:
            await self._drop(self._kept.popleft())

    async def _drop(self, job: Training) -> None:
        if job.state == "done":
            await self._school.forget(job.name)
        await asyncio.to_thread(shutil.rmtree, job.folder, ignore_errors=True)

    async def _train(self, job: Training) -> Path | None:
        """The new checkpoint, or None where it was cancelled."""
        child = self._child = Child(self._command(job), job.progress.take, job.complaints.append)
        try:
            await self._watch(job, child)
        except asyncio.CancelledError:  # nobody waits any more
            child.kill()
            raise
        finally:
            self._child = None
            code = child.code
            await child.end()
        if job.unwanted:
            return None
        checkpoint = job.progress.checkpoint
        if code != 0 or checkpoint is None:
            raise _failure(job, code)
        return checkpoint

    async def _watch(self, job: Training, child: Child) -> None:
        """Until it has ended, is to end, or takes too much."""
        weighed = 0.0
        while child.code is None and not job.unwanted:
            if job.seconds > self.limits.seconds:
                raise SnnVoiceError(
                    f"the training took longer than {self.limits.seconds:g} s",
                    hint="fewer words or clips; --teach-seconds of the service",
                    code="took_too_long",
                )
            if job.seconds - weighed > _WEIGH_SECONDS:
                weighed = job.seconds
                if await asyncio.to_thread(child.megabytes) > self.limits.memory_mb:
                    raise SnnVoiceError(
                        f"the training needs more than {self.limits.memory_mb:g} MB",
                        hint="fewer words or clips; --teach-memory-mb of the service",
                        code="out_of_memory",
                    )
            await asyncio.sleep(_LOOK_SECONDS)

    def _command(self, job: Training) -> list[str]:
        clips = ["--clips", str(job.clips)] if job.counts else ["--synthetic-only"]
        silent = [] if job.synthetic else ["--count", "0"]
        options = [*clips, *silent, "--out", str(job.folder / job.name), "--json"]
        words = [f"{word}={job.said[word]}" if word in job.said else word for word in job.words]
        # The words last: one is never taken for an option.
        return [*self.program, *options, "--", *words]


def _check_same(words: Collection[str], counts: Collection[str]) -> None:
    if not words or set(words) == set(counts):
        return
    missing = next((word for word in words if word not in counts), None)
    if missing is not None:
        raise RequestError(
            f"the zip has no clips of {told(missing)}",
            hint=f"a folder {told(missing)} in the zip, or leave words away",
            code="no_clips",
        )
    more = next(word for word in counts if word not in words)
    raise RequestError(
        f"the zip has clips of {told(more)}, which is not among the words",
        hint="all words, or leave words away",
        code="bad_word",
    )


def _failure(job: Training, code: int | None) -> SnnVoiceError:
    """Why a training has ended without a model."""
    said = [line for line in job.complaints if line]
    logger.error("the training %s ended with %s: %s", job.name, code, " | ".join(said[-20:]))
    if code == 2 and said:  # a line for people
        text = said[-1].removeprefix("snn-voice: ").removeprefix("error: ")
        return SnnVoiceError(text.replace(f"{job.folder}/", ""), code="training_failed")
    if code == -9:
        what = "the system has ended the training: it may have no memory left"
    else:
        what = "the training told no model" if code == 0 else f"the training ended with code {code}"
    return SnnVoiceError(what, hint="the service's log says why", code="training_failed")
