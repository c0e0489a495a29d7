"""Lightning checkpoints of the paper's code: all nine networks, from file to answer."""

from __future__ import annotations

import dataclasses
import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

import snn_voice_hub as sv
from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.features import Features
from snn_voice_hub.hub.legacy.conversion import convert_lightning
from snn_voice_hub.hub.legacy.lightning import read_lightning
from snn_voice_hub.hub.legacy.stand_ins import STORAGES
from snn_voice_hub.hub.paper import LAYOUTS
from tests.hub.legacy.helpers import equal, fails
from tests.hub.legacy.writer import (
    ARCHITECTURES,
    REPLICA,
    hyper_parameters,
    network,
    original_state,
    save,
    write,
)
from tests.slowness import mostly_slow

SMALL = [name for name in ARCHITECTURES if not name.startswith("Piczak")]
SPIKING = [name for name in SMALL if name.endswith("SNN") or name.endswith("SCNN")]
STEPS = (1, 5, 15, 30)
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in SMALL if name not in SPIKING),
    *(
        (name, {"num_steps": steps, "learn_beta": learn})
        for name in SPIKING
        for steps in STEPS
        for learn in (False, True)
    ),
    *((name, {"num_steps": 2, "learn_beta": True, "learn_threshold": True}) for name in SPIKING),
    *((name, {"num_steps": 2, "learn_threshold": True, "beta": 0.9}) for name in SPIKING),
    ("PiczakCNN", {}),
    ("PiczakSNN", {"num_steps": 15, "learn_beta": True}),
]
# HJH and Piczak are large.
QUICK = [
    (name, given)
    for name, given in CASES
    if name.startswith(("M5", "Tcy")) or given == {"num_steps": 1, "learn_beta": False}
]


def test_the_known_layouts_are_those_of_the_networks() -> None:
    assert len(LAYOUTS) == 9
    for layout in LAYOUTS:
        with torch.device("meta"):
            state = getattr(sv, layout.architecture)(num_classes=7).state_dict()
        shapes = {key: tuple(7 if size == -1 else size for size in s) for key, s in layout.shapes.items()}
        assert shapes == {key: tuple(value.shape) for key, value in state.items()}


@pytest.mark.parametrize(
    ("name", "arguments"),
    mostly_slow(CASES, *QUICK),
    ids=["-".join(map(str, (n, *a.values()))) for n, a in CASES],
)
def test_every_network_from_file_to_answer(name: str, arguments: dict[str, Any], tmp_path: Path) -> None:
    made = network(name, **arguments)
    small = not name.startswith("Piczak")
    path = write(made, tmp_path / "epoch=1-step=6.ckpt", moments=small)
    config, weights = read_lightning(path)
    assert config.architecture == name
    assert config.network == made.arguments()
    assert equal(weights, made.state_dict())
    assert config.labels == list(sv.config.SPEECH_COMMANDS)
    assert config.features.kind == ("waveform" if name.startswith("M5") else "logmel")
    assert config.features.normalization == "fixed"
    assert (config.license, config.metrics, config.temperature) == ("MIT", {}, 1.0)
    assert "Warden" in config.data[0]["attribution"]
    out = convert_lightning(path, tmp_path / "out")
    assert sorted(p.name for p in out.iterdir()) == ["config.json", "model.safetensors"]
    voice = sv.SnnVoice.from_pretrained(out)
    assert voice.config == config
    assert equal(dict(voice.network.state_dict()), dict(made.state_dict()))
    waves = 0.08 * torch.randn(2, 16_000)
    with torch.inference_mode():
        wanted = made(Features(config.features)(waves))
        got = voice(waves)  # by an engine, whose sums may be in another order
        assert (got - wanted).abs().max() <= 1e-4 * wanted.abs().max()
        assert torch.equal(type(made).from_pretrained(out)(Features(config.features)(waves)), wanted)


