"""`snn-voice evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from snn_voice_lite.visible import visible

from snn_voice_hub.cli.clips import tell_skipped
from snn_voice_hub.cli.options import Device, Engine, Model, Revision
from snn_voice_hub.cli.output import say, say_json, show
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.cards.figures import changed_clips, heard_by, listened, readable
from snn_voice_hub.inference.engines.names import check_engine
from snn_voice_hub.notation import percent, whole
from snn_voice_hub.terminal import rich_table

if TYPE_CHECKING:
    from rich.table import Table


def evaluate(
    model: Model,
    data: Annotated[
        Path,
        typer.Option(
            help="Folder of folders word/clip.wav, or a tar of one; of a folder with testing_list.txt or "
            "test.tar, its test clips. Or a manifest .csv, .tsv or .jsonl; speech_commands."
        ),
    ],
    noise: Annotated[
        Path | None,
        typer.Option(
            help="Folder or tar of recordings in which nobody speaks. Default: the data's own, if it has "
            "_background_noise_ or background_noise.tar; of Speech Commands' those that training leaves out."
        ),
    ] = None,
    negatives: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder or tar of speech without the model's words, noise and music: measures words missed "
            "and false alarms an hour. May be given several times."
        ),
    ] = None,
    words: Annotated[bool, typer.Option("--words", help="Print precision and recall of each word.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out accuracy under noise and shifts.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for report.json, words.csv, confusion.csv and confusion.png."),
    ] = None,
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Put the figures into the checkpoint's config.json, in place of older ones."
        ),
    ] = False,
    data_name: Annotated[
        str,
        typer.Option(
            help="With --write: what the clips are, for the card. Default: what the model was trained on."
        ),
    ] = "",
    revision: Revision = None,
    device: Device = "auto",
    engine: Engine = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="All of it as one JSON object, with every word.")
    ] = False,
) -> None:
    """Measure a model on labelled clips."""
    check_engine(engine)

    from rich.console import Console
    from rich.markup import escape

    from snn_voice_hub.training.clips.negatives import read_negatives
    from snn_voice_hub.training.measuring.evaluate import measure, own_folder, write_metrics
    from snn_voice_hub.training.measuring.held_out import load_test
    from snn_voice_hub.voice import SnnVoice

    # What can be refused is refused before minutes of work.
    folder = own_folder(model) if write else None
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SnnVoiceError(f"--out {out} can't be made: {error.strerror}", hint="a folder") from error
    voice = SnnVoice.from_pretrained(model, revision=revision, device=device, engine=engine)
    c = voice.config.features
    with Console(stderr=True).status(f"measuring {escape(visible(model))} on {escape(visible(data))}"):
        clips, recordings = load_test(data, noise, sample_rate=c.sample_rate, num_samples=c.num_samples)
        others = read_negatives(negatives, sample_rate=c.sample_rate) if negatives else None
        measured = measure(voice, clips, recordings, negatives=others, quick=quick)
    title = f"{voice.config.name or model} on {data.name or data}"
    about = {"model": model, "data": str(data), "temperature": voice.config.temperature}
    if as_json:
        say_json(measured.report(**about), indent=2)
    else:
        show(*_tables(title, measured.figures, voice.config.temperature))
        if words:
            show(_words(measured.words))
    notes = list(measured.notes)
    if out is not None:
        notes += measured.write(out, f"{title}: top-1 {percent(measured.figures['top1'])}", **about)
    if folder is not None:
        figures = measured.figures | ({"data": data_name} if data_name else {})
        write_metrics(folder, figures, voice.num_parameters())
    for line in notes:
        say(line, err=True)
    tell_skipped(measured.skipped)


def _tables(title: str, figures: dict[str, Any], temperature: float) -> list[Table]:
    named = (
        ("top1", "top-1"),
        ("top2", "top-2"),
        ("top5", "top-5"),
        ("covered_mean", f"top-1, mean over {figures['covered_words']} covered words"),
        ("thin_top1", f"top-1, {figures['thin_clips']} clips of other words together"),
        ("calibration_error_before", "calibration error (ECE), temperature 1"),
        ("calibration_error", f"calibration error (ECE), temperature {temperature:g}"),
    )
    rows = [
        (name, percent(figures[key]))
        for key, name in named
        # Where all words are other words, their figure is that of all clips.
        if figures[key] is not None and (key != "thin_top1" or figures["covered_words"])
    ]
    rows.append(("clips", whole(figures["clips"])))
    if unknown := figures.get("unknown_words"):
        rows.append(("of these, words that the model does not know", whole(sum(unknown.values()))))
    rows.append(("files skipped", whole(figures["skipped"])))
    if "cpu_ms_one_clip" in figures:
        rows.append(("CPU time of one clip, one thread", f"{figures['cpu_ms_one_clip']:.1f} ms"))
    tables = [rich_table(("figure", ""), rows, title=title)]
    if changed := changed_clips(figures):
        top1 = [(change, percent(share)) for change, share in changed]
        tables.append(rich_table(("change", "top-1"), top1, title="Clips with noise, or moved in time"))
    if alarms := figures.get("false_alarms"):
        columns = ("recording", "windows", "95 % score below", "none over 0.5")
        silent = [
            (readable(name), str(one["windows"]), f"{one['score_95']:.3f}", percent(one["below_half"]))
            for name, one in alarms.items()
        ]
        tables.append(rich_table(columns, silent, title="Where nobody speaks"))
    if listening := figures.get("listening"):
        tables.append(rich_table(("figure", ""), listened(listening), title=heard_by(listening).capitalize()))
    if rates := figures.get("spike_rates"):
        fired = [(layer, percent(rate)) for layer, rate in rates.items()]
        tables.append(rich_table(("layer", "neurons that fire in a step"), fired, title="Spikes"))
    return tables


def _words(words: dict[str, dict[str, float | int | None]]) -> Table:
    return rich_table(
        ("word", "precision", "recall", "F1", "clips"),
        [
            (word, *(percent(row[key]) for key in ("precision", "recall", "f1")), str(row["clips"]))
            for word, row in words.items()
        ],
        title="Words",
    )
