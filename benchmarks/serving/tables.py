"""Figures and tables of `benchmarks.serving`, from what the clients saw and `/proc` counted."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.report import Table, show

# What our service is to keep: CPU time a request above that of a list, and latency above a direct call.
MOST_CPU_MS, MOST_LATENCY_MS = 2.0, 3.0


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed; None of no values.

    Raises:
        ValueError: `share` is not within 0 and 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share={share} is not within 0 and 1")
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True)
class Cell:
    """One server under one load in one round.

    Attributes:
        per_second: Right answers a second.
        p50: Median milliseconds of a right answer, or None where there was none.
        p99: Milliseconds that 99 of 100 right answers did not exceed.
        cpu_ms: CPU milliseconds of the server's processes for each right answer.
        cores: Cores that the server kept busy.
        client_cores: Cores that the clients kept busy.
        errors: Kind -> how often, from the first request of the load on.
    """

    per_second: float
    p50: float | None
    p99: float | None
    cpu_ms: float | None
    cores: float
    client_cores: float
    errors: Mapping[str, int] = field(default_factory=dict)


def cell_of(
    seen: Mapping[str, Any], begin: float, end: float, *, server_cpu: float, client_cpu: float
) -> Cell:
    """Figures of the window from `begin` to `end`.

    Args:
        seen: What the clients saw, see `client.Seen`.
        begin: Seconds of the monotonic clock.
        end: The same.
        server_cpu: CPU seconds of the server's processes within the window.
        client_cpu: Those of the clients.
    """
    seconds = end - begin
    durations = [1e3 * took for at, took in seen["ok"] if begin <= at <= end]
    return Cell(
        per_second=len(durations) / seconds,
        p50=percentile(durations, 0.5),
        p99=percentile(durations, 0.99),
        cpu_ms=1e3 * server_cpu / len(durations) if durations else None,
        cores=server_cpu / seconds,
        client_cores=client_cpu / seconds,
        errors=Counter(kind for _, kind in seen["errors"]),
    )


@dataclass
class Record:
    """All that was measured of one server.

    Attributes:
        cells: Number of clients -> a cell, or None where there is none, for each round.
        variant: How it was set up.
        start_seconds: From its start to its first answer, of each round.
        idle_percent: CPU time without load, percent of one core.
        memory: PSS and RSS in MiB after the load, of each round.
        processes: How many it has.
        failures: What went wrong with it as a whole.
    """

    cells: dict[int, list[Cell | None]] = field(default_factory=dict)
    variant: str = ""
    start_seconds: list[float] = field(default_factory=list)
    idle_percent: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    processes: int = 0
    failures: list[str] = field(default_factory=list)


def spread(values: Sequence[float | None]) -> str | None:
    """Median and, of several, the least and the largest: "12.3 (11.0-14.1)"; None of no values."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    middle = show(float(statistics.median(known)))
    if len(known) == 1:
        return middle
    return f"{middle} ({show(float(min(known)))}-{show(float(max(known)))})"


def say_errors(cells: Sequence[Cell | None]) -> str:
    """All errors of some rounds: "0", or how many of which kind."""
    total: Counter[str] = Counter()
    for cell in cells:
        if cell is not None:
            total.update(cell.errors)
    return ", ".join(f"{count} x {kind}" for kind, count in total.most_common()) or "0"


def load_table(records: Mapping[str, Record]) -> Table:
    """Throughput, latency and CPU time, by server and number of clients."""
    table = Table(
        "server",
        "clients",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "CPU ms a request",
        "cores",
        "clients' cores",
        "errors",
    )
    for clients in _counts(records):
        for name, record in records.items():
            cells = record.cells.get(clients, [])
            known = [cell for cell in cells if cell is not None]
            if not known:
                continue
            table.add(
                name,
                clients,
                spread([c.per_second for c in known]),
                spread([c.p50 for c in known]),
                spread([c.p99 for c in known]),
                spread([c.cpu_ms for c in known]),
                statistics.median(c.cores for c in known),
                statistics.median(c.client_cores for c in known),
                say_errors(known),
            )
    return table