def test_the_configuration_says_what_the_file_says_and_no_more(tmp_path: Path) -> None:
    made = network("M5SNN", num_steps=5)
    path = write(made, tmp_path / "home" / "somebody" / "epoch=1-step=6.ckpt")
    config, _ = read_lightning(path)
    assert config.training == {
        "file": "epoch=1-step=6.ckpt",
        "lightning_version": "1.8.6",
        "epoch": 1,
        "global_step": 6,
        "lr": 0.01,
        "weight_decay": 1e-4,
        "pct_start": 0.2,
        "final_div_factor": 1e5,
    }
    assert (config.name, config.description.split(",")[0]) == (
        "m5-snn-t5",
        "The paper's spiking M5 on the 4 kHz waveform",
    )
    assert "somebody" not in str(config)  # a path of the machine that converted it
    odd = {"lr": float("nan"), "one_cycle_kwargs": {"pct_start": "\ud800", "final_div_factor": [1]}}
    changes = {"epoch": [1] * 9, "global_step": 10**5000, "optimizer_states": [], "hyper_parameters": odd}
    config, _ = read_lightning(write(made, path, changes=changes), num_steps=5)
    assert config.training == {"file": "epoch=1-step=6.ckpt", "lightning_version": "1.8.6"}


def test_the_format_before_zip(tmp_path: Path) -> None:
    made = network("HjhSNN", num_steps=5, learn_beta=True)
    config, weights = read_lightning(write(made, tmp_path / "x.ckpt", zipped=False))
    assert config.network == made.arguments()
    assert equal(weights, made.state_dict())


@pytest.mark.parametrize("number", [1, 2, 10])
def test_other_numbers_of_classes(number: int, tmp_path: Path) -> None:
    made = network("TcySNN", num_classes=number)
    config, weights = read_lightning(write(made, tmp_path / "x.ckpt"))
    assert config.labels == [f"class_{i}" for i in range(number)]
    assert equal(weights, made.state_dict())


@pytest.mark.filterwarnings("ignore:.*stays silent")
@pytest.mark.parametrize("encoding", REPLICA)
def test_the_encoding_is_the_name_of_a_function(encoding: str, tmp_path: Path) -> None:
    config, _ = read_lightning(write(network("TcySNN", encoding=encoding), tmp_path / "x.ckpt"))
    assert config.network["encoding"] == encoding


# --- without hyper-parameters ---------------------------------------------------------------------


@pytest.mark.parametrize("learn_threshold", [False, True])
@pytest.mark.parametrize("learn_beta", [False, True])
@pytest.mark.parametrize("name", SPIKING)
def test_the_state_dict_alone(name: str, learn_beta: bool, learn_threshold: bool, tmp_path: Path) -> None:
    made = network(name, learn_beta=learn_beta, learn_threshold=learn_threshold, num_steps=7)
    path = write(made, tmp_path / "x.ckpt", changes={"hyper_parameters": None})
    error = fails(path, "not its number of time steps.*num_steps=")
    assert error.code == "needs_num_steps"
    config, weights = read_lightning(path, num_steps=7)
    assert config.network == made.arguments()
    assert equal(weights, made.state_dict())
    # And a file that holds nothing else.
    bare = save(original_state(made), tmp_path / "bare.ckpt", location="cuda:2")
    again, weights = read_lightning(bare, num_steps=7)
    assert again.network == config.network
    assert equal(weights, made.state_dict())


def test_beta_that_training_left_equal_everywhere_is_known_by_its_place(tmp_path: Path) -> None:
    made = network("HjhSNN", learn_beta=True)
    with torch.no_grad():
        for key, value in made.state_dict().items():
            if key.endswith("beta"):
                value.fill_(0.5)
    path = write(made, tmp_path / "x.ckpt", changes={"hyper_parameters": None})
    assert read_lightning(path, num_steps=5)[0].network["learn_beta"] is True


@pytest.mark.parametrize(
    ("origin", "steps"),
    [
        ("multirun/2023/m5_snn/++model.snn.learn_beta=False,++model.snn.n_steps=15/version_0/x.ckpt", 15),
        ("m5_snn/n_steps=30/x.ckpt", 30),
        ("n_steps=1/n_steps=5/x.ckpt", 5),
    ],
)
def test_steps_from_the_path(origin: str, steps: int, tmp_path: Path) -> None:
    made = network("TcySNN")
    path = write(made, tmp_path / "x.ckpt", changes={"hyper_parameters": None})
    assert read_lightning(path, origin=origin)[0].network["num_steps"] == steps
    assert read_lightning(path, origin=origin, num_steps=2)[0].network["num_steps"] == 2
    inside = write(made, tmp_path / origin, changes={"hyper_parameters": {}})
    assert read_lightning(inside)[0].network["num_steps"] == steps
    named = "time_step_replica=rate,n_steps=0,n_steps=99999/x.ckpt"
    fails(path, "not its number of time steps", origin=named)
    assert read_lightning(path, origin=named, num_steps=5)[0].network["encoding"] == "rate"


