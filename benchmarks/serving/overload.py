"""Too many requests at once: what `python -m benchmarks.serving overload` measures.

Every client has a connection of its own, and all send one request at the same moment. A service may answer
all of them late, or refuse some at once; one that refuses has to say when to come again (`Retry-After`).
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.report import Report, Table
from benchmarks.serving.contenders import NULL, OURS, Contender, Subject, Variant, serving
from benchmarks.serving.process import Loading, ServerError
from benchmarks.serving.tables import percentile


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of a burst."""
    parser.add_argument("--burst", type=int, default=600, help="requests at once (overload)")
    parser.add_argument(
        "--max-queue", type=int, default=64, help="queue of our service (overload); 0: as it comes"
    )
    parser.add_argument("--patience", type=float, default=120.0, help="seconds for one burst (overload)")


@dataclass(frozen=True)
class Burst:
    """One burst against one server.

    Attributes:
        first: What the first requests got -> how many.
        first_seconds: When the last of these answers came.
        p50: Median milliseconds of an accepted request (first tries only).
        last_seconds: When the last client had a right answer, retries included.
        refusals: How many answers of 429 and 503 there were.
        without_retry_after: How many of them do not say when to come again.
        tries: How many requests each client needed; 0 where it gave up.
        pss_mib: Memory after it.
    """

    first: Mapping[str, int]
    first_seconds: float
    p50: float | None
    last_seconds: float | None
    refusals: int
    without_retry_after: int
    tries: Sequence[int]
    pss_mib: float


def burst_of(seen: Mapping[str, Any], pss_mib: float = 0.0) -> Burst:
    """Figures of what the clients saw, see `client.Seen`."""
    began, first = seen["began"], seen["first"]
    accepted = [1e3 * (at - began) for kind, at in first if kind == "ok"]
    return Burst(
        first=Counter("200" if kind == "ok" else kind for kind, _ in first),
        first_seconds=max((at - began for _, at in first), default=0.0),
        p50=percentile(accepted, 0.5),
        last_seconds=seen["last"] - began if seen["last"] else None,
        refusals=len(seen["refused"]),
        without_retry_after=sum(wait is None for _, wait in seen["refused"]),
        tries=seen["tries"],
        pss_mib=pss_mib,
    )


def run_burst(
    contender: Contender, variant: Variant, subject: Subject, given: argparse.Namespace, *, retry: bool
) -> Burst:
    """Start a server and send it a burst.

    Args:
        contender: Which one.
        variant: How it is set up.
        subject: What it serves.
        given: Options.
        retry: Let refused clients come again.

    Raises:
        ServerError: It does not start, or dies of it.
    """
    extra = ("--max-queue", str(given.max_queue)) if contender.name == OURS and given.max_queue else ()
    with serving(contender, variant, subject, *extra) as served:
        settings = served.load(
            subject.clips_of(contender),
            clients=given.burst,
            kind="burst",
            timeout=given.patience,
            retry=retry,
            patience=given.patience,
        )
        with Loading(settings, subject.folder) as load:
            load.wait_until_ready()
            seen = load.finish(wait=given.patience)
        served.running.check()
        return burst_of(seen, served.running.group.memory_mib()[0])


def burst_table(bursts: Mapping[str, Burst]) -> Table:
    """What the first requests got, by server."""
    table = Table(
        "server",
        *("200", "429", "503", "504", "else", "last first answer, s", "p50 of the 200, ms"),
        *("refusals", "without Retry-After", "PSS MiB"),
    )
    for name, burst in bursts.items():
        other = {kind: n for kind, n in burst.first.items() if kind not in ("200", "429", "503", "504")}
        table.add(
            name,
            *(burst.first.get(code, 0) for code in ("200", "429", "503", "504")),
            ", ".join(f"{n} x {kind}" for kind, n in other.items()) or "0",
            burst.first_seconds,
            burst.p50,
            burst.refusals,
            burst.without_retry_after,
            burst.pss_mib,
        )
    return table


def say_tries(name: str, burst: Burst, clients: int) -> str:
    """How clients fared that come again when they were told to, as a sentence."""
    helped = [tries for tries in burst.tries if tries]
    if not helped or burst.last_seconds is None:
        return f"`{name}`: no client had an answer in the end."
    counts = ", ".join(f"{n} with {tries}" for tries, n in sorted(Counter(helped).items()))
    return (
        f"`{name}`, clients that come again after `Retry-After`: {len(helped)} of {clients} had the right "
        f"answer in the end, the last after {burst.last_seconds:.1f} s; tries: {statistics.mean(helped):.1f} "
        f"on average, {max(helped)} at most ({counts}). {burst.without_retry_after} of {burst.refusals} "
        "refusals had no `Retry-After`."
    )


def report_burst(
    report: Report,
    subject: Subject,
    taking_part: Sequence[Contender],
    variants: Mapping[str, Variant],
    given: argparse.Namespace,
) -> None:
    """Measure, and write what was found."""
    queue = f", ours with `--max-queue {given.max_queue}`" if given.max_queue else ""
    report.add(f"{given.burst} requests at once, each on a connection of its own{queue}.")
    bursts: dict[str, Burst] = {}
    lines = []
    for contender in taking_part:
        if contender.name == NULL:
            continue
        variant = variants[contender.name]
        try:
            bursts[contender.name] = run_burst(contender, variant, subject, given, retry=False)
            if bursts[contender.name].refusals:
                again = run_burst(contender, variant, subject, given, retry=True)
                lines.append(say_tries(contender.name, again, given.burst))
        except ServerError as error:
            lines.append(f"`{contender.name}` failed: {error}")
    report.add(burst_table(bursts))
    report.add("\n\n".join(lines))
