"""Other speech is expected as often as it will be heard."""

from __future__ import annotations

import math

import pytest
import torch

import snn_voice_hub as sv
from snn_voice_hub.training.measuring.prior import expect_unknown

LABELS = ["yes", "no", "_unknown_"]


def voice(labels: list[str] = LABELS) -> sv.SnnVoice:
    torch.manual_seed(0)
    network = sv.ResMelSNN(num_classes=len(labels), num_steps=3)
    return sv.SnnVoice(network, labels=labels).eval()


def test_the_logit_of_other_speech_is_lower_by_the_odds() -> None:
    model = voice()
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


def test_a_model_of_words_only_is_refused() -> None:
    with pytest.raises(sv.SnnVoiceError, match="no class _unknown_"):
        expect_unknown(voice(["yes", "no"]), 0.1, trained=0.2)
