"""Does the service stay as it is, for half an hour at 80 % of what it can do?

Requests come at a fixed rate, and streams are open beside them. Some clients hang up in the middle, some send
what is no sound, and every now and then the models are loaded again. The rate is a share of what was measured
just before, with the streams open and the models loaded again twice. It ends with status 1 where the service
holds 5 % more memory in the end than after `--settle` minutes, or where an error was seen that nobody asked
for.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import RESULTS, ROOT, disturbance, machine
from benchmarks.report import Table, save
from benchmarks.slow_clients import Server
from benchmarks.soak.clients import Soak
from benchmarks.soak.seen import Soaked
from snn_voice_hub.plotting import STYLE, matplotlib, picture


async def soak(
    server: Server, given: argparse.Namespace, clips: Sequence[bytes]
) -> tuple[Soaked, float, float]:
    """Measure, then soak.

    Returns:
        What was seen, the capacity and the rate, in clips a second.
    """
    clients = Soak(server.host, server.port, clips, given.seed, given.minute)
    seconds = 60 * given.minutes
    beside = asyncio.gather(
        clients.streams(given.streams, given.measure),
        clients.reloads(server, given.measure / 3, given.measure),
    )
    capacity = await clients.capacity(given.measure, given.clients)
    await beside
    clients.seen.asked.clear()
    rate = given.rate or given.share * capacity
    clients.begin()
    await asyncio.gather(
        clients.requests(rate, seconds),
        clients.streams(given.streams, seconds),
        clients.watch(server.process.pid, seconds),
        clients.reloads(server, 60 * given.reload, seconds),
    )
    return clients.seen, capacity, rate


def draw(seen: Soaked, path: Path) -> None:
    """The curve: memory, and how long answers took."""
    mpl, blank = matplotlib("drawing a curve")
    with mpl.rc_context(STYLE):
        figure = blank(figsize=(7.5, 5.0))
        upper, lower = figure.subplots(2, sharex=True)
        upper.plot([s.at / 60 for s in seen.samples], [s.memory for s in seen.samples])
        upper.set_ylabel("resident memory, MiB")
        upper.set_ylim(bottom=0)
        rows = seen.rows()
        for index, name in ((2, "median"), (3, "p99")):
            lower.plot([row[0] for row in rows], [row[index] for row in rows], marker="o", label=name)
        lower.set_ylabel("ms an answer")
        lower.set_xlabel("minutes")
        lower.set_ylim(bottom=0)
        lower.legend()
        with picture(path) as (part, form):
            figure.savefig(part, format=form)


def report(seen: Soaked, given: argparse.Namespace, capacity: float, rate: float) -> str:
    """What is written, in Markdown."""
    table = Table("minute", "answers", "median ms", "p99 ms", "MiB", "files", "threads")
    for minute, count, middle, slow, memory, files, threads in seen.rows():
        table.add(f"{minute:g}", count, middle, slow, round(memory, 1), files, threads)
    errors = Table("kind", "count", "asked for")
    for counter, asked in ((seen.asked, "yes"), (seen.unasked, "no")):
        for kind, count in sorted(counter.items()):
            errors.add(kind, count, asked)
    settle = 60 * given.settle
    command = f"`python -m benchmarks.soak --minutes {given.minutes:g}`"
    told = (
        f"{command}, seed {given.seed}: {rate:.1f} requests a second of {capacity:.1f} that were measured, "
        f"beside {given.streams} streams. Memory in the end is {seen.growth(settle):.3f} of what it was "
        f"after {given.settle:g} minutes."
    )
    failed = "; ".join(seen.problems(settle))
    verdict = f"**Failed**: {failed}." if failed else "Nothing failed that was not asked to."
    parts = ["# Half an hour at most of what it can do", machine(), disturbance(1), told, verdict]
    return "\n\n".join([*filter(None, parts), str(table), str(errors)])


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 1 where it failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--settle", type=float, default=5.0, help="minutes after which memory has settled")
    parser.add_argument("--share", type=float, default=0.8, help="of the capacity")
    parser.add_argument("--rate", type=float, help="requests a second, in place of a share")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--clients", type=int, default=16, help="while the capacity is measured")
    parser.add_argument("--measure", type=float, default=60.0, help="seconds of that")
    parser.add_argument("--reload", type=float, default=2.0, help="minutes until the models are loaded again")
    parser.add_argument("--minute", type=float, default=60.0, help=argparse.SUPPRESS)
    parser.add_argument("--model", default="resmel-snn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="keep the table and the curve")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where")
    given = parser.parse_args(argv)
    clips = [path.read_bytes() for path in sorted((ROOT / "examples").glob("*.wav"))]
    server = Server("--model", given.model)
    try:
        seen, capacity, rate = asyncio.run(soak(server, given, clips))
    finally:
        code = server.stop()
    if code:
        seen.unasked[f"exit code {code}"] += 1
    text = report(seen, given, capacity, rate)
    print(text)
    if given.write:
        save("soak", f"{text}\n\n![](soak.png)", given.out)
        draw(seen, given.out / "soak.png")
    return int(bool(seen.problems(60 * given.settle)))


if __name__ == "__main__":
    sys.exit(main())
