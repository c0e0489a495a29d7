"""What several test files share."""

from __future__ import annotations

import os

# Before anything imports huggingface_hub: no test may reach the Hub. (HF_HUB_OFFLINE would stop its client
# from talking to our own service too.)
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
os.environ["HF_HUB_DISABLE_XET"] = "1"  # the sandbox Hub speaks plain HTTP

from pathlib import Path

import pytest
import torch

import snn_voice_hub as sv

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def default_model() -> sv.SnnVoice:
    """The bundled default, which no test may change."""
    return sv.SnnVoice.from_pretrained()
