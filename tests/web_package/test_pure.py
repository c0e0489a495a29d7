"""What needs no browser: the tests in `web/test`, on figures that this library computes."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from snn_voice_lite.answers import best, combine
from snn_voice_lite.streaming.detector import Detector
from snn_voice_lite.streaming.ring import Ring

import snn_voice_hub as sv
from snn_voice_hub.config import DetectionConfig, FeatureConfig
from snn_voice_hub.features import Features
from snn_voice_hub.inference.windows import split
from tests.web_package.helpers import MODULES, WEB, needs_modules, needs_node, node, write_case

onnx = pytest.importorskip("onnx")

LABELS = ["yes", "no", "go", "_silence_", "_unknown_"]
TEMPO = FeatureConfig(
    kind="logmel",
    feature_rate=16_000,
    n_fft=512,
    win_length=400,
    hop_length=160,
    n_mels=40,
    f_min=20.0,
    f_max=7600.0,
    log_offset=1e-5,
    feature_mean=-6.4,
    feature_std=4.4,
    zero_below=None,
)
# Sizes that are no powers of two, bands that are empty, and all constants another value than usual.
ODD = FeatureConfig(
    kind="logmel",
    sample_rate=8_000,
    num_samples=6_000,
    feature_rate=8_000,
    mel_rate=8_000,
    n_fft=150,
    win_length=99,
    hop_length=77,
    n_mels=33,
    log_offset=1e-3,
    waveform_mean=0.01,
    waveform_std=0.2,
    feature_mean=-2.0,
    feature_std=1.5,
    zero_below=-1.0,
)


def voicelike(size: int, rate: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Tones that come and go, over a little noise."""
    rng, t = np.random.default_rng(seed), np.arange(size) / rate
    tones = sum(np.sin(2 * np.pi * f * t + f) * np.sin(np.pi * (t + f) * 3) for f in (210.0, 640.0, 1700.0))
    return (0.2 * tones + 0.01 * rng.standard_normal(size)).astype(np.float32)


def log_mel_case(config: FeatureConfig) -> dict[str, Any]:
    samples = voicelike(config.num_samples, config.sample_rate)
    columns = Features(config)(torch.from_numpy(samples)[None])[0, 0].T
    return {
        "features": dataclasses.asdict(config),
        "samples": samples.tolist(),
        "columns": columns.tolist(),
    }


def detector_case(seed: int) -> dict[str, Any]:
    """Scores that wander from label to label, some of them for long, and the events of them."""
    rng = np.random.default_rng(seed)
    labels = LABELS if seed % 3 else [label for label in LABELS if label != "_unknown_"]
    hop = [0.1, 0.04, 0.25][seed % 3]
    settings = DetectionConfig(
        threshold=float(rng.uniform(0.3, 0.8)),
        thresholds={"no": 0.4} if seed % 2 else {},
        smoothing=float(rng.choice([0.0, 0.25, 0.3, 0.5])),
        refractory=float(rng.choice([0.0, 0.3, 1.0])),
    )
    steady = np.repeat(rng.normal(0, 3, (80, len(labels))), rng.integers(1, 9, 80), axis=0)
    logits = torch.from_numpy(steady + rng.normal(0, 0.5, steady.shape)).float()
    scores = logits.softmax(1).numpy()
    ends = [(16_000 * hop * i + 1_600) / 16_000 for i in range(len(scores))]
    words = ["yes", "no"] if seed % 4 == 1 else None
    detector = Detector(labels, settings, window=1.0, hop=hop, words=words)
    events = detector.feed(scores, ends)
    return {
        "labels": labels,
        "settings": dataclasses.asdict(settings),
        "window": 1.0,
        "hop": hop,
        "words": words,
        "scores": scores.tolist(),
        "ends": ends,
        "events": [{k: v for k, v in dataclasses.asdict(event).items() if k != "sound"} for event in events],
    }


