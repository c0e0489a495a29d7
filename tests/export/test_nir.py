"""NIR files spike as the networks that they were made from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import snn_voice_hub as sv
from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import ConfigError, MissingExtraError, SnnVoiceError
from snn_voice_hub.export.agreement import agreement
from snn_voice_hub.export.nir.files import compare, export_nir, load
from snn_voice_hub.models.network import Pass, SpikingNetwork, over_time
from tests.export.helpers import lively, recordings, spike_rates
from tests.models.lively import SNNS
from tests.slowness import mostly_slow

nir = pytest.importorskip("nir")

BUNDLED = ("resmel-snn", "m5-snn", "hjh-snn", "tcy-snn", "tempo-snn")


def config_of(network: SpikingNetwork) -> VoiceConfig:
    return sv.SnnVoice(network, labels=[f"word {i}" for i in range(7)]).config


@pytest.mark.parametrize("neurons", ["lif", "parts"])
@pytest.mark.parametrize("name", mostly_slow(BUNDLED, "resmel-snn", "tempo-snn"))
def test_bundled_models_spike_alike_on_recordings(name: str, neurons: str, tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained(name, engine="torch")
    assert isinstance(voice.network, SpikingNetwork)
    written = export_nir(voice.network, voice.config, tmp_path / "m.nir", neurons=neurons)
    assert written.size == written.path.stat().st_size
    assert written.agreement.good
    with torch.no_grad():
        features = voice.features(recordings())
        found = compare(voice.network, load(written.path), features)
        assert torch.equal(found.expected.argmax(1), voice(recordings()).argmax(1))
    assert found.equal >= 0.999 * found.neurons
    assert agreement(found.logits, found.expected).good
    # What is compared is worth it: some neurons fire, and not all.
    rates = spike_rates(voice.network, features)
    assert len(rates) == {"resmel-snn": 11, "m5-snn": 4, "hjh-snn": 3, "tcy-snn": 1, "tempo-snn": 11}[name]
    assert all(0 < rate < 1 for rate in rates.values())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ResMelSNN", {"reset": "subtract-before-decay", "beta": 0.9}),
        pytest.param("ResMelSNN", {"beta": 1.0}, marks=pytest.mark.slow),
        ("ResMelSNN", {"beta_per_channel": True, "learn_beta": True}),
        pytest.param(
            "M5SNN",
            {"reset": "subtract-before-decay", "num_steps": 2, "threshold": 0.75},
            marks=pytest.mark.slow,
        ),
        ("HjhSNN", {"encoding": "latency", "threshold": 0.7}),
        pytest.param(
            "HjhSNN",
            {"encoding": "rate", "reset": "subtract-before-decay", "threshold": 0.7},
            marks=pytest.mark.slow,
        ),
        ("TcySNN", {"beta": 0.0}),
        ("TcySNN", {"beta": 0.95, "reset": "subtract-before-decay"}),
    ],
)
@pytest.mark.parametrize("neurons", ["lif", "parts"])
def test_rules_decays_and_encodings(
    name: str, arguments: dict[str, Any], neurons: str, tmp_path: Path
) -> None:
    network = lively(name, **arguments)
    for module in network.modules():
        if isinstance(module, sv.models.Lif) and module.beta.ndim:
            nn.init.uniform_(module.beta, 0.2, 1.3)  # some do not leak
    config = config_of(network)
    written = export_nir(network, config, tmp_path / "m.nir", neurons=neurons)
    assert written.equal_spikes >= 0.999
    read = load(written.path)
    assert (read.num_steps, read.encoding) == (network.num_steps, network.encoding)
    assert read.labels == config.labels
    assert read.features == config.features
    assert read.architecture == name
    # The rule is said in every neuron's metadata, as in the graph's.
    said = {
        str(node.metadata["reset"])
        for node in nir.read(written.path).nodes.values()
        if "reset" in node.metadata
    }
    assert said - {"zero"} == {network.reset}


def test_the_reset_rule_matters_and_the_other_one_is_refused_or_counted(tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn", engine="torch")
    assert isinstance(voice.network, SpikingNetwork)
    path = export_nir(voice.network, voice.config, tmp_path / "m.nir").path
    with torch.no_grad():
        found = compare(voice.network, load(path, reset="zero"), voice.features(recordings()))
    assert found.equal < 0.999 * found.neurons
    with pytest.raises(ConfigError, match="'zero'"):
        load(path, reset="subtract")


def test_a_loaded_graph_classifies_sound(tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained("resmel-snn", engine="torch")
    assert isinstance(voice.network, SpikingNetwork)
    read = load(export_nir(voice.network, voice.config, tmp_path / "m.nir").path)
    again = sv.SnnVoice(read, read.features, read.labels)
    with torch.no_grad():
        assert agreement(again(recordings()), voice(recordings())).good
    assert read.temperature == voice.config.temperature


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SNNS)
def test_every_network_is_exported_or_refused_with_another_way(name: str, tmp_path: Path) -> None:
    network = lively(name, num_steps=2)
    try:
        written = export_nir(network, config_of(network), tmp_path / "m.nir")
    except SnnVoiceError as refused:
        assert refused.code == "not_exportable"
        assert "--to onnx" in refused.hint
        assert name not in ("ResMelSNN", "M5SNN", "HjhSNN", "TcySNN", "TempoSNN")
    else:
        assert written.agreement.good


def test_no_node_for_it(tmp_path: Path) -> None:
    for cls, why in (
        (sv.PiczakSNN, "snn.0.conv is a convolution with groups, unusual padding or unlike sizes"),
        (sv.HjhSCNN, "ReLU|relu"),
    ):
        network = cls(num_classes=7, num_steps=2).eval()
        with pytest.raises(SnnVoiceError, match=why) as caught:
            export_nir(network, config_of(network), tmp_path / "m.nir")
        assert caught.value.code == "not_exportable"
        assert "--to onnx" in caught.value.hint
    cnn = sv.TcyCNN(num_classes=7)
    with pytest.raises(SnnVoiceError, match="TcyCNN can't be said in NIR: it has no spiking neurons"):
        export_nir(cnn, sv.SnnVoice(cnn, labels=list("abcdefg")).config, tmp_path / "m.nir")
    assert list(tmp_path.iterdir()) == []


class _Pooled(sv.HjhSNN):
    """The maximum of what comes in, before any neuron."""

    def build(self) -> None:
        super().build()
        self.pool = nn.MaxPool2d(2)

    def layers(self, x: torch.Tensor, run: Pass) -> torch.Tensor:
        return super().layers(over_time(self.pool, x), run)


def test_maximum_of_currents(tmp_path: Path) -> None:
    network = _Pooled(num_classes=7).eval()
    with pytest.raises(SnnVoiceError, match="pool takes the maximum of currents, for which there is no node"):
        export_nir(network, config_of(network), tmp_path / "m.nir")


def test_bad_arguments_and_targets(tmp_path: Path) -> None:
    network = lively("TcySNN")
    config = config_of(network)
    with pytest.raises(ConfigError, match="neurons='cuba'"):
        export_nir(network, config, tmp_path / "m.nir", neurons="cuba")
    for path in (tmp_path, tmp_path / "nowhere" / "m.nir"):
        with pytest.raises(SnnVoiceError, match="can't be written"):
            export_nir(network, config, path)
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "m.nir"
    with pytest.raises(SnnVoiceError, match="does not exist"):
        load(path)
    path.write_bytes(b"no HDF5 file")
    with pytest.raises(SnnVoiceError, match="is no readable NIR file"):
        load(path)
    other = nir.NIRGraph.from_list(nir.Linear(weight=np.ones((3, 2), np.float32)))
    nir.write(path, other)
    with pytest.raises(SnnVoiceError, match="is not a NIR file of this library"):
        load(path)


def changed(path: Path, change: Any) -> None:
    graph = nir.read(path)
    change(graph)
    nir.write(path, graph)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.metadata.update(snn_voice_hub_format=2), "newer release"),
        (lambda g: g.metadata.update(snn_voice_hub_format="x"), "metadata are damaged"),
        (lambda g: g.metadata.update(num_steps=0), "num_steps"),
        (lambda g: g.metadata.update(encoding="morse"), "encoding"),
        (lambda g: g.metadata.update(labels="["), "metadata are damaged"),
        (lambda g: g.metadata.pop("features"), "metadata are damaged"),
        (
            lambda g: g.nodes["snn_0"].metadata.update(reset="halve"),
            "no reset rule that is known here: 'halve'",
        ),
        (lambda g: g.nodes["snn_0"].v_reset.fill(0.5), "reset to another value than 0"),
        (lambda g: g.nodes["snn_0"].v_leak.fill(0.5), "leaks to another value than 0"),
    ],
)
def test_files_that_somebody_changed(change: Any, message: str, tmp_path: Path) -> None:
    network = lively("TcySNN")
    path = export_nir(network, config_of(network), tmp_path / "m.nir").path
    changed(path, change)
    with pytest.raises(SnnVoiceError, match=message):
        load(path)


def test_features_of_another_shape(tmp_path: Path) -> None:
    network = lively("TcySNN")
    read = load(export_nir(network, config_of(network), tmp_path / "m.nir").path)
    with pytest.raises(ConfigError, match=r"the graph got features of shape \[2, 1, 60, 9\]"):
        read(torch.zeros(2, 1, 60, 9))


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nir", None)
    network = lively("TcySNN")
    for call in (
        lambda: export_nir(network, config_of(network), tmp_path / "m.nir"),
        lambda: load(tmp_path / "m.nir"),
    ):
        with pytest.raises(MissingExtraError, match=r"needs nir.*snn-voice-hub\[export\]"):
            call()
