"""Streams of a network whose steps are those of the sound."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from snn_voice_lite.hearing.frames import FrameRow

import snn_voice_hub as sv
from snn_voice_hub.errors import AudioError, ConfigError
from snn_voice_hub.inference.engines.plain import TorchEngine
from tests.models.lively import lively
from tests.voice.stream_helpers import RATE, SIZES, Wave, cut, follower, talk


@torch.inference_mode()
def clip_scores(model: sv.SnnVoice, wave: Wave) -> Wave:
    scores: Wave = model(torch.from_numpy(wave)[None]).softmax(1)[0].numpy()
    return scores


def scores_of(model: sv.SnnVoice, chunks: list[Wave], **options: float | None) -> Wave:
    stream = model.stream(sample_rate=RATE, **options)  # type: ignore[arg-type]
    for chunk in chunks:
        stream.feed(chunk)
    return np.array([stream.scores[label] for label in model.labels], dtype=np.float32)


@pytest.mark.parametrize("name", ["TempoSNN", "TempoCNN"])
@pytest.mark.parametrize("hop", [0.02, 0.1, 0.2])
def test_a_second_of_a_stream_has_the_scores_of_a_clip(name: str, hop: float) -> None:
    model, wave = follower(name), talk()[RATE : 2 * RATE]
    expected = clip_scores(model, wave)
    assert expected.max() - expected.min() > 0.01
    for size in (80, 1_280, RATE):
        found = scores_of(model, list(cut(wave, size)), hop=hop, gate=None)
        np.testing.assert_allclose(found, expected, atol=1e-5 if name == "TempoSNN" else 2e-4)


@pytest.mark.parametrize("size", SIZES[1:])
def test_how_long_chunks_are_changes_nothing(size: int | None) -> None:
    model = follower()
    whole, _ = model.scores_along(talk(), hop=0.1)
    stream = model.stream(sample_rate=RATE, hop=0.1, gate=None)
    for chunk in cut(talk(), size):
        hops = int(stream.seconds * 10 + 1e-6)
        if hops:
            found = np.array(list(stream.scores.values()), np.float32)
            np.testing.assert_array_equal(found, whole[hops - 1])
        stream.feed(chunk)
    np.testing.assert_array_equal(np.array(list(stream.scores.values()), np.float32), whole[-1])


def test_what_was_heard_before_counts() -> None:
    model, wave = follower(), talk()
    along, _ = model.scores_along(wave, hop=0.1)
    alone = clip_scores(model, wave[RATE : 2 * RATE])
    assert np.abs(along[19] - alone).max() > 1e-4


def test_after_a_window_of_silence_a_stream_is_as_new() -> None:
    model, wave = follower(), talk()[RATE : 2 * RATE]
    fresh = scores_of(model, [wave], hop=0.1)
    quiet = np.zeros(2 * RATE, np.float32)
    stream = model.stream(sample_rate=RATE, hop=0.1)
    stream.feed(wave[::-1].copy())
    stream.feed(quiet)
    silence = [stream.scores[label] for label in model.labels]
    assert silence == [float(label == "_silence_") for label in model.labels]
    stream.feed(wave)
    found = np.array([stream.scores[label] for label in model.labels], np.float32)
    # The first frame of a stream mirrors what follows it; later ones see what was there, silence.
    np.testing.assert_allclose(found, fresh, atol=0.05)
    other = model.stream(sample_rate=RATE, hop=0.1, gate=None)
    for chunk in (wave[::-1].copy(), quiet, wave):
        other.feed(chunk)
    assert other.scores != stream.scores, "without a gate the network hears silence too"


def test_silence_does_not_run_the_network() -> None:
    model = follower()
    stream = model.stream(sample_rate=RATE, hop=0.1)
    due = stream.take(np.zeros(4 * RATE, np.float32))
    ran = 0
    while due:
        ran += len(due)
        stream.give(due, model.run_inputs(due.inputs) if len(due) else None)
        due = stream.more()
    assert ran == 9, "until the newest second is silent, for all that is known"


def test_rows_of_many_streams_run_together() -> None:
    model, wave = follower(), talk()
    streams = [model.stream(sample_rate=RATE, hop=hop, gate=None) for hop in (0.1, 0.1, 0.02, 0.1)]
    alone = [model.stream(sample_rate=RATE, hop=hop, gate=None) for hop in (0.1, 0.1, 0.02, 0.1)]
    for at in range(0, 2 * RATE, 1_600):
        pieces = [wave[at + 999 * i : at + 999 * i + 1_600] for i in range(4)]
        dues = [stream.take(piece) for stream, piece in zip(streams, pieces, strict=True)]
        while any(dues):
            rows = [row for due in dues for row in due.inputs]
            outputs = model.run_inputs(rows)
            place = 0
            for stream, due in zip(streams, dues, strict=True):
                stream.give(due, outputs[place : place + len(due)] if len(due) else None)
                place += len(due)
            dues = [stream.more() for stream in streams]
        for stream, piece in zip(alone, pieces, strict=True):
            stream.feed(piece)
    for one, other in zip(streams, alone, strict=True):
        found, expected = (np.array(list(s.scores.values())) for s in (one, other))
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_row_that_runs_twice_gives_the_same() -> None:
    model = follower()
    stream = model.stream(sample_rate=RATE, hop=0.1, gate=None)
    stream.feed(talk()[:RATE])
    due = stream.take(talk()[RATE : RATE + 1_600])
    assert isinstance(due.inputs[0], FrameRow)
    assert torch.equal(model.run_inputs(due.inputs), model.run_inputs(due.inputs))


def test_events_alone_ask_for_every_hop_too() -> None:
    model, wave = follower(), talk()
    every, events = (model.stream(sample_rate=RATE, hop=0.1, scores=scores) for scores in (True, False))
    for chunk in cut(wave, 1_280):
        every.feed(chunk)
        events.feed(chunk)
    assert every.scores == events.scores


def test_hops_are_whole_steps() -> None:
    model = follower()
    assert model.stream(sample_rate=RATE, hop=0.033).hop == pytest.approx(0.04)
    assert model.stream(sample_rate=RATE, hop=0.01).hop == pytest.approx(0.02)


def test_spikes_of_the_newest_step() -> None:
    model = follower()
    stream = model.stream(sample_rate=RATE, hop=0.02, gate=None)
    assert set(map(bool, (spk.any() for spk in stream.spikes.values()))) == {False}
    wave = talk()[RATE : 2 * RATE]
    stream.feed(wave)
    with model.record_spikes() as recording:
        model.classify(wave, sample_rate=RATE)
    assert list(stream.spikes) == list(recording.spk)
    for name, spk in stream.spikes.items():
        np.testing.assert_array_equal(spk, recording.spk[name][-1, 0].numpy() > 0)
    assert sv.SnnVoice.from_pretrained().stream(sample_rate=RATE).spikes == {}


def test_what_is_too_loud_is_refused_and_forgotten() -> None:
    model, wave = follower(), talk()[RATE : 2 * RATE]
    stream = model.stream(sample_rate=RATE, hop=0.1)
    stream.feed(wave)
    noise = np.random.default_rng(0).standard_normal(8_000).astype(np.float32)
    with pytest.raises(AudioError):
        stream.feed(noise * np.float32(1e30))
    stream.reset()
    stream.feed(wave)
    assert [stream.scores[label] for label in model.labels] == pytest.approx(
        scores_of(model, [wave], hop=0.1).tolist()
    )


@pytest.mark.parametrize("hop", [0.02, 0.1])
def test_spikes_of_every_step(hop: float) -> None:
    """They are those of a clip; events and scores are the same with them as without."""
    model, wave = follower(), talk()[RATE : 2 * RATE]
    with model.record_spikes() as recording:
        model.classify(wave, sample_rate=RATE)
    stream, plain = (
        model.stream(sample_rate=RATE, hop=hop, gate=None, spikes=spikes) for spikes in (True, False)
    )
    assert {spk.shape[0] for spk in stream.raster.values()} == {0}
    parts: list[dict[str, npt.NDArray[np.bool_]]] = []
    for chunk in cut(wave, round(hop * RATE)):
        stream.feed(chunk)
        plain.feed(chunk)
        parts.append(stream.raster)
        assert stream.scores == pytest.approx(plain.scores, abs=1e-5)
        for name, spk in stream.spikes.items():
            np.testing.assert_array_equal(spk, stream.raster[name][-1])
    assert list(parts[0]) == list(recording.spk)
    for name, spk in recording.spk.items():
        found = np.concatenate([part[name] for part in parts])
        assert found.any()
        np.testing.assert_array_equal(found, spk[:, 0].numpy() > 0)
    assert plain.raster == {}


def test_in_silence_nothing_fires() -> None:
    stream = follower().stream(sample_rate=RATE, hop=0.1, spikes=True)
    stream.feed(talk()[RATE : 2 * RATE])
    assert any(spk.any() for spk in stream.raster.values())
    stream.feed(np.zeros(2 * RATE, np.float32))
    assert stream.raster["lif"].shape[0] % 5 == 0
    assert not any(spk.any() for spk in (*stream.raster.values(), *stream.spikes.values()))


def test_streams_with_and_without_spikes_run_together() -> None:
    model, wave = follower(), talk()
    kinds = [(0.1, False), (0.1, True), (0.02, True), (0.1, True)]
    streams, alone = (
        [model.stream(sample_rate=RATE, hop=hop, gate=None, spikes=spikes) for hop, spikes in kinds]
        for _ in range(2)
    )
    for at in range(0, RATE, 1_600):
        pieces = [wave[at + 999 * i : at + 999 * i + 1_600] for i in range(4)]
        dues = [stream.take(piece) for stream, piece in zip(streams, pieces, strict=True)]
        while any(dues):
            outputs = iter(model.run_inputs([row for due in dues for row in due.inputs]).split(1))
            for stream, due in zip(streams, dues, strict=True):
                stream.give(due, next(outputs) if len(due) else None)
            dues = [stream.more() for stream in streams]
        for stream, piece in zip(alone, pieces, strict=True):
            stream.feed(piece)
    for one, other in zip(streams, alone, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-4)
        assert list(one.raster) == list(other.raster)
        for name, spk in one.raster.items():
            assert spk.shape == other.raster[name].shape
            assert (spk != other.raster[name]).mean() < 0.01


def test_spikes_that_there_are_not() -> None:
    with pytest.raises(ConfigError, match="TempoCNN has no neurons that spike"):
        follower("TempoCNN").stream(sample_rate=RATE, spikes=True)
    with pytest.raises(ConfigError, match="resmel-snn hears windows"):
        sv.SnnVoice.from_pretrained().stream(sample_rate=RATE, spikes=True)
    with pytest.raises(ConfigError, match="spikes"):
        follower().stream(sample_rate=RATE, spikes=1)  # type: ignore[arg-type]


def test_warming_up_goes_on_from_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    model = sv.SnnVoice(lively("TempoSNN", num_classes=2), labels=["yes", "no"], engine="torch").eval()
    sizes: list[int] = []
    advance = TorchEngine.advance

    def watched(
        engine: TorchEngine, x: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(x.shape[1])
        return advance(engine, x, state)

    monkeypatch.setattr(TorchEngine, "advance", watched)
    model.warm_up(1, 4)
    assert sizes == [1, 4]