def answer_case(seed: int, windows: int) -> dict[str, Any]:
    logits = torch.randn(windows, len(LABELS), generator=torch.Generator().manual_seed(seed)) * 3
    scores = combine((logits / 0.7).softmax(1).numpy(), LABELS)
    asked: list[tuple[int, float | None, bool]] = [(5, None, False), (2, None, True), (5, 0.2, False)]
    return {
        "logits": logits.tolist(),
        "temperature": 0.7,
        "labels": LABELS,
        "answers": [
            {
                "asked": {"topK": top, "minScore": least, "wordsOnly": words},
                "expected": [(p.label, p.score) for p in best(scores, LABELS, top, least, words)],
            }
            for top, least, words in asked
        ],
    }


def window_case(length: int, size: int = 400, rate: int = 400, hop: float = 0.3) -> dict[str, Any]:
    wave = torch.from_numpy(voicelike(length, rate, length))
    windows, begins = split(wave, size, round(hop * rate), round(0.25 * rate))
    return {
        "samples": wave.tolist(),
        "size": size,
        "rate": rate,
        "hop": hop,
        "begins": begins,
        "length": size if len(begins) > 1 else length,
        "first": windows[0].tolist(),
    }


def resampling_case(rate: int, target: int) -> dict[str, Any]:
    samples = voicelike(rate // 2, rate)
    expected = soxr.resample(samples, rate, target, quality="HQ")
    return {"rate": rate, "target": target, "samples": samples.tolist(), "expected": expected.tolist()}


def ring_case(size: int, hop: int) -> dict[str, Any]:
    samples = voicelike(9 * hop + 5, 4_000)
    samples[2 * hop : 6 * hop] *= 1e-4
    ring, windows = Ring(size, hop), []
    ring.push(samples)
    while (window := ring.next()) is not None:
        windows.append({"begin": window.begin, "level": window.level})
    return {"size": size, "hop": hop, "samples": samples.tolist(), "windows": windows}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    write_case(folder, "log_mel", [log_mel_case(TEMPO), log_mel_case(ODD)])
    detected = [detector_case(seed) for seed in range(24)]
    assert sum(len(case["events"]) for case in detected) > 100
    write_case(folder, "detector", detected)
    write_case(folder, "answers", [answer_case(seed, 1 + seed % 4) for seed in range(8)])
    write_case(folder, "windows", [window_case(n) for n in (100, 400, 450, 500, 501, 1_000, 1_037)])
    rates = [(48_000, 16_000), (44_100, 16_000), (8_000, 16_000), (22_050, 16_000), (16_000, 8_000)]
    write_case(folder, "resampling", [resampling_case(*pair) for pair in rates])
    write_case(folder, "ring", [ring_case(400, 40), ring_case(400, 90), ring_case(64, 64)])
    return folder


@pytest.fixture(scope="module")
def files(cases: Path) -> Path:
    """Files of both kinds, with and without the key that lite files have."""
    from tests.web_package.lite_file import write_lite, write_plain

    said, pairs = [], []
    for name in ("tcy-cnn", "tempo-cnn"):
        voice = sv.SnnVoice.from_pretrained(name, engine="torch")
        plain = write_plain(voice, cases / f"{name}.onnx")
        lite = write_lite(voice, cases / f"{name}-lite.onnx")
        found = []
        for path in (plain, lite):
            facts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
            said.append({"file": path.name, "expected": facts})
            found.append(facts)
        pairs.append({"plain": found[0], "lite": found[1]})
    write_case(cases, "metadata", said)
    write_case(cases, "facts", pairs)
    return cases


@needs_node
def test_pure_parts(files: Path) -> None:
    tests = sorted(str(path.relative_to(WEB)) for path in (WEB / "test").glob("*.test.js"))
    printed = node("--test", "--test-reporter=tap", *tests, cases=files)
    totals = dict(re.findall(r"^# (pass|fail|skipped) (\d+)$", printed, re.MULTILINE))
    assert totals["fail"] == totals["skipped"] == "0"
    assert int(totals["pass"]) > 60


@needs_modules
@pytest.mark.skipif(not (MODULES / "typescript").is_dir(), reason="no typescript: `npm ci` in web/")
def test_types() -> None:
    node(MODULES / "typescript" / "bin" / "tsc", "--project", WEB)


@needs_node
def test_versions_go_together() -> None:
    package = json.loads((WEB / "package.json").read_text())
    assert package["version"] == sv.__version__
