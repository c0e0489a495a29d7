"""The paper's grid of runs: which there are, in which order, and how they are worked off."""

from __future__ import annotations

import dataclasses
import gc
import shutil
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snn_voice_lite.visible import module_logger

from snn_voice_hub.config import read_dataclass
from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.machine import Machine
from snn_voice_hub.notation import percent
from snn_voice_hub.text import read_text
from snn_voice_hub.training.fitting.job import content_of
from snn_voice_hub.training.fitting.recipe import read_yaml
from snn_voice_hub.training.measuring.logits import clip_logits
from snn_voice_hub.training.study.paper_recipes import paper_recipe
from snn_voice_hub.training.study.results import (
    MODELS,
    RESULT_FILE,
    RUNS,
    Run,
    RunResult,
    check_same_data,
    counted,
    load_results,
    measure,
    read_json,
    write_json,
)
from snn_voice_hub.voice import SnnVoice

if TYPE_CHECKING:
    from snn_voice_hub.training.clips.sources import Dataset
    from snn_voice_hub.training.fitting.fit import Fitted

logger = module_logger(__name__)

# The paper's.
NUM_STEPS = (1, 5, 15, 30)

PLAN_FILE = "plan.json"
FAILURE_FILE = "failed.json"
TRAINING = "training"

# Trains one run in a folder, or goes on with it there.
Train = Callable[[Run, "Dataset", Path], "Fitted"]
Tell = Callable[[str], None]

# What an epoch takes, very roughly and relative to each other: only the order of the runs depends on it.
_COST = {"Tcy": 1, "Hjh": 40, "Piczak": 60, "M5": 70}


# --- which runs -----------------------------------------------------------------------------------


def plan(
    models: Iterable[str] = tuple(MODELS),
    *,
    num_steps: Iterable[int] = NUM_STEPS,
    learn_beta: Iterable[bool] = (False, True),
    seeds: Sequence[int] = (0,),
    epochs: int | None = None,
) -> list[Run]:
    """The runs of a grid, CNN twins included: first seeds before further ones, cheap runs before dear ones.

    Args:
        models: Keys of `MODELS`.
        num_steps: T of the spiking networks.
        learn_beta: Whether the membranes' decay is fixed, learned, or one after the other.
        seeds: Each cell of the grid is trained with all of them.
        epochs: The paper's by default.

    Raises:
        ConfigError: A value is not legal, or there is no run.
    """
    names = list(dict.fromkeys(models))
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise ConfigError(f"the paper has no model {unknown[0]!r}", hint=f"any of {', '.join(MODELS)}")
    runs = []
    for rank, seed in enumerate(dict.fromkeys(seeds)):
        for prefix in (MODELS[name] for name in names):
            most = epochs if epochs is not None else _paper_epochs(f"{prefix}CNN")
            found = [Run(architecture=f"{prefix}CNN", seed=seed, epochs=most)]
            found += [
                Run(architecture=f"{prefix}SNN", num_steps=steps, learn_beta=learned, seed=seed, epochs=most)
                for steps in dict.fromkeys(num_steps)
                for learned in dict.fromkeys(learn_beta)
            ]
            runs += [(rank, run) for run in found]
    if not runs:
        raise ConfigError("the plan has no runs", hint="at least one model and one seed")
    return [run for _, run in sorted(runs, key=lambda item: (item[0], _cost(item[1]), item[1].learn_beta))]


def _paper_epochs(architecture: str) -> int:
    return paper_recipe(architecture).epochs


def _cost(run: Run) -> int:
    # A CNN comes before its twin with one step, which does a little more.
    return _COST[run.family] * run.epochs * (2 * run.num_steps + 1 if run.num_steps is not None else 2)


