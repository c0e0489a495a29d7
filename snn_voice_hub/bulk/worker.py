"""What runs in a worker of Ray: a chunk of clips in, their rows out. The model is loaded once a worker."""

from __future__ import annotations

import os
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import pyarrow as pa
import torch
from snn_voice_lite.answers import Prediction
from snn_voice_lite.visible import module_logger

from snn_voice_hub.bulk.options import BulkOptions
from snn_voice_hub.bulk.output import SCHEMA, digest
from snn_voice_hub.bulk.sources import ClipEntry, Sources
from snn_voice_hub.errors import AudioError, SnnVoiceError
from snn_voice_hub.hub.choice import CONFIG_FILE, WEIGHTS_FILE
from snn_voice_hub.packages import use_packages
from snn_voice_hub.voice import SnnVoice

logger = module_logger(__name__)

Answer: TypeAlias = list[Prediction] | AudioError
Content: TypeAlias = str | bytes | BinaryIO

# Files of a bucket that are fetched at a time: each is a round trip of some ten milliseconds.
_FETCHING_THREADS = 8
# Larger ones are not read ahead, so that what waits stays small.
_READ_AHEAD_BYTES = 1 << 24
# Workers that a clip alone may end, before it gets no more: the first may have died of something else.
_LIVES = 2


@dataclass(frozen=True)
class Assignment:
    """All that a worker is given, once.

    Attributes:
        config: Content of the checkpoint's `config.json`.
        weights: Content of its safetensors file; so every worker has the driver's weights.
        sources: Where the clips are.
        options: How to ask; the device is a worker's.
        packages: What has the network's architecture, where it is none of this library's; the worker's Python
            must find it.
    """

    config: bytes
    weights: bytes
    sources: Sources
    options: BulkOptions
    packages: tuple[str, ...] = ()

    def load(self) -> SnnVoice:
        """The model.

        Raises:
            SnnVoiceError: It can't run on this machine.
        """
        use_packages(self.packages)
        with tempfile.TemporaryDirectory(prefix="snn-voice-") as folder:
            (Path(folder) / CONFIG_FILE).write_bytes(self.config)
            (Path(folder) / WEIGHTS_FILE).write_bytes(self.weights)
            voice = SnnVoice.from_pretrained(folder, device=self.options.device, engine=self.options.engine)
        voice.engine_info()  # an engine that can't be made is told now
        return voice


class Watch:
    """An actor that counts how often something was begun: what was begun before has ended a worker."""

    def __init__(self) -> None:
        self._begun: Counter[bytes] = Counter()

    def begin(self, key: bytes) -> int:
        """How often it was begun, this time included."""
        self._begun[key] += 1
        return self._begun[key]


class Worker:
    """An actor of `map_batches`.

    Ray gives the work of a worker that died to another one, without end. A chunk that comes back is done clip
    by clip, and a clip that has ended two workers alone (it breaks the decoder, or needs too much memory) is
    an error of its own.

    Args:
        fetch: Gives the work; called in the worker, so that the weights travel once and not with each task.
        begin: `Watch.begin`.
    """

    def __init__(self, fetch: Callable[[], Assignment], begin: Callable[[bytes], int]) -> None:
        work = fetch()
        self._work = work
        self._begin = begin
        self._voice: SnnVoice | SnnVoiceError
        if not work.options.device.startswith("cuda"):
            torch.set_num_threads(1)  # a worker is one core, whatever OMP_NUM_THREADS says
        try:
            self._voice = work.load()
        except SnnVoiceError as error:
            # An actor whose start fails is started again and again; this ends the run by its first answer.
            self._voice = error

    def __call__(self, chunks: pa.Table) -> pa.Table:
        """Chunks of clips, one a row, to chunks of rows; or why there are none, for the terminal."""
        if isinstance(self._voice, SnnVoiceError):
            return pack_error(self._voice)
        try:
            return pack(self._rows(self._voice, chunks))
        except SnnVoiceError as error:
            return pack_error(error)

    def _rows(self, voice: SnnVoice, chunks: pa.Table) -> pa.Table:
        answered = []
        for chunk in chunks["clips"].to_pylist():
            clips = _clips(chunk)
            if self._begin(digest("\n".join(entry.name for _, entry in clips))) == 1:
                answered.append(rows(voice, self._work, clips))
            else:
                answered += [self._alone(voice, clip) for clip in clips]
        return pa.concat_tables(answered)

    def _alone(self, voice: SnnVoice, clip: tuple[int, ClipEntry]) -> pa.Table:
        name = clip[1].name
        if self._begin(digest(name)) <= _LIVES:
            return rows(voice, self._work, [clip])
        error = AudioError(f"{name} ends the process that reads it", hint="is it huge?", code="crashed")
        return pa.Table.from_pylist([_row(name, error)], schema=SCHEMA)


def _clips(chunk: list[dict[str, Any]]) -> list[tuple[int, ClipEntry]]:
    return [(clip["source"], ClipEntry(clip["name"], clip["place"], clip["problem"])) for clip in chunk]


def pack(table: pa.Table) -> pa.Table:
    """A table of `SCHEMA` as one row of another table: so Ray moves a chunk as a whole."""
    flat = pa.concat_arrays(table.to_struct_array().chunks)
    chunk = pa.ListArray.from_arrays(pa.array([0, len(flat)], pa.int32()), flat)
    return pa.table({"rows": chunk, "error": pa.array([None], pa.list_(pa.string()))})


