"""The race of the services counts what it says: responses, percentiles, processes, tables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.serving import client, process
from benchmarks.serving.contenders import (
    LITSERVE,
    NULL,
    OURS,
    Contender,
    Subject,
    contenders,
    missing,
    with_steps,
    write_clips,
)
from benchmarks.serving.overload import burst_of, burst_table, say_tries
from benchmarks.serving.tables import (
    Cell,
    Offline,
    Record,
    cell_of,
    load_table,
    percentile,
    ratio_table,
    say_errors,
    server_table,
    spread,
    verdict,
)
from snn_voice_hub import SnnVoice
from snn_voice_hub.errors import ConfigError

ANSWER = b'[{"label":"yes","score":0.9},{"label":"no","score":0.1}]'


def response(status: str = "200 OK", body: bytes = ANSWER, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).replace("_", "-").encode() + b"\r\n\r\n" + body


# --- HTTP ---------------------------------------------------------------------------------------------


def test_requests_are_whole() -> None:
    head, _, body = client.request_bytes("127.0.0.1", 80, "/classify", b"abc").partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /classify HTTP/1.1"
    assert b"Content-Length: 3" in head
    assert body == b"abc"


def test_a_response_is_complete_at_its_last_byte_and_not_before() -> None:
    data = response(retry_after="2")
    assert all(client.parse_response(data[:end]) is None for end in range(len(data)))
    found = client.parse_response(data + b"HTTP/1.1 200 next")
    assert found is not None
    got, size = found
    assert (got.status, got.body, size) == (200, ANSWER, len(data))
    assert got.headers["retry-after"] == "2"
    assert got.keeps_alive


def test_a_response_in_chunks() -> None:
    data = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"
    )
    assert all(client.parse_response(data[:end]) is None for end in range(len(data)))
    found = client.parse_response(data)
    assert found is not None
    assert (found[0].body, found[1]) == (b"abc0123456789", len(data))


def test_responses_without_body_and_with_an_end() -> None:
    found = client.parse_response(b"HTTP/1.1 204 No Content\r\nConnection: Close\r\n\r\n")
    assert found is not None
    assert found[0].body == b""
    assert not found[0].keeps_alive


@pytest.mark.parametrize(
    "data",
    [b"SSH-2.0", b"X\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 OK\r\n\r\n"],
)
def test_what_is_no_response_is_said(data: bytes) -> None:
    with pytest.raises(ValueError, match="response"):
        client.parse_response(data)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"[1]", b'[{"label":3}]', b'"yes"', b"[{"])
def test_answers_without_a_label(body: bytes) -> None:
    assert client.first_label(body) is None
    assert client.first_label(ANSWER) == "yes"


def test_answers_are_judged() -> None:
    right = client.Response(200, {}, ANSWER)
    assert client.verdict(right, "yes") == "ok"
    assert client.verdict(right, "no") == client.WRONG
    assert client.verdict(client.Response(503, {}, ANSWER), "yes") == "503"
    assert client.verdict(client.TIMEOUT, "yes") == client.TIMEOUT


@pytest.mark.parametrize(("value", "seconds"), [("3", 3.0), ("", None), ("soon", None), ("-1", None)])
def test_retry_after(value: str, seconds: float | None) -> None:
    assert client.retry_after({"retry-after": value}) == seconds
    assert client.retry_after({}) is None


# --- /proc --------------------------------------------------------------------------------------------


def test_a_program_may_have_any_name() -> None:
    text = "42 (a) b) (c)) S 7 42 42 0 -1 4194304 900 1 0 0 11 22 33 44 20 0 5 0 777 1000 200"
    assert process.parse_stat(text) == process.Stat(parent=7, state="S", ticks=110, started=777)


def test_own_ticks_are_read() -> None:
    text = (
        Path("/proc/self/stat").read_text() if Path("/proc/self/stat").exists() else pytest.skip("no /proc")
    )
    stat = process.parse_stat(text)
    assert stat.parent == os.getppid()
    assert stat.ticks > 0


def test_memory_is_read() -> None:
    text = "1-2 ---p 0 00:00 0 [rollup]\nRss:   2048 kB\nPss:  512 kB\nPss_Dirty:  9 kB\nPss_Anon: 8 kB\n"
    assert process.parse_rollup(text) == (512, 2048)
    assert process.parse_rollup("") == (0, 0)


def test_a_family_has_all_generations() -> None:
    parents = {1: 0, 2: 1, 3: 2, 4: 3, 5: 1, 6: 5, 9: 9}
    assert process.family(parents, [2]) == {2, 3, 4}
    assert process.family(parents, [2, 6, 9]) == {2, 3, 4, 6, 9}
    assert process.family(parents, [77]) == {77}


@pytest.fixture
def spawned() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process and a child of its own that lives in another session."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("no /proc")
    child = "import time; time.sleep(60)"
    parent = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)\n"
        "print(child.pid, flush=True)\nsys.stdin.read()\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, process.MARK: "abc"},
    )
    assert running.stdout is not None
    pid = int(running.stdout.readline())
    yield running, pid
    os.kill(pid, 9)
    running.kill()
    running.communicate()


def test_a_group_keeps_children_whose_parent_has_ended(spawned: tuple[subprocess.Popen[str], int]) -> None:
    running, child = spawned
    group, watched = process.Group(running.pid, "abc"), process.Group(running.pid)
    assert set(group.alive()) == set(watched.alive()) == {running.pid, child}
    pss, rss = group.memory_mib()
    assert 0 < pss <= rss
    assert group.cpu_seconds() > 0
    running.kill()
    running.wait()
    assert group.alive() == watched.alive() == process.Group(running.pid, "abc").alive() == [child]
    assert process.Group(running.pid).alive() == []  # neither the mark nor an earlier look shows the child


def test_servers_do_not_inherit_our_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    plain = process.environment({})
    assert "OMP_NUM_THREADS" not in plain
    assert "MALLOC_TOP_PAD_" not in plain
    assert (Path(plain["PYTHONPATH"].split(os.pathsep)[0]) / "benchmarks").is_dir()
    assert process.environment({"OMP_NUM_THREADS": "1"})["OMP_NUM_THREADS"] == "1"
    assert process.environment({}, keep_malloc=True)["MALLOC_TOP_PAD_"] != "1"


def test_a_server_that_ends_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('line\\n\\nno such option'); raise SystemExit(2)"]
    with process.Running(command, process.environment({}), tmp_path / "log") as running:
        running._process.wait(30)
        with pytest.raises(process.ServerError, match="status 2: line / no such option"):
            running.check()
    with pytest.raises(process.ServerError, match="can't be started"):
        process.Running([str(tmp_path / "none")], {}, tmp_path / "log")


# --- figures ------------------------------------------------------------------------------------------


def test_percentiles() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert percentile([3.0], 0.99) == 3
    assert percentile([1.0, 2.0], 0.51) == 2
    assert percentile([], 0.5) is None
    with pytest.raises(ValueError, match="share"):
        percentile(values, 99)


def test_only_the_window_counts() -> None:
    seen = {
        "ok": [[9.9, 5.0], [10.0, 0.010], [11.0, 0.020], [12.0, 0.030], [12.1, 5.0]],
        "errors": [[9.0, "503"], [11.0, "503"], [11.5, client.TIMEOUT]],
    }
    cell = cell_of(seen, 10.0, 12.0, server_cpu=0.3, client_cpu=0.1)
    assert cell.per_second == 1.5
    assert [cell.p50, cell.p99] == pytest.approx([20, 30])
    assert cell.cpu_ms == pytest.approx(100)
    assert [cell.cores, cell.client_cores] == pytest.approx([0.15, 0.05])
    assert cell.errors == {"503": 2, client.TIMEOUT: 1}
    assert say_errors([cell, None, cell]) == "4 x 503, 2 x timeout"


def test_a_server_that_does_not_answer_has_no_figures() -> None:
    cell = cell_of({"ok": [], "errors": []}, 0.0, 1.0, server_cpu=0.5, client_cpu=0.0)
    assert (cell.per_second, cell.p50, cell.cpu_ms, cell.cores) == (0, None, None, 0.5)
    assert say_errors([cell]) == "0"


def test_spread() -> None:
    assert spread([3.0, 1.0, None, 2.0]) == "2.00 (1.00-3.00)"
    assert spread([1.5]) == "1.50"
    assert spread([None]) is None


def cell(per_second: float, p50: float = 1.0, cpu_ms: float = 2.0) -> Cell:
    return Cell(per_second, p50, 2 * p50, cpu_ms, 1.0, 0.1)


def test_ratios_are_those_of_each_round() -> None:
    base = Record(cells={8: [cell(10), cell(100), None]})
    fast = Record(cells={8: [cell(20, 0.5), cell(300, 0.5), cell(1)]})
    (line,) = str(ratio_table({"base": base, "fast": fast}, "base")).splitlines()[2:]
    words = [word.strip() for word in line.strip("|").split("|")]
    assert words[:4] == ["fast", "8", "2.50 (2.00-3.00)", "0.500 (0.500-0.500)"]


def test_tables_show_who_failed() -> None:
    dead = Record(cells={1: [None]}, variant="defaults", failures=["it ended", "it ended"])
    well = Record(cells={1: [cell(10)]}, variant="defaults", memory=[(1.0, 2.0)], processes=3)
    assert [line.split()[1] for line in str(load_table({"dead": dead, "well": well})).splitlines()[2:]] == [
        "well"
    ]
    lines = str(server_table({"dead": dead, "well": well})).splitlines()
    assert "it ended |" in lines[2]
    assert lines[2].count("it ended") == 1
    assert "none" in lines[3]


def test_targets() -> None:
    offline = Offline(cpu_ms={2: [9.0], 1: [3.0, 5.0, 4.0]}, one_ms={1: [5.0]})
    record = Record(cells={1: [cell(10, p50=7.9, cpu_ms=6.0)], 8: [cell(10, cpu_ms=6.1), None]})
    lines = verdict(record, offline).splitlines()
    assert lines[0].startswith("- 1 client: +2.00 CPU ms")
    assert lines[0].endswith("at most +2: yes")
    assert lines[1].endswith("**no**")
    assert lines[2] == "- 1 client: +2.90 ms against one `classify(bytes)`; at most +3: yes"
    assert verdict(Record(), offline) == ""
    assert verdict(record, Offline()) == ""


def test_bursts() -> None:
    seen = {
        "began": 10.0,
        "last": 14.0,
        "first": [["ok", 10.5], ["503", 10.1], ["503", 10.2], [client.TIMEOUT, 11.0]],
        "refused": [[503, 1.0], [503, None], [429, 2.0]],
        "tries": [1, 2, 3, 0],
    }
    burst = burst_of(seen, 12.0)
    assert burst.first == {"200": 1, "503": 2, client.TIMEOUT: 1}
    assert (burst.first_seconds, burst.last_seconds, burst.p50) == (1.0, 4.0, 500.0)
    assert (burst.refusals, burst.without_retry_after) == (3, 1)
    row = str(burst_table({"ours": burst})).splitlines()[2]
    assert [word.strip() for word in row.strip("|").split("|")][:6] == [
        "ours",
        "1",
        "0",
        "2",
        "0",
        "1 x timeout",
    ]
    said = say_tries("ours", burst, 4)
    assert "3 of 4 had the right answer" in said
    assert "2.0 on average, 3 at most (1 with 1, 1 with 2, 1 with 3)" in said
    assert "1 of 3 refusals" in said
    assert "no client" in say_tries("ours", burst_of({**seen, "last": 0.0, "tries": [0]}), 1)


# --- who takes part -----------------------------------------------------------------------------------


def test_contenders(tmp_path: Path) -> None:
    known = contenders(2)
    assert known[OURS].command[-1] == "serve"
    assert ("--workers", "2") in [variant.arguments for variant in known[LITSERVE].variants]
    assert missing(known[OURS]) == ""
    assert "no_such_package is not installed" in missing(Contender("x", "", (), package="no_such_package"))
    subject = Subject("m", "auto", "m", [("a.wav", "yes")], True, tmp_path)
    assert subject.clips_of(known[OURS]) == [("a.wav", "yes")]
    assert subject.clips_of(known[NULL]) == [("a.wav", "null")]


def test_clips_differ_and_last_a_second(tmp_path: Path) -> None:
    import soundfile

    files = write_clips(tmp_path)
    assert len({file.read_bytes() for file in files}) == len(files) > 50
    assert {soundfile.info(file).duration for file in files} == {1.0}


def test_a_checkpoint_with_other_steps(tmp_path: Path) -> None:
    folder = with_steps("tcy-snn", 3, tmp_path / "model")
    assert SnnVoice.from_pretrained(folder).network.num_steps == 3
    with pytest.raises(ConfigError, match="no time steps"):
        with_steps("tcy-cnn", 3, tmp_path / "other")
