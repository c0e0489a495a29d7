"""`snn-voice train`."""

from __future__ import annotations

import dataclasses
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snn_voice_hub.cli.clips import DATA, tell_skipped, use_threads
from snn_voice_hub.cli.completion import model_names, recipe_names
from snn_voice_hub.cli.output import say
from snn_voice_hub.config import is_word
from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.machine import sleep_soon
from snn_voice_hub.models import architectures
from snn_voice_hub.notation import percent
from snn_voice_hub.packages import announced, named_packages

if TYPE_CHECKING:
    from snn_voice_hub.config import VoiceConfig
    from snn_voice_hub.hub.checkpoints import Checkpoint
    from snn_voice_hub.training.clips.sources import Dataset
    from snn_voice_hub.training.fitting.job import Job
    from snn_voice_hub.training.fitting.recipe import Recipe


_WHAT = "What to train"
_CLIPS = "Clips"
_HOW = "How"
_WHERE = "Where, and by which machine"


def train(
    model: Annotated[
        str,
        typer.Option(
            help="What to train: m5-snn, say, or an architecture by its name, such as one of your own.",
            rich_help_panel=_WHAT,
            autocompletion=recipe_names,
        ),
    ] = "",
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="Checkpoint to start from: to learn other words, or with --model as its twin.",
            rich_help_panel=_WHAT,
            autocompletion=model_names,
        ),
    ] = "",
    freeze: Annotated[
        bool, typer.Option("--freeze", help="With --from: only the last layer.", rich_help_panel=_WHAT)
    ] = False,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            help="Checkpoint whose answers to learn as well, or a file of answers (.npz); may be repeated.",
            rich_help_panel=_WHAT,
            autocompletion=model_names,
        ),
    ] = None,
    num_steps: Annotated[
        int | None, typer.Option(help="Time steps of a spiking network.", rich_help_panel=_WHAT)
    ] = None,
    learn_beta: Annotated[
        bool | None,
        typer.Option(
            "--learn-beta/--fixed-beta",
            help="Whether membranes' decay is learned.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    data: Annotated[str, typer.Option(help=DATA, rich_help_panel=_CLIPS)] = "",
    val: Annotated[
        Path | None,
        typer.Option(help="Clips to validate with; default: a part.", rich_help_panel=_CLIPS),
    ] = None,
    val_share: Annotated[float, typer.Option(help="How large a part.", rich_help_panel=_CLIPS)] = 0.1,
    synthetic: Annotated[
        Path | None,
        typer.Option(
            help="Folder of synthetic clips word/clip.wav, drawn less often.", rich_help_panel=_CLIPS
        ),
    ] = None,
    negatives: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder or tar of sound without the words: other speech, noise, music; may be repeated.",
            rich_help_panel=_CLIPS,
        ),
    ] = None,
    feedback: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --from: false/ with clips in which it heard a word that nobody said, missed/word/ "
            "with clips of words that it did not hear.",
            rich_help_panel=_CLIPS,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where to keep decoded clips for the next run.", rich_help_panel=_CLIPS),
    ] = None,
    download: Annotated[
        bool,
        typer.Option(
            "--download",
            help="With speech_commands: fetch what is not there (2.3 GB).",
            rich_help_panel=_CLIPS,
        ),
    ] = False,
    recipe: Annotated[
        str, typer.Option(help="The model's own, `paper`, or a YAML file.", rich_help_panel=_HOW)
    ] = "",
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Another value for a field of the recipe.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    show_recipe: Annotated[
        bool,
        typer.Option(
            "--show-recipe", help="Print the recipe as YAML, and train nothing.", rich_help_panel=_HOW
        ),
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over the clips.", rich_help_panel=_HOW)] = None,
    seed: Annotated[
        int, typer.Option(help="Of weights, sampling and augmentation.", rich_help_panel=_HOW)
    ] = 0,
    precision: Annotated[
        str, typer.Option(help="float32, bfloat16 or float16 (products only).", rich_help_panel=_HOW)
    ] = "float32",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run and of its checkpoint.", rich_help_panel=_WHERE),
    ] = None,
    name: Annotated[
        str,
        typer.Option(help="The checkpoint's name; default: that of --out.", rich_help_panel=_WHERE),
    ] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out.", rich_help_panel=_WHERE)
    ] = False,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu or mps.", rich_help_panel=_WHERE)] = "auto",
    devices: Annotated[
        int, typer.Option(help="How many; a batch is shared among them.", rich_help_panel=_WHERE)
    ] = 1,
    threads: Annotated[
        int | None, typer.Option(help="PyTorch's threads on the CPU.", rich_help_panel=_WHERE)
    ] = None,
) -> None:
    """Train a model, or train one further for your own words.

    `snn-voice train --from m5-snn --data my_words --out runs/mine` is enough for a folder with a folder of
    about 20 clips for each word. What comes out opens with `SnnVoice.from_pretrained("runs/mine")`.
    """
    sleep_soon()
    if not model and not start:
        raise SnnVoiceError("say what to train", hint="--model m5-snn, or --from with a trained model")
    checkpoint, config = _start(start) if start else (None, None)
    first = _recipe(model, config, recipe, changes or [], num_steps, learn_beta, epochs, 100)
    if show_recipe:
        typer.echo(_yaml(first.complete()))
        return
    if not data or out is None:
        raise SnnVoiceError("training needs clips and a place for what it makes", hint="--data and --out")
    if feedback is not None and not start:
        raise SnnVoiceError("--feedback goes with --from", hint="the model that was listened to")
    use_threads(threads)

    from snn_voice_hub.training.clips.cutting import with_negatives
    from snn_voice_hub.training.clips.data import load_clips
    from snn_voice_hub.training.clips.feedback import check_feedback, read_feedback, with_feedback
    from snn_voice_hub.training.clips.negatives import check_there, read_negatives
    from snn_voice_hub.training.clips.sources import load_dataset
    from snn_voice_hub.training.clips.synthetic import facts_of_folder
    from snn_voice_hub.training.fitting.answers import teacher_of
    from snn_voice_hub.training.fitting.fit import fit, load_lightning, network_of
    from snn_voice_hub.training.fitting.folder import first_process
    from snn_voice_hub.training.fitting.job import Job
    from snn_voice_hub.training.fitting.teaching import TrainedModel

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # What is missing, or not legal, is to be told before minutes of decoding.
    load_lightning()
    network_of(first, 2)
    teachers = tuple(map(teacher_of, teacher or []))
    check_there(negatives or [])
    if feedback is not None:
        check_feedback(feedback)
    features = first.front_end
    dataset = load_dataset(
        data,
        val=val,
        val_share=val_share,
        sample_rate=features.sample_rate,
        num_samples=features.num_samples,
        seed=seed,
        cache=cache,
        download=download,
        alone=bool(negatives) and first.unknown > 0,
    )
    if feedback is not None:
        heard = read_feedback(
            feedback,
            set(dataset.train.labels),
            sample_rate=features.sample_rate,
            num_samples=features.num_samples,
        )
        dataset = with_feedback(dataset, heard, val_share)
    others = kept = None
    if negatives:
        read = read_negatives(negatives, sample_rate=features.sample_rate)
        dataset, others, kept = with_negatives(
            dataset, read, num_samples=features.num_samples, share=val_share, unknown=first.unknown > 0
        )
    if first_process():
        _tell(dataset)
    made = None
    if synthetic:
        made = load_clips(synthetic, cache)
        facts = facts_of_folder(synthetic) or {"name": f"synthetic words, {synthetic.resolve().name}"}
        about = {**facts, "name": f"{facts['name']} ({len(made):,} training clips)"}
        dataset = dataclasses.replace(dataset, facts=[*dataset.facts, about])
    job = Job(
        name=name or out.resolve().name,
        recipe=_recipe(
            model, config, recipe, changes or [], num_steps, learn_beta, epochs, len(dataset.train)
        ),
        seed=seed,
        precision=precision,
        start=TrainedModel.named(start, checkpoint) if checkpoint is not None else None,
        teachers=teachers,
        freeze=freeze,
    )
    fitted = fit(
        job,
        dataset,
        out,
        synthetic=made,
        negatives=others,
        kept=kept,
        resume=resume,
        accelerator=accelerator,
        devices=devices,
        progress=sys.stderr.isatty(),
        on_epoch=lambda row: _tell_epoch(row, job),
    )
    if not first_process():
        return
    if fitted.stopped:
        say(f"ended early: {fitted.stopped}", err=True)
    right = next(row["val_top1"] for row in fitted.history if row["epoch"] == fitted.best_epoch)
    say(f"{out}: epoch {fitted.best_epoch} is the best, {percent(right)} of the validation clips right")
    tell_skipped(dataset.skipped)


