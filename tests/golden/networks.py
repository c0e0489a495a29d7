"""The paper's networks with the weights of `formulas`, as `golden.json` describes them."""

from __future__ import annotations

from typing import Any

import snn_voice_hub as sv
from tests.golden.formulas import weights


def build(model: str, arguments: dict[str, Any]) -> sv.Network:
    """A network in evaluation mode.

    Args:
        model: Its name in the paper's code.
        arguments: Those of its constructor there.
    """
    cls = getattr(sv, "TcyCNN" if model == "TcyNN" else model)
    if "n_steps" not in arguments:
        network = cls(num_classes=arguments["n_classes"])
    else:
        network = cls(
            num_classes=arguments["n_classes"],
            num_steps=arguments["n_steps"],
            beta=arguments["beta"],
            learn_beta=arguments["learn_beta"],
            learn_threshold=arguments["learn_thres"],
            encoding=arguments["time_step_replica"],
            reset="subtract-before-decay",
            surrogate="heaviside",
        )
    state = weights(
        model,
        network.state_dict(),
        learn_beta=arguments.get("learn_beta", False),
        learn_threshold=arguments.get("learn_thres", False),
    )
    network.load_state_dict(state)
    return network.eval()
