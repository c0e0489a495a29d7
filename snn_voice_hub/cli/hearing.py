"""How `snn-voice listen` shows what it hears: a line a word, JSON, or a live view."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from snn_voice_hub.cli.output import say, say_json
from snn_voice_hub.visible import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from snn_voice_hub.streaming.detector import Event
    from snn_voice_hub.streaming.session import VoiceStream

# Of the live view.
_NEWEST = 8
_LIKELY = 3
_WIDTH = 30
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
            say(_line(event))

    def close(self) -> None:
        """See `Show`."""


class JsonWords:
    """An object a word, a line each."""

    scores = False

    def heard(self, stream: VoiceStream, events: Sequence[Event]) -> None:
        """See `Show`."""
        for event in events:
            say_json(
                {
                    "label": event.label,
                    "score": round(event.score, 6),
                    "start": round(event.start, 3),
                    "end": round(event.end, 3),
                    "time": round(event.time, 3),
                }
            )

    def close(self) -> None:
        """See `Show`."""


class Live:
    """A view that is drawn anew: level, what the sound resembles, the newest words.

    Args:
        name: Where the sound comes from.
    """

    scores = True

    def __init__(self, name: str) -> None:
        from rich.live import Live as RichLive

        self._name = name
        self._words: deque[Event] = deque(maxlen=_NEWEST)
        self._live = RichLive(refresh_per_second=10)
        self._live.start()

    def heard(self, stream: VoiceStream, events: Sequence[Event]) -> None:
        """See `Show`."""
        self._words += events
        self._live.update(view(self._name, stream, list(self._words)))

    def close(self) -> None:
        """See `Show`."""
        self._live.stop()


def view(name: str, stream: VoiceStream, words: Sequence[Event]) -> RenderableType:
    """What the live view shows.

    Args:
        name: Where the sound comes from.
        stream: The stream.
        words: The newest words, in order.
    """
    from rich.console import Group
    from rich.text import Text

    level = (stream.level - _QUIET) / -_QUIET
    likely = sorted(stream.scores.items(), key=lambda item: -item[1])[:_LIKELY]
    lines = [
        Text(f"{visible(name)}  {stream.seconds:.1f} s  (Ctrl-C ends)", style="dim"),
        Text(f"level  {_bar(level)}  {stream.level:5.0f} dB", style="green" if level < 0.9 else "red"),
        *(Text(f"{_bar(score)}  {score:4.2f}  {visible(label)}", style="dim") for label, score in likely),
        Text(),
        *(Text(_line(event), style="bold" if event is words[-1] else "") for event in words),
    ]
    return Group(*lines)


def _bar(share: float) -> str:
    filled = round(min(1.0, max(0.0, share)) * _WIDTH)
    return "█" * filled + "·" * (_WIDTH - filled)


def _line(event: Event) -> str:
    return f"{event.start:8.2f}-{event.end:.2f} s  {visible(event.label)}  {event.score:.2f}"
