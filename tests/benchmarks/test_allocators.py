"""The benchmark of allocators: each setting has a process of its own, and what is not installed is said."""

from __future__ import annotations

import argparse
import ctypes.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from benchmarks import allocators, common


def test_cases_are_networks_and_steps() -> None:
    assert allocators.case("m5:15") == ("m5", 15)
    for wrong in ("m5", "m5:", "m5:0", "m5:-1", "m6:5", ":5"):
        with pytest.raises(argparse.ArgumentTypeError, match="network:T expected, networks: m5, "):
            allocators.case(wrong)


def test_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ctypes.util, "find_library", lambda name: "libjemalloc.so.2" if "je" in name else None
    )
    found, missing = allocators.settings()
    assert found[allocators.JEMALLOC] == {"LD_PRELOAD": "libjemalloc.so.2"}
    assert found[allocators.DEFAULT] == {}
    assert allocators.TCMALLOC not in found
    assert missing == [allocators.TCMALLOC]


@pytest.fixture
def own_process() -> Iterator[None]:
    """A benchmark silences the package's log and takes one thread, for its process's whole life."""
    log, threads = logging.getLogger("snn_voice_hub"), torch.get_num_threads()
    level = log.level
    yield
    log.setLevel(level)
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.usefixtures("own_process")
def test_two_settings_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "yes").mkdir()
    for i in range(4):
        soundfile.write(
            tmp_path / "yes" / f"{i}.wav", np.random.default_rng(i).normal(0, 0.1, 16_000), 16_000
        )
    both = {allocators.DEFAULT: {}, allocators.KEPT: dict(common.ALLOCATOR)}
    monkeypatch.setattr(allocators, "settings", lambda: (both, ["tcmalloc"]))
    arguments = ["--cases", "tcy:2", "--batch", "4", "--turns", "1", "--repeat", "2"]
    folders = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    monkeypatch.setattr(sys, "argv", ["allocators", *arguments, *folders])
    allocators.main()
    text = (tmp_path / "out" / "allocators.md").read_text()
    rows = [
        [c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| Tcy")
    ]
    assert [row[:3] for row in rows] == [["Tcy", "2", name] for name in both]
    assert rows[0][5] == "1.00"
    assert all(float(row[3]) > 0 and float(row[-1].replace(",", "")) > 50 for row in rows)
    assert "Not installed, and so not measured: tcmalloc." in text
    assert "tcy T=2 done" in capsys.readouterr().out
