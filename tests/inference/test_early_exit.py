"""Clips that stop early: when they may, and that nothing else changes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import snn_voice_hub as sv
from benchmarks import early_exit as benchmark
from snn_voice_hub.inference.early_exit import run_until_sure
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.spikes.decision import Decision, decide, running_scores, settled
from snn_voice_hub.training.clips.data import Clips
from tests.cli.helpers import invoke, refused
from tests.models.lively import FRAMED, REPEATING, lively
from tests.places import EXAMPLES

RATE = 16_000
FILES = sorted(EXAMPLES.glob("*.wav"))


def waves(count: int) -> Tensor:
    return 0.1 * torch.randn(count, RATE, generator=torch.Generator().manual_seed(4))


def hesitant(name: str, temperature: float = 0.2, **arguments: Any) -> sv.SnnVoice:
    """A model whose clips become sure after different numbers of steps."""
    network = lively(name, num_classes=5, **{"num_steps": 6, "learn_beta": False, **arguments})
    return sv.SnnVoice(network, labels=list("abcde"), temperature=temperature, engine="torch").eval()


def spiking(voice: sv.SnnVoice) -> SpikingNetwork:
    assert isinstance(voice.network, SpikingNetwork)
    return voice.network


@pytest.mark.parametrize("name", [*REPEATING, "rate"])
@torch.inference_mode()
def test_each_clip_stops_when_it_is_sure(name: str) -> None:
    """By the logits of all steps, which an ordinary run gives."""
    voice = hesitant("TcySNN", encoding="rate", threshold=0.5) if name == "rate" else hesitant(name)
    sound = waves(8)
    with voice.record_spikes() as rec:
        voice(sound)
    steps, temperature = rec.logits, voice.config.temperature
    best = running_scores(steps, temperature).amax(-1)
    ordered = best.flatten().sort().values
    sure = float(ordered[23:25].mean())  # between two of them: rounding decides nothing
    inputs = voice._inputs(sound)
    found = run_until_sure(spiking(voice), *inputs, temperature=temperature, sure=sure)
    wanted = [next((t for t in range(1, 7) if best[t - 1, i] >= sure), 6) for i in range(8)]
    assert found.steps == wanted
    for i, t in enumerate(wanted):
        torch.testing.assert_close(found.logits[i], steps[:t, i].sum(0) * 6 / t, atol=1e-4, rtol=1e-4)
    if name in ("M5SNN", "ResMelSNN", "rate"):
        assert len(set(wanted)) > 1, "the test shows nothing"


@torch.inference_mode()
def test_only_unfinished_clips_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    voice = hesitant("M5SNN")
    network, sizes = spiking(voice), []
    step = network.step

    def counting(x: Tensor, state: Any = None, **rest: Any) -> Any:
        sizes.append(len(x))
        assert all(len(mem) == len(x) for mem in (state or {}).values())
        return step(x, state, **rest)

    monkeypatch.setattr(network, "step", counting)
    features = voice.features(waves(8))
    found = run_until_sure(network, features, temperature=0.2, sure=0.9)
    assert sizes == [sum(taken > t for taken in found.steps) for t in range(max(found.steps))]
    assert sizes[0] == 8
    assert sizes[-1] < 8
    sizes.clear()
    assert run_until_sure(network, features, temperature=0.2, sure=1e-9).steps == [1] * 8
    assert sizes == [8]


def test_predictions_say_how_many_steps(default_model: sv.SnnVoice) -> None:
    usual = default_model.classify(FILES)
    assert all(p.steps is None for answer in usual for p in answer)
    found = default_model.classify(FILES, early_exit=0.9)
    for answer, whole in zip(found, usual, strict=True):
        assert answer[0].label == whole[0].label
        assert answer[0].score >= 0.9 or answer[0].steps == 4
        assert {p.steps for p in answer} <= {1, 2, 3, 4}
        assert len({p.steps for p in answer}) == 1
    assert sum(answer[0].steps or 0 for answer in found) < 4 * len(FILES)
    (alone,) = default_model.classify(FILES[0], early_exit=0.9, top_k=1)
    assert alone.label == found[0][0].label
    assert alone.steps == found[0][0].steps
    assert repr(alone).count("steps") == 0
    assert list(default_model.classify_each([FILES[0]], early_exit=0.9, top_k=1)) == [[alone]]


def test_long_clips(default_model: sv.SnnVoice) -> None:
    from snn_voice_hub import audio

    long = np.concatenate([audio.load(path).numpy() for path in FILES[:3]])
    windows = default_model.classify_windows(long, sample_rate=RATE, early_exit=0.99)
    answer = default_model.classify(long, sample_rate=RATE, early_exit=0.99)
    steps = [window.predictions[0].steps or 0 for window in windows]
    assert len(windows) > 2
    assert len(set(steps)) > 1
    assert answer[0].steps == max(steps)
    silence = np.zeros(RATE, np.float32)
    assert default_model.classify(silence, sample_rate=RATE, min_score=0.5, early_exit=0.9) == []


def test_never_sure_is_the_whole_answer() -> None:
    voice = hesitant("TcySNN", temperature=1.0)
    clips = list(waves(3).numpy())
    usual = voice.classify(clips, sample_rate=RATE, top_k=5)
    found = voice.classify(clips, sample_rate=RATE, top_k=5, early_exit=1.0)
    for a, b in zip(usual, found, strict=True):
        assert [p.label for p in a] == [p.label for p in b]
        assert [p.score for p in a] == pytest.approx([p.score for p in b], abs=1e-5)
        assert {p.steps for p in b} == {6}


def test_one_step_is_one_step() -> None:
    voice = hesitant("TcySNN", num_steps=1)
    (answer,) = voice.classify(list(waves(1).numpy()), sample_rate=RATE, early_exit=0.9)
    assert answer[0].steps == 1


@pytest.mark.parametrize("bad", [0, -0.1, 1.01, float("nan"), float("inf"), True, "0.9"])
def test_scores_that_are_not_legal(default_model: sv.SnnVoice, bad: Any) -> None:
    with pytest.raises(sv.ConfigError, match="early_exit="):
        default_model.classify(FILES[0], early_exit=bad)


@pytest.mark.parametrize("name", FRAMED)
def test_steps_of_the_sound_can_not_be_left_out(name: str, tmp_path: Path) -> None:
    voice = sv.SnnVoice(lively(name, num_classes=2), labels=["a", "b"], engine="torch").eval()
    with pytest.raises(sv.ConfigError, match=f"the time steps of {name} are those of the sound") as caught:
        voice.classify(FILES[0], early_exit=0.9)
    assert "stream()" in str(caught.value.hint)
    voice.save_pretrained(tmp_path)
    said = refused("classify", str(FILES[0]), "--model", str(tmp_path), "--early-exit", "0.9")
    assert f"the time steps of {name} are those of the sound" in said


def test_where_there_is_nothing_to_leave_out(default_model: sv.SnnVoice) -> None:
    cnn = sv.SnnVoice(sv.TcyCNN(num_classes=2), labels=["a", "b"]).eval()
    with pytest.raises(sv.ConfigError, match="TcyCNN has no time steps"):
        cnn.classify(FILES[0], early_exit=0.9)
    with (
        default_model.record_spikes() as rec,
        pytest.raises(sv.ConfigError, match=r"inside record_spikes\(\)"),
    ):
        default_model.classify(FILES[0], early_exit=0.9)
    assert len(rec) == 0


# --- the answer over the steps ----------------------------------------------------------------------


def test_running_scores_by_hand() -> None:
    logits = torch.tensor([[[0.0, 1.0]], [[2.0, 0.0]], [[2.0, 0.0]]])
    found = running_scores(logits, 2.0)
    for t, sums in enumerate(([0.0, 1.0], [2.0, 1.0], [4.0, 1.0]), 1):
        wanted = (torch.tensor(sums) * 3 / t / 2.0).softmax(0)
        torch.testing.assert_close(found[t - 1, 0], wanted)
    assert settled(found[:, 0]) == 2
    assert settled(found[:1, 0]) == settled(found[1:, 0]) == 1
    decision = decide(logits[:, 0], ["a", "b"], 2.0)
    assert decision == Decision("a", pytest.approx(float(found[2, 0, 0])), 2, 3)  # type: ignore[arg-type]
    assert str(decision) == "“a” 81.8 %"


# --- the program, and the benchmark -----------------------------------------------------------------


def test_the_program() -> None:
    yes = str(EXAMPLES / "yes.wav")
    done = invoke("classify", yes, "--early-exit", "0.5", "--top-k", "1")
    assert done.stdout.split()[1:] == ["yes", "0.99", "after", "step", "1"]
    done = invoke("classify", yes, "--early-exit", "0.5", "--top-k", "1", "--json")
    row = json.loads(done.stdout)
    assert (row["steps"], row["predictions"][0]["label"]) == (1, "yes")
    assert "--early-exit=2.0 is not legal" in refused("classify", yes, "--early-exit", "2")
    assert "do not go together" in refused("classify", yes, "--early-exit", "0.5", "--ray", "x")
    assert "no time steps" in refused("classify", yes, "--early-exit", "0.5", "--model", "m5-cnn")


def test_the_benchmark() -> None:
    voice = hesitant("TcySNN")
    rows = (waves(6) * 32768).clamp(-32768, 32767).short().numpy()
    names = [f"{label}/x.wav" for label in "abcdea"]
    subject = benchmark.Subject(
        "tcy", voice, Clips(rows, list("abcdea"), names, []), voice.features(waves(6))
    )
    logits = torch.eye(5)[[0, 1, 2, 3, 4, 1]]
    assert subject.share_right(logits) == pytest.approx(5 / 6)
    assert benchmark.stopped(subject, 1e-9)[1] == 1
    assert 1 < benchmark.stopped(subject, 1.0)[1] <= 6
    assert len(benchmark.by_step(subject).rows) == 6
    given = argparse.Namespace(timed=2, sure=[0.5, 0.9], seconds=0.0, rounds=1)
    table = benchmark.by_score(subject, given)
    assert [row[0] for row in table.rows][-2:] == ["a score of 0.5", "a score of 0.9"]
    assert table.rows[0][2] == "6.00"
