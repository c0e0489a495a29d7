"""What a configuration may say of a network whose time steps are those of the sound, and what others read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

import snn_voice_hub as sv
from snn_voice_hub.config import FRAMES_PER_STEP, SPEECH_COMMANDS, VoiceConfig
from snn_voice_hub.hub.bundled import bundled_root
from snn_voice_hub.hub.cards.page import make_card
from snn_voice_hub.hub.catalog import told_steps
from snn_voice_hub.hub.loading import Loading
from snn_voice_hub.hub.publish import pull_folder
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.registry import build_network
from tests.models.lively import BUNDLED, FRAMED, SNNS, lively

RATE = 16_000


def class_of(name: str) -> type[Framed]:
    found = getattr(sv, name)
    assert issubclass(found, Framed)
    return found


def voice_of(name: str, **arguments: Any) -> sv.SnnVoice:
    network = lively(name, num_classes=len(SPEECH_COMMANDS), **arguments)
    return sv.SnnVoice(network, labels=SPEECH_COMMANDS, name="follows", engine="torch").eval()


def config_of(name: str, **features: Any) -> VoiceConfig:
    network = class_of(name)(len(SPEECH_COMMANDS))
    return VoiceConfig(
        architecture=name,
        network=network.arguments(),
        features=dataclasses.replace(network.default_features, **features),
        labels=list(SPEECH_COMMANDS),
    )


# --- what is legal ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FRAMED)
@pytest.mark.parametrize(
    ("features", "field", "hint"),
    [
        ({"kind": "waveform"}, "kind='waveform'", "'logmel'"),
        ({"n_mels": 64}, "n_mels=64", "takes 40"),
        ({"n_mels": 39}, "n_mels=39", "[40, 1]"),
        ({"normalization": "clip"}, "normalization='clip'", "takes 'fixed': a frame is heard before"),
        ({"normalization": "batch"}, "normalization='batch'", "takes 'fixed'"),
        ({"feature_rate": 8_000}, "feature_rate=8000", "takes 16000"),
    ],
)
def test_a_front_end_that_does_not_go_frame_by_frame(
    name: str, features: dict[str, Any], field: str, hint: str
) -> None:
    config = config_of(name, **features)
    with pytest.raises(sv.ConfigError, match=f"features.{field} is not legal") as caught:
        build_network(config)
    assert hint in str(caught.value.hint)
    with pytest.raises(sv.ConfigError, match=f"features.{field} is not legal"):
        sv.SnnVoice(class_of(name)(len(SPEECH_COMMANDS)), config.features, SPEECH_COMMANDS)


def test_a_window_without_a_whole_step() -> None:
    for name in FRAMED:
        shortest = config_of(name, num_samples=300)  # two frames, of which the first is the clip's lead
        if class_of(name).frames_per_step == 1:
            build_network(dataclasses.replace(shortest, network={**shortest.network, "num_steps": 1}))
            continue
        with pytest.raises(sv.ConfigError, match=r"features\.num_samples=300 is not legal") as caught:
            build_network(shortest)
        assert "takes 3 at least" in str(caught.value.hint)


@pytest.mark.parametrize("name", FRAMED)
def test_an_answer_has_no_more_outputs_than_a_window_has_steps(name: str) -> None:
    config = config_of(name)
    steps = 100 // class_of(name).frames_per_step
    for num_steps in (1, steps):
        network = {**config.network, "num_steps": num_steps}
        assert build_network(dataclasses.replace(config, network=network)).num_steps == num_steps
    too_many = dataclasses.replace(config, network={**config.network, "num_steps": steps + 1})
    with pytest.raises(
        sv.ConfigError, match=rf"num_steps={steps + 1} .* a window of 1 s has {steps} time"
    ) as caught:
        build_network(too_many)
    assert f"1 to {steps}" in str(caught.value.hint)
    longer = dataclasses.replace(too_many.features, num_samples=2 * RATE)
    assert build_network(dataclasses.replace(too_many, features=longer)).num_steps == steps + 1


@pytest.mark.parametrize("name", FRAMED)
def test_a_long_window_is_heard_once(name: str) -> None:
    """Repeated in as many steps it would not fit into the memory of a machine."""
    config = config_of(name, num_samples=20 * RATE)
    long = dataclasses.replace(config, network={**config.network, "num_steps": 900})
    assert build_network(long).num_steps == 900


@pytest.mark.parametrize("shape", [(1, 1, 39, 101), (1, 1, 41, 101), (1, 1, 40, 1)])
def test_features_of_a_wrong_shape_are_an_error(shape: tuple[int, ...]) -> None:
    for name in FRAMED:
        with pytest.raises(sv.ConfigError, match="got features of shape"):
            class_of(name)(2).eval()(torch.zeros(shape))


# --- loading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FRAMED)
def test_fewer_outputs_can_be_asked_for(name: str, tmp_path: Path) -> None:
    voice = voice_of(name)
    voice.save_pretrained(tmp_path)
    waves = 0.1 * torch.randn(3, RATE, generator=torch.Generator().manual_seed(1))
    usual = sv.SnnVoice.from_pretrained(tmp_path, engine="torch")
    assert usual.config == dataclasses.replace(voice.config, network=usual.config.network)
    found = sv.SnnVoice.from_pretrained(tmp_path, num_steps=10, engine="torch")
    assert found.config.network["num_steps"] == 10
    network: Any = usual.network
    with torch.inference_mode():
        torch.testing.assert_close(usual(waves), voice(waves))
        outputs = network.forward_steps(usual.features(waves))
        # An output is a part of a mean over so many as an answer has.
        torch.testing.assert_close(found(waves), outputs[-10:].sum(0) * network.num_steps / 10)
    found.save_pretrained(tmp_path / "fewer")
    assert sv.SnnVoice.from_pretrained(tmp_path / "fewer").config == found.config
    assert class_of(name).from_pretrained(tmp_path, num_steps=10).num_steps == 10
    more = 100 // class_of(name).frames_per_step + 1
    with pytest.raises(sv.ConfigError, match=f"num_steps={more} is not legal"):
        sv.SnnVoice.from_pretrained(tmp_path, num_steps=more)
    with pytest.raises(sv.ConfigError, match="num_steps=0 is not legal"):
        sv.SnnVoice.from_pretrained(tmp_path, num_steps=0)
    with pytest.raises(sv.ConfigError, match=r"has the num_steps of its config\.json"):
        pull_folder(str(tmp_path), tmp_path / "copy", Loading(num_steps=10))
    assert not (tmp_path / "copy").exists()


def test_a_network_that_repeats_a_window_keeps_its_steps() -> None:
    with pytest.raises(sv.ConfigError, match="networks whose time steps are those of the sound") as caught:
        sv.SnnVoice.from_pretrained("m5-snn", num_steps=3)
    assert str(bundled_root() / "m5-snn") in str(caught.value.hint)


# --- what is told -------------------------------------------------------------------------------------


def test_a_configuration_tells_its_kind() -> None:
    for name in BUNDLED:
        cls: Any = getattr(sv, name)
        config = VoiceConfig(
            architecture=name,
            network=cls(2).arguments(),
            features=cls.default_features,
            labels=["a", "b"],
        )
        assert config.is_spiking == (name in SNNS)
        assert config.is_framed == (name in FRAMED)
        assert config.step_seconds == (cls.frames_per_step / 100 if name in FRAMED else None)
    assert set(FRAMES_PER_STEP) == set(FRAMED)
    assert all(class_of(name).frames_per_step == frames for name, frames in FRAMES_PER_STEP.items())


@pytest.mark.parametrize("name", FRAMED)
def test_the_card_tells_what_a_step_is(name: str) -> None:
    config = voice_of(name).config
    text = make_card(config).text
    steps, frames = config.network["num_steps"], FRAMES_PER_STEP[name]
    assert "time steps that are the sound's own" in text
    assert f"each hears the next {10 * frames} ms of sound, once" in text
    assert f"An answer is the sum of the newest {steps} outputs, 1 s of sound." in text
    assert "T = " not in text
    spiking = name in SNNS
    assert ("A spiking neural network" in text) == spiking
    assert ("Leaky integrate-and-fire" in text) == spiking
    assert ("- Input: each step hears the next frames of the sound, once." in text) == spiking
    assert ("neuromorphic" in make_card(config).data.tags) == spiking


def test_the_card_of_another_package_does_not_guess() -> None:
    config = dataclasses.replace(voice_of("TempoSNN").config, architecture="Follower")
    text = make_card(config).text
    assert "each hears the next sound, once" in text
    assert "An answer is the sum of the newest 50 outputs." in text


def test_tables_tell_how_long_a_step_is() -> None:
    assert told_steps(None, None) == "-"
    assert told_steps(4, None) == "4"
    assert told_steps(50, 0.02) == "50 of 20 ms"
