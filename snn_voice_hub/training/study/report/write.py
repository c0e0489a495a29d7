"""From the results of a grid to a report: Markdown, figures (PNG) and a table of all runs (CSV)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from snn_voice_hub.errors import MissingExtraError, SnnVoiceError
from snn_voice_hub.training.study.findings import Finding, findings, grouped
from snn_voice_hub.training.study.grid import failure_of, load_plan
from snn_voice_hub.training.study.report.plots import draw
from snn_voice_hub.training.study.report.text import Missing, markdown, rows_csv
from snn_voice_hub.training.study.results import RUNS, Run, load_results
from snn_voice_hub.writing import write_together, writing_into

REPORT_FILE = "report.md"
TABLE_FILE = "results.csv"


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        path: The Markdown file.
        finished: Number of runs with a result.
        missing: Runs without one, and why they failed ("" where they are yet to come).
        findings: The paper's, with verdicts.
        note: Why there are no figures; "" where there are.
    """

    path: Path
    finished: int
    missing: Missing
    findings: list[Finding]
    note: str


def missing_runs(out: Path, finished: set[Run]) -> Missing:
    """The planned runs without a result, and why they failed."""
    found: Missing = {}
    for run in load_plan(out):
        if run not in finished:
            failure = failure_of(out, run)
            found[run] = failure.reason if failure else ""
    return found


def write_report(out: Path) -> Report:
    """Write `report.md`, `results.csv` and `figures/` into a grid's folder, from what is finished there.

    Without matplotlib the report has no figures, and says so.

    Raises:
        SnnVoiceError: The folder holds no grid, a result can't be read, or the runs are of different data.
    """
    results = load_results(out)
    if not results and not load_plan(out):
        raise SnnVoiceError(
            f"{out} holds no runs", hint=f"the --out of `snn-voice reproduce`, with {RUNS}/ in it"
        )
    groups = grouped(results)
    missing = missing_runs(out, {result.run for result in results})
    note, figures = "", {}
    try:
        figures = draw(groups, out)
    except MissingExtraError as error:
        note = str(error)
    found = findings(groups)
    ordered = [result for group in groups for result in group.results]
    text = markdown(groups, found, missing, figures, note)
    with writing_into(out, "make room, and draw it again"):
        write_together({out / REPORT_FILE: text, out / TABLE_FILE: rows_csv(ordered, missing)})
    return Report(out / REPORT_FILE, len(results), missing, found, note)
