"""Micro: Tempo for microcontrollers, 94,000 parameters. With all of them in int8 they take 94 kB of flash.

A step hears 10 ms, half of Tempo's: of so few neurons each has to say more, and what one can say is how often
it spikes. All blocks are of one width, so every shortcut hands on the current as it is, without weights.
The dilations grow to where the last layer looks back over 1.1 s: a word of up to a second, with what is
around it.
"""

from __future__ import annotations

from snn_voice_hub.config import FRAMES
from snn_voice_hub.models.architectures.tempo import Shape, TempoCNN, TempoSNN
from snn_voice_hub.models.registered import register_architecture

_STEM = (56, 7, 1)
_BLOCKS = (Shape(56, 2, 2), Shape(56, 4, 4), Shape(56, 8, 8), Shape(56, 8, 16))


@register_architecture
class MicroCNN(TempoCNN):
    """`TempoCNN` with 94,000 parameters and steps of 10 ms.

    See `FramedCNN` for the arguments and errors; an answer of a second is made of 100 outputs.
    """

    frames_per_step = 1
    stem_shape = _STEM
    block_shapes = _BLOCKS

    def __init__(self, num_classes: int = 35, num_steps: int = 100) -> None:
        super().__init__(num_classes, num_steps)


@register_architecture
class MicroSNN(TempoSNN):
    """`TempoSNN` with 94,000 parameters and steps of 10 ms.

    See `FramedSNN` for the arguments and errors; an answer of a second is made of 100 outputs.
    """

    frames_per_step = 1
    stem_shape = _STEM
    block_shapes = _BLOCKS

    def __init__(
        self,
        num_classes: int = 35,
        num_steps: int = 100,
        beta: float = 0.5,
        learn_beta: bool = False,
        threshold: float = 1.0,
        learn_threshold: bool = False,
        encoding: str = FRAMES,
        reset: str = "subtract",
        surrogate: str = "atan",
        beta_per_channel: bool = False,
    ) -> None:
        # An architecture's arguments are those of its constructor: all of them stand in `config.json`.
        super().__init__(
            num_classes,
            num_steps,
            beta,
            learn_beta,
            threshold,
            learn_threshold,
            encoding,
            reset,
            surrogate,
            beta_per_channel,
        )
