"""Hyper-parameters in Lightning checkpoints: of other kinds, and wrong ones."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

import snn_voice_hub as sv
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.hub.legacy.conversion import convert_lightning
from snn_voice_hub.hub.legacy.lightning import read_lightning
from tests.hub.legacy.helpers import equal, fails
from tests.hub.legacy.writer import (
    AttributeDict,
    hyper_parameters,
    network,
    repeat_replica,
    write,
    written_as,
)


@written_as("omegaconf.dictconfig", "DictConfig")
class _DictConfig:
    pass


@written_as("omegaconf.nodes", "AnyNode")
class _AnyNode:
    pass


def _omega(value: Any) -> Any:
    made: Any = _DictConfig() if isinstance(value, dict) else _AnyNode()
    content = {key: _omega(item) for key, item in value.items()} if isinstance(value, dict) else None
    made.__dict__.update(_content=content) if content else made.__dict__.update(_val=value)
    return made


@pytest.mark.parametrize("kind", [dict, AttributeDict, lambda found: argparse.Namespace(**found), _omega])
def test_hyper_parameters_of_any_kind(kind: Any, tmp_path: Path) -> None:
    made = network("TcySNN", num_steps=15, learn_beta=True)
    changes = {"hyper_parameters": kind(hyper_parameters(made))}
    config, _ = read_lightning(write(made, tmp_path / "x.ckpt", changes=changes))
    assert config.network == made.arguments()
    assert config.training["lr"] == 0.01


def test_an_odd_beta_before_training_does_no_harm(tmp_path: Path) -> None:
    made = network("TcySNN", learn_beta=True)
    for i, beta in enumerate((10**5000, float("nan"), -1, "0.5", [0.5])):
        changes = {"hyper_parameters": hyper_parameters(made) | {"beta": beta}}
        out = convert_lightning(write(made, tmp_path / "x.ckpt", changes=changes), tmp_path / str(i))
        assert equal(dict(sv.SnnVoice.from_pretrained(out).network.state_dict()), dict(made.state_dict()))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"n_classes": 36}, "n_classes=36, its state dict has 35 classes"),
        ({"n_steps": 0}, "n_steps=0"),
        ({"n_steps": 2**70}, "n_steps=a int"),
        ({"n_steps": True}, "n_steps=True"),
        ({"n_steps": "5"}, "n_steps='5'"),
        ({"n_steps": [[]]}, "n_steps=a list"),
        ({"learn_beta": 1}, "learn_beta=1"),
        ({"time_step_replica": "burst"}, "time_step_replica is 'burst'"),
        ({"time_step_replica": AttributeDict}, "time_step_replica is a Name"),
    ],
)
def test_wrong_hyper_parameters_are_named(change: dict[str, Any], match: str, tmp_path: Path) -> None:
    made = network("TcySNN")
    found = hyper_parameters(made) | change
    fails(write(made, tmp_path / "x.ckpt", changes={"hyper_parameters": found}), match)


def test_steps_that_contradict_the_file(tmp_path: Path) -> None:
    spiking = write(network("TcySNN", num_steps=5), tmp_path / "x.ckpt")
    assert read_lightning(spiking, num_steps=5)[0].network["num_steps"] == 5
    with pytest.raises(ConfigError, match=r"num_steps=4, but .*x\.ckpt says 5"):
        read_lightning(spiking, num_steps=4)
    with pytest.raises(ConfigError, match="num_steps=0"):
        read_lightning(spiking, num_steps=0)
    plain = write(network("TcyCNN"), tmp_path / "y.ckpt")
    with pytest.raises(ConfigError, match="is a TcyCNN without time steps"):
        read_lightning(plain, num_steps=5)
    found = {"n_steps": 5, "time_step_replica": repeat_replica}
    fails(write(network("TcyCNN"), plain, changes={"hyper_parameters": found}), "that of a TcyCNN")
