"""Drawn arrays, streams and configurations: one answer however it is asked for, or an error of ours."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from snn_voice_lite import Voice, audio
from snn_voice_lite.errors import AudioError, ConfigError

import snn_voice_hub as sv
from tests.robustness.amount import amount
from tests.voice.stream_helpers import talk

RATES = st.sampled_from([4_000, 8_000, 11_025, 16_000, 44_100, 48_000, 192_000])
DTYPES = ["u1", "i1", "<i2", ">i2", "i4", "i8", "f2", "<f4", ">f4", "f8", "c8", "?", "S3", "O"]
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@pytest.fixture(scope="module")
def voice() -> Voice:
    return Voice("tempo-snn")


# --- arrays -------------------------------------------------------------------------------------------


@settings(max_examples=amount(60, 3000), **QUIET)
@given(
    array=hnp.arrays(
        st.sampled_from(DTYPES),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=40),
    ),
    steps=st.tuples(st.sampled_from([1, 2, -1]), st.sampled_from([1, 3, -1])),
    frozen=st.booleans(),
    rate=RATES,
)
def test_how_an_array_lies_in_memory_changes_nothing(
    array: npt.NDArray[Any], steps: tuple[int, int], frozen: bool, rate: int
) -> None:
    view = array[(*(slice(None, None, step) for step in steps[: array.ndim]), ...)]
    view.flags.writeable = not frozen
    before = view.tobytes()
    found = [_loaded(one, rate) for one in (view, np.ascontiguousarray(view), np.asfortranarray(view))]
    assert view.tobytes() == before
    if isinstance(found[0], str):
        assert view.ndim == 0 or found[0] == found[1]  # NumPy makes a list of a number
        return
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def _loaded(array: npt.NDArray[Any], rate: int) -> npt.NDArray[np.float32] | str:
    try:
        wave = audio.load(array, sample_rate=rate)
    except AudioError as error:
        return error.code
    assert wave.dtype == np.float32
    assert wave.ndim == 1
    assert wave.size
    assert np.isfinite(wave).all()
    assert not np.shares_memory(wave, array)
    return wave


# --- streams ------------------------------------------------------------------------------------------


@settings(max_examples=amount(4, 60), **QUIET)
@given(
    cuts=st.lists(st.integers(0, 3 * 16_000), max_size=12),
    kinds=st.lists(st.sampled_from(["array", "bytes", "odd bytes", "strided"]), min_size=1, max_size=4),
)
def test_any_chunks_give_the_same_events(voice: Voice, cuts: list[int], kinds: list[str]) -> None:
    wave = (talk()[: 3 * 16_000] * 32_767).astype("<i2")
    whole, parts = (voice.stream(sample_rate=16_000, threshold=0.5) for _ in range(2))
    wanted = whole.feed(wave) + whole.flush()
    found, rest = [], b""
    for number, (begin, end) in enumerate(pairwise([0, *sorted(cuts), len(wave)])):
        kind, part = kinds[number % len(kinds)], wave[begin:end]
        if rest or kind.endswith("bytes"):
            data = rest + part.tobytes()
            keep = kind == "odd bytes" and len(data) > 1
            rest = data[-1:] if keep else b""
            found += parts.feed(data[: len(data) - len(rest)])
            if keep:  # the half of a sample goes with the next bytes, or by itself
                found += parts.feed(rest)
                rest = b""
        else:
            found += parts.feed(np.repeat(part, 2)[::2] if kind == "strided" else part)
    assert found + parts.flush() == wanted
    assert parts.scores == whole.scores


@settings(max_examples=amount(25, 600), **QUIET)
@given(
    chunks=st.lists(
        st.binary(max_size=200)
        | hnp.arrays(
            st.sampled_from(["f2", "f4", "f8", "i2", "i4", "u1", "?", "c8"]),
            hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=60),
        )
        | st.none()
        | st.text(max_size=3)
        | st.integers(),
        max_size=6,
    ),
    encoding=st.sampled_from(["pcm16", "float32"]),
    rate=RATES,
)
def test_any_chunk_is_heard_or_refused_and_leaves_nothing(
    voice: Voice, chunks: list[Any], encoding: str, rate: int
) -> None:
    """A stream that has refused some chunks hears what one hears that never met them."""
    stream, taken = voice.stream(sample_rate=rate, encoding=encoding, threshold=0.5), []
    found = []
    for chunk in chunks:
        try:
            found += stream.feed(chunk)
            taken.append(chunk)
        except AudioError as error:
            assert error.code in {"bad_type", "bad_shape", "bad_dtype", "not_finite"}
    other = voice.stream(sample_rate=rate, encoding=encoding, threshold=0.5)
    wanted = [event for chunk in taken for event in other.feed(chunk)]
    assert found + stream.flush() == wanted + other.flush()


# --- configurations -----------------------------------------------------------------------------------


@settings(max_examples=amount(12, 400), **QUIET)
@given(
    name=st.sampled_from(["TcySNN", "TcyCNN", "M5CNN", "ResMelSNN", "TempoSNN", "MicroCNN"]),
    network=st.fixed_dictionaries(
        {},
        optional={
            "num_steps": st.integers(-1, 4),
            "beta": st.floats(-0.5, 1.5) | st.floats(),
            "threshold": st.floats(-1, 2) | st.floats(),
            "encoding": st.sampled_from(["repeat", "rate", "latency", "frames", ""]),
            "reset": st.sampled_from(["subtract", "subtract-before-decay", "zero", ""]),
            "learn_beta": st.booleans() | st.none(),
            "num_classes": st.integers(0, 3) | st.none(),
        },
    ),
    features=st.fixed_dictionaries(
        {},
        optional={
            "kind": st.sampled_from(["waveform", "logmel", "mel"]),
            "num_samples": st.integers(0, 20_000),
            "feature_rate": st.sampled_from([0, 4_000, 8_000, 16_000]),
            "n_mels": st.integers(0, 80),
            "hop_length": st.integers(0, 400),
            "n_fft": st.integers(0, 600),
        },
    ),
    temperature=st.floats(-1, 10) | st.floats(),
)
def test_an_accepted_configuration_builds_and_answers(
    name: str, network: dict[str, Any], features: dict[str, Any], temperature: float
) -> None:
    made = getattr(sv, name)(2)
    config = {
        "architecture": name,
        "network": made.arguments() | network,
        "features": _told(made) | features,
        "labels": ["yes", "no"],
        "temperature": temperature,
        "library_name": "snn-voice-hub",
        "format_version": 3,
    }
    try:
        read = sv.VoiceConfig.from_dict(json.loads(json.dumps(config)))
        built = getattr(sv, name).from_config(read)
    except ConfigError as error:
        assert str(error).isprintable()
        return
    assert sv.VoiceConfig.from_dict(json.loads(read.to_json())) == read
    model = sv.SnnVoice(built, read.features, read.labels).eval()
    silence = np.zeros(read.features.num_samples, np.float32)
    answer = model.classify(silence, sample_rate=read.features.sample_rate)
    assert {one.label for one in answer} == {"yes", "no"}


def _told(network: Any) -> dict[str, Any]:
    config = sv.SnnVoice(network, network.default_features, ["yes", "no"]).config
    features: dict[str, Any] = json.loads(config.to_json())["features"]
    return features
