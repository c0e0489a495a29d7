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

# "Changes little": by no more than so much of the clips, the doubt allowed for.
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
    def deviation(self) -> float | None:
        """Standard deviation of the seeds, pooled over the cells; None where no cell has two."""
        seeds = [[result.tested.top1 for result in cell.results] for cell in self.cells]
        several = [values for values in seeds if len(values) > 1]
        if not several:
            return None
        squares = sum((len(values) - 1) * statistics.variance(values) for values in several)
        return math.sqrt(squares / sum(len(values) - 1 for values in several))

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


def doubt(group: Group, groups: Sequence[Group], one: Cell, other: Cell) -> float | None:
    """Two standard errors of the difference of two cells of a network, from how far its seeds lie apart.

    Where it has one seed a cell, the largest deviation of any other network is taken; None where none has
    two.
    """
    known = [found.deviation for found in groups if found.deviation is not None]
    deviation = group.deviation if group.deviation is not None else max(known, default=None)
    if deviation is None:
        return None
    return 2 * deviation * math.sqrt(1 / len(one.results) + 1 / len(other.results))


def _told(doubtful: float | None) -> str:
    return "one seed" if doubtful is None else points(doubtful)


# --- 1 --------------------------------------------------------------------------------------------

_COMPLEXITY = "dependence on complexity"


def _below(groups: Sequence[Group]) -> Finding:
    found = Finding(
        "A spiking network ends slightly below its CNN, and the margin seems to depend on the model's "
        "complexity.",
        "The CNN is compared with the twin (fixed beta) at the number of steps at which the twin does "
        "best. That favours the twin: where even the best one is below by more than the doubt, the finding "
        "holds; where it is above by more than that, it does not. Complexity is the CNN's number "
        "of parameters: the margin depends on it if it grows, or shrinks, from each network to the next "
        "larger one.",
        ("network", "parameters", "CNN", "best twin", "T", "margin", "doubt"),
    )
    margins: list[tuple[int, float]] = []
    doubts: list[float | None] = []
    for group in groups:
        best = group.best
        if group.cnn is None or best is None:
            found.verdicts[group.label] = NOT_MEASURED
            continue
        twin = group.fixed[best]
        margin = group.cnn.top1.mean - twin.top1.mean
        doubtful = doubt(group, groups, group.cnn, twin)
        found.verdicts[group.label] = UNDECIDED if group.cnn.guesses else _sign(margin, doubtful)
        parameters = group.cnn.results[0].parameters
        margins.append((parameters, margin))
        doubts.append(doubtful)
        found.rows.append(
            (
                group.label,
                f"{parameters:,}",
                points(group.cnn.top1.mean),
                points(twin.top1.mean),
                str(best),
                points(margin, sign=True),
                _told(doubtful),
            )
        )
    found.verdicts[_COMPLEXITY], note = _complexity(margins, doubts)
    found.notes.append(note)
    return found


def _sign(margin: float, doubtful: float | None) -> str:
    if doubtful is None or abs(margin) <= doubtful:
        return UNDECIDED
    return HOLDS if margin > 0 else FAILS


def _complexity(margins: list[tuple[int, float]], doubts: list[float | None]) -> tuple[str, str]:
    if len(margins) < 3 or len({parameters for parameters, _ in margins}) < len(margins):
        return NOT_MEASURED, "Complexity: an order needs three networks of different size, once each."
    ordered = [margin for _, margin in sorted(margins)]
    listed = ", ".join(points(margin, sign=True) for margin in ordered)
    told = f"Complexity: from the smallest network to the largest the margin is {listed}"
    known = [doubtful for doubtful in doubts if doubtful is not None]
    steps = [later - earlier for i, earlier in enumerate(ordered) for later in ordered[i + 1 :]]
    rises = bool(known) and max(steps) > max(known)
    falls = bool(known) and -min(steps) > max(known)
    if rises and falls:
        return FAILS, f"{told}: it both rises and falls by more than the doubt."
    if rises or falls:
        return HOLDS, f"{told}: it {'grows' if rises else 'shrinks'} with the number of parameters."
    return UNDECIDED, f"{told}: these differ by no more than the doubt, as far as that was measured."


# --- 2 --------------------------------------------------------------------------------------------


def _converges(groups: Sequence[Group]) -> Finding:
    found = Finding(
        "More time steps do not bring the spiking network to its CNN.",
        "Compared are the gaps to the CNN at the fewest and at the most steps (fixed beta). The finding "
        "holds where the gap at the most steps is larger than the doubt and has not shrunk by more "
        "than that. It does not hold where the gap has shrunk by more than the doubt. Where there was no "
        "gap to close, or the change is within the doubt, it is undecided.",
        ("network", "T", "gap", "T", "gap", "shrunk by", "doubt"),
    )
    for group in groups:
        steps = sorted(group.fixed)
        if group.cnn is None or len(steps) < 2:
            found.verdicts[group.label] = NOT_MEASURED
            continue
        few, many = group.fixed[steps[0]], group.fixed[steps[-1]]
        first, last = (group.cnn.top1.mean - cell.top1.mean for cell in (few, many))
        change = doubt(group, groups, few, many)
        at_few, at_many = (doubt(group, groups, group.cnn, cell) for cell in (few, many))
        verdict = UNDECIDED
        if change is not None and at_few is not None and at_many is not None and not group.cnn.guesses:
            if last > at_many and first - last <= change:
                verdict = HOLDS
            elif first > at_few and first - last > change:
                verdict = FAILS
        found.verdicts[group.label] = verdict
        gaps = (str(steps[0]), points(first, True), str(steps[-1]), points(last, True))
        found.rows.append((group.label, *gaps, points(first - last, True), _told(change)))
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
        f"{points(LITTLE)} percentage points: the finding holds where the difference and the doubt together "
        "are no more (at every T), does not hold where the difference exceeds that by more than the doubt "
        "(at any T), and is undecided between.",
        ("network", "T", "fixed", "learned", "difference", "doubt"),
    )
    for group in groups:
        both = sorted({*group.fixed} & {*group.learned})
        verdicts = []
        for steps in both:
            fixed, learned = group.fixed[steps].top1, group.learned[steps].top1
            change = learned.mean - fixed.mean
            doubtful = doubt(group, groups, group.fixed[steps], group.learned[steps])
            blind = group.fixed[steps].guesses and group.learned[steps].guesses
            verdicts.append(UNDECIDED if blind else _little(change, doubtful))
            accuracies = (points(fixed.mean), points(learned.mean), points(change, True))
            found.rows.append((group.label, str(steps), *accuracies, _told(doubtful)))
        worst = next((verdict for verdict in (FAILS, UNDECIDED, HOLDS) if verdict in verdicts), NOT_MEASURED)
        found.verdicts[group.label] = worst
    return found


def _little(change: float, doubtful: float | None) -> str:
    if doubtful is None:
        return UNDECIDED
    if abs(change) + doubtful <= LITTLE:
        return HOLDS
    return FAILS if abs(change) - doubtful > LITTLE else UNDECIDED