def server_table(records: Mapping[str, Record]) -> Table:
    """What each server takes besides, and what went wrong with it."""
    table = Table(
        "server", "set up", "start s", "idle, % of a core", "PSS MiB", "RSS MiB", "processes", "failures"
    )
    for name, record in records.items():
        table.add(
            name,
            record.variant,
            spread(record.start_seconds),
            spread(record.idle_percent),
            spread([pss for pss, _ in record.memory]),
            spread([rss for _, rss in record.memory]),
            record.processes or None,
            "; ".join(dict.fromkeys(record.failures)) or "none",
        )
    return table


_RATIOS: dict[str, Callable[[Cell], float | None]] = {
    "requests/s": lambda cell: cell.per_second,
    "p50": lambda cell: cell.p50,
    "p99": lambda cell: cell.p99,
    "CPU a request": lambda cell: cell.cpu_ms,
}


def ratio_table(records: Mapping[str, Record], baseline: str) -> Table:
    """Each server's figures as multiples of the baseline's in the same round."""
    table = Table("server", "clients", *(f"{what}, x {baseline}" for what in _RATIOS))
    for clients in _counts(records):
        base = records[baseline].cells.get(clients, [])
        for name, record in records.items():
            if name == baseline:
                continue
            pairs = [
                (one, other)
                for one, other in zip(record.cells.get(clients, []), base, strict=False)
                if one is not None and other is not None
            ]
            if pairs:
                cells = [spread([_quotient(f(a), f(b)) for a, b in pairs]) for f in _RATIOS.values()]
                table.add(name, clients, *cells)
    return table


def _quotient(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _counts(records: Mapping[str, Record]) -> list[int]:
    return sorted({clients for record in records.values() for clients in record.cells})


@dataclass
class Offline:
    """The library without a service.

    Attributes:
        cpu_ms: Threads of PyTorch -> CPU milliseconds a clip of `classify(list)`, of each round.
        one_ms: Threads -> milliseconds of one `classify(bytes)`, of each round.
    """

    cpu_ms: dict[int, list[float]] = field(default_factory=dict)
    one_ms: dict[int, list[float]] = field(default_factory=dict)

    def table(self) -> Table:
        """Both, by number of threads."""
        table = Table("PyTorch's threads", "classify(list), CPU ms a clip", "classify(bytes), p50 ms")
        for threads in self.cpu_ms:
            table.add(threads, spread(self.cpu_ms[threads]), spread(self.one_ms[threads]))
        return table


def verdict(record: Record, offline: Offline) -> str:
    """Whether a service costs little more than the library, as Markdown lines; "" where that is not known."""
    lines = []
    if offline.cpu_ms:
        least = min(statistics.median(values) for values in offline.cpu_ms.values())
        for clients, cells in record.cells.items():
            known = [cell.cpu_ms for cell in cells if cell is not None and cell.cpu_ms is not None]
            if known:
                more = statistics.median(known) - least
                many = "clients" if clients > 1 else "client"
                lines.append(
                    f"- {clients} {many}: {more:+.2f} CPU ms a request against `classify(list)`; at most "
                    f"{MOST_CPU_MS:+g}: {_yes(more <= MOST_CPU_MS)}"
                )
    alone = [cell.p50 for cell in record.cells.get(1, []) if cell is not None and cell.p50 is not None]
    if alone and offline.one_ms:
        least = min(statistics.median(values) for values in offline.one_ms.values())
        more = statistics.median(alone) - least
        lines.append(
            f"- 1 client: {more:+.2f} ms against one `classify(bytes)`; at most {MOST_LATENCY_MS:+g}: "
            f"{_yes(more <= MOST_LATENCY_MS)}"
        )
    return "\n".join(lines)


def _yes(kept: bool) -> str:
    return "yes" if kept else "**no**"