def test_the_papers_piczak_has_15_steps(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = save(original_state(network("PiczakSNN")), tmp_path / "x.ckpt")
    with caplog.at_level(logging.WARNING):
        config, _ = read_lightning(path)
    assert config.network["num_steps"] == 15
    assert "does not say its number of time steps; taking 15" in caplog.text


# --- wrong state dicts ----------------------------------------------------------------------------


def changed(made: sv.Network, **changes: Any) -> dict[str, Any]:
    """The state dict with other entries; None leaves one out. `__` stands for a dot."""
    named = {key.replace("__", "."): value for key, value in changes.items()}
    state = dict(original_state(made)) | named
    return {"state_dict": OrderedDict((key, value) for key, value in state.items() if value is not None)}


@pytest.mark.parametrize(
    ("name", "changes", "match"),
    [
        ("M5SNN", {"snn__2__bn__bias": None}, r"M5SNN lacks snn\.2\.bn\.bias"),
        ("M5SNN", {"snn__2__lif__beta": None}, r"M5SNN lacks snn\.2\.lif\.beta"),
        ("M5SNN", {"snn__4__conv__bias": torch.ones(1)}, r"unknown entry snn\.4\.conv\.bias"),
        ("HjhSCNN", {"snn__1__lif__beta": torch.ones(())}, r"unknown entry snn\.1\.lif\.beta"),
        ("TcyCNN", {"criterion__weight": torch.ones(35)}, r"unknown entry criterion\.weight"),
        ("M5CNN", {"cnn__0__conv__weight": torch.ones(128, 1, 64)}, r"conv\.weight has shape \[128, 1, 64\]"),
        ("M5CNN", {"fc__weight": torch.ones(35, 256)}, r"\[35, 256\], a M5CNN wants \[35, 512\]"),
        ("TcyCNN", {"fc__bias": torch.ones(36)}, r"fc\.weight has .*\[35, 100\], a TcyCNN wants \[36, 100\]"),
        ("TcyCNN", {"fc__bias": torch.ones(35, 1)}, r"fc\.bias has shape \[35, 1\]"),
        ("TcyCNN", {"fc__bias": torch.ones(0), "fc__weight": torch.ones(0, 100)}, r"fc\.bias has .*\[0\]"),
        ("TcyCNN", {"fc__bias": torch.ones(1).expand(10**9)}, r"a TcyCNN wants \[1000000000, 100\]"),
        ("TcySNN", {"snn__0__beta": torch.ones(3)}, r"snn\.0\.beta has shape \[3\], a TcySNN wants \[\]"),
        ("TcySNN", {"snn__0__beta": torch.tensor(float("nan"))}, "the beta of a layer is nan"),
        ("TcySNN", {"snn__0__threshold": torch.tensor(-1.0)}, "the threshold of a layer is -1"),
        ("TcySNN", {"snn__0__reset_mechanism_val": torch.tensor(1)}, "reset_mechanism_val is 1, .* has 0"),
        ("TcySNN", {"snn__0__graded_spikes_factor": torch.tensor(2.0)}, "graded_spikes_factor is 2"),
        ("TcySNN", {"snn__0__graded_spikes_factor": torch.ones(9)}, "graded_spikes_factor is nan"),
        ("TcyCNN", {"fc__bias": [1.0] * 35}, r"the entry 'fc\.bias' of its state dict is no tensor"),
    ],
)  # fmt: skip
def test_wrong_state_dicts_are_named(name: str, changes: dict[str, Any], match: str, tmp_path: Path) -> None:
    made = network(name)
    path = write(made, tmp_path / "x.ckpt", changes=changed(made, **changes))
    error = fails(path, match)
    assert error.code == "bad_checkpoint"


def test_other_files_of_torch_say_what_is_wanted(tmp_path: Path) -> None:
    resnet = {f"layer{i}.weight": torch.ones(3, 3) for i in range(20)}
    path = tmp_path / "x.ckpt"
    fails(save({"state_dict": resnet}, path), r"20 entries, first layer0\.weight, .*nine networks: M5CNN")
    fails(save({}, path), "0 entries, first nothing")
    fails(save([1, 2], path), "it holds no dict")
    fails(save({"state_dict": 3}, path), "state_dict is no dict")
    fails(save({"state_dict": resnet, "hyper_parameters": 3}, path), "hyper_parameters are no dict")
    fails(save({3: torch.ones(3)}, path), "the entry 3")
    fails(tmp_path / "none.ckpt", "no file")


def test_snntorchs_own_entries_are_dropped(tmp_path: Path) -> None:
    made = network("HjhSNN")
    own: dict[str, Any] = {}
    for layer in ("snn__0", "snn__1__lif", "snn__2__lif"):
        own |= {f"{layer}__graded_spikes_factor": torch.tensor(1.0), f"{layer}__mem": torch.rand(3, 4)}
    _, weights = read_lightning(write(made, tmp_path / "x.ckpt", changes=changed(made, **own)))
    assert equal(weights, made.state_dict())


@pytest.mark.parametrize("dtype", [dtype for dtype in STORAGES.values() if dtype.is_floating_point])
def test_weights_of_any_precision_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    made = network("TcySNN").to(dtype)
    # snnTorch keeps a beta that was given as a whole number as one.
    state = changed(made, snn__0__beta=torch.tensor(1))
    config, weights = read_lightning(write(made, tmp_path / "x.ckpt", changes=state))
    assert {value.dtype for value in weights.values()} == {torch.float32}
    assert torch.equal(weights["fc.weight"], made.state_dict()["fc.weight"].float())
    assert config.network["beta"] == 1.0


def test_the_weights_of_a_fixed_neuron_win(tmp_path: Path) -> None:
    made = network("HjhSNN", beta=0.9)
    found = hyper_parameters(made) | {"beta": 0.5}
    config, weights = read_lightning(write(made, tmp_path / "x.ckpt", changes={"hyper_parameters": found}))
    assert config.network["beta"] == 0.9
    assert float(weights["snn.1.lif.beta"]) == pytest.approx(0.9)


def test_batch_normalisation_is_a_change_away(tmp_path: Path) -> None:
    """How the original's own figures are had: see the tests with its real files."""
    out = convert_lightning(write(network("TcyCNN"), tmp_path / "x.ckpt"), tmp_path / "out")
    voice = sv.SnnVoice.from_pretrained(out)
    voice.config = dataclasses.replace(
        voice.config, features=dataclasses.replace(voice.config.features, normalization="batch")
    )
    voice.save_pretrained(tmp_path / "batch")
    again = sv.SnnVoice.from_pretrained(tmp_path / "batch")
    waves = 0.1 * torch.randn(3, 16_000)
    wanted = again.network(Features(sv.FeatureConfig(kind="logmel", normalization="batch"))(waves))
    assert torch.equal(again(waves), wanted)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod."])
def test_names_of_wrappers_are_left_out(prefix: str, tmp_path: Path) -> None:
    made = network("TcySNN")
    state = {prefix + key: value for key, value in made.state_dict().items()}
    config, weights = read_lightning(write(made, tmp_path / "x.ckpt", changes={"state_dict": state}))
    assert config.architecture == "TcySNN"
    assert torch.equal(weights["fc.weight"], made.state_dict()["fc.weight"])


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool])
def test_weights_that_are_no_floats_are_not_cast(dtype: torch.dtype, tmp_path: Path) -> None:
    made = network("TcySNN")
    state = changed(made, fc__weight=made.state_dict()["fc.weight"].to(dtype))
    words = str(dtype).removeprefix("torch.")
    with pytest.raises(CheckpointError, match=rf"fc\.weight is {words}, not float32"):
        read_lightning(write(made, tmp_path / "x.ckpt", changes=state))


def test_weights_that_are_no_numbers_are_not_converted(tmp_path: Path) -> None:
    made = network("TcySNN")
    state = changed(made, fc__bias=torch.full_like(made.state_dict()["fc.bias"], torch.nan))
    with pytest.raises(CheckpointError, match=r"fc\.bias holds \d+ NaN of \d+ values"):
        convert_lightning(write(made, tmp_path / "x.ckpt", changes=state), tmp_path / "out")
    assert not (tmp_path / "out").exists()
