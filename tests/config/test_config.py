"""`config.json`: strict, complete, and back again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import snn_voice_hub as sv
from snn_voice_hub.config import FORMAT_VERSION


def good(**changes: Any) -> dict[str, Any]:
    config = sv.VoiceConfig(
        architecture="M5SNN",
        network={"num_classes": 2, "num_steps": 3},
        features=sv.FeatureConfig(kind="waveform"),
        labels=["yes", "no"],
    )
    return config.to_dict() | changes


def test_there_and_back(tmp_path: Path) -> None:
    config = sv.VoiceConfig.from_dict(good(temperature=2, metrics={"test": {"top1": 0.5}}))
    assert config.temperature == 2.0
    config.save(tmp_path / "config.json")
    assert sv.VoiceConfig.load(tmp_path / "config.json") == config


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "does not hold a JSON object"),
        ({}, "no library_name"),
        (good(library_name="transformers"), "library_name is 'transformers'"),
        (good(format_version=FORMAT_VERSION + 1), "reads up to"),
        (good(format_version="1"), "format_version='1'"),
        (good(labls=["a"]), r"unknown field labls \(legal fields: .*labels"),
        (good(features={"kind": "mfcc"}), "features.kind='mfcc'"),
        (good(features={"kind": "waveform", "hop": 3}), "unknown field features.hop"),
        (good(features={}), "field features.kind is missing"),
        (good(features=None), "features is None"),
        (good(features={"kind": "logmel", "win_length": 900}), "features.win_length=900"),
        (good(features={"kind": "logmel", "f_max": 9000.0}), "features.f_max=9000.0"),
        (good(features={"kind": "logmel", "waveform_std": 0}), "features.waveform_std=0.0"),
        (good(features={"kind": "logmel", "n_mels": True}), "features.n_mels=True"),
        (good(labels=[]), "labels is empty"),
        (good(labels=["yes", "yes"]), "labels holds 'yes' twice"),
        (good(labels=["yes", 3]), r"labels\[1\]=3"),
        (good(labels="yes"), "labels='yes'"),
        (good(labels=["yes"]), "labels has 1 entries, network.num_classes is 2"),
        (good(temperature=0), "temperature=0.0"),
        (good(temperature="hot"), "temperature='hot'"),
        ({k: v for k, v in good().items() if k != "labels"}, "field labels is missing"),
    ],
)
def test_what_is_wrong_is_named(data: object, message: str) -> None:
    with pytest.raises(sv.ConfigError, match=message):
        sv.VoiceConfig.from_dict(data)


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for text in ("{", '"\\ud800"x'):
        path.write_text(text)
        with pytest.raises(sv.ConfigError, match="is not valid JSON"):
            sv.VoiceConfig.load(path)
    path.write_text(json.dumps(good(labls=1)))
    with pytest.raises(sv.ConfigError, match=r"config\.json: unknown field labls"):
        sv.VoiceConfig.load(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([f.name for f in dataclasses.fields(sv.VoiceConfig)]), json_values)
def test_any_value_of_a_field_is_read_or_refused(field: str, value: object) -> None:
    try:
        config = sv.VoiceConfig.from_dict(good(**{field: value}))
    except sv.ConfigError as error:
        assert str(error)
    else:
        assert sv.VoiceConfig.from_dict(config.to_dict()) == config


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([f.name for f in dataclasses.fields(sv.FeatureConfig)]), json_values)
def test_any_value_of_a_feature_field_is_read_or_refused(field: str, value: object) -> None:
    features = good()["features"] | {field: value}
    try:
        config = sv.VoiceConfig.from_dict(good(features=features))
    except sv.ConfigError as error:
        assert field in str(error) or "features" in str(error)
    else:
        assert isinstance(config.features, sv.FeatureConfig)


@settings(max_examples=50, deadline=None)
@given(
    steps=st.integers(1, 40),
    beta=st.floats(0, 1),
    threshold=st.floats(0.01, 10),
    learn=st.tuples(st.booleans(), st.booleans()),
    encoding=st.sampled_from(["repeat", "rate", "latency"]),
    reset=st.sampled_from(["subtract", "subtract-before-decay"]),
    count=st.integers(1, 50),
)
def test_a_networks_arguments_come_back(
    steps: int, beta: float, threshold: float, learn: tuple[bool, bool], encoding: str, reset: str, count: int
) -> None:
    network = sv.M5SNN(
        count,
        num_steps=steps,
        beta=beta,
        learn_beta=learn[0],
        threshold=threshold,
        learn_threshold=learn[1],
        encoding=encoding,
        reset=reset,
    )
    again = sv.M5SNN(**json.loads(json.dumps(network.arguments())))
    assert again.arguments() == network.arguments()
    assert (again.num_steps, again.beta, again.threshold) == (steps, beta, threshold)
    assert list(dict(again.named_parameters())) == list(dict(network.named_parameters()))
