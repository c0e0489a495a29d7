"""`snn-voice record`."""

from __future__ import annotations

import re
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer
from snn_voice_lite.shell.live import of_microphone, play_back

from snn_voice_hub.cli.output import say
from snn_voice_hub.cli.wav import write_wav
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.writing import writing_into

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

_ELSEWHERE = "another folder for --out"
_MOST = 1_000
_MOST_SECONDS = 10.0
# Whoever has been refused so often for one take won't be heard at the next try either.
_TRIES = 5
# Of the countdown, in seconds.
_BEAT = 0.7


def record(
    words: Annotated[list[str], typer.Argument(metavar="WORD…", help="Words or phrases to be said.")],
    out: Annotated[Path, typer.Option(help="Folder for a folder of clips for each word.")],
    count: Annotated[int, typer.Option(help="Clips of each word; those that are there count.")] = 10,
    speaker: Annotated[
        str, typer.Option(help="Who speaks: training keeps all clips of a speaker together.")
    ] = "me",
    seconds: Annotated[float, typer.Option(help="How long a take is recorded.")] = 2.0,
    longest: Annotated[
        float, typer.Option(help="Seconds that a word may have: as many as the model hears at once.")
    ] = 1.0,
    wav: Annotated[
        str | None, typer.Option(metavar="FILE", help="A sound file in place of the microphone.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="MICROPHONE", help="Number, or part of the name.", show_default="the system's default"
        ),
    ] = None,
    play: Annotated[bool, typer.Option("--play/--no-play", help="Play back each take.")] = True,
) -> None:
    """Record words to train with: it counts down, records, cuts at the word, and plays it back.

    A take that is silent, cut off or too loud is refused and asked for again. What is recorded stands in
    FOLDER/word/speaker_nohash_0.wav and so on, as `train --data` and `teach --clips` take it.
    """
    wanted = _checked(words)
    _check_numbers(count, seconds, longest)
    _check_name("--speaker", speaker)
    if wav is not None and device is not None:
        raise SnnVoiceError("--wav and --device do not go together", hint="one of the two")
    room: _Room = _FileRoom(wav) if wav is not None else _MicrophoneRoom(device, play=play)
    made = 0
    for word in wanted:
        with writing_into(out, _ELSEWHERE):
            (out / word).mkdir(parents=True, exist_ok=True)
            for path in missing_takes(out / word, speaker, count):
                _record_one(
                    f"{word} ({path.stem.rpartition('_')[2]} of {count})", path, seconds, longest, room
                )
                made += 1
    say(f"{out}: {count} clips of each of {len(wanted)} words, {made} of them new")


def missing_takes(folder: Path, speaker: str, count: int) -> list[Path]:
    """The files that a speaker's takes lack to be so many, by the numbers 1 to `count`."""
    takes = (folder / f"{speaker}_nohash_{number}.wav" for number in range(1, count + 1))
    return [path for path in takes if not path.exists()]


def _record_one(what: str, path: Path, seconds: float, longest: float, room: _Room) -> None:
    """One take, as often as it needs."""
    from snn_voice_hub.training.clips.takes import RATE, judged

    for _ in range(_TRIES):
        room.count_down(what)
        take = judged(room.take(seconds), longest)
        if not take.problem:
            room.play(take.waveform)
            write_wav(path, take.waveform, RATE, hint=_ELSEWHERE)
            say(f"  {take.seconds:.2f} s, {take.level:.0f} dB: kept as {path.name}", err=True)
            return
        room.play(take.waveform)
        say(f"  not kept: {take.problem} ({take.hint})", err=True)
    raise SnnVoiceError(
        f"{what}: {_TRIES} takes, and none could be kept: {take.problem}",
        hint=f"{take.hint}; what was kept stays",
    )


class _Room(Protocol):
    """Where words are said."""

    def count_down(self, what: str) -> None:
        """Let somebody get ready to say it."""

    def take(self, seconds: float) -> Samples:
        """What is heard next, `[N]` at the rate of takes."""

    def play(self, waveform: Samples) -> None:
        """Let whoever spoke hear it."""


class _FileRoom:
    """A file that stands in for a microphone: each take is its next seconds."""

    def __init__(self, path: str) -> None:
        from snn_voice_hub.audio import load
        from snn_voice_hub.training.clips.takes import RATE

        self._name, self._rate = path, RATE
        self._left: Samples = load(path, target_rate=RATE).numpy()

    def count_down(self, what: str) -> None:
        """Nobody has to get ready."""
        say(what, err=True)

    def take(self, seconds: float) -> Samples:
        """See `_Room`."""
        length = round(seconds * self._rate)
        if not len(self._left):
            raise SnnVoiceError(
                f"{self._name} has no more sound",
                hint="a longer file, or a lower --count; what was kept stays",
            )
        found, self._left = self._left[:length], self._left[length:]
        return found

    def play(self, waveform: Samples) -> None:
        """Nobody listens."""


class _MicrophoneRoom:
    """A microphone, and who speaks into it."""

    def __init__(self, device: str | None, *, play: bool) -> None:
        self._device, self._plays = device, play
        of_microphone(device, None)  # whoever has none is told before the countdown

    def count_down(self, what: str) -> None:
        """See `_Room`."""
        for left in (3, 2, 1):
            typer.echo(f"\r{what}: {left} ", nl=False, err=True)
            time.sleep(_BEAT)

    def take(self, seconds: float) -> Samples:
        """See `_Room`."""
        import numpy as np
        from snn_voice_lite.streaming.chunks import ChunkReader

        from snn_voice_hub.audio import load
        from snn_voice_hub.training.clips.takes import RATE

        sound, reader = of_microphone(self._device, None), ChunkReader()
        parts: list[Samples] = []
        with closing(sound.chunks):
            next(sound.chunks)  # it takes a moment to open, and what comes before the sign is not wanted
            typer.echo("\b\bnow!", err=True)
            while sum(map(len, parts)) < seconds * sound.sample_rate:
                parts.append(reader.read(next(sound.chunks)))
        return load(np.concatenate(parts), sample_rate=sound.sample_rate, target_rate=RATE).numpy()

    def play(self, waveform: Samples) -> None:
        """See `_Room`."""
        if self._plays:
            from snn_voice_hub.training.clips.takes import RATE

            play_back(waveform, RATE)


def _checked(words: list[str]) -> list[str]:
    """The words, each once."""
    for word in words:
        _check_name("a word", word)
    return list(dict.fromkeys(words))


def _check_name(what: str, name: str) -> None:
    """Refuse what can't be part of a path, or would be no word."""
    if not re.fullmatch(r"\w[\w' -]*", name) or name != name.strip() or name.startswith("_"):
        raise SnnVoiceError(
            f"{what}: {name!r} is not legal",
            hint="letters, digits, spaces, - and ', and a letter or digit first",
        )


def _check_numbers(count: int, seconds: float, longest: float) -> None:
    for name, value, low, high in (
        ("--count", count, 1, _MOST),
        ("--seconds", seconds, 0.5, _MOST_SECONDS),
        ("--longest", longest, 0.2, seconds),
    ):
        if not low <= value <= high:
            raise SnnVoiceError(f"{name} {value:g} is not legal", hint=f"{low:g} to {high:g}")
