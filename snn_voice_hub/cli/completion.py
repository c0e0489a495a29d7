"""What the shell offers while an argument is typed; nothing heavy may be imported here."""

from __future__ import annotations

from collections.abc import Iterable

from snn_voice_hub.export.names import SUFFIXES
from snn_voice_hub.hub.bundled import bundled_names
from snn_voice_hub.inference.engines.names import ENGINES
from snn_voice_hub.training.voices.synthesiser import ENGINES as SYNTHESISERS

# Beside the engines: what answers in place of all that they are for.
LITE = "lite"


def model_names(incomplete: str) -> list[str]:
    """Of the bundled models. Folders are completed by the shell, where none of these fits."""
    return _beginning(bundled_names(), incomplete)


def recipe_names(incomplete: str) -> list[str]:
    """Of what can be trained from scratch."""
    from snn_voice_hub.training.fitting.recipes import RECIPES

    return _beginning(RECIPES, incomplete)


def engine_names(incomplete: str) -> list[str]:
    """Of the engines."""
    return _beginning(ENGINES, incomplete)


def engine_or_lite_names(incomplete: str) -> list[str]:
    """Of the engines, and of the runtime that needs no PyTorch."""
    return _beginning((*ENGINES, LITE), incomplete)


def synthesiser_names(incomplete: str) -> list[str]:
    """Of the synthesisers."""
    return _beginning(SYNTHESISERS, incomplete)


def format_names(incomplete: str) -> list[str]:
    """Of what `export` writes."""
    return _beginning(SUFFIXES, incomplete)


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
