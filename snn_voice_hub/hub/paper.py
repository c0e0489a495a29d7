"""The nine networks of the paper: names and shapes of their state dicts, and what they were trained on.

`hub` knows no network class; this is what it knows instead, to tell from a file alone what it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from snn_voice_hub.config import FeatureConfig

# Stands for the number of classes in a shape.
CLASSES = -1

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """The state dict of one architecture, without snnTorch's own buffers.

    Attributes:
        architecture: Name of the network class.
        family: Name of the CNN and its twins in prose.
        shapes: Shape of each entry; `CLASSES` stands for the number of classes.
        lifs: Names of the LIF layers, each with a scalar `beta` and `threshold`.
        kind: What it hears, a `FeatureConfig.kind`.
    """

    architecture: str
    family: str
    shapes: dict[str, Shape]
    lifs: tuple[str, ...]
    kind: str

    @property
    def head(self) -> str:
        """The entry whose first size is the number of classes."""
        return next(key for key, shape in self.shapes.items() if shape == (CLASSES,))

    def checkpoint_name(self, network: Mapping[str, object]) -> str:
        """A name such as "piczak-snn-t15" for a network of these arguments."""
        parts = [self.family.lower(), self.architecture[len(self.family) :].lower()]
        parts += [f"t{network['num_steps']}"] if self.lifs else []
        return "-".join(
            parts + [f"learn-{what}" for what in ("beta", "threshold") if network.get(f"learn_{what}")]
        )

    def description(self, network: Mapping[str, object]) -> str:
        """One line for tables and cards."""
        sound = f"4 kHz {FRONT_ENDS[self.kind].title}"
        twin = "hybrid " if self.architecture.endswith("SCNN") else "spiking " if self.lifs else ""
        steps = f", T = {network['num_steps']}" if self.lifs else ""
        return f"The paper's {twin}{self.family} on the {sound}{steps}, from its Lightning checkpoint"


@dataclass(frozen=True)
class _Family:
    name: str
    convolutions: tuple[Shape, ...]
    batch_norm: bool
    head: dict[str, Shape]
    lif_on_input: bool
    kind: str


# Weights are [out, in, ...], in the order of the layers.
_FAMILIES = {
    "M5": _Family(
        "M5",
        ((128, 1, 80), (128, 128, 3), (256, 128, 3), (512, 256, 3)),
        True,
        {"fc": (CLASSES, 512)},
        False,
        "waveform",
    ),
    "Piczak": _Family(
        "Piczak",
        ((80, 1, 57, 6), (80, 80, 1, 3)),
        False,
        {"fc.0.0": (5000, 80), "fc.1.0": (5000, 5000), "fc.2.0": (CLASSES, 5000)},
        False,
        "logmel",
    ),
    "Hjh": _Family("HJH", ((8, 1, 5, 5), (16, 8, 5, 5)), True, {"fc": (CLASSES, 16)}, True, "logmel"),
    "Tcy": _Family("TCY", (), False, {"fc": (CLASSES, 100)}, True, "logmel"),
}


def _layout(prefix: str, kind: str) -> Layout:
    family = _FAMILIES[prefix]
    on_input = family.lif_on_input and kind != "CNN"
    blocks, first = ("snn", int(on_input)) if kind == "SNN" else ("cnn", 0)
    lifs = ["snn.0"] if on_input else []
    shapes: dict[str, Shape] = {}
    for i, shape in enumerate(family.convolutions, start=first):
        block = f"{blocks}.{i}"
        channels = shape[:1]
        shapes |= {f"{block}.conv.weight": shape, f"{block}.conv.bias": channels}
        if family.batch_norm:
            shapes |= {
                f"{block}.bn.{name}": channels for name in ("weight", "bias", "running_mean", "running_var")
            }
            shapes[f"{block}.bn.num_batches_tracked"] = ()
        if kind == "SNN":
            lifs.append(f"{block}.lif")
    shapes |= {f"{lif}.{name}": () for lif in lifs for name in ("beta", "threshold")}
    for name, shape in family.head.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return Layout(prefix + kind, family.name, shapes, tuple(lifs), family.kind)


LAYOUTS = tuple(
    _layout(prefix, kind)
    for prefix, kind in (
        *(("M5", "CNN"), ("M5", "SNN"), ("Piczak", "CNN"), ("Piczak", "SNN")),
        *(("Hjh", "CNN"), ("Hjh", "SNN"), ("Hjh", "SCNN"), ("Tcy", "CNN"), ("Tcy", "SNN")),
    )
)

# The paper standardised each training batch by its own mean and deviation. These are those of all 27,410
# training clips at hand of Speech Commands v0.02, zero-padded to one second, by
# `python -m snn_voice_hub.training.fitting.constants train.tar`.
FRONT_ENDS = {
    "waveform": FeatureConfig(
        kind="waveform", normalization="fixed", waveform_mean=-3.35099e-05, waveform_std=0.0776773
    ),
    "logmel": FeatureConfig(
        kind="logmel",
        normalization="fixed",
        waveform_mean=-3.35099e-05,
        waveform_std=0.0776773,
        feature_mean=-3.53559,
        feature_std=5.14504,
    ),
}

# The paper's neuron, whatever snnTorch is installed now.
NEURON = {"reset": "subtract-before-decay", "surrogate": "heaviside"}
ENCODINGS = ("repeat", "rate", "latency")

LICENSE = "MIT"
DATA = {
    "name": "Speech Commands v0.02",
    "license": "CC-BY-4.0",
    "attribution": "Pete Warden, Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition, 2018",
    "url": "https://arxiv.org/abs/1804.03209",
}
