"""The paper's code, to the last spike: the figures in `tests/golden/`."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub.features import Features
from tests.golden.formulas import waveform
from tests.golden.networks import build
from tests.places import ROOT
from tests.slowness import mostly_slow

FOLDER = ROOT / "tests" / "golden"
FIGURES = load_file(FOLDER / "golden.safetensors")
CASES = json.loads((FOLDER / "golden.json").read_text())["cases"]
NAMES = [(model, case) for model, cases in CASES.items() for case in cases]
# Thirty steps take seconds.
QUICK = [(model, case) for model, case in NAMES if not case.startswith(("t15", "t30"))]


@pytest.fixture
def _portable_sums() -> Iterator[None]:
    # oneDNN sums in an order that depends on the processor, and a spike whose membrane lies at the
    # threshold follows the last bit.
    with torch.backends.mkldnn.flags(enabled=False):
        yield


def apart(features: Features, waveforms: Tensor, found: Tensor, expected: Tensor) -> float:
    """The largest difference, as far as it is not rounding.

    Processors sum in different orders, which moves an amplitude by 1e-7 of the loudest in its frame. Of a
    nearly empty band the logarithm makes 1e-3 of that: it counts by its share of the frame's amplitude.
    """
    difference = (found - expected).abs()
    assert difference.max() < 1e-2
    if features.config.kind == "logmel":
        power = features.mel(features._standardise_waveform(features._resample(waveforms))).unsqueeze(1)
        difference = difference * (power / power.amax(2, keepdim=True)).sqrt()
    return float(difference.max())


@pytest.mark.parametrize("kind", ["waveform", "logmel"])
def test_features_equal_the_papers(kind: str) -> None:
    features = Features(sv.FeatureConfig(kind=kind, normalization="batch"))
    waveforms = torch.stack([waveform(clip) for clip in range(8)])
    assert apart(features, waveforms, features(waveforms), FIGURES[f"features/{kind}"]) < 1e-5
    for clip in range(2):
        alone, expected = waveforms[clip : clip + 1], FIGURES[f"features_alone/{kind}/{clip}"]
        assert apart(features, alone, features(alone), expected) < 1e-5


@pytest.mark.usefixtures("_portable_sums")
@pytest.mark.filterwarnings("ignore:.*stays silent")
@pytest.mark.parametrize(("model", "case"), mostly_slow(NAMES, *QUICK), ids=[f"{m}-{c}" for m, c in NAMES])
def test_logits_and_spikes_equal_the_papers(model: str, case: str) -> None:
    info = CASES[model][case]
    network = build(model, info["arguments"])
    x = FIGURES["features/waveform" if model.startswith("M5") else "features/logmel"]
    spikes: dict[str, Tensor] = {}
    with torch.inference_mode():
        torch.manual_seed(0)  # the paper's rate encoding draws from the global generator
        if isinstance(network, sv.SpikingNetwork):
            steps = network.forward_steps(x, tap=spikes.__setitem__)
        else:
            steps = network(x).unsqueeze(0)
    difference = float((steps.sum(0) - FIGURES[f"{model}/{case}/logits"]).abs().max())
    # Without a figure of its own (rate, latency), a case may move as far as the same network's t5.
    fallback = CASES[model].get("t5", {}).get("moved_1e-6", 0.0)
    moved = info.get("moved_1e-6", fallback)
    assert difference <= max(1e-4 if spikes else 1e-5, 2 * moved)
    for key, wanted in FIGURES.items():
        prefix = f"{model}/{case}/spikes/"
        if key.startswith(prefix):
            got = spikes[key.removeprefix(prefix)].flatten(2).sum(-1)
            if moved:
                assert abs(int(got.sum()) - int(wanted.sum())) <= 1e-3 * int(wanted.sum())
            else:
                assert torch.equal(got.int(), wanted)


@pytest.mark.parametrize("case", ["t5", "t15", "t5_learn_beta_thres"])
@pytest.mark.parametrize("model", ["M5SNN", "PiczakSNN", "HjhSNN", "HjhSCNN", "TcySNN"])
def test_step_loop_equals_all_steps_at_once(model: str, case: str) -> None:
    network = build(model, CASES[model][case]["arguments"])
    x = FIGURES["features/waveform" if model.startswith("M5") else "features/logmel"][:2]
    with torch.inference_mode():
        loop, at_once = network.forward_loop(x), network.forward_steps(x)  # type: ignore[operator]
    assert loop.shape == at_once.shape
    assert (loop - at_once).abs().max() <= 1e-4 * at_once.abs().max()
