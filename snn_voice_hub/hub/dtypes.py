"""The numbers that weights are kept in on the disk."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from snn_voice_hub.config import WEIGHT_DTYPES
from snn_voice_hub.errors import CheckpointError

DTYPES = dict(zip(WEIGHT_DTYPES, (torch.float32, torch.float16, torch.bfloat16), strict=True))


def cast_weight(where: str, key: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A weight in another dtype; whole numbers stay as they are.

    Args:
        where: The checkpoint, for the message.
        key: The weight's name.
        tensor: The weight.
        dtype: One of `DTYPES`.

    Raises:
        CheckpointError: It has values past the range of that dtype.
    """
    if not tensor.is_floating_point() or dtype == tensor.dtype:
        return tensor
    # isfinite() would need another copy of the largest tensor.
    if tensor.numel() and max(abs(float(end)) for end in tensor.aminmax()) > torch.finfo(dtype).max:
        name = str(dtype).removeprefix("torch.")
        hint = "dtype bfloat16" if dtype == torch.float16 else ""
        raise CheckpointError(f"{where}: {key} has values past the range of {name}", hint=hint)
    return tensor.to(dtype)


def name_of(weights: Mapping[str, Tensor]) -> str:
    """What the configuration says of weights: the name of their dtype; of mixed ones, "float32"."""
    found = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    return next((name for name, dtype in DTYPES.items() if found == {dtype}), WEIGHT_DTYPES[0])
