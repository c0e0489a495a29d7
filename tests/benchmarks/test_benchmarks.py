"""The benchmarks measure what they say: the naive networks and the peers compute what ours do."""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from benchmarks import common, peer_nets, report, roofline
from benchmarks.equivalence import compare, flipped
from benchmarks.memory import growth
from benchmarks.naive import NaiveNetwork, check_equal, leaky
from benchmarks.peers import SNNTORCH, peers, verdict
from benchmarks.subjects import make_engines, say_missing, spike_rates, steps
from snn_voice_hub import models
from snn_voice_hub.models import (
    M5SNN,
    Lif,
    PiczakCNN,
    PiczakSNN,
    ResMelCNN,
    ResMelSNN,
    TcySNN,
)
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.training.clips.data import Clips
from tests.models.lively import REPEATING, small_shape

SPIKING: list[type[SpikingNetwork]] = [getattr(models, name) for name in REPEATING]
SEQUENCES = (M5SNN, PiczakSNN)
WITH_PEERS = (*SEQUENCES, ResMelSNN)


def make(cls: type[SpikingNetwork], **arguments: object) -> tuple[SpikingNetwork, Tensor]:
    network = cls(num_classes=5, num_steps=3, **arguments).eval().requires_grad_(False)  # type: ignore[arg-type]
    # Fresh weights hardly ever fire, and a comparison of silence shows nothing.
    for module in network.modules():
        if isinstance(module, Lif):
            module.threshold.data.fill_(0.2)
    return network, 2 * torch.randn(2, 1, *small_shape(cls))


@pytest.mark.parametrize("cls", SPIKING)
def test_naive_equals_our_loop(cls: type[SpikingNetwork]) -> None:
    network, x = make(cls)
    assert sum(spike_rates(network, x).values()) > 0.01
    naive = NaiveNetwork(network)
    assert check_equal(naive, network, x) == 0
    with torch.inference_mode():
        torch.testing.assert_close(naive.logits(x), network(x))


def test_naive_takes_each_learned_beta() -> None:
    network, x = make(ResMelSNN, learn_beta=True)
    for i, module in enumerate(m for m in network.modules() if isinstance(m, Lif)):
        module.beta.data.fill_(0.3 + 0.05 * i)
    assert check_equal(NaiveNetwork(network), network, x) == 0


def test_naive_that_differs_is_refused() -> None:
    network, x = make(M5SNN)
    naive = NaiveNetwork(network)
    naive.num_steps = 2
    with pytest.raises((AssertionError, RuntimeError)):
        check_equal(naive, network, x)
    with pytest.raises(ValueError, match="subtract"):
        leaky(Lif(reset="subtract-before-decay"))


def _spikingjelly(own: bool) -> Callable[[SpikingNetwork], Callable[[Tensor], Tensor]]:
    def maker(network: SpikingNetwork) -> Callable[[Tensor], Tensor]:
        pytest.importorskip("spikingjelly")
        return peer_nets.make_peer(network, peer_nets.SpikingJellyKit(own=own))

    return maker


