"""The paper's four findings, asked again of the results of a grid; each verdict may come out either way."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from snn_voice_hub.notation import points
from snn_voice_hub.training.study.paper_recipes import TITLES
from snn_voice_hub.training.study.results import RunResult

HOLDS = "holds"
FAILS = "does not hold"
UNDECIDED = "undecided"
NOT_MEASURED = "not measured"

# "Changes little": by no more than so much of the clips, the spread of seeds allowed for.
LITTLE = 0.02
# "Costly": an epoch takes at least so many times that of the CNN.
COSTLY = 2.0


@dataclass(frozen=True)
class Spread:
    """A figure over seeds."""

    mean: float
    least: float
    largest: float
    seeds: int

    @property
    def range(self) -> float:
        """Largest less least."""
        return self.largest - self.least


@dataclass(frozen=True)
class Cell:
    """Runs that differ in their seed alone."""

    results: tuple[RunResult, ...]

    def over(self, figure: Callable[[RunResult], float]) -> Spread:
        """A figure over the seeds."""
        values = [figure(result) for result in self.results]
        return Spread(statistics.fmean(values), min(values), max(values), len(values))

    @property
    def top1(self) -> Spread:
        """Share of clips that are right."""
        return self.over(lambda result: result.tested.top1)

    @property
    def guesses(self) -> bool:
        """Whether it is no better than the same answer for all clips, by two standard errors."""
        tested = self.results[0].tested
        blind = max(tested.counts.values()) / tested.clips
        return self.top1.mean <= blind + 2 * math.sqrt(blind * (1 - blind) / tested.clips)


@dataclass(frozen=True)
class Group:
    """A CNN and its twins, all trained for the same number of epochs.

    Attributes:
        label: In prose.
        cnn: The CNN, if it was trained.
        fixed: The twins with a fixed beta by number of steps.
        learned: Those with a learned one.
    """

    label: str
    cnn: Cell | None
    fixed: dict[int, Cell]
    learned: dict[int, Cell]

    @property
    def cells(self) -> list[Cell]:
        """All of them, in the order of a table."""
        both = [
            cells[steps]
            for steps in sorted({*self.fixed, *self.learned})
            for cells in (self.fixed, self.learned)
            if steps in cells
        ]
        return ([self.cnn] if self.cnn else []) + both

    @property
    def results(self) -> list[RunResult]:
        """All runs."""
        return [result for cell in self.cells for result in cell.results]

    @property
    def spread(self) -> float | None:
        """How far seeds of the same cell lie apart, at most; None where no cell has two."""
        return max((cell.top1.range for cell in self.cells if len(cell.results) > 1), default=None)

    @property
    def best(self) -> int | None:
        """The number of steps at which the twin with a fixed beta does best."""
        return max(self.fixed, key=lambda steps: self.fixed[steps].top1.mean, default=None)


def grouped(results: Iterable[RunResult]) -> list[Group]:
    """Results by network and number of epochs, the networks in the order of `TITLES`."""
    by: dict[tuple[str, int], dict[tuple[int | None, bool], list[RunResult]]] = {}
    for result in sorted(results, key=lambda r: (list(TITLES).index(r.run.family), r.run.epochs, r.run.seed)):
        cells = by.setdefault((result.run.family, result.run.epochs), {})
        cells.setdefault((result.run.num_steps, result.run.learn_beta), []).append(result)
    families = [family for family, _ in by]
    groups = []
    for (family, epochs), cells in by.items():
        label = TITLES[family] + (f" ({epochs} epochs)" if families.count(family) > 1 else "")
        made = {key: Cell(tuple(found)) for key, found in cells.items()}
        twins: dict[bool, dict[int, Cell]] = {False: {}, True: {}}
        for (steps, learned), cell in made.items():
            if steps is not None:
                twins[learned][steps] = cell
        groups.append(Group(label, made.get((None, False)), twins[False], twins[True]))
    return groups


@dataclass(frozen=True)
class Finding:
    """What the paper found, and what these runs say.

    Attributes:
        claim: The paper's.
        rule: How the verdict is computed, in words.
        header: Of the table.
        rows: Of the table, a row a comparison.
        verdicts: By network (or by what else was asked).
        notes: Sentences below the table.
    """

    claim: str
    rule: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    verdicts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """All verdicts in one line."""
        parts = []
        for verdict in (HOLDS, FAILS, UNDECIDED, NOT_MEASURED):
            names = [name for name, given in self.verdicts.items() if given == verdict]
            if names:
                parts.append(f"{verdict} for {', '.join(names)}")
        return "; ".join(parts) or NOT_MEASURED


def findings(groups: Sequence[Group]) -> list[Finding]:
    """The four findings, in the paper's order."""
    return [_below(groups), _converges(groups), _costly(groups), _beta(groups)]


