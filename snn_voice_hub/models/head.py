"""The last layer of a network: where it is, what it sees, and the same network with another one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.models.base import Network
from snn_voice_hub.tensors import FLOAT32


def head_of(network: nn.Module) -> str:
    """The name of a network's last linear layer, which has one output a class.

    Raises:
        SnnVoiceError: It has none.
    """
    linear: list[str] = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise SnnVoiceError(f"{type(network).__name__} has no linear layer that gives the classes")
    return linear[-1]


def with_head(network: Network, weight: Tensor, bias: Tensor) -> Network:
    """The same network, in evaluation mode and in float32, with other weights in its last layer.

    Args:
        network: Stays as it is.
        weight: `[C, H]` for C classes.
        bias: `[C]`.

    Raises:
        SnnVoiceError: It has no last linear layer with a bias that gives as many classes as it is made with.
    """
    head = head_of(network)
    found = network.get_submodule(head)
    own = {
        name: value.float() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    made = type(network).from_arguments({**network.arguments(), "num_classes": len(weight)})
    last = getattr(made.get_submodule(head), "weight", None)
    if found.bias is None or last is None or last.shape != weight.shape:
        raise SnnVoiceError(
            f"the last linear layer of {type(network).__name__} is none that gives the classes alone",
            hint="a network that ends in nn.Linear(..., num_classes)",
        )
    own[f"{head}.weight"], own[f"{head}.bias"] = weight.to(**FLOAT32), bias.to(**FLOAT32)
    made.load_state_dict(own)
    return made.to(next(network.parameters()).device).eval()


def headless(network: Network) -> Network:
    """The same network, which gives what its last layer sees in place of logits.

    What becomes of that layer's outputs, a sum over the time steps or a mean, becomes of its inputs: `[B, H]`
    are those, and one more column says how often the bias counts. So logits are `x[:, :H] @ weight.T +
    x[:, H:] * bias` with the weights of any last layer, if the network only adds up what that layer gives.

    Raises:
        SnnVoiceError: See `with_head`.
    """
    layer = network.get_submodule(head_of(network))
    assert isinstance(layer, nn.Linear)
    size = layer.in_features
    weight = torch.eye(size + 1, size, **FLOAT32)
    bias = torch.zeros(size + 1, **FLOAT32)
    bias[size] = 1.0
    return with_head(network, weight, bias)
