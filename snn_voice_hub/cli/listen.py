"""`snn-voice listen`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from snn_voice_lite.shell.live import STDIN, LiveSound, check_stdin, inputs, of_file, of_microphone, of_stdin
from snn_voice_lite.shell.words import threshold_of, words_of

from snn_voice_hub.cli.hearing import JsonWords, Live, Show, WordLines
from snn_voice_hub.cli.options import Engine, OptionalModel, Revision
from snn_voice_hub.cli.output import show
from snn_voice_hub.cli.saving import MOST, SavedSound
from snn_voice_hub.cli.words import Thresholds, Words
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.inference.engines.names import check_engine

if TYPE_CHECKING:
    from snn_voice_lite.streaming.detector import Event

_STDIN_RATE = 16_000


def listen(
    source: Annotated[
        str | None,
        typer.Argument(help="- for raw samples on stdin, one channel.", show_default="the microphone"),
    ] = None,
    file: Annotated[str | None, typer.Option(metavar="FILE", help="Listen to a sound file.")] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Read the file as fast as it would be spoken.")
    ] = False,
    model: OptionalModel = None,
    revision: Revision = None,
    words: Words = None,
    threshold: Thresholds = None,
    hop: Annotated[
        float | None,
        typer.Option(help="Seconds between windows.", show_default="the checkpoint's own, 0.1"),
    ] = None,
    sample_rate: Annotated[
        int | None,
        typer.Option(
            help="Of stdin or the microphone, in Hz.",
            show_default=f"{_STDIN_RATE} for stdin, the microphone's own",
        ),
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of stdin: pcm16 or float32, little-endian.")] = "pcm16",
    device: Annotated[
        str | None,
        typer.Option(
            metavar="MICROPHONE", help="Number, or part of the name.", show_default="the system's default"
        ),
    ] = None,
    list_devices: Annotated[
        bool, typer.Option("--list-devices", help="Show the microphones, and exit.")
    ] = False,
    engine: Engine = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a word, a line each.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Keep the second of each word as FOLDER/word/date-time_score.wav."
        ),
    ] = None,
    save_most: Annotated[
        int | None,
        typer.Option(help="With --save: so many clips, then no more are kept.", show_default=f"{MOST:,}"),
    ] = None,
) -> None:
    """Say which words are said, as they are said.

    Without a file and without - it listens to the microphone (the extra listen) until Ctrl-C.

    With arecord: arecord -q -t raw -f S16_LE -r 16000 | snn-voice listen - --sample-rate 16000
    """
    check_engine(engine)
    if list_devices:
        _show_devices()
        return
    if source not in (None, STDIN):
        raise SnnVoiceError(f"{source} is not -", hint=f"a file: snn-voice listen --file {source}")
    if source is not None and file is not None:
        raise SnnVoiceError("- and --file do not go together", hint="one of the two")
    if realtime and file is None:
        raise SnnVoiceError("--realtime goes with --file", hint="all else is heard as it comes")
    if file is not None and sample_rate is not None:
        raise SnnVoiceError("--sample-rate does not go with --file", hint="a file says its own rate")
    if save_most is not None and save is None:
        raise SnnVoiceError("--save-most goes with --save", hint="--save FOLDER")
    if source is not None:
        check_stdin()
    from snn_voice_hub.voice import SnnVoice

    voice = SnnVoice.from_pretrained(model, revision=revision, engine=engine)
    chosen = words_of(words)
    options: dict[str, Any] = {"words": chosen, "hop": hop, "encoding": encoding}
    heard = chosen if chosen is not None else voice.labels
    options["threshold"] = threshold_of(threshold, heard)
    # Before the sound is opened: a mistake is told without a microphone, too.
    voice.stream(sample_rate=sample_rate or _STDIN_RATE, **options)
    saved = None
    if save is not None:
        most = MOST if save_most is None else save_most
        saved = SavedSound(save, model=voice.config.title, rate=voice.sample_rate, most=most)
    voice.warm_up()
    if file is not None:
        found = of_file(file, realtime=realtime)
    elif source is not None:
        found = of_stdin(sample_rate or _STDIN_RATE, encoding)
    else:
        found = of_microphone(device, sample_rate)
    live = sys.stdout.isatty() and (realtime or file is None)
    shown: Show = JsonWords() if as_json else Live(found.name) if live else WordLines()
    run(voice, found, options, shown, saved)


def run(
    voice: Any,
    source: LiveSound,
    options: dict[str, Any],
    shown: Show,
    saved: SavedSound | None = None,
) -> None:
    """Listen to the end, or until Ctrl-C; what was said last is told either way.

    Args:
        voice: The model.
        source: What to listen to.
        options: Of `SnnVoice.stream`.
        shown: How to show what is heard.
        saved: Where to keep the sound of it; None for nowhere.
    """
    stream = voice.stream(
        sample_rate=source.sample_rate, scores=shown.scores, sound=saved is not None, **options
    )

    def tell(events: Sequence[Event]) -> None:
        shown.heard(stream, events)
        if saved is not None:
            for event in events:
                saved.keep(event)

    try:
        try:
            for chunk in source.chunks:
                tell(stream.feed(chunk))
        finally:
            tell(stream.flush())
    finally:
        shown.close()


def _show_devices() -> None:
    from snn_voice_hub.terminal import rich_table

    rows = [(number, name, str(channels), str(rate)) for number, name, channels, rate in inputs()]
    if not rows:
        raise SnnVoiceError("there is no microphone", hint="--file and - need none")
    show(rich_table(("device", "name", "channels", "Hz"), rows, words=2))
