"""What stands beside a signature, for type checkers and for the code below, says what it says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import snn_voice_hub as sv
from snn_voice_hub.hub.loading import Loading
from snn_voice_hub.inference.ends import ClassifyOptions, Ends
from snn_voice_hub.models.pretrained import LoadOptions


def keywords(method: Callable[..., Any]) -> dict[str, Any]:
    """Names and defaults."""
    parameters = inspect.signature(method).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def test_of_classify() -> None:
    told = keywords(sv.SnnVoice.classify)
    assert list(ClassifyOptions.__annotations__) == list(told)
    config = sv.VoiceConfig(
        architecture="TcySNN", network={}, features=sv.FeatureConfig(kind="waveform"), labels=["a"]
    )
    assert Ends(config).options == told


def test_of_from_pretrained() -> None:
    told = keywords(sv.TcySNN.from_pretrained)
    assert list(LoadOptions.__annotations__) == list(told)
    assert vars(Loading()) | {"device": "cpu", "dtype": None} == told


def test_a_token_is_not_shown() -> None:
    assert "hf_secret" not in repr(Loading(token="hf_secret"))
