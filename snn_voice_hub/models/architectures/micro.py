"""Micro: Tempo for microcontrollers, 94,000 parameters. With all of them in int8 they take 94 kB of flash.

A step hears 10 ms, half of Tempo's: of so few neurons each has to say more, and what one can say is how often
it spikes. All blocks are of one width, so every shortcut hands on the current as it is, without weights.
The dilations grow to where the last layer looks back over 1.1 s: a word of up to a second, with what is
around it.
"""

from __future__ import annotations

from snn_voice_hub.models.architectures.tempo import Shape, TempoCNN, TempoSNN
from snn_voice_hub.models.registered import register_architecture

_STEM = (56, 7, 1)
_BLOCKS = (Shape(56, 2, 2), Shape(56, 4, 4), Shape(56, 8, 8), Shape(56, 8, 16))


@register_architecture
class MicroCNN(TempoCNN):
    """`TempoCNN` with 94,000 parameters and steps of 10 ms: `num_steps=100` make an answer of a second.

    See `FramedCNN` for the arguments and errors.
    """

    frames_per_step = 1
    stem_shape = _STEM
    block_shapes = _BLOCKS


@register_architecture
class MicroSNN(TempoSNN):
    """`TempoSNN` with 94,000 parameters and steps of 10 ms: `num_steps=100` make an answer of a second.

    See `FramedSNN` for the arguments and errors.
    """

    frames_per_step = 1
    stem_shape = _STEM
    block_shapes = _BLOCKS
