"""`snn-voice-lite`: a user's mistake is one line on stderr and exit code 2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from snn_voice_lite._version import __version__
from snn_voice_lite.containers.quiet import keep_stderr
from snn_voice_lite.errors import AudioError, SnnVoiceError
from snn_voice_lite.process.logs import LEVELS
from snn_voice_lite.shell.live import (
    STDIN,
    LiveSound,
    check_stdin,
    inputs,
    of_file,
    of_microphone,
    of_stdin,
    sound_of,
)
from snn_voice_lite.shell.streams import finish_stdout, open_streams
from snn_voice_lite.shell.wake import WakeOptions, serve_words
from snn_voice_lite.visible import LINE_LIMIT, visible, visible_json

if TYPE_CHECKING:
    from snn_voice_lite.answers import Prediction
    from snn_voice_lite.streaming.detector import Event
    from snn_voice_lite.voice import Voice

_NAME = "snn-voice-lite"
_STDIN_RATE = 16_000


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong with the arguments in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        _tell(f"{message} (see `{self.prog} --help`)")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the program.

    Args:
        arguments: Behind its name; None for those it was started with.
    """
    open_streams()
    keep_stderr()
    try:
        code = _run(arguments)
    except SnnVoiceError as error:
        _tell(str(error))
    except OSError as error:
        lost = finish_stdout()
        if isinstance(lost or error, BrokenPipeError):  # `... | head`: the reader has what it wanted
            sys.exit(1)
        name = f"{error.filename}: " if error.filename else ""
        _tell(f"{name}{error.strerror or error}")
    if (lost := finish_stdout()) is not None:
        if isinstance(lost, BrokenPipeError):
            sys.exit(1)
        _tell(f"stdout can't be written: {lost.strerror or lost}")
    sys.exit(code)


def make_parser() -> argparse.ArgumentParser:
    """What reads the arguments: a parser with one below it for each command."""
    parser = _Parser(prog=_NAME, description="Spoken words by spiking neural networks, without PyTorch.")
    parser.add_argument("--version", action="version", version=f"{_NAME} {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_classify, _add_listen, _add_wyoming, _add_models):
        add(commands)
    return parser


def _run(arguments: Sequence[str] | None) -> int:
    given = make_parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = given.run
    return run(given)


def _add_classify(commands: Any) -> None:
    what = "say which word is in each sound file"
    parser = commands.add_parser("classify", help=what, description=what)
    parser.add_argument("files", nargs="+", metavar="FILE", help="sound files; - for one on stdin")
    _add_model(parser)
    parser.add_argument("--top-k", type=int, default=3, help="how many labels a file (3)")
    parser.add_argument("--min-score", type=float, help="only words of at least this score, 0 to 1")
    parser.add_argument("--words-only", action="store_true", help="leave out labels that are no word")
    parser.add_argument("--windows", action="store_true", help="an answer for each window, with its time")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=_classify)


def _add_listen(commands: Any) -> None:
    what = "say which words are said, as they are said"
    parser = commands.add_parser("listen", help=what, description=what)
    parser.add_argument("source", nargs="?", choices=[STDIN], help="raw samples on stdin, one channel")
    parser.add_argument("--file", "--wav", metavar="FILE", help="listen to a sound file")
    _add_model(parser)
    _add_words(parser)
    parser.add_argument("--hop", type=float, help="seconds between windows (the model's own)")
    parser.add_argument("--sample-rate", type=int, help="of stdin (16000) or the microphone (its own), in Hz")
    parser.add_argument("--encoding", default="pcm16", help="of stdin: pcm16 or float32, little-endian")
    parser.add_argument("--device", metavar="MICROPHONE", help="number, or part of the name")
    parser.add_argument("--list-devices", action="store_true", help="show the microphones, and exit")
    parser.add_argument("--json", action="store_true", help="one JSON object a word, a line each")
    parser.set_defaults(run=_listen)


def _add_wyoming(commands: Any) -> None:
    what = "serve wake words to Home Assistant, by the Wyoming protocol (the extra [wyoming])"
    parser = commands.add_parser("wyoming", help=what, description=what)
    _add_model(parser, more="; may be repeated: the words of all are offered", action="append")
    _add_words(parser)
    standard = WakeOptions()
    for name, kind, text in (
        ("host", str, "address; 0.0.0.0 lets other machines in"),
        ("port", int, "port; 0 takes a free one"),
        ("max_connections", int, "clients at once"),
        ("idle_timeout", float, "seconds after which a silent client is cut off"),
        ("log_level", str, f"of stderr: {', '.join(LEVELS)}"),
    ):
        usual = getattr(standard, name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=kind, default=usual, help=f"{text} ({usual})")
    parser.set_defaults(run=_wyoming)


