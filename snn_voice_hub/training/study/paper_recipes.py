"""The paper's training (Chang, 2023; hyper-parameters of the repository `Eve-ning/snn_voice`) as recipes."""

from __future__ import annotations

from typing import Any

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.hub.paper import LAYOUTS, NEURON
from snn_voice_hub.training.fitting.recipe import Recipe

# The hybrid was no part of the grid.
_LAYOUTS = {layout.architecture: layout for layout in LAYOUTS if not layout.architecture.endswith("SCNN")}
# Prefix of a CNN and of its twin -> how they are written in prose.
TITLES = {name.removesuffix("CNN"): layout.family for name, layout in _LAYOUTS.items() if not layout.lifs}


def paper_recipe(
    architecture: str, *, num_steps: int | None = None, learn_beta: bool = False, epochs: int | None = None
) -> Recipe:
    """How the paper trained one of its networks.

    The paper standardised over each batch. Constants of the whole training set stand in for that, so that an
    answer does not depend on its batch-mates; see `fitting.constants`. All else is the paper's, the neuron
    of snnTorch 0.5.3 and its surrogate gradient included.

    Args:
        architecture: "M5CNN", "M5SNN", "PiczakCNN", … "TcySNN".
        num_steps: T of a spiking network; the paper's 1, 5, 15 and 30, or any other.
        learn_beta: Whether the decay of its membranes is learned.
        epochs: At most so many; the paper's 15 by default.

    Raises:
        ConfigError: Not one of these networks, or steps for a CNN.
    """
    layout = _LAYOUTS.get(architecture)
    if layout is None:
        raise ConfigError(f"the paper has no network {architecture!r}", hint=f"one of {', '.join(_LAYOUTS)}")
    if not layout.lifs and (num_steps is not None or learn_beta):
        raise ConfigError(f"{architecture} has no time steps and no neurons that decay")
    network: dict[str, Any] = {}
    if layout.lifs:
        network = {"num_steps": num_steps or 5, "learn_beta": learn_beta, **NEURON}
    piczak = layout.family == "Piczak"
    steps = f", T = {network['num_steps']}" if network else ""
    return Recipe(
        architecture=architecture,
        network=network,
        features=FeatureConfig(kind=layout.kind),
        description=f"{architecture} as the paper trained it{steps}",
        constants="all",
        augmentation=None,
        epochs=epochs or 15,
        batch_size=128,
        optimizer="adam",
        lr=1e-3 if piczak else 1e-2,
        pct_start=0.4 if piczak else 0.2,
        three_phase=True,
        final_div_factor=1e5,
        weight_decay=1e-4,
        gradient_clip=0.0,
        label_smoothing=0.0,
        ema=0.0,
        class_power=1.0,
        patience=5,
    )
