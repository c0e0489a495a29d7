"""Folders of clips that are being filled: by several threads, in any order, and kept on the way."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from snn_voice_hub.training.clips.negatives import INDEX
from snn_voice_hub.training.voices.neighbours import as_negative, index_of
from snn_voice_hub.training.voices.orders import ELSEWHERE, Clip, ClipOrder
from snn_voice_hub.training.voices.record import ClipRecord
from snn_voice_hub.training.voices.sound import TOO_LONG
from snn_voice_hub.writing import write_whole, writing_into

_KEEP_SECONDS = 5.0

# Takes clips as they come, with their number, and passes them on.
Show = Callable[[Generator[Clip, None, None], int], Iterable[Clip]]


@dataclass(frozen=True)
class Spoken:
    """What became of a word or a phrase.

    Attributes:
        text: The word or phrase.
        clips: All that were wanted; those of which nothing could be used have no path.
    """

    text: str
    clips: tuple[Clip, ...]

    @property
    def kept(self) -> int:
        """How many clips there are."""
        return sum(bool(clip.path) for clip in self.clips)

    @property
    def thrown(self) -> Counter[str]:
        """What was thrown away, by reason (`sound.REASONS`)."""
        return Counter(one.reason for clip in self.clips for one in clip.thrown)

    @property
    def made(self) -> int:
        """How often it was said."""
        return self.kept + self.thrown.total()

    @property
    def too_long(self) -> list[float]:
        """Seconds of what was too long, in order."""
        return sorted(one.seconds for clip in self.clips for one in clip.thrown if one.reason == TOO_LONG)


class ClipFolder:
    """A folder, and what it is to hold.

    Args:
        folder: Where clips go.
        orders: Each word or phrase, and how many clips of it.
        negatives: Whether they are negatives, and need an index.

    Raises:
        SnnVoiceError: The folder holds clips that were made otherwise.
    """

    def __init__(
        self, folder: Path, orders: Sequence[tuple[ClipOrder, int]], negatives: bool = False
    ) -> None:
        self.folder = folder
        self._orders = orders
        self._negatives = negatives
        self._record = ClipRecord(folder)
        for order, _ in orders:
            self._record.begin(order)

    def missing(self) -> list[tuple[ClipOrder, int]]:
        """The clips that are not there yet, by their numbers."""
        return [
            (order, number)
            for order, count in self._orders
            for number in range(count)
            if self._record.made(order.said.text, number) is None
        ]

    def add(self, order: ClipOrder, clip: Clip) -> None:
        """Note what became of a clip."""
        self._record.add(order.said.text, clip)

    def spoken(self) -> tuple[Spoken, ...]:
        """What became of each word or phrase."""
        return tuple(
            Spoken(order.said.text, self._record.clips(order.said.text, count))
            for order, count in self._orders
        )

    def write(self) -> None:
        """Write down what is there.

        Raises:
            SnnVoiceError: That can't be written.
        """
        self._record.write()
        if self._negatives:
            items = [
                as_negative(clip.path, one.text, clip.engine, f"{clip.engine}-{clip.voice}")
                for one in self.spoken()
                for clip in one.clips
                if clip.path
            ]
            about = "words and phrases by synthesisers that sound like those of a model, and are none of them"
            write_whole(self.folder / INDEX, index_of(about, items), hint=ELSEWHERE)


def fill(batches: Sequence[ClipFolder], jobs: int, show: Show | None = None) -> None:
    """Make the clips that are missing.

    Args:
        batches: Of which folders.
        jobs: So many threads.
        show: Shows how far it is.

    Raises:
        SnnVoiceError: A synthesiser failed, or a folder can't be written; what was made is kept.
    """
    for batch in batches:
        with writing_into(batch.folder, ELSEWHERE):
            batch.folder.mkdir(parents=True, exist_ok=True)
    missing = [(batch, *one) for batch in batches for one in batch.missing()]
    clips = _filled(batches, missing, jobs)
    for _ in show(clips, len(missing)) if show else clips:
        pass


def _filled(
    batches: Sequence[ClipFolder], missing: Sequence[tuple[ClipFolder, ClipOrder, int]], jobs: int
) -> Generator[Clip, None, None]:
    written = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        pool = ThreadPoolExecutor(jobs)
        try:
            waiting = {
                pool.submit(order.fill, number, batch.folder, Path(work)): (batch, order)
                for batch, order, number in missing
            }
            for done in as_completed(waiting):
                batch, order = waiting.pop(done)
                clip = done.result()
                batch.add(order, clip)
                if time.monotonic() - written > _KEEP_SECONDS:
                    for one in batches:
                        one.write()
                    written = time.monotonic()
                yield clip
        finally:
            pool.shutdown(cancel_futures=True)
            for one in batches:
                one.write()
