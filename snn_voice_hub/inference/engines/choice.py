"""Which engine runs a network."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from typing import Any

import torch
from snn_voice_lite.visible import module_logger
from torch import nn

from snn_voice_hub.errors import MissingExtraError
from snn_voice_hub.inference.engines.base import Engine, Unsupported, device_and_dtype
from snn_voice_hub.inference.engines.names import CLASSES, check_engine
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.network import SpikingNetwork

logger = module_logger(__name__)

# What takes the place of an engine that can't work here; else it is "torch".
_INSTEAD = {"native+bf16": ("torch+bf16", "native", "torch")}


def order(network: Network) -> tuple[str, ...]:
    """The engines that "auto" tries, best first.

    By measurement (`benchmarks/engine.py`): on a CPU the native kernels are the fastest for spiking networks
    and ONNX Runtime comes next; both are for float32, and neither gains anything without convolutions.
    Elsewhere it is PyTorch: a CNN gains 1 ms a clip by ONNX Runtime, which takes seconds to make its graph.
    """
    device, dtype = device_and_dtype(network)
    convolves = any(isinstance(module, nn.Conv1d | nn.Conv2d) for module in network.modules())
    spiking = isinstance(network, SpikingNetwork)
    if device.type != "cpu" or dtype != torch.float32 or not spiking or not convolves:
        return ("torch",)
    return ("native", "onnx", "torch")


def make_engine(
    network: Network, name: str = "auto", unfit: Mapping[str, str] | None = None
) -> tuple[Engine, dict[str, Any]]:
    """An engine for a network.

    Args:
        network: The network, in evaluation mode.
        name: One of `names.ENGINES`. "auto" takes the first of `order` that works here. The native kernels
            and "compile" need a compiler, and where it is missing or fails, "torch" takes their place.
        unfit: Engines that turned out not to be for this network, and why.

    Returns:
        The engine, and why it is this one: `{"engine", "requested", "reasons": {name: why not}, ...}`.

    Raises:
        ConfigError: No such engine.
        MissingExtraError: "onnx" was asked for by name, and is not installed.
    """
    check_engine(name)
    wanted = order(network) if name == "auto" else (name, *_INSTEAD.get(name, ("torch",)))
    reasons = dict(unfit or {})
    for candidate in wanted:
        if candidate in reasons:
            continue
        try:
            engine = _engine_class(candidate)(network)
        except (Unsupported, MissingExtraError) as error:
            if isinstance(error, MissingExtraError) and name != "auto":
                raise
            reasons[candidate] = str(error)
            logger.log(
                logging.DEBUG if name == "auto" else logging.WARNING,
                "engine %s is not used: %s",
                candidate,
                error,
            )
            continue
        return engine, {"engine": engine.name, "requested": name, "reasons": reasons}
    raise AssertionError("the torch engine runs every network")


def _engine_class(name: str) -> type[Engine]:
    module, cls = CLASSES[name]
    found: type[Engine] = getattr(importlib.import_module(f"snn_voice_hub.inference.engines.{module}"), cls)
    return found
