"""What a configuration may ask for: bad values are refused by the field's name, before anything is built."""

from __future__ import annotations

import copy
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from snn_voice_lite.config.values import MAX_DEPTH

import snn_voice_hub as sv
from snn_voice_hub.config import MAX_CLASSES, MAX_STEPS
from snn_voice_hub.features import Features
from snn_voice_hub.hub.cards.page import make_card
from snn_voice_hub.training.fitting.recipe import Recipe, read_recipe

NESTED: Any = 1
for _ in range(200):
    NESTED = {"a": [NESTED]}
BAD: list[Any] = [
    *(None, True, False, 0, -1, 1, 3, 1.5, 10**9, 10**19, -(10**19), 10**400, 1e308, -1e308, 1e-308),
    *(math.nan, math.inf, -math.inf, "", "x", "\ud800", "\x1b[31m", "9" * 5000, "a" * 100_000),
    *([], {}, [1], ["a"], [[]], {"a": 1}, [{"a": 1}], [math.nan], {"a": -math.inf}, {"\ud800": 1}, NESTED),
]


# Where a legal value changes what is computed.
COMPUTED = ("architecture", "network", "features", "labels", "temperature", "dtype", "extra")


def checkpoint(folder: Path, network: sv.models.Network, labels: list[str]) -> dict[str, Any]:
    sv.SnnVoice(network, labels=labels).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    assert isinstance(config, dict)
    return config | {"data": [{"name": "clips"}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bounds")
    config = checkpoint(path, sv.TcySNN(3, num_steps=2), ["yes", "no", "up"])
    (path / "good.json").write_text(json.dumps(config))
    return path


def paths() -> Iterator[tuple[str | int, ...]]:
    good = sv.SnnVoice(sv.TcySNN(2), labels=["a", "b"]).config.to_dict()
    for name, value in good.items():
        yield (name,)
        if name in ("features", "network"):
            yield from ((name, inner) for inner in value)
            yield name, "extra"
    yield from (("extra",), ("labels", 0), ("data", 0), ("data", 0, "name"), ("training", "before"))
    yield from (("training", "start"), ("training", "thresholds"), ("training", "description"))
    yield from (("metrics", name) for name in ("test", "energy", "parameters"))
    yield from (("metrics", "test", name) for name in ("top1", "clips", "robustness", "false_alarms"))
    yield from (("metrics", "energy", name) for name in ("model", "twin", "macs"))


@pytest.mark.parametrize("path", list(paths()), ids=lambda path: ".".join(map(str, path)))
def test_a_bad_value_is_refused_by_its_name(folder: Path, path: tuple[str | int, ...]) -> None:
    """Or it is a legal one, and then all that follows works with it."""
    good = json.loads((folder / "good.json").read_text())
    clip = np.zeros(16_000, np.float32)
    *outer, last = path
    refused = 0
    for value in BAD:
        config = copy.deepcopy(good)
        inside = config
        for part in outer:
            inside = inside.setdefault(part, {}) if isinstance(inside, dict) else inside[part]
        inside[last] = value
        text = json.dumps(config)
        try:
            (folder / "config.json").write_text(text)
            read = sv.VoiceConfig.load(folder / "config.json")
            if path[0] in COMPUTED:
                model = sv.SnnVoice.from_pretrained(folder, engine="torch")
                model.classify(clip, sample_rate=16_000)
        except (sv.ConfigError, sv.CheckpointError) as error:
            refused += 1
            names = [str(part) for part in path if isinstance(part, str)]
            assert any(name in error.message for name in names[-2:]), (value, str(error))
            assert str(error).isprintable()
            assert len(str(error)) < 2000
        else:
            make_card(read)
            read.to_json().encode()
    assert refused > 5


# What is legal value by value, and too much together; (field, changes).
TOO_MUCH = [
    ("feature_rate", {"feature_rate": 15_999}),
    ("feature_rate", {"sample_rate": 44_100, "feature_rate": 16_001}),
    ("feature_rate", {"sample_rate": 191_999, "feature_rate": 191_998, "num_samples": 16_000}),
    ("num_samples", {"num_samples": 10**9}),
    ("n_fft", {"kind": "logmel", "n_fft": 10**9}),
    ("n_mels", {"kind": "logmel", "n_mels": 10**9}),
    ("n_mels", {"kind": "logmel", "n_fft": 30_000, "n_mels": 1_000, "num_samples": 80_000}),
    ("hop_length", {"kind": "logmel", "hop_length": 1, "num_samples": 400_000, "n_mels": 2}),
    ("num_samples", {"kind": "logmel", "hop_length": 1, "num_samples": 160_000, "n_fft": 60}),
    ("num_samples", {"sample_rate": 4_000, "feature_rate": 192_000, "num_samples": 2**20}),
    ("n_fft", {"kind": "logmel", "num_samples": 400}),
    ("f_min", {"kind": "logmel", "f_min": 8_001.0}),
    ("f_min", {"kind": "logmel", "f_min": 1e9}),
    ("mel_rate", {"kind": "logmel", "mel_rate": 10**9}),
]


@pytest.mark.parametrize(("field", "changes"), TOO_MUCH)
def test_features_that_ask_for_too_much_are_refused(field: str, changes: dict[str, Any]) -> None:
    """In Python as in a file, and in a recipe."""
    given = {"kind": "waveform"} | changes
    with pytest.raises(sv.ConfigError, match=rf"features\.{field}="):
        sv.FeatureConfig(**given)
    with pytest.raises(sv.ConfigError, match=rf"features\.{field}="):
        Recipe.from_dict({"architecture": "M5SNN", "features": given})
    with pytest.raises(sv.ConfigError, match=rf"features\.{field}="):
        sv.SnnVoice(sv.M5SNN(2), given, ["a", "b"])


@pytest.mark.parametrize(
    "given",
    [
        {"sample_rate": 44_100, "num_samples": 44_100, "feature_rate": 16_000},
        {"sample_rate": 48_000, "num_samples": 48_000, "feature_rate": 22_050},
        {"sample_rate": 11_025, "num_samples": 11_025, "feature_rate": 16_000},
        {"sample_rate": 96_000, "num_samples": 960_000, "feature_rate": 48_000},
        {"kind": "logmel", "num_samples": 960_000, "feature_rate": 16_000, "n_fft": 512, "hop_length": 160},
        {"kind": "logmel", "sample_rate": 48_000, "num_samples": 480_000, "feature_rate": 48_000}
        | {"n_fft": 2048, "win_length": 1200, "hop_length": 480, "n_mels": 128, "mel_rate": 48_000},
        {"kind": "logmel", "n_fft": 1, "win_length": 1, "n_mels": 1, "hop_length": 16_000},
    ],
)
def test_there_is_room_for_real_use(given: dict[str, Any]) -> None:
    sv.FeatureConfig(**({"kind": "waveform"} | given))


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["waveform", "logmel"]),
    rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100]),
    to=st.sampled_from([4_000, 8_000, 11_025, 16_000]),
    num_samples=st.integers(1_000, 9_000),
    n_fft=st.integers(1, 200),
    hop_length=st.integers(1, 300),
)
def test_sizes_are_those_that_come_about(
    kind: str, rate: int, to: int, num_samples: int, n_fft: int, hop_length: int
) -> None:
    config = sv.FeatureConfig(
        kind=kind,
        sample_rate=rate,
        num_samples=num_samples,
        feature_rate=to,
        normalization="clip",
        n_fft=n_fft,
        win_length=n_fft,
        hop_length=hop_length,
        n_mels=3,
    )
    front_end = Features(config)
    assert tuple(front_end(torch.zeros(1, num_samples)).shape[2:]) == config.shape
    if rate != to:
        assert isinstance(front_end.resample, torchaudio.transforms.Resample)
        assert front_end.resample.kernel.numel() == config._kernel


