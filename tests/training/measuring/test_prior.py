"""Other speech is expected as often as it will be heard."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import snn_voice_hub as sv
from snn_voice_hub.training.measuring.prior import expect_unknown

LABELS = ["yes", "no", "_unknown_"]


def voice(labels: list[str] = LABELS, network: str = "ResMelSNN", **arguments: int) -> sv.SnnVoice:
    torch.manual_seed(0)
    return sv.SnnVoice(
        getattr(sv, network)(num_classes=len(labels), **arguments), labels=labels, engine="torch"
    ).eval()


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        ("ResMelSNN", {"num_steps": 3}),
        ("ResMelCNN", {}),
        ("TempoSNN", {"num_steps": 10}),  # logits are a mean of outputs
        ("TempoCNN", {}),
    ],
)
def test_the_logit_of_other_speech_is_lower_by_the_odds(network: str, arguments: dict[str, int]) -> None:
    model = voice(LABELS, network, **arguments)
    waves = 0.1 * torch.randn(4, 16_000)
    with torch.no_grad():
        before = model(waves)
        by = expect_unknown(model, 0.1, trained=0.2)
        after = model(waves)
    assert by == pytest.approx(math.log((0.2 / 0.8) / (0.1 / 0.9)))
    assert torch.allclose(before[:, :2], after[:, :2], atol=1e-4)
    assert torch.allclose(before[:, 2] - by, after[:, 2], atol=1e-4)
    back = expect_unknown(model, 0.2, trained=0.1)
    assert back == pytest.approx(-by)
    with torch.no_grad():
        assert torch.allclose(model(waves), before, atol=1e-4)


@pytest.mark.parametrize(("share", "trained"), [(0.0, 0.2), (1.0, 0.2), (0.1, 0.0)])
def test_what_is_no_share_is_refused(share: float, trained: float) -> None:
    with pytest.raises(sv.SnnVoiceError, match="is no share"):
        expect_unknown(voice(), share, trained)


def test_a_bias_that_is_not_what_it_adds_stays_as_it_was() -> None:
    model = voice()
    fc: Any = model.network.get_submodule("fc")
    fc.register_forward_hook(lambda module, args, out: out.relu())
    with torch.no_grad():
        fc.bias.fill_(-9.0)
    with pytest.raises(sv.SnnVoiceError, match="not what it adds"):
        expect_unknown(model, 0.1, trained=0.2)
    assert (fc.bias == -9.0).all()


def test_a_model_of_words_only_is_refused() -> None:
    with pytest.raises(sv.SnnVoiceError, match="no class _unknown_"):
        expect_unknown(voice(["yes", "no"]), 0.1, trained=0.2)