def _norse(network: SpikingNetwork) -> Callable[[Tensor], Tensor]:
    pytest.importorskip("norse")
    return peer_nets.make_peer(network, peer_nets.NorseKit())


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("cls", WITH_PEERS)
@pytest.mark.parametrize(
    ("maker", "before_decay"),
    [(_spikingjelly(True), True), (_spikingjelly(False), False), (_norse, True)],
    ids=["spikingjelly", "spikingjelly-our-neuron", "norse"],
)
def test_peers_have_our_weights(
    cls: type[SpikingNetwork],
    maker: Callable[[SpikingNetwork], Callable[[Tensor], Tensor]],
    before_decay: bool,
) -> None:
    network, x = make(cls)
    peer = maker(network)
    like = peer_nets.reset_before_decay(network) if before_decay else network
    with torch.inference_mode():
        logits = peer(x)
        assert logits.shape == (2, 5)
        torch.testing.assert_close(logits, like.forward_loop(x).sum(0), rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(peer(x), logits, rtol=0, atol=0)  # no state is left


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("cls", SEQUENCES)
def test_norse_step_by_step(cls: type[SpikingNetwork]) -> None:
    pytest.importorskip("norse")
    network, x = make(cls)
    with torch.inference_mode():
        torch.testing.assert_close(
            peer_nets.make_norse_steps(network)(x),
            peer_nets.reset_before_decay(network).forward_loop(x).sum(0),
            rtol=1e-3,
            atol=1e-3,
        )


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_peers_that_can_not_be_made_are_named() -> None:
    network, _ = make(TcySNN)
    made, missing = peers(network)
    assert list(made) == [SNNTORCH]
    assert all(missing.values())


def test_engines_that_can_be_made() -> None:
    network, x = make(M5SNN)
    made, missing = make_engines(network, ["loop", "torch", "no such engine"])
    with torch.inference_mode():
        torch.testing.assert_close(made["torch"](x), made["loop"](x))
    assert list(missing) == ["no such engine"]
    assert say_missing({"M5": {"a": "why"}, "Tcy": {"a": "why"}}) == "- no engine `a` for M5, Tcy: why"


def test_steps_are_restored() -> None:
    network, _ = make(M5SNN)
    with steps(network, 7):
        assert network.num_steps == 7
    assert network.num_steps == 3


def test_interleaved_rounds() -> None:
    order: list[str] = []

    def slow() -> None:
        order.append("slow")
        sum(range(400_000))

    def fast() -> None:
        order.append("fast")
        sum(range(40_000))

    timings = common.interleave({"slow": slow, "fast": fast}, seconds=0, rounds=5, warmup=1)
    assert order[:2] == ["slow", "fast"]
    assert [len(t.cpu) for t in timings.values()] == [5, 5]
    ratios = common.ratios(timings, "slow")
    assert ratios["slow"] == 1
    assert ratios["fast"] > 1.5
    for timing in timings.values():
        assert 0 < timing.cpu_min_ms <= timing.cpu_ms
        assert timing.wall_ms > 0


def test_table_lines_up() -> None:
    table = report.Table("name", "ms", "share")
    table.add("a", 1.2345, "12%")
    table.add("bcd", 1234.5, None)
    assert str(table).splitlines() == [
        "| name |    ms | share |",
        "| ---- | ----: | ----: |",
        "| a    |  1.23 |   12% |",
        "| bcd  | 1,234 |       |",
    ]
    with pytest.raises(ValueError, match="cells"):
        table.add("a")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, ""),
        (0.0, "0"),
        (3, "3"),
        (0.5, "0.500"),
        (99.95, "100"),
        (123.4, "123"),
        (999.7, "1,000"),
        (2e-6, "2.00e-06"),
    ],
)
def test_cells(cell: float | None, text: str) -> None:
    assert report.show(cell) == text


def test_reports_are_kept_as_they_grow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = report.Report("x", "A question", tmp_path / "results")
    made.add("")
    made.add("An answer")
    text = (tmp_path / "results" / "x.md").read_text()
    assert text.startswith("# A question\n\n- CPU: ")
    assert text.endswith("An answer\n")
    assert "torch 2." in text
    assert "An answer" in capsys.readouterr().out


def test_allocator_is_left_alone_where_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr(os, "execve", lambda path, argv, env: started.append(env))
    for name in common.ALLOCATOR:
        monkeypatch.delenv(name, raising=False)
    common.use_allocator("default")
    assert started == []
    assert "defaults" in common.allocator()
    common.use_allocator("kept")
    assert common.ALLOCATOR.items() <= started[0].items()
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    common.use_allocator("kept")
    assert len(started) == 1
    assert common.allocator() == "MALLOC_TOP_PAD_=1"


