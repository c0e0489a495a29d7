"""Recordings: what the neurons did, of these clips and no others."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.spikes import dead, first_spikes, layer_figures, rates, saturated
from snn_voice_hub.spikes.record import Recording, recordings_of
from tests.models.lively import REPEATING, lively
from tests.places import EXAMPLES

RATE = 16_000
FILES = sorted(EXAMPLES.glob("*.wav"))


def noise(count: int, seconds: float = 1.0, seed: int = 0) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    draws = np.random.default_rng(seed)
    return [0.1 * draws.standard_normal(round(seconds * RATE)).astype(np.float32) for _ in range(count)]


def voice_of(name: str, **arguments: Any) -> sv.SnnVoice:
    network = lively(name, num_classes=5, num_steps=3, **arguments)
    return sv.SnnVoice(network, labels=list("abcde"), engine="torch").eval()


@pytest.fixture(scope="module")
def small() -> sv.SnnVoice:
    return voice_of("TcySNN")


# --- what is recorded -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REPEATING)
def test_a_recording_is_what_the_taps_saw(name: str) -> None:
    voice = voice_of(name)
    waves = torch.from_numpy(np.stack(noise(2)))
    seen: dict[str, Tensor] = {}
    with torch.inference_mode():
        features = voice.features(waves)
        steps = voice.network.forward_steps(features, tap=seen.__setitem__)
        with voice.record_spikes(mem=True) as rec:
            logits = voice(waves)
    assert rec.layers == [key for key in seen if not key.endswith(".mem")]
    assert len(rec) == 2
    for layer, spk in rec.spk.items():
        assert spk.dtype == torch.bool
        assert spk.shape[:2] == (3, 2)
        assert spk.any()
        assert torch.equal(spk, seen[layer] > 0)
        assert torch.equal(rec.mem[layer], seen[f"{layer}.mem"])
    assert torch.equal(rec.logits, steps)
    assert torch.equal(rec.logits.sum(0), logits)
    assert torch.equal(rec.features, features)
    row = rec.row(1)
    assert torch.equal(row.logits, steps[:, 1])
    assert torch.equal(row.features, features[1])
    assert all(torch.equal(row.spk[layer], rec.spk[layer][:, 1]) for layer in rec.layers)
    assert all(torch.equal(row.mem[layer], rec.mem[layer][:, 1]) for layer in rec.layers)


def test_answers_are_the_same_inside_the_block(default_model: sv.SnnVoice) -> None:
    outside = default_model.classify(FILES, top_k=100, function_to_apply="none")
    with default_model.record_spikes() as rec:
        inside = default_model.classify(FILES, top_k=100, function_to_apply="none")
    for a, b in zip(outside, inside, strict=True):
        wanted, found = ({p.label: p.score for p in answer} for answer in (a, b))
        largest = max(map(abs, wanted.values()))
        assert a[0].label == b[0].label
        assert max(abs(found[label] - score) for label, score in wanted.items()) <= 1e-4 * largest
    assert len(rec) == len(FILES)
    for index, answer in enumerate(inside):  # each row is its own clip's
        assert default_model.labels[int(rec.logits.sum(0)[index].argmax())] == answer[0].label


def test_parts_of_a_large_batch_are_one_recording(small: sv.SnnVoice) -> None:
    clips = noise(19)
    with small.record_spikes() as rec:
        small.classify(clips, sample_rate=RATE, batch_size=19)
    assert len(rec) == 19
    for index in (0, 7, 8, 18):
        with small.record_spikes() as alone:
            small.classify(clips[index], sample_rate=RATE)
        assert torch.equal(alone.spk["snn.0"][:, 0], rec.spk["snn.0"][:, index])


@pytest.mark.parametrize("encoding", ["rate", "latency"])
def test_encodings_that_draw(encoding: str) -> None:
    voice = voice_of("TcySNN", encoding=encoding, threshold=0.5)
    waves = torch.from_numpy(np.stack(noise(11)))
    with torch.inference_mode():
        outside = voice(waves)
        with voice.record_spikes() as rec:
            torch.testing.assert_close(voice(waves), outside)
    torch.testing.assert_close(rec.logits.sum(0), outside)


def test_rows_name_their_clips(small: sv.SnnVoice) -> None:
    short, long = noise(1)[0], noise(1, 2.0)[0]
    with small.record_spikes() as rec:
        small.classify([short, b"no sound", long, short], sample_rate=RATE, on_error="return", batch_size=2)
        small.classify(long, sample_rate=RATE)
        small(torch.zeros(2, RATE))
        small.classify_windows(long, sample_rate=RATE, hop_seconds=1.0)
    assert rec.clips == [0, 2, 2, 2, 3, 4, 4, 4, 5, 6, 7, 7]
    assert torch.equal(rec.spk["snn.0"][:, 0], rec.spk["snn.0"][:, 4])


# --- of whom, and when ------------------------------------------------------------------------------


def test_outside_of_a_block_nothing_changes(small: sv.SnnVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> Tensor:
        raise AssertionError("the network was run with a tap")

    monkeypatch.setattr(small.network, "forward_steps", fails)
    small.classify(noise(1)[0], sample_rate=RATE)
    with pytest.raises(AssertionError, match="with a tap"), small.record_spikes():
        small.classify(noise(1)[0], sample_rate=RATE)
    small.classify(noise(1)[0], sample_rate=RATE)


def test_blocks_inside_each_other(small: sv.SnnVoice) -> None:
    a, b, c = noise(3)
    other = voice_of("TcySNN")
    with small.record_spikes() as outer:
        small.classify(a, sample_rate=RATE)
        with small.record_spikes(mem=True) as inner, other.record_spikes() as others:
            small.classify(b, sample_rate=RATE)
        small.classify(c, sample_rate=RATE)
        other.classify(c, sample_rate=RATE)
    assert (len(outer), len(inner), len(others)) == (3, 1, 0)
    assert torch.equal(outer.spk["snn.0"][:, 1], inner.spk["snn.0"][:, 0])
    assert inner.mem.keys() == {"snn.0"}
    with pytest.raises(sv.ConfigError, match="no membranes"):
        outer.mem  # noqa: B018


def test_an_exception_ends_the_block(small: sv.SnnVoice) -> None:
    with pytest.raises(sv.AudioError), small.record_spikes() as rec:
        small.classify([noise(1)[0], b"no sound"], sample_rate=RATE, batch_size=1)
    assert recordings_of(small.network) == []
    assert len(rec) == 1
    small.classify(noise(1)[0], sample_rate=RATE)
    assert len(rec) == 1


def test_a_block_in_a_generator(small: sv.SnnVoice) -> None:
    def recorded() -> Iterator[Recording]:
        with small.record_spikes() as rec:
            yield rec

    steps = recorded()
    rec = next(steps)
    small.classify(noise(1)[0], sample_rate=RATE)
    with ThreadPoolExecutor(1) as pool:  # ends in another context than it began in
        assert pool.submit(lambda: next(steps, None)).result() is None
    assert len(rec) == 1


def test_threads_see_their_own_clips(small: sv.SnnVoice) -> None:
    clips = noise(4)
    wanted = []
    for clip in clips:
        with small.record_spikes() as rec:
            small.classify(clip, sample_rate=RATE)
        wanted.append(rec.spk["snn.0"])
    together = Barrier(4)

    def work(index: int) -> Recording | None:
        if index == 3:  # one that records nothing
            together.wait()
            for _ in range(5):
                small.classify(clips[index], sample_rate=RATE)
            return None
        with small.record_spikes() as rec:
            together.wait()
            for _ in range(5):
                small.classify(clips[index], sample_rate=RATE)
        return rec

    with small.record_spikes() as mine, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    assert len(mine) == 0
    for rec, spk in zip(found[:3], wanted, strict=False):
        assert rec is not None
        assert torch.equal(rec.spk["snn.0"], spk.expand(-1, 5, -1, -1, -1))


# --- what can't be recorded -------------------------------------------------------------------------


def test_networks_without_spikes_are_refused() -> None:
    plain = sv.SnnVoice(nn.Identity(), sv.FeatureConfig(kind="waveform"), labels=["a"])
    for voice in (sv.SnnVoice(sv.TcyCNN(num_classes=2), labels=["a", "b"]), plain):
        with pytest.raises(sv.ConfigError, match="has no spikes"), voice.record_spikes():
            raise AssertionError("the block was entered")


def test_memory_is_bounded(small: sv.SnnVoice) -> None:
    clip = noise(1)[0]
    with small.record_spikes() as rec:
        small.classify(clip, sample_rate=RATE)
    size = sum(t.nbytes for t in (*rec.spk.values(), rec.logits, rec.features))
    with small.record_spikes(max_megabytes=2.5 * size / 1e6) as rec:
        small.classify([clip, clip], sample_rate=RATE)
        with pytest.raises(sv.ConfigError, match="larger than"):
            small.classify(clip, sample_rate=RATE)
        assert len(rec) == 2
        assert rec.spk["snn.0"].shape[1] == 2
    for bad in (0, -1, "many", True):
        with pytest.raises(sv.ConfigError, match="max_megabytes"), small.record_spikes(max_megabytes=bad):  # type: ignore[arg-type]
            raise AssertionError("the block was entered")
    with pytest.raises(sv.ConfigError, match="mem="), small.record_spikes(mem=1):  # type: ignore[arg-type]
        raise AssertionError("the block was entered")


def test_an_empty_recording_says_so(small: sv.SnnVoice) -> None:
    with small.record_spikes() as rec:
        pass
    with pytest.raises(sv.ConfigError, match="nothing was recorded"):
        rec.spk  # noqa: B018


def test_clips_of_different_lengths_do_not_make_one_tensor() -> None:
    network = lively("TcySNN", num_classes=2)
    config = sv.FeatureConfig(kind="logmel", normalization="batch")
    voice = sv.SnnVoice(network, config, labels=["a", "b"]).eval()
    with voice.record_spikes() as rec:
        voice.classify([noise(1)[0], noise(1, 0.5)[0]], sample_rate=RATE)
    with pytest.raises(sv.ConfigError, match="different lengths"):
        rec.spk  # noqa: B018


# --- figures ----------------------------------------------------------------------------------------

# Three steps, two clips, four neurons: one never fires, one always, one once, one now and then.
SPK = torch.tensor(
    [
        [[0, 1, 0, 1], [0, 1, 0, 0]],
        [[0, 1, 0, 0], [0, 1, 0, 1]],
        [[0, 1, 1, 1], [0, 1, 0, 1]],
    ]
)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.int64])
def test_figures_by_hand(dtype: torch.dtype) -> None:
    spk = SPK.to(dtype)
    assert rates(spk).tolist() == pytest.approx([0, 1, 1 / 6, 4 / 6])
    assert dead(spk).tolist() == [True, False, False, False]
    assert saturated(spk).tolist() == [False, True, False, False]
    assert first_spikes(spk).tolist() == [[3, 0, 2, 0], [3, 0, 3, 1]]
    found = layer_figures(spk)
    assert (found.neurons, found.dead, found.saturated) == (4, 1, 1)
    assert found.rate == pytest.approx(11 / 24)
    assert found.first_spike == pytest.approx((1 + 3 + 1 + 1 + 2) / 5)
    assert layer_figures(torch.zeros(2, 1, 3)).first_spike is None


def test_the_figures_of_a_recording(default_model: sv.SnnVoice) -> None:
    with default_model.record_spikes() as rec:
        default_model.classify(EXAMPLES / "yes.wav")
    figures = rec.figures()
    assert list(figures) == rec.layers
    measured: dict[str, float] = default_model.config.metrics["test"]["spike_rates"]
    assert figures.keys() == measured.keys()
    for name, found in figures.items():
        assert found.neurons == rec.spk[name][0, 0].numel()
        assert abs(found.rate - measured[name]) < 0.1
        assert 0 < found.dead < found.neurons


def test_pickled_models_carry_no_recording(small: sv.SnnVoice, tmp_path: Path) -> None:
    with small.record_spikes() as rec:
        torch.save(small, tmp_path / "voice.pt")
        other: sv.SnnVoice = torch.load(tmp_path / "voice.pt", weights_only=False)
        other.classify(noise(1)[0], sample_rate=RATE)
    assert len(rec) == 0
