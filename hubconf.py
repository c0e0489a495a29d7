"""Entry points of `torch.hub.load`: the models out of the repository, without an installation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snn_voice_hub import SnnVoice
    from snn_voice_hub.models.base import Network

# What needs no PyTorch is a package of its own, in a folder beside this file.
_LITE = str(Path(__file__).resolve().parent / "lite")
if _LITE not in sys.path:
    sys.path.insert(0, _LITE)

# What `torch.hub` looks for before it calls an entry point; the packages that the library needs.
dependencies = ["torch", "torchaudio", "snntorch", "huggingface_hub", "safetensors", "soundfile", "soxr"]


def snn_voice(model: str | None = None, **options: Any) -> SnnVoice:
    """A classifier: sound in, words out.

    Args:
        model: What `SnnVoice.from_pretrained` takes: a bundled name, a folder, a repository of the Hugging
            Face Hub; by default the default model.
        **options: More arguments of `SnnVoice.from_pretrained`.
    """
    from snn_voice_hub import SnnVoice

    return SnnVoice.from_pretrained(model, **options)


def snn_network(model: str, **options: Any) -> Network:
    """The network alone: what the front end makes of sound in, logits out.

    Args:
        model: As for `snn_voice`.
        **options: As for `snn_voice`.
    """
    from snn_voice_hub.models.base import Network

    network = snn_voice(model, **options).network
    assert isinstance(network, Network), "a checkpoint of another one can't be opened"
    return network