@dataclass(frozen=True, kw_only=True)
class PlanEntry:
    """A line of a plan file.

    Attributes:
        architecture: "M5CNN", "M5SNN", … "TcySNN".
        num_steps: T, or several.
        learn_beta: Whether the membranes' decay is learned.
        seeds: One run each.
        epochs: The paper's, or those asked for, by default.
    """

    architecture: str
    num_steps: Any = None
    learn_beta: bool = False
    seeds: list[int] = dataclasses.field(default_factory=lambda: [0])
    epochs: int | None = None


@dataclass(frozen=True, kw_only=True)
class _PlanFile:
    runs: list[PlanEntry]


@dataclass(frozen=True, kw_only=True)
class _Planned:
    runs: list[Run]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a run came to nothing.

    Attributes:
        reason: In one line.
        details: Where, for whoever mends it.
    """

    reason: str
    details: str


def read_plan(path: Path, epochs: int | None = None) -> list[Run]:
    """Read a plan file: `runs:`, a list of entries with the fields of `PlanEntry`.

    Args:
        path: A YAML file.
        epochs: For entries that name none; the paper's by default.

    Returns:
        The runs in the file's order; of entries with several seeds, all first seeds come first.

    Raises:
        SnnVoiceError: The file can't be read, or names an illegal run.
    """
    try:
        entries = read_dataclass(_PlanFile, read_yaml(read_text(path))).runs
        ranked: list[tuple[int, Run]] = []
        for entry in entries:
            steps = entry.num_steps if isinstance(entry.num_steps, list) else [entry.num_steps]
            most = entry.epochs if entry.epochs is not None else epochs
            if most is None:
                most = _paper_epochs(entry.architecture)
            ranked += [
                (
                    rank,
                    Run(
                        architecture=entry.architecture,
                        num_steps=count,
                        learn_beta=entry.learn_beta,
                        seed=seed,
                        epochs=most,
                    ),
                )
                for rank, seed in enumerate(entry.seeds)
                for count in steps
            ]
    except (OSError, UnicodeDecodeError) as error:
        raise SnnVoiceError(f"{path} can't be read: {error}") from error
    except SnnVoiceError as error:
        raise ConfigError(f"{path}: {error.message}", hint=error.hint) from error
    if not ranked:
        raise ConfigError(f"{path} has no runs", hint="runs: [{architecture: HjhSNN, num_steps: 5}]")
    return list(dict.fromkeys(run for _, run in sorted(ranked, key=lambda item: item[0])))


# --- what became of them --------------------------------------------------------------------------


def folder_of(out: Path, run: Run) -> Path:
    """Where a run and its result are."""
    return out / RUNS / run.name


def save_plan(out: Path, runs: Sequence[Run]) -> None:
    """Note which runs are wanted, so that a report can name those that are missing."""
    write_json(out / PLAN_FILE, {"runs": [dataclasses.asdict(run) for run in runs]})


def load_plan(out: Path) -> list[Run]:
    """The runs that were wanted last; none where no grid was begun."""
    path = out / PLAN_FILE
    return read_json(_Planned, path).runs if path.exists() else []


def failure_of(out: Path, run: Run) -> Failure | None:
    """Why a run came to nothing, if it did."""
    path = folder_of(out, run) / FAILURE_FILE
    return read_json(Failure, path) if path.exists() else None


# --- working them off -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Worked:
    """How a grid went.

    Attributes:
        finished: Names of the runs that were trained.
        failed: Names of those that came to nothing.
        kept: Names of those that had been finished before.
        interrupted: Whether it was asked to end.
    """

    finished: list[str]
    failed: list[str]
    kept: list[str]
    interrupted: bool


def run_grid(
    runs: Sequence[Run],
    dataset: Dataset,
    out: Path,
    *,
    train: Train | None = None,
    accelerator: str = "auto",
    tell: Tell = logger.info,
) -> Worked:
    """Train what is not finished, measure each run once, and go on where one fails.

    Args:
        runs: In that order.
        dataset: Their clips.
        out: Folder of the grid; a second call goes on there.
        train: Instead of the paper's training with Lightning.
        accelerator: Lightning's: "auto", "cpu", "gpu", "mps".
        tell: Is told what happens, a line at a time.

    Raises:
        SnnVoiceError: The folder holds runs on other clips, or Lightning is not installed.
    """
    if train is None:
        train = _paper_training(accelerator, tell)
    content = content_of(dataset)
    _check_data(out, dataset, content)
    save_plan(out, runs)
    worked = Worked([], [], [], False)
    for number, run in enumerate(runs, 1):
        folder = folder_of(out, run)
        if (folder / RESULT_FILE).exists():
            worked.kept.append(run.name)
            continue
        tell(f"run {number} of {len(runs)}: {run.name}")
        (folder / FAILURE_FILE).unlink(missing_ok=True)
        try:
            result = _work(run, dataset, content, folder, train, accelerator)
        except KeyboardInterrupt:
            tell("interrupted; the same command goes on here")
            return dataclasses.replace(worked, interrupted=True)
        except Exception as error:  # whatever it is, the other runs are worth having
            reason = " ".join(str(error).split()) or type(error).__name__
            write_json(
                folder / FAILURE_FILE, dataclasses.asdict(Failure(reason=reason, details=_details(error)))
            )
            worked.failed.append(run.name)
            tell(f"{run.name} failed: {reason}")
            continue
        # A trainer and what it trains refer to each other: left alone, several runs would stay in memory.
        gc.collect()
        worked.finished.append(run.name)
        tell(f"{run.name}: {percent(result.tested.top1)} of {result.tested.clips} clips right")
    return worked


def _details(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def _check_data(out: Path, dataset: Dataset, content: str) -> None:
    results = load_results(out)
    if results:
        clips, part = _measured(dataset)
        check_same_data(results[0], counted(dataset.train.labels), dataset.rule, part, len(clips), content)


def _measured(dataset: Dataset) -> tuple[Any, str]:
    return (dataset.val, "validation") if dataset.test is None else (dataset.test, "test")


def _work(
    run: Run, dataset: Dataset, content: str, folder: Path, train: Train, accelerator: str
) -> RunResult:
    fitted = train(run, dataset, folder / TRAINING)
    device = "cpu" if accelerator == "cpu" else "auto"
    voice = SnnVoice.from_pretrained(fitted.folder, device=device, engine="torch")
    clips, part = _measured(dataset)
    result = RunResult(
        run=run,
        recipe=_recipe(run).description,
        best_epoch=fitted.best_epoch,
        stopped=fitted.stopped,
        history=fitted.history,
        tested=measure(clip_logits(voice, clips), clips.labels, voice.labels, part),
        parameters=voice.num_parameters(),
        train_words=counted(dataset.train.labels),
        split=dataset.rule,
        machine=Machine.here(accelerator),
        content=content,
    )
    result.save(folder / RESULT_FILE)
    # The optimizer's state is twice as large as the weights, and nothing goes on from a finished run.
    shutil.rmtree(folder / TRAINING / "state", ignore_errors=True)
    return result


def _recipe(run: Run) -> Any:
    return paper_recipe(
        run.architecture, num_steps=run.num_steps, learn_beta=run.learn_beta, epochs=run.epochs
    )


def _paper_training(accelerator: str, tell: Tell) -> Train:
    from snn_voice_hub.training.fitting.fit import fit, load_lightning
    from snn_voice_hub.training.fitting.job import Job

    load_lightning()

    def train(run: Run, dataset: Dataset, folder: Path) -> Fitted:
        def told(row: dict[str, float]) -> None:
            tell(
                f"  epoch {row['epoch']:.0f} of {run.epochs}: {percent(row['val_top1'])} of the "
                f"validation clips right, {row['seconds']:.0f} s"
            )

        job = Job(name=run.name, recipe=_recipe(run), seed=run.seed)
        return fit(job, dataset, folder, resume=True, accelerator=accelerator, on_epoch=told)

    return train
