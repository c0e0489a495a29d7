"""What the tests of Lightning checkpoints share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.legacy.lightning import read_lightning


def equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Whether two state dicts are the same, types too."""
    return left.keys() == right.keys() and all(
        left[key].dtype == right[key].dtype and torch.equal(left[key], right[key]) for key in left
    )


def fails(path: Path, match: str, **arguments: Any) -> CheckpointError:
    """The error of a file that can't be read, which is one line."""
    with pytest.raises(CheckpointError, match=match) as caught:
        read_lightning(path, **arguments)
    assert "\n" not in str(caught.value)
    return caught.value
