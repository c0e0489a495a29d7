"""What `snn-voice spikes` shows of a whole recording, and how it writes what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from snn_voice_lite.shell.live import sound_of
from snn_voice_lite.visible import visible, visible_json

from snn_voice_hub.cli.output import say, show
from snn_voice_hub.notation import microjoules, percent, whole
from snn_voice_hub.terminal import rich_table
from snn_voice_hub.writing import write_whole

if TYPE_CHECKING:
    from rich.table import Table

    from snn_voice_hub.spikes.figures import LayerFigures
    from snn_voice_hub.voice import SnnVoice


def show_sentence(voice: SnnVoice, clip: str, out: Path | None, as_json: Path | None) -> None:
    """Show what a network does along a whole recording.

    Args:
        voice: The model.
        clip: Sound file, or - for stdin.
        out: Picture to draw.
        as_json: File to write; - for stdout.

    Raises:
        AudioError: The sound can't be used, or is too long.
        ConfigError: The network hears windows.
    """
    from snn_voice_hub import audio
    from snn_voice_hub.plotting import check_picture
    from snn_voice_hub.spikes.energy.count import Counter
    from snn_voice_hub.spikes.sentence import Sentence, check_framed, draw_sentence, hear, step_seconds, told

    network = check_framed(voice.network)
    if out is not None:
        check_picture(out, "drawing spikes")
    rate = voice.sample_rate
    wave = audio.load(sound_of(clip), target_rate=rate)
    row = hear(network, voice.features, wave)
    name = voice.config.title
    sentence = Sentence(
        row,
        wave,
        rate,
        step_seconds(network, voice.features),
        voice.labels,
        voice.config.temperature,
        list(voice.listen([wave], sample_rate=rate)),
        f"{'stdin' if clip == '-' else Path(clip).name}: {len(wave) / rate:.1f} s heard by {name}",
    )
    if out is not None:
        draw_sentence(sentence, out)
    counter = Counter(network)
    counter.count(row.features.unsqueeze(0).to(voice.device, voice.dtype))
    a_second = (counter.energy().energy_uj or 0.0) / sentence.seconds
    if as_json is not None:
        about = {"file": clip, "model": name, "seconds": round(len(wave) / rate, 3)}
        write_json(as_json, about | told(sentence) | {"energy_uj_a_second": float(f"{a_second:.4g}")})
    if as_json == Path("-"):
        return
    show(figures_table(sentence.figures()))
    for event in sentence.events:
        word = visible(event.label)
        say(f"{event.time:6.2f} s  {word} {percent(event.score)} ({event.start:.2f} to {event.end:.2f} s)")
    if not sentence.events:
        say("no word was heard")
    say(f"arithmetic, estimated: {microjoules(a_second)} \N{MICRO SIGN}J a second of this sound")


def write_json(path: Path, found: Mapping[str, Any]) -> None:
    """Write what happened; a path of - is stdout."""
    text = visible_json(found)
    if path == Path("-"):
        typer.echo(text)
        return
    write_whole(path, f"{text}\n", hint="--json names a file")


def figures_table(figures: Mapping[str, LayerFigures]) -> Table:
    """The spikes of each layer in a few numbers."""
    return rich_table(
        ("layer", "neurons", "fire in a step", "never", "always", "first spike"),
        [
            (
                name,
                whole(found.neurons),
                percent(found.rate),
                whole(found.dead),
                whole(found.saturated),
                "-" if found.first_spike is None else f"step {found.first_spike:.1f}",
            )
            for name, found in figures.items()
        ],
    )
