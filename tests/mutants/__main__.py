"""`make mutants`: is a fault in the code that all else stands on noticed by its tests?

`python -m tests.mutants [MODULE]... [--count N] [--again]` lets Cosmic Ray make small faults in a copy of the
repository, one at a time, and runs the tests of `tests.mutants.modules` on each. A fault that no test notices
survives; it is shown, unless it is known to change nothing (`tests.mutants.equivalent`). Results are kept in
`.mutants/`, and a run goes on where one was stopped, until the module is another; `--again` tries those that
survived again, after tests were written. It ends with 1 where one survives that is not known.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from cosmic_ray.commands import init
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult

from tests.mutants import forks
from tests.mutants.drawing import drawn
from tests.mutants.equivalent import EQUIVALENT, change
from tests.mutants.modules import TARGETS, Target
from tests.places import ROOT

_KEPT: Final = ROOT / ".mutants"
_COPIED: Final = ("snn_voice_hub", "server", "lite", "tests", "examples", "pyproject.toml")
_PATIENCE: Final = forks.Limits(processor=600, clock=1200.0)
_LATE: Final = "timeout"


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TARGETS)}; by default all"
    )
    parser.add_argument("--count", type=int, default=80, help="mutants of a module, at most")
    parser.add_argument("--again", action="store_true", help="try those that survived again")
    arguments = parser.parse_args()
    unknown = set(arguments.modules) - TARGETS.keys()
    if unknown:
        parser.error(f"no such module: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    os.nice(5)
    os.environ["OMP_NUM_THREADS"] = "1"
    forks.warm()
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in _COPIED:
            here = ROOT / name
            if here.is_dir():
                shutil.copytree(
                    here, tree / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
                )
            else:
                shutil.copy(here, tree)
        os.chdir(tree)
        for name in arguments.modules or TARGETS:
            survived += _try(name, TARGETS[name], tree, arguments.count, again=arguments.again)
    return int(survived > 0)


def _try(name: str, target: Target, tree: Path, count: int, *, again: bool) -> int:
    """Try the mutants of one module; how many survive that are not known to change nothing."""
    source = (tree / target.path).read_text(encoding="utf-8")
    with use_db(str(_session(name, source))) as session:
        if session.num_work_items < count:
            with use_db(str(tree / f"{name}.sqlite")) as everything:
                init([Path(target.path)], everything, {})
                chosen = drawn(source, everything.work_items, count, name)
            there = [item.mutations for item in session.work_items]
            session.add_work_items(item for item in chosen if item.mutations not in there)
        waiting = [*session.pending_work_items]
        if again:
            waiting += [item for item, result in session.completed_work_items if not result.is_killed]
        if waiting:
            _run(name, target, tree, session, waiting)
        return _report(name, session)


def _session(name: str, source: str) -> Path:
    """Where results are kept: of other text they would be those of other mutants."""
    _KEPT.mkdir(exist_ok=True)
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    found = _KEPT / f"{name}-{digest}.sqlite"
    for other in _KEPT.glob(f"{name}-*.sqlite"):
        if other != found:
            other.unlink()
    return found


def _run(name: str, target: Target, tree: Path, session: WorkDB, waiting: list[WorkItem]) -> None:
    sound = forks.run(tree, target.tests, _PATIENCE, compiled=True)
    if sound.code or sound.late:
        raise SystemExit(f"{name}: its tests fail as it is\n{sound.said}")
    print(f"{name}: its tests take {sound.processor:.1f} s of the processor", flush=True)
    limits = forks.Limits(processor=int(3 * sound.processor) + 10, clock=8 * sound.processor + 60)
    for number, item in enumerate(sorted(waiting, key=lambda item: item.mutations[0].start_pos), 1):
        (mutation,) = item.mutations
        operator = get_operator(mutation.operator_name)(**mutation.operator_args)
        with use_mutation(mutation.module_path, operator, mutation.occurrence) as (before, after):
            ran = forks.run(tree, target.tests, limits)
        dead = ran.late or ran.code != 0
        diff = "\n".join(difflib.unified_diff(before.split("\n"), after.split("\n"), lineterm="", n=0))
        result = WorkResult(
            WorkerOutcome.NORMAL,
            _LATE if ran.late else ran.said,
            TestOutcome.KILLED if dead else TestOutcome.SURVIVED,
            diff,
        )
        session.set_result(item.job_id, result)
        word = "timed out" if ran.late else "killed" if dead else "SURVIVED"
        print(f"{number}/{len(waiting)} {ran.clock:.0f} s {word}: {change(diff)}", flush=True)


def _report(name: str, session: WorkDB) -> int:
    results = [result for _, result in session.completed_work_items]
    alive = [result for result in results if not result.is_killed]
    known = EQUIVALENT.get(name, {})
    left = [changed for changed in (change(result.diff) for result in alive) if changed not in known]
    for changed in sorted(left):
        print(f"{name} survived: {changed}")
    late = sum(result.output == _LATE for result in results)
    killed = len(results) - len(alive) - late
    print(
        f"{name}: {len(results)} mutants, {killed} killed, {late} timed out, {len(alive)} survived, "
        f"{len(alive) - len(left)} of which change nothing",
        flush=True,
    )
    return len(left)


if __name__ == "__main__":
    sys.exit(main())
