"""`snn-voice energy`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from snn_voice_lite.visible import visible

from snn_voice_hub.cli.clips import tell_skipped
from snn_voice_hub.cli.completion import model_names
from snn_voice_hub.cli.files import Failures, given_files
from snn_voice_hub.cli.options import Device, Model, Revision
from snn_voice_hub.cli.output import say_json, show
from snn_voice_hub.errors import AudioError

if TYPE_CHECKING:
    from snn_voice_hub.inference.ends import Clip
    from snn_voice_hub.voice import SnnVoice

_CLIPS = 200


def energy(
    model: Model,
    data: Annotated[
        list[Path],
        typer.Option(
            help="Sound file or folder of them; may be given again. Or labelled clips as `evaluate` takes "
            "them, of which the test clips count."
        ),
    ],
    twin: Annotated[
        str | None,
        typer.Option(
            help="What to compare with: bundled name, folder or Hub id; none for nothing.",
            autocompletion=model_names,
            show_default="the bundled model of the same name with -cnn for -snn, else the CNN's shapes",
        ),
    ] = None,
    clips: Annotated[
        int,
        typer.Option(help="Of more clips, so many are counted, spread evenly over all; 0 for all.", min=0),
    ] = _CLIPS,
    plot: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw bars; needs the extra plots.")
    ] = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="Put the totals into the checkpoint's config.json, for its card."),
    ] = False,
    revision: Revision = None,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="All of it as one JSON object.")] = False,
) -> None:
    """Estimate the energy of a network's arithmetic, layer by layer, beside its twin's.

    Of a window of sound, and of a second of listening. Operations are counted by NeuroBench's definitions, at
    4.6 pJ a multiply-accumulate and 0.9 pJ an accumulate. Memory traffic, which often costs more, is left
    out.
    """
    from rich.console import Console
    from rich.markup import escape

    from snn_voice_hub.plotting import check_picture
    from snn_voice_hub.spikes.energy.measure import write_energy
    from snn_voice_hub.spikes.energy.plot import draw_energy
    from snn_voice_hub.training.measuring.evaluate import own_folder
    from snn_voice_hub.voice import SnnVoice

    # What can be refused is refused before minutes of work.
    folder = own_folder(model) if write else None
    if plot is not None:
        check_picture(plot, "drawing energy")
    voice = SnnVoice.from_pretrained(model, revision=revision, device=device, engine="torch")
    other = _twin(twin)
    failures = Failures()
    if len(data) == 1 and _is_corpus(data[0]):
        sounds, skipped = _labelled(data[0], clips, voice)
    else:
        sounds, skipped = _files(data, clips, voice, failures), []
    with Console(stderr=True).status(f"counting {escape(visible(model))} on {len(sounds):,} clips"):
        found = voice.energy(sounds, twin=other, sample_rate=voice.sample_rate)
    if plot is not None:
        draw_energy(found, plot)
    if as_json:
        about = {"data": [str(path) for path in data]}
        say_json(about | found.to_dict(), indent=2)
    else:
        show(found)
    if folder is not None:
        write_energy(folder, found)
    tell_skipped(skipped)
    failures.tell(len(sounds))
    if skipped or failures:
        raise typer.Exit(2)


def _twin(name: str | None) -> SnnVoice | bool:
    from snn_voice_hub.voice import SnnVoice

    if name is None or name == "none":
        return name is None
    return SnnVoice.from_pretrained(name, engine="torch")


def _labelled(data: Path, most: int, voice: SnnVoice) -> tuple[list[Clip], list[tuple[str, str]]]:
    """At most so many test clips, and what could not be read."""
    from snn_voice_hub.training.measuring.held_out import load_test

    c = voice.config.features
    clips, _ = load_test(data, None, sample_rate=c.sample_rate, num_samples=c.num_samples)
    return [clips.waveforms[i] for i in _spread(len(clips), most)], clips.skipped


def _files(data: Sequence[Path], most: int, voice: SnnVoice, failures: Failures) -> list[Clip]:
    """At most so many sound files that can be read."""
    from snn_voice_hub import audio

    readable: list[str] = []
    for path, error in given_files(data):
        if error is not None:
            failures.add(path, error)
        else:
            readable.append(path)
    chosen: list[Clip] = []
    for path in (readable[i] for i in _spread(len(readable), most)):
        try:
            audio.load(path, target_rate=voice.sample_rate)  # not kept: many clips would not fit into memory
            chosen.append(path)
        except AudioError as error:
            failures.add(path, error)
    if not chosen:
        raise failures.error()
    return chosen


def _is_corpus(path: Path) -> bool:
    """Whether it is what `evaluate` reads: a corpus by name, a manifest, a tar, a folder of folders."""
    from snn_voice_hub.folders import is_sound
    from snn_voice_hub.training.clips.items import is_tar
    from snn_voice_hub.training.clips.tables import is_table

    if path.is_dir():
        return not any(is_sound(inside.name) and inside.is_file() for inside in path.iterdir())
    if path.is_file() and not is_table(path):
        return not is_sound(path.name) and is_tar(path)
    return not is_sound(path.name)


def _spread(count: int, most: int) -> list[int]:
    import numpy as np

    if not most or count <= most:
        return list(range(count))
    return [int(i) for i in np.linspace(0, count - 1, most).round()]
