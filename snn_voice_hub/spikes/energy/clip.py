"""What the arithmetic of one clip would cost, beside a CNN of the same layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from snn_voice_hub.errors import ConfigError
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.spikes.energy.count import Counter
from snn_voice_hub.spikes.energy.layers import AC_PJ, CONSTANTS, MAC_PJ
from snn_voice_hub.spikes.record import Row


def clip_energy(
    network: SpikingNetwork, row: Row, metrics: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Count what one window of sound costs; what is counted, and what not, stands in `spikes.energy.layers`.

    The network runs once more, in about twice the time.

    Args:
        network: The network.
        row: What was recorded of the window.
        metrics: The checkpoint's measured figures: what its CNN twin takes is among them, or is not known.

    Returns:
        Ready for JSON: `synops`, `macs` and `acs`; `energy_uj`, and `energy_once_uj` if a layer with the same
        input at each step runs once; `cnn` with `energy_dense_uj` (these layers, run once, by a CNN that
        multiplies by zeros too) and, where it was measured, `model` and `energy_uj` (that CNN, which skips
        zeros, on average over its test clips); the constants. None where the layers can't be counted.
    """
    weight = next(network.parameters())
    features = row.features.unsqueeze(0).to(weight.device, weight.dtype)
    try:
        counter = Counter(network)
        counter.count(features, None if row.seed is None else [row.seed])
    except ConfigError:
        return None
    found = counter.energy()
    # The layers of a CNN twin have the same shapes, and run once: at each step, where steps are the sound's.
    repeats = 1 if isinstance(network, Framed) else found.num_steps
    cnn: dict[str, Any] = {"energy_dense_uj": _uj(found.dense / repeats * MAC_PJ * 1e-6)}
    return {
        "synops": _whole(found.synops),
        "macs": _whole(found.macs),
        "acs": _whole(found.acs),
        "energy_uj": _uj(found.energy_uj),
        "energy_once_uj": _uj(found.energy_once_uj),
        "cnn": cnn | _measured_twin(metrics or {}),
        "pj_a_mac": MAC_PJ,
        "pj_an_ac": AC_PJ,
        "constants": CONSTANTS,
    }


def _measured_twin(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The twin's figures among those of a checkpoint, which may have been written by anybody."""
    energy = metrics.get("energy")
    twin = energy.get("twin") if isinstance(energy, Mapping) else None
    if not isinstance(twin, Mapping):
        return {}
    measured, model = twin.get("energy_uj"), twin.get("model")
    known = isinstance(measured, int | float) and not isinstance(measured, bool) and math.isfinite(measured)
    if not known or not isinstance(model, str):
        return {}
    return {"model": model, "energy_uj": _uj(measured)}


def _uj(value: float | None) -> float | None:
    """Four digits: more would look exact, which the constants are not."""
    return None if value is None else float(f"{value:.4g}")


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
