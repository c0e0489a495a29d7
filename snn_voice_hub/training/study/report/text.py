"""The text of a report on the paper's grid: every number in it is computed from the results."""

from __future__ import annotations

import csv
import dataclasses
import io
import statistics
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from snn_voice_hub.machine import Machine
from snn_voice_hub.notation import markdown_table, percent, points
from snn_voice_hub.training.study.findings import Finding, Group, Spread, costs
from snn_voice_hub.training.study.paper_recipes import paper_recipe
from snn_voice_hub.training.study.report.plots import confused, table_of
from snn_voice_hub.training.study.results import Run, RunResult

# The clips of Speech Commands v0.02, with which the paper was made.
PAPER_CLIPS = 105_829
# A word with fewer training clips is reported apart.
RARE = 100
_CONFUSIONS = 8

# Runs without a result, and why; "" where they are yet to come.
Missing = dict[Run, str]


def markdown(
    groups: Sequence[Group],
    found: Sequence[Finding],
    missing: Missing,
    figures: dict[str, Path],
    note: str = "",
) -> str:
    """The report.

    Args:
        groups: The results.
        found: The findings.
        missing: Runs that were planned and have no result.
        figures: Files by name, in a folder beside the report.
        note: Why there are no figures, if there are none.
    """
    results = [result for group in groups for result in group.results]
    parts = ["# The paper's study, trained again", _what(results, missing)]
    if note:
        parts.append(f"Figures are missing: {note}.")
    if results:
        parts += [
            "## Accuracy",
            _accuracy(groups),
            *_figure(
                figures, "accuracy", "Accuracy by time steps; the CNN is the dashed line, points are seeds"
            ),
        ]
    parts += ["## The paper's four findings", *_findings(groups, found)]
    if results:
        parts += ["## Learning curves", _curves(results)]
        parts += _figure(figures, "curves", "Validation accuracy by epoch")
        parts += ["## Cost", _cost(groups)]
        parts += _figure(figures, "cost", "Time of a training epoch relative to the CNN")
        parts += ["## Confusions", *_confusions(groups, figures)]
    parts += ["## Missing runs", _missing(missing)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _figure(figures: dict[str, Path], name: str, caption: str) -> list[str]:
    if name not in figures:
        return []
    path = PurePosixPath(figures[name].parent.name, figures[name].name)
    return [f"![{caption}]({path})"]


def _between(values: Sequence[float], form: str = ",.0f") -> str:
    low, high = f"{min(values):{form}}", f"{max(values):{form}}"
    return low if low == high else f"{low} to {high}"


# --- what was run ---------------------------------------------------------------------------------


def _what(results: list[RunResult], missing: Missing) -> str:
    planned = f"Finished runs: {len(results)}; planned and missing: {len(missing)}"
    if not results:
        return f"{planned}. So there is nothing to report yet."
    first = results[0]
    tested, clips = first.tested, first.train_clips
    spoken = sum(1 for count in tested.counts.values() if count)
    lines = [
        "Audio CNNs and their spiking twins, from scratch on spoken words, with the paper's "
        f"hyper-parameters. {planned}.",
        "",
        f"- Learned from {clips:,} clips of {len(first.train_words)} words; measured on {tested.clips:,} "
        f"{tested.part} clips of {spoken} words. Split: {first.split.rstrip('.')}.",
        f"- Epochs: at most {_between([r.run.epochs for r in results])} (the paper: "
        f"{paper_recipe('M5CNN').epochs}). Seeds: "
        f"{', '.join(map(str, sorted({r.run.seed for r in results})))}; how many each figure rests on "
        "stands beside it.",
        f"- Standard error of one accuracy, from the number of {tested.part} clips alone: at most "
        f"{points(0.5 / tested.clips**0.5)} percentage points.",
    ]
    for machine in dict.fromkeys(r.machine for r in results):
        count = sum(r.machine == machine for r in results)
        lines.append(
            f"- {count} of the runs: {machine.device}, {machine.cores} cores"
            f"{f' ({machine.processor})' if machine.processor else ''}; PyTorch {machine.torch}, "
            f"threads: {machine.threads}"
            f"{f', allocator {machine.allocator}' if machine.allocator else ''}."
        )
    if tested.part == "validation":
        lines.append(
            "- There were no test clips. The validation clips also chose each run's best epoch, so these "
            "accuracies tend to be too high."
        )
    lines += ["", _fewer(results)]
    return "\n".join(lines)


def _fewer(results: list[RunResult]) -> str:
    first = results[0]
    share = first.train_clips / PAPER_CLIPS
    said = [
        f"The paper's corpus has {PAPER_CLIPS:,} clips, all parts together. These runs learned from "
        f"{first.train_clips:,}, or {100 * share:.0f} % of that number."
    ]
    if share < 0.7:
        said.append(
            "Fewer clips mean fewer voices to learn from: accuracies are not comparable with the paper's, "
            "and a gap between two networks may be another one with more clips. Only comparisons within "
            "this report are fair."
        )
    rare = [word for word, count in first.train_words.items() if count < RARE]
    if rare:
        apart = [found for r in results if (found := r.recall_over(rare))]
        common = [
            found for r in results if (found := r.recall_over(w for w in first.train_words if w not in rare))
        ]
        said.append(f"Words with fewer than {RARE} training clips ({len(rare)}): {', '.join(rare)}.")
        if apart and common:
            said.append(
                f"Of their {apart[0][1]} {first.tested.part} clips, "
                f"{percent(statistics.fmean(a for a, _ in apart))} are right on average over all runs, "
                f"against {percent(statistics.fmean(c for c, _ in common))} of the {common[0][1]:,} clips "
                "of the other words."
            )
    short = [r for r in results if r.run.epochs < paper_recipe(r.run.architecture).epochs]
    last = sum(r.best_epoch == r.epochs_run[-1] for r in results)
    if short:
        said.append(
            f"Given fewer epochs than the paper's: {len(short)} of {len(results)} runs. The learning "
            "rate's cycle is fitted to the epochs given, so a short run is a faster schedule, not the "
            "beginning of a long one; networks that learn slowly may lose more by it."
        )
    said.append(
        f"In {last} of {len(results)} runs the last epoch was the best one; since the learning rate falls "
        "until then, that alone does not say that more epochs would help."
    )
    return " ".join(said)


# --- accuracy -------------------------------------------------------------------------------------


def _over_seeds(spread: Spread) -> str:
    mean = points(spread.mean)
    return mean if spread.seeds == 1 else f"{mean} ({points(spread.least)} to {points(spread.largest)})"


def _accuracy(groups: Sequence[Group]) -> str:
    first = next(result for group in groups for result in group.results)
    common = [word for word, count in first.train_words.items() if count >= RARE]
    apart = len(common) < len(first.train_words) and first.recall_over(common) is not None
    header = ["network", "T", "beta", "epochs", "seeds", "top-1", "top-2", "top-5"]
    header += [f"mean of {len(common)} common words"] if apart else []
    rows = []
    for group in groups:
        for cell in group.cells:
            run = cell.results[0].run
            row = [*_named(group, run), str(run.epochs), str(len(cell.results))]
            row += [
                _over_seeds(cell.over(figure))
                for figure in (lambda r: r.tested.top1, lambda r: r.tested.top2, lambda r: r.tested.top5)
            ]
            if apart:
                row.append(_over_seeds(cell.over(lambda r: _mean_recall(r, common))))
            rows.append(row)
    clips = f"{first.tested.clips:,} {first.tested.part} clips"
    said = f"Percent of {clips}. With several seeds: mean (least to largest)."
    return f"{said}\n\n{markdown_table(header, rows)}"


def _named(group: Group, run: Run) -> list[str]:
    """A network, its number of steps and its beta, as the tables have them."""
    steps = str(run.num_steps) if run.num_steps is not None else ""
    beta = "" if run.twin == "cnn" else "learned" if run.learn_beta else "fixed"
    return [f"{group.label} {run.twin.upper()}", steps, beta]


def _mean_recall(result: RunResult, words: Sequence[str]) -> float:
    recall = result.tested.recall
    return statistics.fmean(recall[word] for word in words if word in recall)


# --- findings -------------------------------------------------------------------------------------


def _blind(groups: Sequence[Group]) -> str:
    names = [cell.results[0].run.name for group in groups for cell in group.cells if cell.guesses]
    said = "No better than the same answer for all clips, by two standard errors"
    return f"{said}: {', '.join(name.rpartition('-seed')[0] for name in names)}." if names else ""


def _findings(groups: Sequence[Group], found: Sequence[Finding]) -> list[str]:
    parts = [
        "Differences are in percentage points of top-1. One that is no larger than its doubt decides "
        "nothing: that is two standard errors of the difference of two means over seeds, with the deviation "
        "of seeds pooled over all cells of the network (of another network where it has one seed a cell).",
        _blind(groups),
    ]
    for number, finding in enumerate(found, 1):
        parts += [f"### {number}. {finding.claim}", f"**Verdict: {finding.verdict}.**", finding.rule]
        if finding.rows:
            parts.append(markdown_table(finding.header, finding.rows))
        parts += finding.notes
    return parts


# --- curves and cost ------------------------------------------------------------------------------


def _curves(results: Sequence[RunResult]) -> str:
    lines = []
    early = [result for result in results if result.stopped]
    if early:
        lines.append(f"Ended before their last epoch ({len(early)}):")
        lines += [f"- {r.run.name} after epoch {r.epochs_run[-1]}: {r.stopped}" for r in early]
    return "\n".join(lines)


def _cost(groups: Sequence[Group]) -> str:
    rows = []
    for group in groups:
        ratios = costs(group)
        for cell in group.cells:
            run = cell.results[0].run
            ratio = ratios.get((run.num_steps, run.learn_beta)) if run.num_steps is not None else None
            against = "1" if run.twin == "cnn" else f"{ratio.mean:.2f}" if ratio else "not measured"
            seconds = cell.over(lambda r: r.seconds_per_epoch).mean
            rate = cell.over(lambda r: r.clips_per_second).mean
            parameters = f"{cell.results[0].parameters:,}"
            rows.append([*_named(group, run), parameters, f"{seconds:,.1f}", f"{rate:,.0f}", against])
    header = ("network", "T", "beta", "parameters", "seconds an epoch", "clips/s", "times the CNN's")
    said = (
        "Median over the epochs of a run, mean over seeds; of training alone, without validation and "
        "without the features, which are computed once where they fit into memory. Wall-clock times, "
        "whatever else the machine did; seconds and clips are means over all machines, the last column "
        "compares runs of the same one. All time steps are computed at once, not in a loop."
    )
    return f"{said}\n\n{markdown_table(header, rows)}"


# --- confusions -----------------------------------------------------------------------------------


def _confusions(groups: Sequence[Group], figures: dict[str, Path]) -> list[str]:
    parts = ["Clips of all seeds together, by true word and answer. The most frequent mistakes of each:"]
    lines, pictures = [], []
    for group in groups:
        for name, cell in confused(group):
            labels, counts = table_of(cell.results)
            wrong = counts - np.diag(np.diag(counts))
            order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
            pairs = [np.unravel_index(int(i), wrong.shape) for i in order]
            told = [f"{labels[a]} → {labels[b]} ({wrong[a, b]})" for a, b in pairs if wrong[a, b]]
            lines.append(f"- {name}: {', '.join(told) or 'none'}")
            pictures += _figure(figures, f"confusion: {name}", f"Confusions of {name}")
    return [*parts, "\n".join(lines), *pictures]


# --- missing runs ---------------------------------------------------------------------------------


def _missing(missing: Missing) -> str:
    if not missing:
        return "None: every run that was planned is finished."
    return "\n".join(
        f"- {run.name}: {f'failed: {reason}' if reason else 'not finished'}"
        for run, reason in missing.items()
    )


# --- a row a run ----------------------------------------------------------------------------------


def rows_csv(results: Sequence[RunResult], missing: Missing) -> str:
    """All runs as CSV, those without a result included."""
    names = [
        *("run", "state", "architecture", "num_steps", "learn_beta", "seed", "epochs", "epochs_run"),
        *("best_epoch", "part", "clips", "top1", "top2", "top5", "val_top1", "parameters"),
        *("seconds_per_epoch", "clips_per_second", "train_clips"),
        *(field.name for field in dataclasses.fields(Machine)),
        *("recipe", "reason"),
    ]
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="", lineterminator="\n")
    writer.writeheader()
    for result in results:
        tested = result.tested
        row = _facts(result.run, "finished") | {
            "epochs_run": result.epochs_run[-1],
            "best_epoch": result.best_epoch,
            "part": tested.part,
            "clips": tested.clips,
            "top1": round(tested.top1, 6),
            "top2": round(tested.top2, 6),
            "top5": round(tested.top5, 6),
            "val_top1": result.best_row["val_top1"],
            "parameters": result.parameters,
            "seconds_per_epoch": round(result.seconds_per_epoch, 3),
            "clips_per_second": round(result.clips_per_second, 2),
            "train_clips": result.train_clips,
            "recipe": result.recipe,
            "reason": result.stopped,
        }
        writer.writerow(row | dataclasses.asdict(result.machine))
    for run, reason in missing.items():
        writer.writerow(_facts(run, "failed" if reason else "missing") | {"reason": reason})
    return out.getvalue()


def _facts(run: Run, state: str) -> dict[str, object]:
    return {
        "run": run.name,
        "state": state,
        "architecture": run.architecture,
        "num_steps": "" if run.num_steps is None else run.num_steps,
        "learn_beta": str(run.learn_beta).lower(),
        "seed": run.seed,
        "epochs": run.epochs,
    }