def _add_models(commands: Any) -> None:
    what = "show the models that are bundled"
    commands.add_parser("models", help=what, description=what).set_defaults(run=_models)


def _add_model(parser: argparse.ArgumentParser, more: str = "", **kind: Any) -> None:
    what = "bundled name, or a file of `snn-voice export --to lite`"
    parser.add_argument("--model", help=f"{what}{more}", **kind)


def _add_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--words", action="append", metavar="WORD,…", help="words to listen for (all)")
    parser.add_argument(
        "--threshold",
        action="append",
        metavar="SCORE",
        help="score from which on a word counts, or WORD=SCORE (the model's own)",
    )


def _classify(given: argparse.Namespace) -> int:
    from snn_voice_lite.shell.lines import answer_line, answer_row, failure_row
    from snn_voice_lite.voice import Voice

    voice = Voice(given.model)
    options = {name: getattr(given, name) for name in ("top_k", "min_score", "words_only")}
    width = max(len(visible(path, LINE_LIMIT)) for path in given.files)
    failed = 0
    for path in given.files:
        answers: list[tuple[Sequence[Prediction], float | None, float | None]]
        try:
            if given.windows:
                parts = voice.classify_windows(sound_of(path), **options)
                answers = [(part.predictions, part.start, part.end) for part in parts]
            else:
                answers = [(voice.classify(sound_of(path), **options), None, None)]
        except AudioError as error:
            failed += 1
            _say(f"{_NAME}: error: {error}", err=True)
            if given.json:
                _say_json(failure_row(path, error))
            continue
        for predictions, start, end in answers:
            if given.json:
                _say_json(answer_row(path, predictions, start=start, end=end))
            else:
                _say(answer_line(path, predictions, width=width, start=start, end=end))
    return 2 if failed else 0


def _listen(given: argparse.Namespace) -> int:
    from snn_voice_lite.shell.lines import event_line, event_row
    from snn_voice_lite.shell.words import threshold_of, words_of
    from snn_voice_lite.voice import Voice

    if given.list_devices:
        for number, name, channels, rate in inputs():
            _say(f"{number}  {name}  {channels} channels  {rate} Hz")
        return 0
    if given.source is not None and given.file is not None:
        raise SnnVoiceError("- and --file do not go together", hint="one of the two")
    if given.file is not None and given.sample_rate is not None:
        raise SnnVoiceError("--sample-rate does not go with --file", hint="a file says its own rate")
    if given.source is not None:
        check_stdin()
    voice = Voice(given.model)
    words = words_of(given.words)
    options: dict[str, Any] = {"words": words, "hop": given.hop, "encoding": given.encoding}
    options["threshold"] = threshold_of(given.threshold, voice.labels if words is None else words)
    # Before the sound is opened: a mistake is told without a microphone, too.
    voice.stream(sample_rate=given.sample_rate or _STDIN_RATE, **options)
    source = _source(given)
    stream = voice.stream(sample_rate=source.sample_rate, scores=False, **options)

    def tell(events: Sequence[Event]) -> None:
        for event in events:
            if given.json:
                _say_json(event_row(event))
            else:
                _say(event_line(event))

    try:
        for chunk in source.chunks:
            tell(stream.feed(chunk))
    finally:  # what was said last is told after Ctrl-C, too
        tell(stream.flush())
    return 0


def _source(given: argparse.Namespace) -> LiveSound:
    if given.file is not None:
        return of_file(given.file, realtime=False)
    if given.source is not None:
        return of_stdin(given.sample_rate or _STDIN_RATE, given.encoding)
    return of_microphone(given.device, given.sample_rate)


def _wyoming(given: argparse.Namespace) -> int:
    names = ("host", "port", "words", "threshold", "max_connections", "idle_timeout", "log_level")
    options = WakeOptions(**{name: getattr(given, name) for name in names})

    def open_models() -> list[Voice]:
        from snn_voice_lite.voice import Voice

        return [Voice(name) for name in given.model or [None]]

    serve_words(options, open_models, lambda line: _say(f"{_NAME}: {line}"))
    return 0


def _models(given: argparse.Namespace) -> int:
    from snn_voice_lite.finding import list_models

    for name in list_models():
        _say(name)
    return 0


def _say(line: str, *, err: bool = False) -> None:
    print(visible(line, LINE_LIMIT), file=sys.stderr if err else sys.stdout, flush=True)


def _say_json(value: object) -> None:
    print(visible_json(value), flush=True)


def _tell(problem: str) -> NoReturn:
    _say(f"{_NAME}: error: {' '.join(problem.split())}", err=True)
    sys.exit(2)
