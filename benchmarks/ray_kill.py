"""What clients notice when a replica of the service on Ray Serve is killed, stopped or flooded.

    python -m benchmarks.ray_kill kill        # kill -9 of one model replica under load
    python -m benchmarks.ray_kill stop        # SIGTERM of the service under load
    python -m benchmarks.ray_kill overload    # more clients than the queue holds

It starts the service itself, on this machine. Ray listens on all interfaces: run it in a network of its own,
`unshare -rn sh -c 'ip link set lo up; exec python -m benchmarks.ray_kill kill'`.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from snn_voice_hub.folders import walk

ROOT = Path(__file__).parents[1]
_PORT = 8123
_START_SECONDS = 180.0
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Answer:
    """One request: when it ended (monotonic), how long it took, its status or what broke, its label."""

    at: float
    seconds: float
    status: str
    retry_after: str


@dataclass
class Clients:
    """Closed-loop clients, each a thread with a connection that it keeps.

    Attributes:
        answers: All requests so far.
        until_refused: Whether a client ends when the service no longer takes connections.
    """

    files: list[bytes]
    count: int
    until_refused: bool = False
    answers: list[Answer] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Start them."""
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(self.count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each finish its request."""
        self.stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        connection: http.client.HTTPConnection | None = None
        turn = number
        while not self.stopped.is_set():
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=30)
                try:
                    connection.connect()
                except OSError:  # no request was sent
                    if self.until_refused:
                        return
                    connection = None
                    time.sleep(_PAUSE_SECONDS)
                    continue
            begun = time.monotonic()
            status, retry_after, keep = _ask(connection, self.files[turn % len(self.files)])
            now = time.monotonic()
            self.answers.append(Answer(now, now - begun, status, retry_after))
            turn += self.count
            if not keep:
                connection.close()
                connection = None
            if status == "503":
                time.sleep(_PAUSE_SECONDS)


def _ask(connection: http.client.HTTPConnection, body: bytes) -> tuple[str, str, bool]:
    try:
        connection.request("POST", "/classify", body)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__, "", False
    keep = response.getheader("Connection", "").lower() != "close"
    return str(response.status), response.getheader("Retry-After", ""), keep


def ready() -> bool:
    """Whether the service says so."""
    connection = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=5)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def command(options: argparse.Namespace) -> list[str]:
    """The command line of the service."""
    settings = {
        "ray_min_replicas": options.replicas,
        "ray_max_replicas": options.replicas,
        "ray_cpus": options.cpus,
        "max_queue": options.max_queue,
        "max_batch_size": options.max_batch_size,
    }
    if options.door == "proxy":
        program = _PROXY.format(settings=settings, port=_PORT)
        return [sys.executable, "-c", program]
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    entry = "from snn_voice_hub.cli import main; main()"
    return [sys.executable, "-c", entry, "serve", "--ray", f"--port={_PORT}", *flags]


# The application with its own ingress deployment behind Ray's HTTP proxy, as `serve run` starts it.
_PROXY = """
import signal, threading
import ray
from ray import serve
from snn_voice_server.on_ray.app import build

ray.init(address="local", include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
serve.start(http_options={{"host": "127.0.0.1", "port": {port}}})
ended = threading.Event()
serve.run(build({settings!r}), name="snn-voice")
signal.signal(signal.SIGTERM, lambda *_: ended.set())
ended.wait()
serve.shutdown()
ray.shutdown()
"""


def replicas(name: str) -> list[int]:
    """Process ids of replicas whose title holds `name`; Ray sets the titles."""
    found = []
    for line in subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout.splitlines():
        match = re.match(r"\s*(\d+) ray::ServeReplica:(\S*)", line)
        if match and name in match.group(2) and _same_network(int(match.group(1))):
            found.append(int(match.group(1)))
    return found


def _same_network(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink()
    except OSError:
        return False


def report(answers: list[Answer], since: float) -> None:
    """Print what happened."""
    counts = Counter(answer.status for answer in answers)
    good = [answer for answer in answers if answer.status == "200"]
    times = sorted(1e3 * answer.seconds for answer in good)
    print("answers:", dict(counts.most_common()))
    if times:
        print(f"200: median {statistics.median(times):.1f} ms, longest {times[-1]:.0f} ms")
        print(f"200 a second: {len(good) / max(1e-9, max(a.at for a in good) - since):.0f}")
    waits = Counter(answer.retry_after or "none" for answer in answers if answer.status == "503")
    if waits:
        print("Retry-After of 503:", dict(waits))


def kill(clients: Clients, options: argparse.Namespace) -> None:
    """End one replica without notice, and see when all is as before."""
    time.sleep(options.seconds / 3)
    before = replicas(options.victim)
    if not before:
        raise SystemExit(f"no replica {options.victim!r} runs")
    begun = time.monotonic()
    os.kill(before[0], signal.SIGKILL)
    restored = None
    while time.monotonic() < begun + options.seconds:
        now = replicas(options.victim)
        if restored is None and len(now) >= len(before) and before[0] not in now:
            restored = time.monotonic() - begun
        time.sleep(0.2)
    clients.stop()
    after = [answer for answer in clients.answers if answer.at >= begun]
    bad = [answer for answer in after if answer.status != "200"]
    print(f"killed 1 of {len(before)} replicas of {options.victim}; before:")
    report([answer for answer in clients.answers if answer.at < begun], clients.answers[0].at)
    print("after:")
    report(after, begun)
    print(f"failed: {len(bad)} of {len(after)}", f"last {bad[-1].at - begun:.2f} s after" if bad else "")
    slow = [a.at - begun for a in after if a.seconds > 1.0]
    print(f"answers that took over 1 s: {len(slow)}", f"last {slow[-1]:.2f} s after" if slow else "")
    print("a new process after", f"{restored:.1f} s" if restored else "never")


def main() -> None:
    """Run one of the scenes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scene", choices=["kill", "stop", "overload", "load"])
    parser.add_argument("--door", choices=["command", "proxy"], default="command")
    parser.add_argument("--victim", default="model-", help="part of the deployment's name, or http")
    parser.add_argument("--clips", type=Path, default=ROOT / "examples")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--cpus", type=float, default=0.5)
    parser.add_argument("--max-queue", type=int, default=256)
    parser.add_argument("--max-batch-size", type=int, default=32)
    options = parser.parse_args()
    files = [Path(found.path).read_bytes() for found in walk(options.clips) if not found.problem]
    clients = Clients(files, options.clients, until_refused=options.scene == "stop")
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command(options), stdout=log, stderr=log)
        try:
            end = time.monotonic() + _START_SECONDS
            while not ready():
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise SystemExit(log.read().decode(errors="replace")[-4000:])
                time.sleep(0.5)
            begun = time.monotonic()
            clients.start()
            if options.scene == "kill":
                kill(clients, options)
            elif options.scene == "stop":
                time.sleep(options.seconds / 3)
                asked = time.monotonic()
                process.send_signal(signal.SIGTERM)
                code = process.wait(timeout=120)
                clients.stop()
                report(clients.answers, begun)
                after = [a for a in clients.answers if a.at >= asked]
                print("after SIGTERM:", dict(Counter(a.status for a in after)), end=", ")
                print(f"exit code {code} after {time.monotonic() - asked:.1f} s")
            else:
                time.sleep(options.seconds)
                clients.stop()
                report(clients.answers, begun)
                metrics = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=5)
                metrics.request("GET", "/metrics")
                for line in metrics.getresponse().read().decode().splitlines():
                    if re.match(r"snn_voice_(batch_windows|compute_seconds)_(sum|count)", line):
                        print(line)
        finally:
            clients.stopped.set()
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=60)


if __name__ == "__main__":
    main()