def _start(source: str) -> tuple[Checkpoint, VoiceConfig]:
    from snn_voice_hub.hub.checkpoints import read_config, resolve

    checkpoint = resolve(source)
    return checkpoint, read_config(checkpoint)


def _recipe(
    model: str,
    config: VoiceConfig | None,
    recipe: str,
    changes: list[str],
    num_steps: int | None,
    learn_beta: bool | None,
    epochs: int | None,
    clips: int,
) -> Recipe:
    from snn_voice_hub.training.fitting.recipe import changed, read_recipe
    from snn_voice_hub.training.fitting.recipes import fine_tuning
    from snn_voice_hub.training.study.paper_recipes import paper_recipe

    more: list[str] = []
    if config is not None and not model:
        if recipe == "paper":
            raise SnnVoiceError("the paper trained nothing further", hint="--recipe goes with --model")
        found = fine_tuning(config, clips)
    else:
        found = _recipe_of(model)
    if recipe == "paper":
        found = paper_recipe(found.architecture)
    elif recipe:
        own = read_recipe(Path(recipe))
        if own.architecture != found.architecture:
            raise SnnVoiceError(f"{recipe} is for {own.architecture}, not {found.architecture}")
        found = own
    if num_steps is not None or learn_beta is not None:
        if not _spikes(found.architecture):
            raise SnnVoiceError(f"{found.architecture} has no time steps and no neurons")
        more += [f"network.num_steps={num_steps}"] if num_steps is not None else []
        more += [f"network.learn_beta={str(learn_beta).lower()}"] if learn_beta is not None else []
    more += [f"epochs={epochs}"] if epochs is not None else []
    return changed(found, [*more, *changes])


