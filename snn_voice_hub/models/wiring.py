"""What a spiking network on frames is made of, as data: layers of neurons, and what each of them hears.

`layers()` remains the definition of a network. This is its description for who runs it otherwise: the native
engine holds the two against each other before it believes the description.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from snn_voice_hub.models.causal import CausalConvNorm
from snn_voice_hub.models.lif_layer import Lif


@dataclass(frozen=True)
class Projection:
    """A convolution, and what it hears.

    Attributes:
        name: In the state dict; what it looks back at has that name and ".past".
        conv: The convolution.
        source: Number of the layer whose spikes it hears; None for the frames of the spectrogram.
    """

    name: str
    conv: CausalConvNorm
    source: int | None = None


@dataclass(frozen=True)
class NeuronLayer:
    """A layer of neurons; its current is the sum of what comes in.

    Attributes:
        name: Of the neurons in the state dict, the key of their membranes.
        lif: The neurons.
        projections: The convolutions whose outputs are added up, one at least.
        residual: Number of an earlier layer whose current is added as well; None for none.
    """

    name: str
    lif: Lif
    projections: tuple[Projection, ...]
    residual: int | None = None


@dataclass(frozen=True)
class Wiring:
    """A network: each output is what the head makes of the last layer's spikes, divided by `num_steps`.

    Attributes:
        layers: In the order in which they are computed; each is known by its number.
        head: The last layer.
    """

    layers: tuple[NeuronLayer, ...]
    head: nn.Linear
