"""`snn-voice spikes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from snn_voice_lite.shell.live import sound_of

from snn_voice_hub.cli.options import Device, OptionalModel, Revision
from snn_voice_hub.cli.output import say, show
from snn_voice_hub.cli.sentences import figures_table, show_sentence, write_json
from snn_voice_hub.errors import SnnVoiceError

if TYPE_CHECKING:
    from snn_voice_hub.models.lif_layer import Lif


def spikes(
    clip: Annotated[str, typer.Argument(help="Sound file, or - for stdin.")],
    out: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw a picture; needs the extra plots.")
    ] = None,
    gif: Annotated[
        bool, typer.Option("--gif", help="With --out: also draw the steps one after the other, as a .gif.")
    ] = False,
    model: OptionalModel = None,
    revision: Revision = None,
    neuron: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER:NUMBER",
            help="With --out: draw this neuron's membrane; may be given again.",
            show_default="some of three layers",
        ),
    ] = None,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole",
            help="Where time steps are those of the sound: all of a recording of up to a minute, with the "
            "words that a stream hears in it.",
        ),
    ] = False,
    as_json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write what happened as JSON; - for stdout."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Show what the neurons do with a sound: which fire, when, and how the answer comes about.

    Of a sound that is longer than the model's window, the window with the clearest word is shown.
    """
    if whole and (gif or neuron):
        raise SnnVoiceError(
            f"--whole and --{'gif' if gif else 'neuron'} do not go together", hint="one of them"
        )
    if out is None and (gif or neuron):
        raise SnnVoiceError(f"--{'gif' if gif else 'neuron'} goes with --out", hint="--out yes.png")
    if out is not None and out.suffix.lower() in ("", ".gif"):
        # Without an ending matplotlib adds one, and the file has another name than was asked for.
        raise SnnVoiceError(f"--out {out} is no picture's name", hint="--out yes.png; --gif adds yes.gif")
    traced = _neurons(neuron) if neuron else None

    from snn_voice_lite.answers import clearest

    from snn_voice_hub import audio
    from snn_voice_hub.inference.windows import fitted
    from snn_voice_hub.models.framed import FramedSNN
    from snn_voice_hub.spikes.decision import decide
    from snn_voice_hub.spikes.energy.clip import clip_energy
    from snn_voice_hub.spikes.plots import View, animate, draw
    from snn_voice_hub.spikes.raster import clip_raster
    from snn_voice_hub.spikes.record import check_spiking
    from snn_voice_hub.spikes.sentence import step_seconds
    from snn_voice_hub.voice import SnnVoice

    voice = SnnVoice.from_pretrained(model, revision=revision, device=device, engine="torch")
    if whole:
        show_sentence(voice, clip, out, as_json)
        return
    network = check_spiking(voice.network)
    seconds = step_seconds(network, voice.features) if isinstance(network, FramedSNN) else None
    rate, labels, temperature = voice.sample_rate, voice.labels, voice.config.temperature
    wave = audio.load(sound_of(clip), target_rate=rate)
    windows = voice.classify_windows(wave, sample_rate=rate)
    window = windows[clearest(windows)]
    wave = wave[round(window.start * rate) : round(window.end * rate)]
    with voice.record_spikes(mem=out is not None) as rec:
        voice.classify(wave, sample_rate=rate)
    row, name = rec.row(0), voice.config.name or str(model)
    decision = decide(row.logits, labels, temperature, row.newest)
    if out is not None:
        view = View(
            row,
            fitted(wave.unsqueeze(0), voice.config.features)[0],
            rate,
            labels,
            temperature,
            {layer: float(cast("Lif", voice.network.get_submodule(layer)).threshold) for layer in row.spk},
            f"{'stdin' if clip == '-' else Path(clip).name}: {decision} by {name}",
            window.start,
            seconds,
        )
        draw(view, out, traced)
        if gif:
            animate(view, out.with_suffix(".gif"))
    energy = clip_energy(network, row, voice.config.metrics)
    if as_json is not None:
        where = {"file": clip, "model": name, "start": window.start, "end": window.end}
        raster = clip_raster(row, labels, temperature, step_seconds=seconds)
        write_json(as_json, where | raster | ({"energy": energy} if energy else {}))
    if as_json != Path("-"):
        show(figures_table(rec.figures()))
        since = f"step {decision.since} of {decision.steps}"
        if seconds is not None:
            since = f"{window.start + decision.since * seconds:.2f} s"
        say(f"{clip}: {decision}, from {since} on")
        if energy:
            say(_energy(energy))


def _neurons(given: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for text in given:
        layer, _, number = text.rpartition(":")
        if not layer or not number.isdecimal() or not number.isascii():
            raise SnnVoiceError(f"--neuron {text!r} is not legal", hint="LAYER:NUMBER, such as lif:12")
        found.setdefault(layer, []).append(int(number[:12]))
    return found


def _energy(found: Mapping[str, Any]) -> str:
    cnn, unit = found["cnn"], "\N{MICRO SIGN}J"
    told = f"arithmetic, estimated: {found['energy_uj']:g} {unit}"
    if found["energy_once_uj"] < found["energy_uj"]:
        told += f", {found['energy_once_uj']:g} {unit} if the input layer runs once"
    told += f"; a CNN of the same layers {cnn['energy_dense_uj']:g} {unit}"
    if "model" in cnn:
        told += f", {cnn['model']} {cnn['energy_uj']:g} {unit} where it skips zeros (mean of test clips)"
    return told