def _recipe_of(model: str) -> Recipe:
    """The recipe of a bundled model, or the default one of an architecture."""
    from snn_voice_hub.training.fitting.recipes import RECIPES, default_recipe

    if model in RECIPES:
        return RECIPES[model]
    # Where nobody could have brought an architecture, a slip of the pen need not wait for PyTorch.
    if model in architectures.__all__ or named_packages() or announced():
        try:
            return default_recipe(model)
        except ConfigError as error:
            hint = f"{', '.join(RECIPES)}, or an architecture; {error.hint}"
            raise SnnVoiceError(f"there is no model {model!r}: {error.message}", hint=hint) from error
    hint = f"one of {', '.join(RECIPES)}; an architecture of your own by --import PACKAGE"
    raise SnnVoiceError(f"there is no model {model!r}", hint=hint)


def _spikes(architecture: str) -> bool:
    from snn_voice_hub.models.network import SpikingNetwork
    from snn_voice_hub.registry import get_architecture

    return issubclass(get_architecture(architecture), SpikingNetwork)


def _yaml(recipe: Recipe) -> str:
    import yaml  # type: ignore[import-untyped]  # comes with huggingface_hub

    return str(yaml.safe_dump(recipe.to_dict(), sort_keys=False)).rstrip()


def _tell(dataset: Dataset) -> None:
    words = sum(map(is_word, set(dataset.train.labels)))
    say(
        f"{len(dataset.train)} clips of {words} words to learn from, {len(dataset.val)} to validate with "
        f"({dataset.rule})",
        err=True,
    )


def _tell_epoch(row: dict[str, float], job: Job) -> None:
    say(
        f"epoch {row['epoch']:.0f} of {job.recipe.epochs}: loss {row['train_loss']:.3f}, validation "
        f"{row['val_loss']:.3f}, {percent(row['val_top1'])} right, {row['seconds']:.0f} s "
        f"({row['clips_per_second']:.0f} clips/s)",
        err=True,
    )
