"""ONNX: the exported graph gives the network's own logits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.export import neurons
from snn_voice_hub.export.agreement import agreement
from snn_voice_hub.export.onnx import default_clip_shape, export_network
from snn_voice_hub.inference.engines.base import Unsupported
from snn_voice_hub.inference.engines.choice import make_engine
from snn_voice_hub.inference.engines.onnx import OnnxEngine
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import Pass, SpikingNetwork, over_time
from tests.export.helpers import lively, spike_rates
from tests.models.lively import CNNS, SNNS, small_shape
from tests.slowness import mostly_slow

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def spiking(name: str, **arguments: Any) -> SpikingNetwork:
    """A network in which every layer of neurons fires, at some places and not at others."""
    network = lively(name, **arguments)
    if name == "PiczakSNN":
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data.mul_(3)
    return network


def same_logits(logits: Tensor, expected: Tensor) -> bool:
    assert logits.shape == expected.shape
    assert float(expected.abs().max()) > 0
    return agreement(logits, expected).good


def run_graph(model: Any, x: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["logits"], {"input": x.numpy()})[0])


def check_graph(network: sv.SpikingNetwork | Any, shape: tuple[int, ...], batches: tuple[int, ...]) -> Any:
    model = export_network(network, clip_shape=shape)
    onnx.checker.check_model(model)
    for batch in batches:
        with torch.no_grad():
            x = network.encoded(torch.randn(batch, 1, *shape) * 2, range(batch))
            expected = network.forward_encoded(x)
        assert same_logits(run_graph(model, x), expected)
    return model


# --- the graph ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "steps", "reset", "encoding"),
    mostly_slow(
        [
            *((name, 3, "subtract", "repeat") for name in SNNS if "repeat" in getattr(sv, name).encodings),
            ("M5SNN", 5, "subtract-before-decay", "rate"),
            ("HjhSNN", 5, "subtract-before-decay", "repeat"),
            ("HjhSNN", 1, "subtract", "rate"),
            ("TcySNN", 5, "subtract-before-decay", "rate"),
            ("ResMelSNN", 5, "subtract-before-decay", "repeat"),
            ("ResMelSNN", 5, "subtract", "latency"),
        ],
        ("M5SNN", 3, "subtract", "repeat"),
        ("TcySNN", 3, "subtract", "repeat"),
        ("TcySNN", 5, "subtract-before-decay", "rate"),
    ),
)
def test_graph_has_the_networks_logits(name: str, steps: int, reset: str, encoding: str) -> None:
    # A threshold below 1, since a bare layer on the input gets spikes of 1.0, and fires above only.
    network = spiking(name, num_steps=steps, reset=reset, encoding=encoding, threshold=0.75, beta=0.8)
    shape = small_shape(type(network))
    rates = spike_rates(network, torch.randn(4, 1, *shape) * 2)
    assert all(0 < rate < 1 for rate in rates.values()), rates
    model = check_graph(network, shape, (1, 5))
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == (
        1 if encoding == "repeat" else steps
    )
    kinds = Counter(node.op_type for node in model.graph.node)
    # All steps at once, and a current that is the same in all steps once; batch norm is in the weights.
    assert kinds["Conv"] == sum(isinstance(m, nn.Conv1d | nn.Conv2d) for m in network.modules())
    assert kinds["BatchNormalization"] == 0
    assert {node.domain for node in model.graph.node} == {""}


@pytest.mark.parametrize("name", mostly_slow(CNNS, "M5CNN", "TcyCNN"))
def test_cnns_export(name: str) -> None:
    network = getattr(sv, name)(num_classes=4).eval()
    check_graph(network, small_shape(type(network)), (1, 3))


@pytest.mark.slow
def test_reset_rules_differ() -> None:
    """Else the tests of both would say nothing."""
    logits = []
    for reset in ("subtract", "subtract-before-decay"):
        torch.manual_seed(0)
        network = spiking("HjhSNN", reset=reset)
        torch.manual_seed(1)
        model = export_network(network, clip_shape=(9, 11))
        logits.append(run_graph(model, torch.randn(1, 8, 1, 9, 11) * 2))
    assert not same_logits(*logits)


@pytest.mark.parametrize("reset", mostly_slow(["subtract", "subtract-before-decay"], "subtract-before-decay"))
def test_learned_values_beyond_their_range(reset: str) -> None:
    network = spiking("HjhSNN", reset=reset, learn_beta=True, learn_threshold=True)
    layers = [module for module in network.modules() if isinstance(module, Lif)]
    for layer, beta, threshold in zip(layers, (1.7, -0.3, 0.6), (0.5, 1.5, 0.9), strict=True):
        layer.beta.data.fill_(beta)
        layer.threshold.data.fill_(threshold)
    check_graph(network, (9, 11), (1, 8))


def test_spikes_need_more_than_the_threshold() -> None:
    network = sv.TcySNN(num_classes=3, num_steps=3, beta=0.5, threshold=1.0).eval()
    x = torch.full((1, 1, 1, 10, 10), 0.5)
    x[..., :5, :] = 1.0  # at the threshold in step 1: no spike; above it in step 2
    with torch.no_grad():
        expected = network.forward_encoded(x)
    torch.testing.assert_close(run_graph(export_network(network, clip_shape=(10, 10)), x), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["M5", "Pools"])
def test_pooling_by_phase(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network: SpikingNetwork = spiking("M5SNN") if name == "M5" else Pools(num_classes=5).eval()
    shape = small_shape(sv.M5SNN) if name == "M5" else (9, 13)
    monkeypatch.setattr(neurons, "_LARGE", 1 << 30)
    plain = check_graph(network, shape, (3,))
    monkeypatch.setattr(neurons, "_LARGE", 1)
    apart = check_graph(network, shape, (1, 3))
    kinds = [Counter(node.op_type for node in model.graph.node) for model in (plain, apart)]
    assert kinds[0]["Max"] == 0
    assert kinds[1]["Max"] == network.num_steps
    assert kinds[1]["MaxPool"] == kinds[0]["MaxPool"] - network.num_steps


def test_writes_a_file_and_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "network.onnx"
    network = spiking("HjhSNN", num_steps=3)
    export_network(network, path, clip_shape=(9, 11))
    assert capfd.readouterr().out == ""
    model = onnx.load(path)
    assert {p.key: p.value for p in model.metadata_props}.items() >= {
        "architecture": "HjhSNN",
        "num_steps": "3",
        "encoding": "repeat",
        "reset": "subtract",
    }.items()
    assert [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [
        *(1, "batch", 1, 9, 11)
    ]


def test_training_mode_and_other_dtypes_are_left_alone() -> None:
    network = spiking("HjhSNN", num_steps=2)
    x = torch.randn(1, 4, 1, 9, 11) * 2
    with torch.no_grad():
        expected = network.forward_encoded(x)
    network = network.double().train()
    model = export_network(network, clip_shape=(9, 11))
    assert network.training
    assert next(network.parameters()).dtype == torch.float64
    assert same_logits(run_graph(model, x), expected)


def test_default_shape_is_that_of_the_front_end() -> None:
    assert default_clip_shape(sv.M5CNN()) == (4000,)
    assert default_clip_shape(sv.HjhCNN()) == (60, 134)


def test_shape_must_fit() -> None:
    with pytest.raises(ConfigError, match="M5CNN got features"):
        export_network(sv.M5CNN().eval(), clip_shape=(100,))


# --- networks of others ---------------------------------------------------------------------------


class Pools(SpikingNetwork):
    """Poolings of several kinds behind the neurons."""

    feature_dims = 2
    min_shape = (4, 6)

    def build(self) -> None:
        self.lif1, self.lif2, self.lif3 = (self.make_lif() for _ in range(3))
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(4, self.num_classes)
        self.pools = nn.ModuleList([nn.MaxPool2d((2, 3)), nn.MaxPool2d(2, stride=1), nn.AvgPool2d(2)])

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        x = run.fire("lif1", self.lif1, over_time(self.conv, x) * 5, then=self.pools[0])
        x = run.fire("lif2", self.lif2, x * 1.3, then=self.pools[1])
        x = run.fire("lif3", self.lif3, x * 0.7, then=self.pools[2])
        return run.readout(self.fc, x.mean((-2, -1)))


class Leaking(Lif):
    """Neurons of another kind: their spikes are of another size."""

    def forward(self, x: Tensor, mem: Tensor | None, num_steps: int) -> tuple[Tensor, Tensor]:
        spk, mems = super().forward(x, mem, num_steps)
        return spk * 0.5, mems

    def spikes(self, x: Tensor, mem: Tensor | None, num_steps: int, then: Any = None) -> Tensor:
        spk = super().spikes(x, mem, num_steps, then)
        return spk * 0.5


class OtherNeurons(sv.TcySNN):
    def make_lif(self, channels: int | None = None) -> Lif:
        return Leaking(self.beta)


class OtherSum(sv.TcySNN):
    """Its logits are not the sum over the steps."""

    def forward_encoded(self, x: Tensor) -> Tensor:
        return self.layers(x, Pass(self.num_steps)).amax(0)


class Branching(sv.TcySNN):
    def layers(self, x: Tensor, run: Pass) -> Tensor:
        if float(x.sum()) > 0:
            x = -x
        return super().layers(x, run)


@pytest.mark.slow
@pytest.mark.parametrize("cls", [OtherNeurons, OtherSum])
def test_networks_of_others(cls: type[SpikingNetwork]) -> None:
    check_graph(cls(num_classes=5, num_steps=3).eval(), (9, 13), (1, 4))


def test_what_cannot_be_traced_is_said_in_one_line() -> None:
    network = Branching(num_classes=5).eval()
    with pytest.raises(SnnVoiceError, match="Branching can't be exported to ONNX: ") as caught:
        export_network(network)
    assert caught.value.code == "not_exportable"
    with pytest.raises(Unsupported, match="Branching can't be exported") as refused:
        OnnxEngine(network)
    assert "\n" not in str(refused.value)
    engine, facts = make_engine(network, "onnx")
    assert engine.name == "torch"
    assert "Branching" in facts["reasons"]["onnx"]