@pytest.mark.parametrize("num_steps", [0, MAX_STEPS + 1, 10**9, 10**30, True, 1.0, "5", None])
def test_steps_have_bounds_everywhere(num_steps: Any, tmp_path: Path) -> None:
    with pytest.raises(sv.ConfigError, match="num_steps="):
        sv.TcySNN(2, num_steps=num_steps)
    config = checkpoint(tmp_path, sv.TcySNN(2), ["a", "b"])
    config["network"]["num_steps"] = num_steps
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(sv.ConfigError, match="num_steps="):
        sv.TcySNN.from_pretrained(tmp_path)


def test_steps_and_features_have_a_bound_together() -> None:
    features = sv.FeatureConfig(kind="waveform", num_samples=160_000, feature_rate=16_000)
    with pytest.raises(sv.ConfigError, match=r"network\.num_steps=100 is not legal \(at most 52"):
        sv.SnnVoice(sv.M5SNN(2, num_steps=100), features, ["a", "b"])
    assert sv.SnnVoice(sv.M5SNN(2, num_steps=50), features, ["a", "b"]).config.features == features


def test_classes_have_a_bound(folder: Path) -> None:
    with pytest.raises(sv.ConfigError, match="num_classes=1000000000"):
        sv.M5CNN(10**9)
    for count in (MAX_CLASSES, 100_000):
        config = json.loads((folder / "good.json").read_text())
        config["labels"] = [f"word{i}" for i in range(count)]
        config["network"]["num_classes"] = count
        (folder / "config.json").write_text(json.dumps(config))
        error = sv.CheckpointError if count == MAX_CLASSES else sv.ConfigError
        with pytest.raises(error, match="fc" if count == MAX_CLASSES else "labels has 100,000 entries"):
            sv.SnnVoice.from_pretrained(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b"[" * 3_000_000, "nested too deeply"),
        (b'{"a": "' + b"x" * (5 << 20) + b'"}', "longer than 4 MiB"),
        (b'{"labels": 1, "labels": 2}', "'labels' twice"),
        (b'{"labels": ' + b"1" * 5_000 + b"}", "no library_name"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"\x80", "not valid JSON"),
        (b"", "not valid JSON"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(sv.ConfigError, match=message) as caught:
        sv.VoiceConfig.load(path)
    assert str(path) in str(caught.value)


def test_the_number_of_tensors_has_a_bound(tmp_path: Path) -> None:
    checkpoint(tmp_path, sv.TcySNN(2), ["a", "b"])
    nothing = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{i}": nothing for i in range(70_000)}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(sv.CheckpointError, match="bytes of names and shapes of tensors"):
        sv.SnnVoice.from_pretrained(tmp_path)


def test_depth_has_a_bound_in_python_as_well() -> None:
    good = sv.SnnVoice(sv.TcySNN(2), labels=["a", "b"]).config.to_dict()
    inside: Any = 1
    for _ in range(MAX_DEPTH - 1):
        inside = [inside]
    assert sv.VoiceConfig.from_dict(good | {"metrics": {"deep": inside[0]}})
    with pytest.raises(sv.ConfigError, match=r"metrics\.deep.* is nested too deeply"):
        sv.VoiceConfig.from_dict(good | {"metrics": {"deep": [inside]}})
    with pytest.raises(sv.ConfigError, match=r"training\.lr=nan"):
        sv.VoiceConfig.from_dict(good | {"training": {"lr": math.nan}})


def test_what_became_bad_later_is_not_written(tmp_path: Path) -> None:
    model = sv.SnnVoice(sv.TcySNN(2), labels=["a", "b"])
    model.config.metrics["test"] = {"top1": math.nan}
    with pytest.raises(sv.ConfigError, match=r"metrics\.test\.top1=nan"):
        model.save_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"kind": "logmel"}, r"features\.kind='logmel' is not legal \(M5SNN takes 'waveform'"),
        ({"kind": "waveform", "num_samples": 4_000}, r"features\.num_samples=4000"),
    ],
)
def test_a_front_end_that_the_network_cant_take_is_refused(features: dict[str, Any], message: str) -> None:
    config = sv.VoiceConfig(
        architecture="M5SNN",
        network=sv.M5SNN(2).arguments(),
        features=sv.FeatureConfig(**features),
        labels=["a", "b"],
    )
    with pytest.raises(sv.ConfigError, match=message):
        sv.M5SNN.from_config(config)


@pytest.mark.parametrize(
    "text",
    [
        "batch_size: 1000000000",
        "epochs: " + "9" * 5_000,
        "lr: .inf",
        "network: {num_steps: 2020-01-01}",
        "network: {beta: .nan}",
        "description: [1]",
        "features: {kind: waveform, feature_rate: 15999}",
        "x: &a [*a]",
    ],
)
def test_a_bad_recipe_is_refused_by_its_field(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    front_end = "" if text.startswith("features") else "features: {kind: waveform}\n"
    path.write_text(f"architecture: M5SNN\n{front_end}{text}\n")
    with pytest.raises(sv.ConfigError, match=r"recipe\.yaml: ") as caught:
        read_recipe(path)
    field = text.partition(":")[0]
    assert field in str(caught.value) or "not valid YAML" in str(caught.value)
