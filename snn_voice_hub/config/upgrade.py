"""Older layouts of `config.json` -> today's, one step a version.

A step writes down what its version left to defaults, with the values that these had then. So today's reader
needs no defaults, and another default of a class changes no checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# What our own networks took where version 1 did not say otherwise.
_NEURON_1: dict[str, Any] = {
    "num_steps": 5,
    "beta": 0.5,
    "learn_beta": False,
    "threshold": 1.0,
    "learn_threshold": False,
    "encoding": "repeat",
    "reset": "subtract",
    "surrogate": "atan",
    "beta_per_channel": False,
}
_NETWORKS_1: dict[str, dict[str, Any]] = {
    **{name: {} for name in ("HjhCNN", "M5CNN", "PiczakCNN", "ResMelCNN", "TcyCNN")},
    **dict.fromkeys(("HjhSCNN", "HjhSNN", "M5SNN", "PiczakSNN", "ResMelSNN", "TcySNN"), _NEURON_1),
}
_FEATURES_1: dict[str, Any] = {
    "sample_rate": 16_000,
    "num_samples": 16_000,
    "feature_rate": 4_000,
    "normalization": "fixed",
    "waveform_mean": 0.0,
    "waveform_std": 1.0,
    "mel_rate": 16_000,
    "n_fft": 400,
    "win_length": 60,
    "hop_length": 30,
    "n_mels": 60,
    "f_min": 0.0,
    "f_max": None,
    "log_offset": 2.22e-16,
    "ignore_below": -20.0,
    "feature_mean": 0.0,
    "feature_std": 1.0,
    "zero_below": -5.0,
}


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 left out arguments of the network and fields of the front end.

    What an architecture of somebody's own takes by itself, only its class knows. Such a file stays at
    version 1, and its class's defaults stand in for what it does not say, as they always did.
    """
    new = {"temperature": 1.0, **data}
    network, features, labels = data.get("network"), data.get("features"), data.get("labels")
    if isinstance(features, dict):
        new["features"] = _FEATURES_1 | features
    known = _NETWORKS_1.get(str(data.get("architecture")))
    if isinstance(network, dict) and isinstance(labels, list):
        new["network"] = {"num_classes": len(labels), **(known or {}), **network}
    return new if known is None else new | {"format_version": 2}


def _from_2(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 knew no operating point."""
    return {**data, "detection": None, "format_version": 3}


_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1, 2: _from_2}


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """The content of an older `config.json` in the newest layout that it can be written in.

    Args:
        data: With a legal `format_version`; whatever else is wrong with it stays wrong.
    """
    version = 0
    while version != data["format_version"] and (step := _STEPS.get(data["format_version"])):
        version, data = data["format_version"], step(data)
    return data
