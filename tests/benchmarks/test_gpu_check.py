"""The check of a GPU, gone through on the CPU: so that it works the first time that there is one."""

from __future__ import annotations

import copy
import re
import time
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_check import __main__ as program
from benchmarks.gpu_check import clock, load, memory, parity, streams
from benchmarks.gpu_check.clock import Budget, LeftOut, WrongAnswer
from snn_voice_hub.hub.bundled import DEFAULT_MODEL
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.voice import SnnVoice

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_way(tmp_path: Path) -> None:
    assert program.main(["--device", "cpu", "--quick", "--minutes", "9", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "gpu.md").read_text()
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == len(program.PARTS)
    assert text.endswith("Nothing is wrong.\n")
    assert "Left out" not in text
    for network in ("M5SNN", "PiczakSNN", "HjhSNN", "HjhSCNN", "TcySNN", "resmel-snn", "tempo-snn"):
        assert f"| {network} " in text
    assert "every clip answered as alone" in text
    assert list(tmp_path.iterdir()) == [tmp_path / "gpu.md"]


def test_the_times_of_the_parts_fit_in_eight_minutes() -> None:
    most = sum(seconds for _, seconds, _ in program.PARTS)
    assert most <= 8.6 * 60  # a part ends early where all that is left is less
    assert all(least <= most for _, most, least in program.PARTS)
    assert 7.5 * 60 + clock._GRACE_SECONDS < 8 * 60


def test_without_a_gpu_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SystemExit, match="2"):
        program.main([])
    assert "no GPU is here" in capsys.readouterr().err


# --- wrong answers --------------------------------------------------------------------------------


def case(name: str) -> parity.Case:
    (found,) = (found for found in parity.golden(only=name) if found.name == name)
    return found


def test_rounding_is_no_wrong_answer() -> None:
    found = case("TcySNN t5")
    network = found.network
    assert parity.judge("x", parity.logits_of(network, found.x), found.wanted, network, found.x)[0] <= 1e-4
    moved = parity.logits_of(network, found.x * (1 + 1e-6 * torch.randn_like(found.x)))
    parity.judge("x", moved, found.wanted, network, found.x)


@pytest.mark.parametrize("what", ["reset", "weight", "clips", "nan", "tf32"])
def test_what_is_wrong_is_found(what: str) -> None:
    found = case("TcySNN t5")
    network, x = copy.deepcopy(found.network), found.x
    assert isinstance(network, SpikingNetwork)
    if what == "reset":
        network = parity.build("TcySNN", _arguments("TcySNN", "t5")).requires_grad_(False)
        for module in network.modules():
            if hasattr(module, "reset"):
                module.reset = "subtract"
    elif what == "weight":
        next(p for p in network.parameters() if p.dim() > 1).data.mul_(1.01)
    elif what == "clips":
        x = x.flip(0)
    elif what == "tf32":  # 10 bits of weights and input
        for parameter in network.parameters():
            parameter.data = _rounded(parameter.data)
        x = _rounded(x)
    logits = parity.logits_of(network, x)
    if what == "nan":
        logits[3, 3] = torch.nan
    with pytest.raises(WrongAnswer, match=r"^x: logits differ"):
        parity.judge("x", logits, found.wanted, found.network, found.x)


def _rounded(x: torch.Tensor) -> torch.Tensor:
    return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def _arguments(model: str, name: str) -> dict[str, object]:
    import json

    cases = json.loads((parity.FOLDER / "golden.json").read_text())["cases"]
    arguments: dict[str, object] = cases[model][name]["arguments"]
    return arguments


def test_a_wrong_answer_ends_it_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x), 35)

    monkeypatch.setattr(parity, "logits_of", other)
    given = ["--device", "cpu", "--quick", "--parts", "golden", "memory", "--out", str(tmp_path)]
    assert program.main(given) == 1
    text = (tmp_path / "gpu.md").read_text()
    assert "**Wrong: M5CNN cnn: logits differ by 1 of the largest" in text
    assert "every clip answered" in text  # the other parts are gone through all the same
    assert "- wrong: M5CNN" in text


def test_a_part_that_breaks_ends_it_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access\nand more")

    monkeypatch.setattr(streams, "check_events", broken)
    assert program.main(["--device", "cpu", "--quick", "--parts", "streams", "--out", str(tmp_path)]) == 1
    assert (
        "**It broke: RuntimeError: CUDA error: an illegal memory access**"
        in (tmp_path / "gpu.md").read_text()
    )


def test_answers_of_the_queue_are_compared() -> None:
    wanted = torch.randn(100, 35)
    load.check_rows(wanted.clone(), wanted, "x")
    with pytest.raises(WrongAnswer, match="another word"):
        load.check_rows(wanted.roll(1, 0), wanted, "x")
    with pytest.raises(WrongAnswer, match="x: "):
        load.check_rows(wanted.clone().fill_(torch.nan), wanted, "x")


def test_room_for_all_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_room_for", lambda *_: torch.no_grad())
    with pytest.raises(LeftOut, match="had room"):
        memory.halved(CPU, 8)


def test_a_cramped_model_is_the_model() -> None:
    voice = memory.Cramped.from_pretrained(DEFAULT_MODEL, engine="torch")
    clips = torch.randn(4, 16_000)
    with torch.inference_mode():
        assert torch.equal(voice(clips), SnnVoice.from_pretrained(DEFAULT_MODEL, engine="torch")(clips))
        voice.holds = 3
        with pytest.raises(torch.OutOfMemoryError):
            voice(clips)


# --- the clock ------------------------------------------------------------------------------------


def test_a_part_that_has_no_time_is_left_out(tmp_path: Path) -> None:
    budget = Budget(10.0)
    budget.begin_part(60, 5)
    assert 9 < budget.part_left <= 10
    budget.begin_part(3, 1)
    assert 2 < budget.part_left <= 3
    with pytest.raises(LeftOut, match="s were left of 10, and it takes 11"):
        budget.begin_part(60, 11)
    given = program.Check(CPU, False, Budget(0.5))
    assert program.check(given, ["http", "devices"], tmp_path) == 0
    assert (tmp_path / "gpu.md").read_text().count("Left out: 0 s were left of 0") == 2


def test_what_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(clock, "_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(clock.os, "_exit", ended.append)
    said: list[str] = []
    Budget(0.1).watch(said.append)
    stop = Budget(0.1).watch(said.append)
    stop()
    deadline = time.monotonic() + 20
    while not ended and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (ended, len(said)) == ([1], 1)


def test_rates() -> None:
    rate = clock.repeated(lambda: time.sleep(0.01), CPU, 0.1, warmup=0)
    assert 2 <= rate.calls <= 11
    assert 0.01 <= rate.each < 0.5
    x = torch.randn(300, 300)
    share = clock.kernel_share(lambda: x @ x, CPU, calls=3)
    assert share is not None
    assert 0 < share <= 1
