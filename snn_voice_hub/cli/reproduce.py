"""`snn-voice reproduce`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snn_voice_hub.cli.clips import DATA, use_threads
from snn_voice_hub.cli.output import say
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.machine import sleep_soon

if TYPE_CHECKING:
    from snn_voice_hub.training.study.results import Run


def reproduce(
    out: Annotated[Path, typer.Option(help="Folder of the runs and of the report; a second call goes on.")],
    data: Annotated[
        str,
        typer.Option(help=DATA),
    ] = "",
    models: Annotated[
        str | None, typer.Option(help="Which of m5,piczak,hjh,tcy; a CNN and its spiking twins each. [all]")
    ] = None,
    num_steps: Annotated[
        str | None, typer.Option(help="Time steps of the spiking networks. [1,5,15,30, the paper's]")
    ] = None,
    learn_beta: Annotated[
        bool | None,
        typer.Option(
            "--learn-beta/--fixed-beta",
            help="Each spiking network with a learned beta as well, or with a fixed one alone; "
            "as well if neither is said.",
        ),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Each network is trained with all of them. [0]")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most so many. [15, the paper's]")] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            help="YAML file that names the runs: `runs: [{architecture: HjhSNN, num_steps: [1, 5], "
            "learn_beta: false, seeds: [0, 1], epochs: 5}, …]`."
        ),
    ] = None,
    show_plan: Annotated[
        bool, typer.Option("--show-plan", help="Print the runs in their order, and train nothing.")
    ] = False,
    report_only: Annotated[
        bool,
        typer.Option("--report-only", help="Write the report of what is finished; may be done meanwhile."),
    ] = False,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="PyTorch's threads on the CPU.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Where to keep decoded clips for the next call.")] = None,
    download: Annotated[
        bool, typer.Option("--download", help="With speech_commands: fetch what is not there (2.3 GB).")
    ] = False,
) -> None:
    """Train the paper's grid of networks again, and report what holds of its findings.

    CNNs and their spiking twins by number of time steps, with fixed and with learned beta. Cheap runs come
    first, further seeds last. The command may be ended at any time, and goes on when it is given again.
    """
    sleep_soon()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if report_only:
        _report(out)
        return
    runs = _runs(models, num_steps, learn_beta, seeds, epochs, plan)
    if show_plan:
        _show(out, runs)
        return
    if not data:
        raise SnnVoiceError("training needs clips", hint="--data, or --report-only for what is finished")
    if accelerator not in (legal := ("auto", "cpu", "gpu", "mps")):
        raise SnnVoiceError(f"--accelerator {accelerator} is not legal", hint=f"one of {', '.join(legal)}")
    use_threads(threads)

    from snn_voice_hub.training.clips.sources import load_dataset
    from snn_voice_hub.training.study.grid import run_grid

    dataset = load_dataset(data, cache=cache, download=download)
    tested = "no test clips" if dataset.test is None else f"{len(dataset.test)} to test with"
    _tell(
        f"{len(runs)} runs; {len(dataset.train)} clips to learn from, {len(dataset.val)} to validate with, "
        f"{tested} ({dataset.rule}); {len(dataset.skipped)} files could not be used"
    )
    worked = run_grid(runs, dataset, out, accelerator=accelerator, tell=_tell)
    _report(out)
    if worked.interrupted:
        raise typer.Exit(130)
    if worked.failed:
        raise SnnVoiceError(
            f"{len(worked.failed)} of {len(runs)} runs failed: {', '.join(worked.failed)}",
            hint="reasons stand in the report, details in each run's failed.json; the command tries again",
        )


def _tell(line: str) -> None:
    say(line, err=True)


def _runs(
    models: str | None,
    num_steps: str | None,
    learn_beta: bool | None,
    seeds: str | None,
    epochs: int | None,
    plan: Path | None,
) -> list[Run]:
    from snn_voice_hub.training.study import grid
    from snn_voice_hub.training.study.results import MODELS

    if plan is not None:
        if any(given is not None for given in (models, num_steps, learn_beta, seeds)):
            raise SnnVoiceError(
                "--plan names the runs by itself",
                hint="without --models, --num-steps, --learn-beta and --seeds",
            )
        return grid.read_plan(plan, epochs)
    return grid.plan(
        [name.strip().lower() for name in models.split(",")] if models is not None else MODELS,
        num_steps=_numbers("--num-steps", num_steps, grid.NUM_STEPS),
        learn_beta=(False,) if learn_beta is False else (False, True),
        seeds=_numbers("--seeds", seeds, (0,)),
        epochs=epochs,
    )


def _numbers(option: str, text: str | None, default: Sequence[int]) -> list[int]:
    if text is None:
        return list(default)
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise SnnVoiceError(
            f"{option} {text} is not legal", hint="whole numbers with commas between: 1,5,15"
        ) from error


def _show(out: Path, runs: Sequence[Run]) -> None:
    from snn_voice_hub.training.study.grid import failure_of, folder_of
    from snn_voice_hub.training.study.results import RESULT_FILE

    for run in runs:
        state = "to do"
        if (folder_of(out, run) / RESULT_FILE).exists():
            state = "finished"
        elif failure := failure_of(out, run):
            state = f"failed: {failure.reason}"
        say(f"{run.name}  {state}")


def _report(out: Path) -> None:
    from snn_voice_hub.training.study.report.write import write_report

    report = write_report(out)
    for number, finding in enumerate(report.findings, 1):
        say(f"{number}. {finding.claim}")
        say(f"   {finding.verdict}")
    if report.note:
        _tell(f"without figures: {report.note}")
    say(f"{report.path}: {report.finished} runs, {len(report.missing)} missing")
