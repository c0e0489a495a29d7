"""What `snn-voice wyoming` and `snn-voice-lite wyoming` do: they differ in the models that they can open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snn_voice_lite.config import check_choice, check_int, check_number
from snn_voice_lite.errors import needs_packages
from snn_voice_lite.process import logs
from snn_voice_lite.process.sockets import bind, url_of
from snn_voice_lite.process.starting import minding_signals
from snn_voice_lite.shell.words import threshold_of, words_of

if TYPE_CHECKING:  # a program's --help needs no NumPy
    from snn_voice_lite.listening import Listener

# Whose log is told. The models of the hub have things to say, too.
_ROOTS = ("snn_voice_lite", "snn_voice_hub")


@dataclass(frozen=True)
class WakeOptions:
    """The options that both commands have.

    Attributes:
        host: Address to listen at.
        port: 0 takes a free one.
        words: `--words` as it was typed; None for all words of the models.
        threshold: `--threshold` as it was typed; None for the models' own.
        max_connections: Clients at once.
        idle_timeout: Seconds after which a silent client is cut off.
        log_level: One of `process.logs.LEVELS`.

    Raises:
        ConfigError: One of them is not legal.
    """

    host: str = "127.0.0.1"
    port: int = 10400
    words: Sequence[str] | None = None
    threshold: Sequence[str] | None = None
    max_connections: int = 64
    idle_timeout: float = 600.0
    log_level: str = "info"

    def __post_init__(self) -> None:
        check_int("--port", self.port, low=0, high=65535)
        check_int("--max-connections", self.max_connections, low=1)
        check_number("--idle-timeout", self.idle_timeout, low=1.0)
        check_choice("--log-level", self.log_level, logs.LEVELS)


def serve_words(
    options: WakeOptions, open_models: Callable[[], Sequence[Listener]], say: Callable[[str], None]
) -> None:
    """Serve wake words until SIGTERM or Ctrl-C.

    Args:
        options: What was asked for.
        open_models: Opens the models, when the address is known to be free.
        say: Prints a line, when it listens.

    Raises:
        SnnVoiceError: The address can't be had; a model can't be opened, or lacks a word; a threshold is not
            legal; the extra is missing.
    """
    with minding_signals(), closing(bind(options.host, options.port)) as listener:
        logs.to_stderr(_ROOTS, options.log_level, logs.TextLines())
        hint = 'the extra [wyoming], which is: pip install "wyoming<2"'
        with needs_packages("the Wyoming service", "the package wyoming", ("wyoming",), hint):
            from snn_voice_lite.wyoming.connection import WakeLimits
            from snn_voice_lite.wyoming.serving import serve_until_asked_to_end
        from snn_voice_lite.wyoming.offered import Vocabulary

        voices = open_models()
        chosen = words_of(options.words)
        labels = [label for voice in voices for label in voice.config.labels]
        threshold = threshold_of(options.threshold, labels if chosen is None else chosen)
        vocabulary = Vocabulary(voices, chosen, threshold)
        titles = ", ".join(voice.config.title for voice in voices)

        def greet() -> None:
            say(f"wake words of {titles} at {url_of(listener, 'tcp')}: {', '.join(vocabulary.voice_of)}")

        limits = WakeLimits(connections=options.max_connections, idle=options.idle_timeout)
        serve_until_asked_to_end(listener, vocabulary, limits, greet)
