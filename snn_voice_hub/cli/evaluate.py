"""`snn-voice evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snn_voice_hub.cli.clips import tell_skipped
from snn_voice_hub.cli.completion import engine_names
from snn_voice_hub.cli.options import Model, Revision
from snn_voice_hub.cli.output import say, say_json
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.inference.engines.names import ENGINES, check_engine
from snn_voice_hub.visible import visible

if TYPE_CHECKING:
    from rich.console import Group
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
    device: Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")] = "auto",
    engine: Annotated[
        str, typer.Option(help=f"How the network is run: {', '.join(ENGINES)}.", autocompletion=engine_names)
    ] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="All of it as one JSON object, with every word.")
    ] = False,
) -> None:
    """Measure a model on labelled clips."""
    check_engine(engine)

    from rich.console import Console
    from rich.markup import escape

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
    told = Console(stderr=True)
    with told.status(f"measuring {escape(visible(model))} on {escape(visible(data))}"):
        clips, recordings = load_test(data, noise, sample_rate=c.sample_rate, num_samples=c.num_samples)
        measured = measure(voice, clips, recordings, quick=quick)
    title = f"{voice.config.name or model} on {data.name or data}"
    about = {"model": model, "data": str(data), "temperature": voice.config.temperature}
    if as_json:
        say_json(measured.report(**about), indent=2)
    else:
        Console().print(_printed(title, measured.figures, voice.config.temperature))
        if words:
            Console().print(_words(measured.words))
    notes = list(measured.notes)
    if out is not None:
        notes += measured.write(out, f"{title}: top-1 {_percent(measured.figures['top1'])}", **about)
    if folder is not None:
        figures = measured.figures | ({"data": data_name} if data_name else {})
        write_metrics(folder, figures, voice.num_parameters())
    for line in notes:
        say(line, err=True)
    tell_skipped(measured.skipped)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are figures."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(columns[0], overflow="fold")
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _printed(title: str, figures: dict[str, Any], temperature: float) -> Group:
    from rich.console import Group
    from rich.markup import escape

    table = _table(escape(title), "figure", "")
    for key, name in (
        ("top1", "top-1"),
        ("top2", "top-2"),
        ("top5", "top-5"),
        ("covered_mean", f"top-1, mean over {figures['covered_words']} covered words"),
        ("thin_top1", f"top-1, {figures['thin_clips']} clips of other words together"),
        ("calibration_error_before", "calibration error (ECE), temperature 1"),
        ("calibration_error", f"calibration error (ECE), temperature {temperature:g}"),
    ):
        # Where all words are other words, their figure is that of all clips.
        if figures[key] is not None and (key != "thin_top1" or figures["covered_words"]):
            table.add_row(name, _percent(figures[key]))
    table.add_row("clips", f"{figures['clips']:,}")
    if unknown := figures.get("unknown_words"):
        table.add_row("of these, words that the model does not know", f"{sum(unknown.values()):,}")
    table.add_row("files skipped", f"{figures['skipped']:,}")
    if "cpu_ms_one_clip" in figures:
        table.add_row("CPU time of one clip, one thread", f"{figures['cpu_ms_one_clip']:.1f} ms")
    tables = [table]
    if changed := figures.get("robustness"):
        table = _table("Clips with noise, or moved in time", "change", "top-1")
        for kind, shares in changed.items():
            for name, share in shares.items():
                table.add_row(_change(kind, name), _percent(share))
        tables.append(table)
    if alarms := figures.get("false_alarms"):
        table = _table("Where nobody speaks", "recording", "windows", "95 % score below", "none over 0.5")
        for name, found in alarms.items():
            table.add_row(
                escape(visible(name.replace("_", " "))),
                str(found["windows"]),
                f"{found['score_95']:.3f}",
                _percent(found["below_half"]),
            )
        tables.append(table)
    if rates := figures.get("spike_rates"):
        table = _table("Spikes", "layer", "neurons that fire in a step")
        for name, rate in rates.items():
            table.add_row(escape(visible(name)), _percent(rate))
        tables.append(table)
    return Group(*tables)


def _change(kind: str, name: str) -> str:
    """`white_noise`, `20_db` in words."""
    said = name.replace("_db", " dB").replace("_", " ")
    return f"{kind.replace('_', ' ')}, {said}"


def _words(words: dict[str, dict[str, float | int | None]]) -> Table:
    from rich.markup import escape

    table = _table("Words", "word", "precision", "recall", "F1", "clips")
    for word, row in words.items():
        shares = [
            "-" if (share := row[key]) is None else _percent(share) for key in ("precision", "recall", "f1")
        ]
        table.add_row(escape(visible(word)), *shares, str(row["clips"]))
    return table
