"""Micro: Tempo for microcontrollers, 94,000 parameters. With all of them in int8 they take 94 kB of flash.

All blocks are of one width, so every shortcut hands on the current as it is, without weights. The dilations
grow to where the last layer looks back over 1.1 s: a word of up to a second, with what is around it.
"""

from __future__ import annotations

from snn_voice_hub.models.architectures.tempo import Shape, TempoCNN, TempoSNN
from snn_voice_hub.models.registered import register_architecture

_STEM = (56, 7, 2)
_BLOCKS = (Shape(56, 1, 1), Shape(56, 2, 2), Shape(56, 4, 4), Shape(56, 4, 8))


@register_architecture
class MicroCNN(TempoCNN):
    """`TempoCNN` with 94,000 parameters.

    See `FramedCNN` for the arguments and errors.
    """

    stem_shape = _STEM
    block_shapes = _BLOCKS


@register_architecture
class MicroSNN(TempoSNN):
    """`TempoSNN` with 94,000 parameters.

    See `FramedSNN` for the arguments and errors.
    """

    stem_shape = _STEM
    block_shapes = _BLOCKS