def pack_error(error: SnnVoiceError) -> pa.Table:
    """An error that ends the run, in the place of rows: of one that is raised Ray keeps only a text."""
    parts = pa.array([[error.message, error.hint, error.code]], pa.list_(pa.string()))
    return pa.table({"rows": pa.array([[]], pa.list_(pa.struct(SCHEMA))), "error": parts})


def unpack(packed: pa.Table) -> pa.Table:
    """The rows of a table that `pack` made.

    Raises:
        SnnVoiceError: The worker has sent that instead.
    """
    for error in packed["error"].to_pylist():
        if error is not None:
            raise SnnVoiceError(error[0], hint=error[1], code=error[2])
    flat = packed["rows"].combine_chunks().flatten()
    return pa.Table.from_struct_array(flat).cast(SCHEMA)


def rows(voice: SnnVoice, work: Assignment, clips: Sequence[tuple[int, ClipEntry]]) -> pa.Table:
    """The rows of some clips.

    Args:
        voice: The model.
        work: Where clips are and how to ask.
        clips: Each with the index of its source.

    Returns:
        A table of `SCHEMA`, in the order of the clips.

    Raises:
        SnnVoiceError: All clips fail for a reason that is not in them.
    """
    answers = _answers(voice, work, clips)
    names = [entry.name for _, entry in clips]
    return pa.Table.from_pylist([_row(n, answers[i]) for i, n in enumerate(names)], schema=SCHEMA)


def _row(name: str, answer: Answer) -> dict[str, Any]:
    if isinstance(answer, AudioError):
        return {"path": name, "error_code": answer.code, "error_message": _message(name, answer)}
    best = answer[0] if answer else None
    return {
        "path": name,
        "label": best.label if best else None,
        "score": best.score if best else None,
        "predictions": [{"label": p.label, "score": p.score} for p in answer],
    }


def _message(name: str, error: AudioError) -> str:
    """One line that names the clip, also where it came as bytes."""
    cause = error.__cause__
    text = " ".join(str(cause if isinstance(cause, AudioError) else error).split())
    for anonymous in ("the audio data", "the audio stream"):
        if text.startswith(anonymous):
            return name + text.removeprefix(anonymous)
    return text if name in text else f"{name}: {text}"


def _answers(voice: SnnVoice, work: Assignment, clips: Sequence[tuple[int, ClipEntry]]) -> dict[int, Answer]:
    """The answer of each clip by its place; one whose content breaks the program costs only itself."""
    try:
        return _classify(voice, work, clips)
    except SnnVoiceError:
        raise
    except Exception as error:
        logger.warning("a chunk of %d clips is repeated one by one", len(clips), exc_info=True)
        first = error
    answers: dict[int, Answer] = {}
    broken = 0
    for index, clip in enumerate(clips):
        try:
            answers[index] = _classify(voice, work, [clip])[0]
        except Exception as error:
            broken += 1
            what = f"{clip[1].name} can't be classified"
            answers[index] = AudioError(what, hint=f"{type(error).__name__}: {error}"[:300], code="failed")
    if broken == len(clips):
        # Not the clips: rows of a fault that is ours would never be repaired by running again.
        raise SnnVoiceError(f"no clip can be classified: {type(first).__name__}: {first}")
    return answers


def _classify(voice: SnnVoice, work: Assignment, clips: Sequence[tuple[int, ClipEntry]]) -> dict[int, Answer]:
    answers: dict[int, Answer] = {}
    taken: list[int] = []

    def contents() -> Iterator[Content]:
        for index, content in enumerate(_contents(work.sources, clips)):
            if isinstance(content, AudioError):
                answers[index] = content
            else:
                taken.append(index)
                yield content

    options = work.options
    found = voice.classify_each(
        contents(),
        top_k=options.top_k,
        min_score=options.min_score,
        words_only=options.words_only,
        batch_size=options.batch_size,
        on_error="return",
    )
    for at, answer in enumerate(found):
        answers[taken[at]] = answer
    return answers


def _contents(sources: Sources, clips: Sequence[tuple[int, ClipEntry]]) -> Iterator[Content | AudioError]:
    """What to classify, in order; files of other disks are fetched ahead by threads."""
    waiting: deque[Callable[[], Content | AudioError]] = deque()
    with ThreadPoolExecutor(_FETCHING_THREADS, thread_name_prefix="snn-voice-fetch") as pool:
        for source, entry in clips:
            filesystem = sources.items[source].filesystem
            if entry.problem:
                error = AudioError(f"{entry.name}: {entry.problem}", code="unreadable")
                waiting.append(partial(_same, error))
            elif filesystem is None:
                waiting.append(partial(_same, os.fsdecode(entry.place)))
            else:
                future: Future[Content | AudioError] = pool.submit(fetch, filesystem, entry)
                waiting.append(future.result)
            if len(waiting) > 2 * _FETCHING_THREADS:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()


def _same(value: Content | AudioError) -> Content | AudioError:
    return value


def fetch(filesystem: Any, entry: ClipEntry) -> Content | AudioError:
    """A clip's bytes, or an open file where they are many.

    Args:
        filesystem: A `pyarrow.fs.FileSystem`.
        entry: The clip.

    Returns:
        Its content, or why there is none.
    """
    try:
        file = filesystem.open_input_file(entry.place.decode())
        if file.size() > _READ_AHEAD_BYTES:
            return file  # type: ignore[no-any-return]
        with file:
            return file.read()  # type: ignore[no-any-return]
    except FileNotFoundError:
        return AudioError(f"{entry.name} does not exist", code="not_found")
    except OSError as error:
        hint = " ".join(str(error).split())[:300]
        return AudioError(f"{entry.name} can't be read", hint=hint, code="unreadable")
