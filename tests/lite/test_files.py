"""Lite files: those that are bundled are up to date, and what is none is refused in one sentence."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from snn_voice_lite import CheckpointError, Voice, _version, list_models
from snn_voice_lite.facts import KEY, MADE_FROM, LiteConfig

import snn_voice_hub as sv
from snn_voice_hub.config import DetectionConfig
from snn_voice_hub.export.lite import source_of, told
from snn_voice_hub.hub.bundled import DEFAULT_MODEL
from snn_voice_hub.models.base import Network
from tests.places import ROOT

MODELS = ROOT / "lite" / "snn_voice_lite" / "models"


def test_which_are_bundled() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"^LITE_MODELS := (.*)$", makefile, re.MULTILINE)[0].split()
    assert list_models() == named
    assert named[0] == DEFAULT_MODEL


@pytest.mark.parametrize("name", list_models())
def test_they_are_those_of_the_bundled_checkpoints(name: str) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra export is not installed")
    voice = sv.SnnVoice.from_pretrained(name)
    assert isinstance(voice.network, Network)
    graph = onnx.load(MODELS / f"{name}.onnx")
    said = {prop.key: prop.value for prop in graph.metadata_props}
    assert said[MADE_FROM] == source_of(voice.network, voice.config), "make lite-models"
    assert {"labels", "sample_rate", "num_samples", "temperature", "license", "made_by"} <= said.keys()
    config = LiteConfig.read(said[KEY])
    # Versions come and go while the weights stay.
    assert re.fullmatch(r"snn-voice-hub \d+\.\d+\.\d+", config.made_by)
    assert config == dataclasses.replace(told(voice.network, voice.config), made_by=config.made_by)
    assert config.detection == voice.config.detection
    assert 0.5 < config.metrics["top1"] < 1
    assert Voice(name).labels == voice.labels
    assert Voice(name).sample_rate == voice.sample_rate


def test_other_weights_are_noticed() -> None:
    voice = sv.SnnVoice.from_pretrained("tempo-snn")
    assert isinstance(voice.network, Network)
    before = source_of(voice.network, voice.config)
    next(voice.network.parameters()).data.view(-1)[0] += 1
    assert source_of(voice.network, voice.config) != before


def test_versions_are_one() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert _version.__version__ == sv.__version__
    assert f"snn-voice-lite=={sv.__version__}" in wanted
    assert (ROOT / "lite" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_extras_of_one_name_bring_the_same() -> None:
    both = [
        tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"][
            "optional-dependencies"
        ]
        for folder in (ROOT, ROOT / "lite")
    ]
    assert {"listen", "wyoming"} <= both[1].keys()
    assert {name: both[0][name] for name in both[1]} == both[1]


def test_what_the_text_says_is_read_back() -> None:
    config = LiteConfig(
        kind="windows",
        labels=["yes", "_silence_"],
        sample_rate=8_000,
        num_samples=4_000,
        temperature=0.7,
        detection=DetectionConfig(thresholds={"yes": 0.6}),
        name="mine",
    )
    assert LiteConfig.read(config.text()) == config
    assert config.features.seconds == 0.5


def changed(**values: Any) -> str:
    text = {
        "format_version": 1,
        "kind": "windows",
        "labels": ["yes", "no"],
        "sample_rate": 16_000,
        "num_samples": 16_000,
        "temperature": 1.0,
        "detection": {},
    }
    return json.dumps({name: value for name, value in {**text, **values}.items() if value is not ...})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[1]", "a JSON object"),
        (changed(format_version=3), "later"),
        (changed(kind="waves"), "kind='waves'"),
        (changed(kind="frames"), "does not go with"),
        (changed(labels=[]), "labels is empty"),
        (changed(temperature=0), "temperature=0"),
        (changed(temperature=...), "temperature is missing"),
        (changed(detection={"thresholds": {"stop": 0.5}}), "detection.thresholds"),
        (changed(sample_rate=10), "sample_rate=10"),
        (changed(more=1), "unknown field more"),
    ],
)
def test_texts_that_are_not_legal(text: str, said: str) -> None:
    with pytest.raises(sv.ConfigError, match=re.escape(said)):
        LiteConfig.read(text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_steps": 51}, "a window has 50 steps"),
        ({"frames_per_step": 0}, "frames.frames_per_step=0"),
        ({"at_once": 1}, "frames.at_once=1"),
        ({"features": {}}, "frames.features.kind is missing"),
        ({"neurons": [{"name": "lif", "begin": 9_000, "end": 9_100, "threshold": 1.0}]}, "outside"),
    ],
)
def test_frames_that_are_not_legal(change: dict[str, Any], said: str) -> None:
    told = json.loads(Voice("tempo-snn").config.text())
    told["frames"] |= change
    with pytest.raises(sv.ConfigError, match=re.escape(said)):
        LiteConfig.read(json.dumps(told))
    told["frames"] = json.loads(Voice("tempo-snn").config.text())["frames"]
    for name, other in (("mel_scale", "slaney"), ("normalization", "clip"), ("n_mels", 0)):
        frames = told["frames"] | {"features": told["frames"]["features"] | {name: other}}
        with pytest.raises(sv.ConfigError, match=f"{name}="):
            LiteConfig.read(json.dumps(told | {"frames": frames}))


def cut(path: Path) -> None:
    path.write_bytes((MODELS / "tempo-snn.onnx").read_bytes()[:100_000])


def plain(path: Path) -> None:
    """The graph without what says what it is."""
    onnx = pytest.importorskip("onnx", reason="the extra export is not installed")
    graph = onnx.load(MODELS / "tempo-snn.onnx")
    del graph.metadata_props[:]
    onnx.save(graph, path)


def other(path: Path) -> None:
    """The facts of one model on the graph of the other."""
    onnx = pytest.importorskip("onnx", reason="the extra export is not installed")
    graph, facts = (onnx.load(MODELS / f"{name}.onnx") for name in ("tempo-snn", "resmel-snn"))
    del graph.metadata_props[:]
    graph.metadata_props.extend(facts.metadata_props)
    onnx.save(graph, path)


def no_text(path: Path) -> None:
    plain(path)
    path.write_bytes(path.read_bytes() + b"\x72\x09\x0a\x03key\x12\x02\xff\xfe")  # an entry of the metadata


def no_name(path: Path) -> None:
    path.write_bytes((MODELS / "tempo-snn.onnx").read_bytes().replace(b"next_state", b"next_st\xff\xfee"))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: None, "there is no model"),
        (lambda path: path.mkdir(), "is no lite file"),
        (lambda path: path.write_bytes(b""), "can't be read as an ONNX file"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "can't be read"),
        (cut, "can't be read as an ONNX file"),
        (plain, "no lite file"),
        (other, "does not fit"),
        (no_text, "can't be read as an ONNX file"),
        (no_name, "can't be read as an ONNX file"),
    ],
)
def test_files_that_are_none(write: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write(path)
    with pytest.raises(CheckpointError, match=re.escape(said)) as error:
        Voice(path)
    assert error.value.hint


@pytest.mark.parametrize("name", ["hjh", "m5-snn", "a/b", "", "\0", 7])
def test_names_that_are_none(name: Any) -> None:
    with pytest.raises(CheckpointError) as error:
        Voice(name)
    assert error.value.hint