def yardstick(group: Group, groups: Sequence[Group]) -> float | None:
    """What a difference must exceed: the spread of a network's seeds, or else the largest of any other's."""
    if group.spread is not None:
        return group.spread
    return max((other.spread for other in groups if other.spread is not None), default=None)


def _apart(yard: float | None) -> str:
    return "one seed" if yard is None else points(yard)


# --- 1 --------------------------------------------------------------------------------------------

_COMPLEXITY = "dependence on complexity"


def _below(groups: Sequence[Group]) -> Finding:
    found = Finding(
        "A spiking network ends slightly below its CNN, and the margin seems to depend on the model's "
        "complexity.",
        "The CNN is compared with the twin (fixed beta) at the number of steps at which the twin does "
        "best. That favours the twin: where even the best one is below by more than seeds lie apart, the "
        "finding holds; where it is above by more than that, it does not. Complexity is the CNN's number "
        "of parameters: the margin depends on it if it grows, or shrinks, from each network to the next "
        "larger one.",
        ("network", "parameters", "CNN", "best twin", "T", "margin", "seeds lie apart"),
    )
    margins: list[tuple[int, float]] = []
    yards: list[float | None] = []
    for group in groups:
        best = group.best
        if group.cnn is None or best is None:
            found.verdicts[group.label] = NOT_MEASURED
            continue
        twin = group.fixed[best]
        margin, yard = group.cnn.top1.mean - twin.top1.mean, yardstick(group, groups)
        found.verdicts[group.label] = UNDECIDED if group.cnn.guesses else _sign(margin, yard)
        parameters = group.cnn.results[0].parameters
        margins.append((parameters, margin))
        yards.append(yard)
        found.rows.append(
            (
                group.label,
                f"{parameters:,}",
                points(group.cnn.top1.mean),
                points(twin.top1.mean),
                str(best),
                points(margin, sign=True),
                _apart(yard),
            )
        )
    found.verdicts[_COMPLEXITY], note = _complexity(margins, yards)
    found.notes.append(note)
    return found


def _sign(margin: float, yard: float | None) -> str:
    if yard is None or abs(margin) <= yard:
        return UNDECIDED
    return HOLDS if margin > 0 else FAILS


def _complexity(margins: list[tuple[int, float]], yards: list[float | None]) -> tuple[str, str]:
    if len(margins) < 3 or len({parameters for parameters, _ in margins}) < len(margins):
        return NOT_MEASURED, "Complexity: an order needs three networks of different size, once each."
    ordered = [margin for _, margin in sorted(margins)]
    listed = ", ".join(points(margin, sign=True) for margin in ordered)
    told = f"Complexity: from the smallest network to the largest the margin is {listed}"
    known = [yard for yard in yards if yard is not None]
    steps = [later - earlier for i, earlier in enumerate(ordered) for later in ordered[i + 1 :]]
    rises = bool(known) and max(steps) > max(known)
    falls = bool(known) and -min(steps) > max(known)
    if rises and falls:
        return FAILS, f"{told}: it both rises and falls by more than seeds lie apart."
    if rises or falls:
        return HOLDS, f"{told}: it {'grows' if rises else 'shrinks'} with the number of parameters."
    return UNDECIDED, f"{told}: these differ by no more than seeds do, as far as that was measured."


# --- 2 --------------------------------------------------------------------------------------------


def _converges(groups: Sequence[Group]) -> Finding:
    found = Finding(
        "More time steps do not bring the spiking network to its CNN.",
        "Compared are the gaps to the CNN at the fewest and at the most steps (fixed beta). The finding "
        "holds where the gap at the most steps is larger than seeds lie apart and has not shrunk by more "
        "than that. It does not hold where the gap has shrunk by more than seeds lie apart. Where there "
        "was no gap to close, or the change is within the spread, it is undecided.",
        ("network", "T", "gap", "T", "gap", "shrunk by", "seeds lie apart"),
    )
    for group in groups:
        steps = sorted(group.fixed)
        if group.cnn is None or len(steps) < 2:
            found.verdicts[group.label] = NOT_MEASURED
            continue
        first, last = (group.cnn.top1.mean - group.fixed[t].top1.mean for t in (steps[0], steps[-1]))
        yard = yardstick(group, groups)
        verdict = UNDECIDED
        if yard is not None and not group.cnn.guesses:
            if last > yard and first - last <= yard:
                verdict = HOLDS
            elif first > yard and first - last > yard:
                verdict = FAILS
        found.verdicts[group.label] = verdict
        gaps = (str(steps[0]), points(first, True), str(steps[-1]), points(last, True))
        found.rows.append((group.label, *gaps, points(first - last, True), _apart(yard)))
    return found


