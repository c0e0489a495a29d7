"""`snn-voice export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snn_voice_hub.cli.completion import format_names
from snn_voice_hub.cli.options import Model, Revision
from snn_voice_hub.cli.output import say
from snn_voice_hub.config import check_choice
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.export.names import FORMS, SUFFIXES


def export(
    model: Model,
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="onnx: waveforms in, scores out. lite: what snn-voice-lite runs without PyTorch. "
            "torch: as onnx, for torch.export.load. nir: features in, spikes and logits out, for "
            "neuromorphic tools. c: a folder of C99 for microcontrollers, samples in, words out.",
            autocompletion=format_names,
        ),
    ] = "onnx",
    revision: Revision = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The file; of C the folder.",
            show_default="such as resmel-snn.onnx, resmel-snn-int8.onnx, tempo-snn-c",
        ),
    ] = None,
    features_outside: Annotated[
        bool, typer.Option("--features-outside", help="onnx: features in, instead of waveforms.")
    ] = False,
    step: Annotated[
        bool,
        typer.Option(
            "--step",
            help="onnx, networks on frames: one step with its state in and out, for sound that goes on.",
        ),
    ] = False,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="onnx, lite, c: weights in 8 bits, nearly the same answers. In C in the last layers, in as "
            "many as are measured to change few answers.",
        ),
    ] = False,
    wide_layers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="c with --int8: so many layers, from the first one on, keep 16 bits; 0: none does.",
            show_default="as many as are measured to need them",
        ),
    ] = None,
    neurons: Annotated[
        str | None,
        typer.Option(
            metavar="FORM",
            help="nir: lif (one node a layer, reset rule in its metadata) or parts (leaky integrator, "
            "threshold, and an edge back that resets).",
            show_default="lif; parts where some layers step more rarely than others",
        ),
    ] = None,
) -> None:
    """Write a model as a file for other programs, and check its answers against PyTorch's.

    Needs the extra export, but for --to torch and --to c.
    """
    check_choice("--to", to, tuple(SUFFIXES))
    given = {
        "--features-outside": features_outside,
        "--step": step,
        "--int8": int8,
        "--wide-layers": wide_layers is not None,
        "--neurons": neurons is not None,
    }
    places = {"--int8": ("onnx", "lite", "c"), "--wide-layers": ("c",), "--neurons": ("nir",)}
    for option, wanted in given.items():
        legal = places.get(option, ("onnx",))
        if wanted and to not in legal:
            hint = f"it is for --to {' and --to '.join(legal)}"
            raise ConfigError(f"{option} does not go with --to {to}", hint=hint)
    if wide_layers is not None and not int8:
        raise ConfigError("--wide-layers does not go without --int8", hint="--int8 --wide-layers N")
    if neurons is not None:
        check_choice("--neurons", neurons, FORMS)

    from snn_voice_hub.export.c.files import export_c
    from snn_voice_hub.export.c.readme import made_of
    from snn_voice_hub.export.lite import export_lite
    from snn_voice_hub.export.nir.files import export_nir
    from snn_voice_hub.export.step import export_onnx_step
    from snn_voice_hub.export.whole import export_onnx, export_torch
    from snn_voice_hub.models.base import Network
    from snn_voice_hub.voice import SnnVoice

    voice = SnnVoice.from_pretrained(model, revision=revision, engine="torch")
    network, config = voice.network, voice.config
    assert isinstance(network, Network)
    # Each form has its own name: a second command does not write over what the first one has made.
    form = "-step" if step else "-features" if features_outside else ""  # a step takes features as it is
    form = "-lite" if to == "lite" else form
    form += "-int8" if int8 else ""
    form += f"-{neurons}" if neurons not in (None, "lif") else ""
    target = out or Path(config.title.replace("/", "-") + form + SUFFIXES[to])
    if to == "nir":
        graph = export_nir(network, config, target, neurons=neurons)
        say(f"{target}: {graph.size / 1e6:.2f} MB, features of one step in, its logits out")
        say(f"read back: {graph.equal_spikes:.3%} of the spikes equal, {graph.agreement}")
        return
    if to == "c":
        made = export_c(network, config, target, int8=int8, wide_layers=wide_layers)
        flash, ram = ((made.cost.weights + made.cost.tables) / 1000, made.cost.ram / 1000)
        say(f"{target}: {flash:.0f} kB of tables, {ram:.1f} kB of RAM; its README.md says how to build it")
        if int8:
            say(f"weights: {made_of(made.wide, made.layers)}")
        if made.compared is None:
            say("not compared with PyTorch: no C compiler (install gcc or clang, or name one in CC)")
        else:
            equal, clips = made.compared.same, made.compared.clips
            say(f"compared with PyTorch: {equal} of {clips} signals with the same best label")
        return
    if to == "lite":
        written = export_lite(network, config, target, int8=int8)
    elif step:
        written = export_onnx_step(network, config, target, int8=int8)
    elif to == "onnx":
        written = export_onnx(network, config, target, features_outside=features_outside, int8=int8)
    else:
        written = export_torch(network, config, target)
    given_in = "features" if features_outside else f"waveforms [batch, {config.features.num_samples}]"
    result = f"scores and logits [batch, {len(config.labels)}]"
    if step:
        given_in, result = (
            "the frames of one step and a state",
            f"logits [batch, {len(config.labels)}] and a state",
        )
    if to == "lite":
        given_in, result = "for snn-voice-lite: sound", "words"
    say(f"{target}: {written.size / 1e6:.2f} MB, {given_in} in, {result} out")
    found = written.agreement
    if int8:
        same = f"{found.clips - found.other_best} of {found.clips} signals with the same best label"
        found_text = f"{same}; logits differ by up to {found.largest:.2g} of the largest"
    else:
        found_text = str(found)
    say(f"compared with PyTorch: {found_text}")
