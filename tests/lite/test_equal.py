"""The runtime without PyTorch answers as the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile as sf
import torch
from snn_voice_lite import Voice, answers, list_models, mel, windows

import snn_voice_hub as sv
from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.export.lite import export_lite
from snn_voice_hub.features import Features, MelPower
from snn_voice_hub.inference.answers import scores
from snn_voice_hub.inference.windows import fit
from snn_voice_hub.models.framed import FramedSNN
from tests.export.helpers import Even, on_frames
from tests.lite.conftest import exported
from tests.places import EXAMPLES

Both = tuple[sv.SnnVoice, Voice]
Wave = npt.NDArray[np.float32]

CLIPS = sorted(EXAMPLES.glob("*.wav"))
RATE = 16_000


def generated() -> list[Wave]:
    """A short clip, one a little longer than the window, and one of several windows."""
    rng = np.random.default_rng(0)
    sizes = ((3_000, 0.3), (18_000, 0.02), (45_000, 0.1))
    return [(scale * rng.standard_normal(size)).astype(np.float32) for size, scale in sizes]


def recording() -> Wave:
    """All examples, one after the other, with a pause between two of them."""
    quiet = np.zeros(RATE, np.float32)
    waves = [sf.read(path, dtype="float32")[0] for path in CLIPS]
    return np.concatenate([part for wave in waves for part in (quiet, wave)] + [quiet])


def test_clips(both: Both) -> None:
    hub, lite = both
    asked: dict[str, Any] = {"top_k": len(hub.labels), "sample_rate": RATE}
    for clip in [*CLIPS, *generated()]:
        expected = {p.label: p.score for p in hub.classify(clip, **asked)}
        found = {p.label: p.score for p in lite.classify(clip, **asked)}
        assert found == pytest.approx(expected, abs=1e-4)
    assert {lite.classify(clip)[0].label for clip in CLIPS} >= {"yes", "go"}


def test_windows_and_ways_of_asking(both: Both) -> None:
    hub, lite = both
    wave = recording()
    for options in (
        {},
        {"top_k": 1},
        {"words_only": True},
        {"min_score": 0.5},
        {"function_to_apply": "none"},
    ):
        asked: dict[str, Any] = {"sample_rate": RATE, **options}
        one, other = (m.classify_windows(wave, hop_seconds=0.75, **asked) for m in (hub, lite))
        assert [(w.start, w.end) for w in other] == [(w.start, w.end) for w in one]
        for found, expected in zip(other, one, strict=True):
            assert [p.score for p in found.predictions] == pytest.approx(
                [p.score for p in expected.predictions], rel=1e-4, abs=1e-4
            )
        assert [p.label for p in lite.classify(wave, **asked)] == [
            p.label for p in hub.classify(wave, **asked)
        ]
    listed = lite.classify([CLIPS[0], wave], sample_rate=RATE, top_k=2)
    assert listed == [lite.classify(CLIPS[0], top_k=2), lite.classify(wave, sample_rate=RATE, top_k=2)]


@pytest.mark.parametrize(
    "options", [{}, {"scores": False}, {"hop": 0.06, "smoothing": 0.0, "threshold": 0.3}]
)
def test_streams(both: Both, options: dict[str, Any]) -> None:
    hub, lite = both
    wave = recording()
    told = []
    for model, size in ((hub, 1_600), (lite, 2_311)):
        stream = model.stream(sample_rate=RATE, **options)
        pieces = [wave[i : i + size] for i in range(0, len(wave), size)]
        told.append([event for piece in pieces for event in stream.feed(piece)] + stream.flush())
    expected, found = ([(e.label, e.start, e.end, e.time) for e in events] for events in told)
    assert found == expected
    assert [e.score for e in told[1]] == pytest.approx([e.score for e in told[0]], abs=1e-4)
    assert expected or hub.config.name == "m5-snn"


def test_spikes_of_a_stream() -> None:
    hub, lite = sv.SnnVoice.from_pretrained("tempo-snn", engine="torch"), Voice("tempo-snn")
    wave = sf.read(EXAMPLES / "yes.wav", dtype="float32")[0]
    streams = [model.stream(sample_rate=RATE, spikes=True) for model in (hub, lite)]
    for stream in streams:
        stream.feed(wave[:8_000])
    one, other = streams
    assert other.raster.keys() == one.raster.keys()
    assert any(fired.any() for fired in one.raster.values())
    for name, fired in one.raster.items():
        assert (other.raster[name] == fired).mean() > 0.999, name


class Counting(Even):
    """A network that wants to know how many steps there are, which is not known of as many as come."""

    def layers(self, x: torch.Tensor, run: Any) -> torch.Tensor:
        assert len(x) > 0
        return super().layers(x, run)


@pytest.mark.slow
@pytest.mark.parametrize("cls", [Even, Counting])
def test_files_of_one_step_and_of_many(cls: type[Even], tmp_path: Path) -> None:
    """Files of the first version have one step in a run; so have those of networks that can't have more."""
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    hub = sv.SnnVoice(on_frames(cls), labels=[*"abcdefg"], engine="torch")
    assert isinstance(hub.network, FramedSNN)
    lite = Voice(export_lite(hub.network, hub.config, tmp_path / "m.onnx").path)
    assert lite.config.frames is not None
    assert (lite.config.frames.at_once, lite.config.format_version) == (
        (True, 2) if cls is Even else (False, 1)
    )
    wave = generated()[2][:32_000]
    windows_of = np.stack([wave[:RATE], wave[RATE:]])
    expected = hub(torch.from_numpy(windows_of)).detach().numpy()
    np.testing.assert_allclose(lite.logits(windows_of), expected, atol=1e-4 * np.abs(expected).max())
    streams = [
        model.stream(sample_rate=RATE, spikes=spikes) for model in (hub, lite) for spikes in (True, False)
    ]
    for stream in streams:
        stream.feed(wave)
    for stream in streams[1:]:
        assert stream.scores == pytest.approx(streams[0].scores, abs=1e-4)
    for name, fired in streams[0].raster.items():
        assert fired.any()
        assert (streams[2].raster[name] == fired).mean() > 0.999, name


