"""Large linear layers with their weights laid out once for the CPU's matrix product.

PyTorch's own product reorders the weights in every call, which for a few rows (the steps of one clip) costs
more than the product: Piczak's 5000 × 5000 layer at 15 rows takes 21 ms so, and 10 ms when it is packed.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import handle_torch_function, has_torch_function_unary

from snn_voice_hub.inference.engines.base import Unsupported
from snn_voice_hub.tensors import FLOAT32, tensors_of

M = TypeVar("M", bound=nn.Module)

# Below this many weights there is nothing to gain, and a layer of few rows is a matter of reading them.
_LARGE = 1 << 20
_FEW_ROWS = 3


class PackedLinear(nn.Module):
    """A linear layer over `[..., in]` that also holds its weights in oneDNN's layout.

    Args:
        layer: The layer; its own weights are shared.
        dtype: Number type of the product: float32, or bfloat16 with float32 in and out.

    Raises:
        RuntimeError: This build of PyTorch can't pack weights.
    """

    def __init__(self, layer: nn.Linear, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self._dtype = dtype
        # The operators that torch.compile uses for a frozen network; they have no public name.
        weight = layer.weight.detach().to(dtype)
        self._packed = cast(Tensor, torch.ops.mkldnn._reorder_linear_weight(weight, None))
        self._packed_bias = None if layer.bias is None else layer.bias.detach().to(dtype)
        probe = torch.linspace(-1, 1, 4 * layer.in_features, **FLOAT32).view(4, -1)
        wanted = functional.linear(probe, self.weight, self.bias)
        near = 1e-4 if dtype == torch.float32 else 0.05
        if not torch.allclose(self(probe), wanted, atol=near * (1 + float(wanted.abs().max()))):
            raise RuntimeError("packed weights give another product")

    def forward(self, x: Tensor) -> Tensor:
        """`[..., in]` -> `[..., out]`."""
        if has_torch_function_unary(x):  # whoever traces a network takes it as one operation
            traced: Tensor = handle_torch_function(PackedLinear.forward, (x,), self, x)
            return traced
        if x.is_meta:  # the operator below knows no tensors without values
            return x.new_empty((*x.shape[:-1], len(self.weight)))
        if self._dtype == torch.float32 and x.numel() < _FEW_ROWS * x.shape[-1]:
            return functional.linear(x, self.weight, self.bias)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x.to(self._dtype), self._packed, self._packed_bias, "none", [], ""
        )
        return out.to(x.dtype)


def check_dtype(dtype: torch.dtype) -> None:
    """Raise `Unsupported` where the processor has no products in that number type."""
    if dtype == torch.bfloat16 and not (
        torch._C._has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    ):
        raise Unsupported("the processor has no bfloat16 products")


def with_packed_linears(network: M, dtype: torch.dtype = torch.float32) -> M:
    """The same network, sharing all tensors, with its large linear layers packed where that is possible."""
    if not any(type(layer) is nn.Linear and _worth_packing(layer) for layer in network.modules()):
        return network
    shared: dict[int, Any] = {id(tensor): tensor for tensor in tensors_of(network)}
    twin = copy.deepcopy(network, shared)
    for parent in list(twin.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear and _worth_packing(layer):
                try:
                    with torch.no_grad():
                        setattr(parent, name, PackedLinear(layer, dtype))
                except (RuntimeError, AttributeError, NotImplementedError):
                    return network
    return twin


def _worth_packing(layer: nn.Linear) -> bool:
    weight = layer.weight
    plain = weight.device.type == "cpu" and weight.dtype == torch.float32
    return plain and weight.numel() >= _LARGE and torch._C._has_mkldnn
