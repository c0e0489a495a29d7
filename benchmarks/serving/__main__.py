"""HTTP services of one model and the same one-second WAV files: ours, a naive one, LitServe and Ray Serve.

    python -m benchmarks.serving            # 1, 8, 32 and 128 clients that each wait for their answer
    python -m benchmarks.serving overload   # 600 requests at once

One server runs at a time: it is started, asked every clip once, loaded with each number of clients, left
alone for its idle CPU time, and ended. Rounds repeat that, each beginning with another server. The clients
are a process of their own on the same cores. CPU time is that of all processes of a server within the window
in which the answers are counted.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.common import RESULTS, begin, disturbance, stop
from benchmarks.report import Report, Table
from benchmarks.serving import overload
from benchmarks.serving.contenders import (
    LITSERVE,
    LOOP,
    NAIVE,
    NULL,
    OURS,
    RAY,
    Contender,
    Served,
    Subject,
    Variant,
    contenders,
    make_subject,
    missing,
    run_offline,
    serving,
)
from benchmarks.serving.process import Loading, ServerError, adopt_orphans, enter_private_network
from benchmarks.serving.tables import (
    Cell,
    Offline,
    Record,
    cell_of,
    load_table,
    ratio_table,
    server_table,
    verdict,
)
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.inference.decode import usable_cores

OFFLINE = "offline"
_PROBED = (8, 32)
_SETTLE_SECONDS = 2.0
_PACKAGES = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "litserve", "ray")


def measure(
    served: Served, subject: Subject, contender: Contender, clients: int, given: argparse.Namespace
) -> Cell:
    """One load.

    Raises:
        ServerError: The server has died, or the clients can't reach it.
    """
    settings = served.load(subject.clips_of(contender), clients=clients, kind="closed", timeout=given.timeout)
    group = served.running.group
    with Loading(settings, subject.folder) as load:
        load.wait_until_ready()
        time.sleep(given.warm)
        # A look at /proc takes a while, so at both ends the server's is the last before the clock's.
        client, server, start = load.group.cpu_seconds(), group.cpu_seconds(), time.monotonic()
        time.sleep(given.seconds)
        server, end = group.cpu_seconds() - server, time.monotonic()
        client = load.group.cpu_seconds() - client
        seen = load.finish()
    served.running.check()
    return cell_of(seen, start, end, server_cpu=server, client_cpu=client)


def idle_percent(served: Served, seconds: float) -> float:
    """CPU time of a server that nobody asks, in percent of a core."""
    time.sleep(_SETTLE_SECONDS)
    before, start = served.running.group.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return 100 * (served.running.group.cpu_seconds() - before) / (time.monotonic() - start)


def run_server(
    contender: Contender, variant: Variant, record: Record, subject: Subject, given: argparse.Namespace
) -> None:
    """One round of one server; what fails is kept in its record."""
    cells: dict[int, Cell | None] = dict.fromkeys(given.clients)
    try:
        with serving(contender, variant, subject) as served:
            record.start_seconds.append(served.start_seconds)
            if served.wrong:
                record.failures.append(f"{served.wrong} of {len(subject.clips)} clips answered otherwise")
            for clients in given.clients:
                measured = measure(served, subject, contender, clients, given)
                cells[clients] = measured
                if not measured.per_second:
                    record.failures.append(f"no right answer with {clients} clients")
            if given.idle_seconds and not record.idle_percent:
                record.idle_percent.append(idle_percent(served, given.idle_seconds))
            record.memory.append(served.running.group.memory_mib())
            record.processes = len(served.running.group.alive())
    except ServerError as error:
        record.failures.append(str(error))
    for clients, cell in cells.items():
        record.cells.setdefault(clients, []).append(cell)


def choose_variant(
    contender: Contender, subject: Subject, given: argparse.Namespace, table: Table
) -> Variant:
    """The variant of a contender with the highest throughput over two numbers of clients."""
    if len(contender.variants) == 1 or not given.probe_seconds:
        return contender.variants[0]
    probe = argparse.Namespace(**{**vars(given), "seconds": given.probe_seconds})
    speeds: dict[str, float] = {}
    for variant in contender.variants:
        say(f"trying {contender.name}: {variant.name}")
        rates: list[float] = []
        try:
            with serving(contender, variant, subject) as served:
                rates = [measure(served, subject, contender, n, probe).per_second for n in _PROBED]
            speeds[variant.name] = statistics.geometric_mean(max(rate, 1e-9) for rate in rates)
        except ServerError as error:
            say(f"  {error}")
        cells: list[float | str] = [*rates] if rates else ["failed"] * len(_PROBED)
        table.add(contender.name, variant.name, *cells)
    return max(contender.variants, key=lambda variant: speeds.get(variant.name, 0.0))


def choose_variants(
    taking_part: Sequence[Contender], subject: Subject, given: argparse.Namespace
) -> tuple[dict[str, Variant], Table]:
    """How each is set up, and the table of what was tried."""
    table = Table("server", "set up", *(f"requests/s, {n} clients" for n in _PROBED))
    return {c.name: choose_variant(c, subject, given, table) for c in taking_part}, table


def race(
    taking_part: Sequence[Contender],
    variants: dict[str, Variant],
    subject: Subject,
    given: argparse.Namespace,
) -> tuple[dict[str, Record], Offline]:
    """All rounds."""
    records = {contender.name: Record(variant=variants[contender.name].name) for contender in taking_part}
    offline = Offline()

    def measure_offline() -> None:
        try:
            found = run_offline(subject, given.seconds / 2)
        except ServerError as error:
            say(f"the library alone: {error}")
            return
        for kind in ("cpu_ms", "one_ms"):
            for threads, value in found[kind].items():
                getattr(offline, kind).setdefault(int(threads), []).append(value)

    turns: list[tuple[str, Callable[[], None]]] = [(OFFLINE, measure_offline)]
    for contender in taking_part:

        def turn(contender: Contender = contender) -> None:
            name = contender.name
            run_server(contender, variants[name], records[name], subject, given)

        turns.append((contender.name, turn))
    for number in range(given.rounds):
        first = number % len(turns)
        for name, call in turns[first:] + turns[:first]:
            say(f"round {number + 1} of {given.rounds}: {name}")
            call()
    return records, offline


def say(text: str) -> None:
    """Progress, for who waits."""
    print(text, file=sys.stderr, flush=True)


def versions() -> str:
    """The versions that matter here, as a Markdown line."""
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return f"- {', '.join(found)}"


def who(given: argparse.Namespace, spiking: bool) -> tuple[list[Contender], list[str]]:
    """Who takes part, and who does not and why."""
    known = contenders(usable_cores())
    reasons = []
    names = list(dict.fromkeys([*given.servers, *([RAY] if given.ray else [])]))
    if LOOP in names and not spiking:
        names.remove(LOOP)
        reasons.append(f"`{LOOP}` is left out: the model has no time steps.")
    if RAY in names and not missing(known[RAY]) and (why := enter_private_network()):
        names.remove(RAY)
        reasons.append(
            f"`{RAY}` is left out: it listens on every address of the machine, and a network of its own "
            f"can't be made ({why})."
        )
    taking_part = []
    for name in names:
        reason = missing(known[name])
        if reason:
            reasons.append(reason)
        else:
            taking_part.append(known[name])
    return taking_part, reasons


def report_race(
    report: Report, subject: Subject, taking_part: list[Contender], given: argparse.Namespace
) -> None:
    """Measure, and write what was found."""
    variants, tried = choose_variants(taking_part, subject, given)
    records, offline = race(taking_part, variants, subject, given)
    report.add(
        f"{len(subject.clips)} clips in turn; rounds: {given.rounds}, windows of {given.seconds:g} s after "
        f"{given.warm:g} s of the same load; medians (least-largest round). One server runs at a time. "
        "`cores` are those that the server keeps busy, `clients' cores` those of the clients beside it; "
        "`errors` are of all rounds, warm-up included, and a wrong first label is one."
    )
    report.add(load_table(records))
    for baseline in (NAIVE, LOOP):
        if baseline in records:
            report.add(ratio_table({name: r for name, r in records.items() if name != NULL}, baseline))
    report.add(
        f"Idle CPU time over {given.idle_seconds:g} s after the loads of the first round; memory of all "
        "processes of a server after the loads."
    )
    report.add(server_table(records))
    report.add("The library alone, in a process set up like the servers:")
    report.add(offline.table())
    if OURS in records:
        report.add(verdict(records[OURS], offline) or f"`{OURS}` gave no answer to compare.")
    if tried.rows:
        report.add(f"How the peers may be set up, {given.probe_seconds:g} s each; the fastest took part:")
        report.add(tried)


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("mode", nargs="?", choices=("race", "overload"), default="race")
    parser.add_argument("--model", default="resmel-snn", help="bundled name or folder")
    parser.add_argument("--num-steps", type=int, help="time steps, where not the checkpoint's own")
    parser.add_argument("--engine", default="auto", help="how all but `naive-loop` run the network")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--seconds", type=float, default=5.0, help="window of one load")
    parser.add_argument("--warm", type=float, default=1.0, help="seconds of load before the window")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle-seconds", type=float, default=10.0, help="0 leaves idle CPU time out")
    parser.add_argument("--probe-seconds", type=float, default=2.0, help="for each set-up; 0: take the first")
    parser.add_argument("--timeout", type=float, default=15.0, help="seconds for one answer")
    usual = [OURS, NAIVE, LOOP, LITSERVE, NULL]
    parser.add_argument("--servers", nargs="+", choices=[*usual, RAY], default=usual, metavar="NAME")
    parser.add_argument("--ray", action="store_true", help="Ray Serve too, in a network of its own")
    parser.add_argument("--write", action="store_true", help="keep the report in results/")
    parser.add_argument("--name", help="of the report's file; default serving or serving_overload")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the report is written")
    parser.add_argument(
        "--malloc", choices=("kept", "default"), default="default", help="allocator of servers and library"
    )
    overload.add_options(parser)
    return parser


def main() -> None:
    """Command line."""
    given = begin(make_parser())
    adopt_orphans()
    # A benchmark that is ended has to end its servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if (given.ray or RAY in given.servers) and not missing(contenders(1)[RAY]):
        enter_private_network()  # it may start the process again, so it comes first
    with tempfile.TemporaryDirectory(prefix="serving", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            subject = make_subject(given, folder)
        except SnnVoiceError as error:
            stop(str(error))
        taking_part, reasons = who(given, subject.spiking)
        title = "HTTP services" if given.mode == "race" else "HTTP services: too many requests at once"
        default_name = "serving" if given.mode == "race" else "serving_overload"
        report = Report(given.name or default_name, title, given.out if given.write else folder)
        report.add(versions())
        report.add(f"{subject.title}.")
        report.add("\n".join(f"- `{c.name}`: {c.what}" for c in taking_part))
        report.add("\n".join(reasons))
        if given.mode == "race":
            report_race(report, subject, taking_part, given)
        else:
            variants, _ = choose_variants(taking_part, subject, given)
            overload.report_burst(report, subject, taking_part, variants, given)
        report.add(disturbance(usable_cores()))


if __name__ == "__main__":
    main()