def test_a_process_gets_the_options_and_no_allocator_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MALLOC_TOP_PAD_", "LD_PRELOAD", "THP_MEM_ALLOC_ENABLE", "KEPT"):
        monkeypatch.setenv(name, "1")
    calls: list[tuple[list[str], dict[str, str]]] = []
    done = subprocess.CompletedProcess([], 0, 'loading\n{"mib": 2.5}\n', "")

    def record(command: list[str], *, env: dict[str, str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append((command, env))
        return done

    monkeypatch.setattr(subprocess, "run", record)
    given = argparse.Namespace(data=Path("x"), piczak_cnn="y", cache=None, other=1)
    options, own = ("data", "piczak_cnn", "cache"), {"LD_PRELOAD": "lib.so"}
    assert common.in_a_process("benchmarks.memory", given, ("m5", 5), options=options, environment=own) == {
        "mib": 2.5
    }
    command, environment = calls[0]
    assert command[1:] == [
        *("-m", "benchmarks.memory", "--malloc", "default", "--data", "x", "--piczak-cnn", "y"),
        *("--child", "m5", "5"),
    ]
    assert environment["LD_PRELOAD"] == "lib.so"
    assert environment["KEPT"] == "1"
    assert not {"MALLOC_TOP_PAD_", "THP_MEM_ALLOC_ENABLE"} & environment.keys()
    done = subprocess.CompletedProcess([], 1, "", "Traceback\nIt broke.\n")
    with pytest.raises(common.ChildFailed, match=r"^It broke\.$"):
        common.in_a_process("benchmarks.memory", given, (), options=())


def test_competition_for_the_cores_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (3.0, 0.0, 0.0), raising=False)
    assert "load average 3.0" in common.disturbance(2)
    assert common.disturbance(4) == ""


def test_clips_are_spread_over_the_source(tmp_path: Path) -> None:
    for word in ("no", "yes"):
        (tmp_path / word).mkdir()
        for i in range(3):
            soundfile.write(tmp_path / word / f"{i}.wav", np.full(800, 0.1), 16_000)
    clips = common.load_clips(tmp_path, 3)
    assert clips.names == ["no/0.wav", "no/2.wav", "yes/2.wav"]
    assert len(common.load_clips(tmp_path)) == 6


def test_missing_recordings_say_what_to_pass(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(common, "DEFAULT_DATA", tmp_path / "none.tar")
    with pytest.raises(SystemExit):
        common.clip_source(None)
    assert "--data" in capsys.readouterr().err


def test_work_is_counted() -> None:
    cnn = ResMelCNN(num_classes=5).eval()
    network, x = make(ResMelSNN)
    plain, done = roofline.work(cnn, x), roofline.work(network, x)
    stem = 11 * 96 * 40 * 5
    assert done.dense == 3 * plain.dense
    assert done.once == done.dense - 2 * stem
    assert stem < done.needed < done.once
    tiny = roofline.work(torch.nn.Sequential(torch.nn.Linear(3, 4)), torch.ones(2, 3))
    assert (tiny.dense, tiny.weights) == (12, 4 * (12 + 4))


def test_comparison_counts_what_moved() -> None:
    clips = Clips(np.zeros((3, 1), np.int16), ["a", "b", "c"], ["a/0", "b/0", "c/0"], [])
    loop = torch.tensor([[2.0, 1.0], [1.0, 2.0], [2.0, 1.9]], dtype=torch.float64)
    here = loop.clone()
    here[2, 1] += 0.2
    row = compare(here, loop, loop, clips, ["a", "b"])
    assert (row["other_top1"], row["moved"], row["far_from_double"]) == (1, 1, 1)
    assert row["accuracy"] == pytest.approx(2 / 3)
    (other,) = row["others"]
    assert (other["clip"], other["loop"], other["here"]) == ("c/0", "a", "b")
    assert other["margin"] == pytest.approx(0.1)


@pytest.mark.parametrize("cls", [M5SNN, TcySNN])
def test_no_spike_is_flipped_by_running_all_steps_at_once(cls: type[SpikingNetwork]) -> None:
    network, x = make(cls)
    assert flipped(network, x) == 0


def test_memory_of_a_call() -> None:
    assert growth(lambda: torch.ones(16 << 20)) > 40  # 64 MiB
    assert growth(lambda: None) < 40


def test_verdict_names_the_cells_that_are_lost() -> None:
    slow, fast = common.Timing([2.0], [2.0]), common.Timing([1.0], [1.0])
    cells = {"M5": {"peer": slow, "ours": fast}, "Tcy": {"peer": fast, "ours": slow}}
    text = verdict(cells, ["ours", "other"], "cpu")
    assert "every cell: no (Tcy: peer takes 1e+03 ms, 2e+03)" in text
    assert "`other` is not there" in text
    assert verdict({"M5": cells["M5"]}, ["ours"], "cpu").endswith("yes")


def test_piczak_twin_has_the_same_head() -> None:
    network, x = make(PiczakSNN)
    head = sum(p.numel() for p in PiczakCNN(num_classes=5).fc.parameters())
    assert roofline.work(network, x).weights > 4 * head
    assert {f.name for f in dataclasses.fields(roofline.Work)} == {"dense", "once", "needed", "weights"}