@pytest.mark.slow
def test_int8_answers_nearly_the_same(tmp_path: Path) -> None:
    path = exported("m5-snn", tmp_path, int8=True)
    assert path.stat().st_size < 1_000_000
    found = Voice(path).classify(EXAMPLES / "yes.wav", top_k=1)
    expected = sv.SnnVoice.from_pretrained("m5-snn").classify(EXAMPLES / "yes.wav", top_k=1)
    assert (found[0].label, found[0].score) == (expected[0].label, pytest.approx(expected[0].score, abs=0.05))


@pytest.mark.parametrize("name", list_models())
def test_the_front_end_is_the_hub_s(name: str) -> None:
    config = sv.SnnVoice.from_pretrained(name).config.features
    others = [config, FeatureConfig(kind="logmel", n_mels=30, feature_rate=16_000, f_min=50.0, n_fft=401)]
    for c in others:
        power = Features(c).mel
        assert isinstance(power, MelPower)
        np.testing.assert_allclose(mel.hann(c), power.window.numpy(), atol=1e-6)
        np.testing.assert_allclose(mel.filters(c), power.filters.numpy(), atol=2e-5)


@pytest.mark.parametrize("function", answers.FUNCTIONS)
def test_scores_are_the_hub_s(function: str) -> None:
    logits = 30 * torch.randn(50, 37)
    expected = scores(logits, 0.8, function).numpy()
    np.testing.assert_allclose(answers.scores(logits.numpy(), 0.8, function), expected, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("size", [1, 90, 100, 101, 125])
def test_clips_are_fitted_as_the_hub_s(size: int) -> None:
    for seed in range(20):
        wave = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
        assert windows.fit(wave, 100).tolist() == fit(torch.from_numpy(wave), 100).tolist()
