"""How `snn-voice listen` shows what it hears: a line a word, JSON, or a live view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from snn_voice_lite.shell.lines import event_line, event_row
from snn_voice_lite.visible import visible

from snn_voice_hub.cli.output import say, say_json
from snn_voice_hub.config import meaning

if TYPE_CHECKING:
    from rich.console import RenderableType
    from snn_voice_lite.streaming.detector import Event
    from snn_voice_lite.streaming.session import VoiceStream

# Of the live view.
_LIKELY = 3
_MIN_BAR, _MAX_BAR = 8, 30
_BESIDE_BAR = 30  # with room for the ^C of a terminal
# The level meter begins here, in dB of full scale.
_QUIET = -70.0


class Show(Protocol):
    """A way of showing what is heard.

    Attributes:
        scores: Whether scores are shown, not words alone.
    """

    scores: bool

    def heard(self, stream: VoiceStream, events: Sequence[Event]) -> None:
        """Some more sound was heard, and in it these words."""

    def close(self) -> None:
        """Nothing more will be heard."""


class WordLines:
    """A line a word."""

    scores = False

    def heard(self, stream: VoiceStream, events: Sequence[Event]) -> None:
        """See `Show`."""
        for event in events:
            say(event_line(event))

    def close(self) -> None:
        """See `Show`."""


class JsonWords:
    """An object a word, a line each."""

    scores = False

    def heard(self, stream: VoiceStream, events: Sequence[Event]) -> None:
        """See `Show`."""
        for event in events:
            say_json(event_row(event))

    def close(self) -> None:
        """See `Show`."""


class Live:
    """The words, a line each, and below them a view that is drawn anew: level, and what the sound resembles.

    At the end the view goes, and the words stay.

    Args:
        name: Where the sound comes from.
    """

    scores = True

    def __init__(self, name: str) -> None:
        from rich.live import Live as RichLive

        self._name = name
        waiting = _text(f"{visible(name)}: no sound yet  (Ctrl-C ends)", "dim")
        self._live = RichLive(waiting, refresh_per_second=10, transient=True)
        self._live.start(refresh=True)

    def heard(self, stream: VoiceStream, events: Sequence[Event]) -> None:
        """See `Show`."""
        console = self._live.console
        for event in events:
            console.print(_text(event_line(event), "bold"))
        self._live.update(view(self._name, stream, console.width))

    def close(self) -> None:
        """See `Show`."""
        self._live.stop()


def view(name: str, stream: VoiceStream, width: int) -> RenderableType:
    """What the live view shows.

    Args:
        name: Where the sound comes from.
        stream: The stream.
        width: Of the terminal, in characters.
    """
    from rich.console import Group

    size = max(_MIN_BAR, min(_MAX_BAR, width - _BESIDE_BAR))
    level = (stream.level - _QUIET) / -_QUIET
    likely = sorted(stream.scores.items(), key=lambda item: -item[1])[:_LIKELY]
    return Group(
        _text(f"{visible(name)}  {stream.seconds:.1f} s  (Ctrl-C ends)", "dim"),
        _text(f"{_bar(level, size)}  {stream.level:4.0f} dB", "green" if level < 0.9 else "red"),
        *(
            _text(f"{_bar(score, size)}  {score:4.2f}  {visible(meaning(label))}", "dim")
            for label, score in likely
        ),
    )


def _text(line: str, style: str) -> RenderableType:
    from rich.text import Text

    # A line that is broken would make the view jump.
    return Text(line, style=style, no_wrap=True, overflow="ellipsis")


def _bar(share: float, size: int) -> str:
    filled = round(min(1.0, max(0.0, share)) * size)
    return "█" * filled + "·" * (size - filled)
