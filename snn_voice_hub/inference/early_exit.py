"""Stop adding time steps to a clip as soon as its answer is sure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snn_voice_hub.errors import ConfigError
from snn_voice_hub.inference.answers import extrapolated, scores
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.network import SpikingNetwork, State


@dataclass(frozen=True)
class StoppedEarly:
    """The logits of clips that were not all run to the end.

    Attributes:
        logits: `[B, C]`, float32; see `answers.extrapolated`.
        steps: How many steps each clip took.
    """

    logits: Tensor
    steps: list[int]


def check_stoppable(network: nn.Module, recordings: Collection[object]) -> SpikingNetwork:
    """The network, if its steps can be left out.

    Args:
        network: The network.
        recordings: Those of it that are open: they need all steps of all clips.

    Raises:
        ConfigError: It has no steps, they are those of the sound, or it is being recorded.
    """
    if isinstance(network, Framed):
        what = (
            f"early_exit: the time steps of {type(network).__name__} are those of the sound, each heard "
            "once: there are none to leave out"
        )
        raise ConfigError(what, hint="early_exit=None; stream() has an answer as soon as the word is sure")
    if not isinstance(network, SpikingNetwork):
        what = f"early_exit: {type(network).__name__} has no time steps to leave out"
        raise ConfigError(what, hint="early_exit=None, or a spiking network")
    if recordings:
        raise ConfigError("early_exit can't be used inside record_spikes()", hint="early_exit=None")
    return network


@torch.inference_mode()
def run_until_sure(
    network: SpikingNetwork,
    features: Tensor,
    clip_seeds: Sequence[int] | None = None,
    *,
    temperature: float,
    sure: float,
) -> StoppedEarly:
    """Run one step after the other; clips whose best score is high enough leave the batch.

    After t of T steps the score is the softmax of the logits so far times T / t, by the temperature that was
    fitted for all steps.

    Args:
        network: The network, in evaluation mode.
        features: Model input `[B, 1, ...]`.
        clip_seeds: See `SpikingNetwork.forward_steps`.
        temperature: Logits are divided by it.
        sure: A best score of at least this ends a clip, above 0 to 1.
    """
    x = network.encoded(features, clip_seeds)
    num_steps = network.num_steps
    rows = torch.arange(x.shape[1], device=x.device)  # of the clips that still run
    taken = torch.full_like(rows, num_steps)
    total = logits = torch.zeros(len(rows), network.num_classes, dtype=torch.float32, device=x.device)
    state: State | None = None
    for t in range(num_steps):
        out, state = network.step(x[t if len(x) > 1 else 0], state)
        total = total + out.float()
        so_far = extrapolated(total, t + 1, num_steps)
        logits = logits.index_copy(0, rows, so_far)
        goes_on = scores(so_far, temperature, "softmax").amax(-1) < sure
        if bool(goes_on.all()):
            continue
        taken[rows[~goes_on]] = t + 1
        rows, total, x = rows[goes_on], total[goes_on], x[:, goes_on]
        if not len(rows):
            break
        state = {name: mem[goes_on] for name, mem in state.items()}
    return StoppedEarly(logits, taken.tolist())
