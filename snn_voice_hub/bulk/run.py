"""A run over many clips: listing, workers, and the one writer of the dataset."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TextIO

from snn_voice_hub.bulk.options import BulkOptions
from snn_voice_hub.bulk.ray_session import import_ray, ray_session
from snn_voice_hub.bulk.sources import Sources, find_sources
from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.checkpoints import read_config, resolve
from snn_voice_hub.hub.loading import Loading
from snn_voice_hub.inference.decode import usable_cores
from snn_voice_hub.packages import named_packages, package_of

if TYPE_CHECKING:
    import pyarrow as pa

    from snn_voice_hub.bulk.output import Done, Output

# Clips that a worker gets at a time: enough for several batches of the network, and small in memory.
CHUNK = 256
# A part is written at the latest after so long: what a kill can cost.
_PART_SECONDS = 30.0
_MAX_LISTINGS = 8


@dataclass(frozen=True)
class Summary:
    """What came of a run.

    Attributes:
        clips: Clips that were classified now, errors among them.
        errors: Those of them that failed.
        before: Clips that had a row already; errors among them.
        errors_before: Those of them that had failed.
        seconds: How long it took, Ray's start included.
    """

    clips: int
    errors: int
    before: int
    errors_before: int
    seconds: float


def classify_bulk(arguments: Iterable[str], target: str, options: BulkOptions) -> Summary:
    """Classify every clip of some folders, files and URIs into a Parquet dataset.

    Clips that have a row there are left out, so a run that was stopped goes on where it was.

    Args:
        arguments: What to classify; see `find_sources`.
        target: Folder or URI of the dataset.
        options: How.

    Returns:
        The counts.

    Raises:
        SnnVoiceError: A wrong use, or a failure of Ray; the rows so far are kept.
        MissingExtraError: Ray is not installed.
    """
    begun = time.monotonic()
    import_ray(alone=options.ray_address is None)
    from snn_voice_hub.bulk.output import Manifest, Output
    from snn_voice_hub.bulk.worker import Assignment

    sources = find_sources(arguments)
    checkpoint = resolve(options.model, Loading(revision=options.revision))
    read = read_config(checkpoint)
    config, weights = checkpoint.config.read_bytes(), checkpoint.weights.read_bytes()
    packages = _packages_of(read)
    sums = {
        "config_sha256": hashlib.sha256(config).hexdigest(),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    shaping = {name: getattr(options, name) for name in ("top_k", "min_score", "words_only", "engine")}
    manifest = Manifest(options.model or read.name, sums, shaping)
    with closing(Output(target, manifest)) as output:
        done = output.done()
        cores = options.num_workers or usable_cores()
        with ray_session(options.ray_address, cores, len(weights) + 16 * len(done)) as (ray, terminal):
            device, workers = _resources(ray, options)
            work = Assignment(config, weights, sources, replace(options, device=device), packages)
            chunks = _dataset(ray, work, done, workers)
            clips, errors = _collect(chunks, output, _Progress(len(done), terminal), options.part_clips)
    return Summary(clips, errors, len(done), done.errors, time.monotonic() - begun)


def _packages_of(config: VoiceConfig) -> tuple[str, ...]:
    """What a worker is to import: what is named here, and what this very process has the architecture from.

    Raises:
        ConfigError: The architecture is not known; that is told before Ray is started.
    """
    from snn_voice_hub.registry import get_architecture

    own = package_of(get_architecture(config.architecture, config.architecture_package))
    found = [] if own is None or own.module == "__main__" else [own.module]
    return tuple(dict.fromkeys([*named_packages(), *found]))


def _resources(ray: Any, options: BulkOptions) -> tuple[str, int]:
    """The device of a worker, and how many workers."""
    there = ray.cluster_resources()
    gpus = int(there.get("GPU", 0))
    if options.device == "cuda" and not gpus:
        raise SnnVoiceError("device='cuda' is not there: Ray has no GPU", hint="--device cpu")
    device = "cuda" if options.device == "auto" and gpus else options.device
    usual = gpus if device == "cuda" else int(there.get("CPU", 1))
    return ("cpu" if device == "auto" else device), options.num_workers or max(1, usual)


def _dataset(ray: Any, work: Any, done: Done, workers: int) -> Iterator[pa.Table]:
    """The rows, chunk by chunk, in the order in which they are ready."""
    from snn_voice_hub.bulk.worker import Watch, Worker, unpack

    work_ref, done_ref = ray.put(work), ray.put(done)
    watch = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Watch).remote()

    def fetch_work() -> Any:
        return ray.get(work_ref)

    def begin(key: bytes) -> int:
        return int(ray.get(watch.begin.remote(key)))

    def listing(batch: dict[str, Any]) -> Iterator[pa.Table]:
        seen = ray.get(done_ref)
        for index in batch["source"]:
            yield from chunks_of(ray.get(work_ref).sources, int(index), seen)

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.enable_auto_log_stats = False
    context.print_on_execution_start = False
    # A row is a chunk of clips, and every row shall be a block of its own: the unit that goes to a worker.
    context.target_max_block_size = 1
    context.target_min_block_size = 1
    indices = [{"source": index} for index in range(len(work.sources.items))]
    listed = ray.data.from_items(indices, override_num_blocks=min(len(indices), 64))
    # Listing waits for answers of a disk or bucket and takes no core of those who compute.
    at_once = min(_MAX_LISTINGS, len(indices))
    found = listed.map_batches(listing, batch_size=1, num_cpus=0, concurrency=at_once)
    answered = found.map_batches(
        Worker,
        fn_constructor_kwargs={"fetch": fetch_work, "begin": begin},
        batch_size=None,
        batch_format="pyarrow",
        concurrency=workers,
        num_cpus=1,
        num_gpus=1 if work.options.device == "cuda" else 0,
    )
    for packed in answered.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield unpack(packed)


def chunks_of(sources: Sources, index: int, done: Done) -> Iterator[pa.Table]:
    """The clips of a source that have no row yet, `CHUNK` in each row of a table.

    Args:
        sources: All sources.
        index: Which of them.
        done: What is left out.

    Yields:
        Tables of one row.
    """
    import pyarrow as pa

    clip = pa.struct(
        [("source", pa.int32()), ("name", pa.string()), ("place", pa.binary()), ("problem", pa.string())]
    )
    entries = (entry for entry in sources.entries(index) if entry.name not in done)
    while chunk := list(islice(entries, CHUNK)):
        clips = [{"source": index, "name": e.name, "place": e.place, "problem": e.problem} for e in chunk]
        yield pa.table({"clips": pa.array([clips], pa.list_(clip))})


def _collect(
    chunks: Iterator[pa.Table], output: Output, progress: _Progress, part_clips: int
) -> tuple[int, int]:
    """Write chunks as parts; what has come is written also when the run ends by an error or a signal."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    clips = errors = held = 0
    written = time.monotonic()
    with progress:
        try:
            for rows in chunks:
                waiting.append(rows)
                held += len(rows)
                clips += len(rows)
                errors += len(rows) - rows["error_code"].null_count
                progress.show(clips, errors)
                if held >= part_clips or time.monotonic() - written > _PART_SECONDS:
                    output.write(pa.concat_tables(waiting))
                    waiting, held, written = [], 0, time.monotonic()
        finally:
            if waiting:
                output.write(pa.concat_tables(waiting))
    return clips, errors


class _Progress:
    """A line on stderr: rewritten on a terminal, a new one a minute elsewhere."""

    def __init__(self, before: int, stream: TextIO) -> None:
        self._stream = stream
        self._before = f", {before:,} there before" if before else ""
        self._terminal = stream.isatty()
        self._every = 0.5 if self._terminal else 60.0
        self._begun: float | None = None
        self._next = time.monotonic() + self._every

    def __enter__(self) -> _Progress:
        if self._terminal:
            print("starting the workers ...", end="", file=self._stream, flush=True)
        return self

    def show(self, clips: int, errors: int) -> None:
        """Say how far it is, if the last time is some time ago."""
        now = time.monotonic()
        if self._begun is None:
            self._begun, self._first = now, clips
        if now < self._next:
            return
        self._next = now + self._every
        rate = (clips - self._first) / max(now - self._begun, 1e-9)
        line = f"{clips:,} clips, {errors:,} errors{self._before}, {rate:,.0f} clips/s"
        end = "" if self._terminal else "\n"
        print(
            f"\r{line}\033[K" if self._terminal else f"snn-voice: {line}",
            end=end,
            file=self._stream,
            flush=True,
        )

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            print("\r\033[K", end="", file=self._stream, flush=True)
