"""One recipe a bundled checkpoint: its architecture, which names the front end, augmentation and optimiser.

None of it needs PyTorch.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from snn_voice_hub.config import SILENCE, UNKNOWN, VoiceConfig
from snn_voice_hub.hub.bundled import DEFAULT_MODEL
from snn_voice_hub.training.fitting.recipe import Augmentation, Recipe

_RESMEL_AUGMENTATION = Augmentation(shift=0.12, speed=0.12, noise=0.6, snr_db=(3.0, 30.0), bands=7, frames=15)
# What a microphone that is always open hears.
ROBUST = Augmentation(
    shift=0.2,
    speed=0.15,
    gain_db=(-30.0, 10.0),
    noise=0.6,
    snr_db=(0.0, 30.0),
    bands=7,
    frames=15,
    context=0.1,
    rir=0.2,
    music=0.08,
    babble=0.1,
    band=0.12,
    clipping=0.04,
    codec=0.02,
)

# Of models for such a microphone, which also hear when no word is said, and when one is that they don't know.
_OPEN = Recipe(architecture="ResMelCNN", silence=0.05, unknown=0.2, augmentation=ROBUST)
_SPIKING = dataclasses.replace(_OPEN, lr=2e-3, distil=0.5, threshold_percentile=95.0, epochs=25)
# Networks whose steps are those of the sound learn from clips that follow one another.
_CHAIN = 4
_STREAMED: dict[str, Any] = {"batch_size": 128, "chain": _CHAIN, "between": 0.5}

RECIPES: dict[str, Recipe] = {
    "resmel-cnn": dataclasses.replace(
        _OPEN,
        architecture="ResMelCNN",
        description="Residual 1-D CNN on a 16 kHz log-mel: the twin and teacher of the default model",
        epochs=25,
        lr=3e-3,
    ),
    "resmel-snn": dataclasses.replace(
        _SPIKING,
        architecture="ResMelSNN",
        network={"num_steps": 4, "learn_beta": True},
        description="Residual 1-D spiking network on a 16 kHz log-mel: the default",
    ),
    "tempo-cnn": dataclasses.replace(
        _OPEN,
        architecture="TempoCNN",
        description="Causal residual CNN on the frames of a 16 kHz log-mel: twin of the streaming model",
        epochs=12,
        lr=4e-3,
        distil=0.5,
        **_STREAMED,
    ),
    "tempo-snn": dataclasses.replace(
        _SPIKING,
        architecture="TempoSNN",
        network={"learn_beta": True},
        description="Spiking network whose time steps are the frames of the sound: for streams",
        along=1.0,
        **_STREAMED,
    ),
    "micro-cnn": dataclasses.replace(
        _OPEN,
        architecture="MicroCNN",
        description="Causal residual CNN of 94,000 parameters: twin of the network for microcontrollers",
        epochs=25,
        lr=4e-3,
        distil=0.5,
        along=1.0,
        **_STREAMED,
    ),
    "micro-snn": dataclasses.replace(
        _SPIKING,
        architecture="MicroSNN",
        network={"learn_beta": True, "beta_per_channel": True},
        description="Spiking network of 94,000 parameters for microcontrollers: for streams",
        along=1.0,
        **_STREAMED,
    ),
    "m5-cnn": Recipe(
        architecture="M5CNN",
        description="The paper's M5 on the 4 kHz waveform",
        epochs=18,
        distil=0.5,
    ),
    "m5-snn": Recipe(
        architecture="M5SNN",
        network={"num_steps": 5, "learn_beta": True},
        description="The paper's spiking M5 on the 4 kHz waveform, T = 5",
        augmentation=Augmentation(mixup=0.3),
        epochs=25,
        lr=2e-3,
        distil=0.7,
        threshold_percentile=98.0,
    ),
    "hjh-cnn": Recipe(
        architecture="HjhCNN",
        description="The paper's HJH on the 4 kHz log-mel: 4,000 parameters",
        epochs=3,
        lr=1e-2,
        label_smoothing=0.0,
    ),
    "hjh-snn": Recipe(
        architecture="HjhSNN",
        network={"num_steps": 5},
        description="The paper's spiking HJH on the 4 kHz log-mel, T = 5",
        epochs=2,
        lr=1e-2,
        label_smoothing=0.0,
    ),
    "tcy-cnn": Recipe(
        architecture="TcyCNN",
        description="The paper's TCY on the 4 kHz log-mel: one linear layer",
        epochs=3,
        lr=1e-2,
        label_smoothing=0.0,
    ),
    "tcy-snn": Recipe(
        architecture="TcySNN",
        network={"num_steps": 5},
        description="The paper's spiking TCY on the 4 kHz log-mel, T = 5",
        epochs=3,
        lr=1e-2,
        label_smoothing=0.0,
    ),
    "piczak-cnn": Recipe(
        architecture="PiczakCNN",
        description="The paper's Piczak on the 4 kHz log-mel: 25.6 million parameters",
        epochs=6,
        lr=1e-3,
        distil=0.5,
    ),
    "piczak-snn": Recipe(
        architecture="PiczakSNN",
        network={"num_steps": 15},
        description="The paper's spiking Piczak on the 4 kHz log-mel, T = 15",
        epochs=5,
        lr=5e-4,
        distil=0.5,
        threshold_percentile=98.0,
    ),
}


def default_recipe(architecture: str) -> Recipe:
    """How a network is trained that has no recipe of its own, such as one of another package.

    The front end is the one that its class names. Of a class that names none and takes two dimensions, it is
    the log-mel of the default model.

    Args:
        architecture: A name in the registry.

    Raises:
        ConfigError: There is none of that name.
    """
    from snn_voice_hub.models.base import Network
    from snn_voice_hub.registry import get_architecture

    cls = get_architecture(architecture)
    named = cls.default_features is not Network.default_features or cls.feature_dims == 1
    features = cls.default_features if named else RECIPES[DEFAULT_MODEL].front_end
    return Recipe(
        architecture=architecture,
        features=features,
        description=f"{architecture}, trained by the default recipe",
        augmentation=_RESMEL_AUGMENTATION if features.has_bands else Augmentation(),
        distil=0.5,
        threshold_percentile=95.0,
        chain=_CHAIN,
        between=0.5,
    )


# So many steps let a network learn a few words of its user; less changes little, more only takes longer.
_FINE_TUNING_STEPS = 600
# Of an epoch: with a hundred clips, a pass over them is over in a second.
_EPOCH_STEPS = 25


def fine_tuning(config: VoiceConfig, clips: int) -> Recipe:
    """How a trained network learns other words.

    Args:
        config: Of the checkpoint that it starts from.
        clips: How many there are to learn from.
    """
    network = {name: value for name, value in config.network.items() if name != "num_classes"}
    batch_size = min(32, max(2, clips))
    steps = max(_EPOCH_STEPS, clips // batch_size)
    return Recipe(
        architecture=config.architecture,
        network=network,
        features=config.features,
        description=f"{config.title}, trained further for other words",
        constants="none",
        silence=0.1 if SILENCE in config.labels and batch_size >= 10 else 0.0,
        unknown=0.2 if UNKNOWN in config.labels and batch_size >= 10 else 0.0,
        augmentation=_RESMEL_AUGMENTATION if config.features.has_bands else Augmentation(),
        epochs=max(5, -(-_FINE_TUNING_STEPS // steps)),
        steps=steps,
        batch_size=batch_size,
        lr=1e-3,
        ema=0.98,
        class_power=0.5,
        chain=_CHAIN,
        patience=8,
    )