# --- 3 --------------------------------------------------------------------------------------------


def costs(group: Group) -> dict[tuple[int, bool], Spread]:
    """What a twin's epoch takes, CNN = 1 on the same machine, by number of steps and learned beta."""
    if group.cnn is None:
        return {}
    found = {}
    for learned, cells in ((False, group.fixed), (True, group.learned)):
        for steps, cell in sorted(cells.items()):
            ratios = []
            for result in cell.results:
                rates = [c.clips_per_second for c in group.cnn.results if c.machine == result.machine]
                if rates:
                    ratios.append(statistics.fmean(rates) / result.clips_per_second)
            if ratios:
                found[steps, learned] = Spread(
                    statistics.fmean(ratios), min(ratios), max(ratios), len(ratios)
                )
    return found


def _costly(groups: Sequence[Group]) -> Finding:
    found = Finding(
        "Training a spiking network is costly.",
        "Time a clip in training against the CNN's on the same machine, at the most steps. The finding "
        f"holds where it is at least {COSTLY:g} times the CNN's with every seed, does not hold where it is "
        "less with every seed, and is undecided between.",
        ("network", "T", "times the CNN's", "least to largest", "seconds an epoch", "CNN's"),
    )
    for group in groups:
        ratios = {steps: ratio for (steps, learned), ratio in costs(group).items() if not learned}
        if group.cnn is None or max(ratios, default=1) == 1:  # what costs is the steps
            found.verdicts[group.label] = NOT_MEASURED
            continue
        for steps, ratio in ratios.items():
            twins, cnns = group.fixed[steps].results, group.cnn.results
            where = {result.machine for result in twins} & {result.machine for result in cnns}
            own, seconds = (
                statistics.fmean(result.seconds_per_epoch for result in results if result.machine in where)
                for results in (twins, cnns)
            )
            apart = f"{ratio.least:.2f} to {ratio.largest:.2f}" if ratio.seeds > 1 else "one seed"
            found.rows.append(
                (group.label, str(steps), f"{ratio.mean:.2f}", apart, f"{own:.1f}", f"{seconds:.1f}")
            )
        most = ratios[max(ratios)]
        costly = HOLDS if most.least >= COSTLY else FAILS if most.largest < COSTLY else UNDECIDED
        found.verdicts[group.label] = costly
    return found


# --- 4 --------------------------------------------------------------------------------------------


def _beta(groups: Sequence[Group]) -> Finding:
    found = Finding(
        "A learned beta changes little.",
        "A twin with learned beta less the one with fixed beta at the same T. Little is at most "
        f"{points(LITTLE)} percentage points: the finding holds where the difference and the spread of "
        "seeds together are no more (at every T), does not hold where the difference exceeds that by more "
        "than the spread (at any T), and is undecided between.",
        ("network", "T", "fixed", "learned", "difference", "seeds lie apart"),
    )
    for group in groups:
        both = sorted({*group.fixed} & {*group.learned})
        verdicts = []
        for steps in both:
            fixed, learned = group.fixed[steps].top1, group.learned[steps].top1
            change, yard = learned.mean - fixed.mean, yardstick(group, groups)
            blind = group.fixed[steps].guesses and group.learned[steps].guesses
            verdicts.append(UNDECIDED if blind else _little(change, yard))
            accuracies = (points(fixed.mean), points(learned.mean), points(change, True))
            found.rows.append((group.label, str(steps), *accuracies, _apart(yard)))
        worst = next((verdict for verdict in (FAILS, UNDECIDED, HOLDS) if verdict in verdicts), NOT_MEASURED)
        found.verdicts[group.label] = worst
    return found


def _little(change: float, yard: float | None) -> str:
    if yard is None:
        return UNDECIDED
    if abs(change) + yard <= LITTLE:
        return HOLDS
    return FAILS if abs(change) - yard > LITTLE else UNDECIDED
