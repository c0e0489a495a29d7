"""What a second of listening costs: frames heard once, windows that overlap, and silence."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snn_voice_hub as sv
from snn_voice_hub import audio
from snn_voice_hub.config import SPEECH_COMMANDS
from snn_voice_hub.hub.bundled import bundled_root
from snn_voice_hub.hub.cards.page import make_card
from snn_voice_hub.hub.checkpoints import read_config
from snn_voice_hub.models.causal import causal_conv
from snn_voice_hub.models.framed import FramedSNN
from snn_voice_hub.models.network import Pass
from snn_voice_hub.spikes.energy import measure
from snn_voice_hub.spikes.energy.count import Counter
from snn_voice_hub.spikes.energy.estimate import Energy
from snn_voice_hub.spikes.energy.layers import AC_PJ, MAC_PJ
from tests.cli.helpers import invoke
from tests.models.lively import lively
from tests.places import EXAMPLES

YES = EXAMPLES / "yes.wav"
RATE = 16_000
FRAMED = ("TempoSNN", "TempoCNN")


def voice_of(name: str, **arguments: Any) -> sv.SnnVoice:
    network = lively(name, num_classes=len(SPEECH_COMMANDS), **arguments)
    return sv.SnnVoice(network, labels=SPEECH_COMMANDS, engine="torch").eval()


def noise(seconds: float, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    draws = np.random.default_rng(seed)
    return (0.1 * draws.standard_normal(round(seconds * RATE))).astype(np.float32)


# --- by hand ------------------------------------------------------------------------------------------


class Small(FramedSNN):
    """A convolution of two taps over frames of one band, two neurons, and one of three taps."""

    min_shape = (1, 2)

    def build(self) -> None:
        self.first = nn.Conv1d(1, 2, 2, bias=False)
        self.first.weight.data = torch.tensor([[[1.0, 1.0]], [[0.0, 1.0]]])
        self.lif = self.make_lif(2)
        self.last = nn.Conv1d(2, self.num_classes, 3, bias=False)
        self.last.weight.data.fill_(1)

    def layers(self, x: Tensor, run: Pass) -> Tensor:
        frames = x.flatten(2)
        current = causal_conv(run.with_past("first", frames, 1), self.first.weight, 1, 1)
        spk = run.fire("lif", self.lif, current)
        return causal_conv(run.with_past("last", spk, 2), self.last.weight, 1, 1)


def small() -> Small:
    return Small(num_classes=1, num_steps=4, beta=0.0, threshold=1.0).eval()


def test_a_spike_counts_for_each_tap_that_it_meets() -> None:
    """Frames 2 0, behind the one of nothing with which steps begin.

    The 2 meets the newest tap of both channels, and at the next step the older tap of the first channel: 3
    products. Both neurons fire at once, and the first one's second current leaves 2 - 1 in its membrane,
    which is no spike. The two spikes meet a tap of the last layer at once and one at the next step, where
    the clip ends: 4 accumulates.
    """
    counter = Counter(small())
    logits = counter.count(torch.tensor([[[[2.0, 0, 0, 5]]]]))
    found = counter.energy()
    first, last = found.layers
    assert logits.tolist() == [[4.0]]
    assert (found.num_steps, found.windows) == (3, 1)
    assert (first.name, first.dense, first.macs, first.acs) == ("first", 3 * 4, 3, 0)
    assert (last.name, last.dense, last.macs, last.acs) == ("last", 3 * 6, 0, 4)


def test_what_is_past_counts_too() -> None:
    counter, whole = Counter(small()), Counter(small())
    x = torch.zeros(6, 1, 1, 1, 1)
    x[1] = 2.0
    _, state = counter.go_on(x[:3])
    assert [layer.effective for layer in counter.layers(1)] == [3, 4]
    counter.go_on(x[3:], state)
    whole.go_on(x)
    assert counter.layers(1) == whole.layers(1)
    assert [layer.effective for layer in counter.layers(1)] == [3, 6]


def test_silence_is_heard_by_products_all_the_same() -> None:
    counter = Counter(small())
    counter.go_on(torch.zeros(4, 1, 1, 1, 1))
    first, last = counter.layers(1)
    assert (first.binary, last.binary) == (False, True)
    assert (first.effective, first.dense_uj) == (0, pytest.approx(16 * MAC_PJ * 1e-6))
    assert last.dense_uj == pytest.approx(24 * AC_PJ * 1e-6)


# --- networks that hear each frame once ---------------------------------------------------------------


@pytest.mark.parametrize("name", FRAMED)
def test_a_stream_in_pieces_costs_what_it_costs_at_once(name: str) -> None:
    network: Any = lively(name)
    x = torch.randn(30, 1, 1, 40, network.frames_per_step, generator=torch.Generator().manual_seed(5))
    whole, pieces = Counter(network), Counter(network)
    out, _ = whole.go_on(x)
    state, outputs = None, []
    for part in x.split((1, 7, 20, 2)):
        found, state = pieces.go_on(part, state)
        outputs.append(found)
    assert whole.layers(1) == pieces.layers(1)
    torch.testing.assert_close(torch.cat(outputs), out, atol=1e-5, rtol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(network.steps(x)[0], out)


@pytest.fixture(scope="module", params=FRAMED)
def measured(request: pytest.FixtureRequest) -> Energy:
    return voice_of(request.param).energy([YES, EXAMPLES / "no.wav"])


def test_a_window_as_it_runs(measured: Energy) -> None:
    voice = voice_of(measured.architecture)
    network: Any = voice.network
    assert measured.num_steps == network.num_steps
    assert len({layer.name for layer in measured.layers}) == sum(
        isinstance(module, nn.Conv1d | nn.Linear) for module in network.modules()
    )
    spiking = measured.architecture == "TempoSNN"
    assert measured.spiking == spiking
    assert all(layer.binary == (spiking and layer.name != "stem.conv") for layer in measured.layers)
    assert measured.energy_once_uj == measured.energy_uj
    if spiking:
        membranes = {name: shape for name, shape in network.state_layout().items() if "past" not in name}
        assert measured.state == 4 * sum(shape[0] for shape in membranes.values())
        assert measured.twin is not None
        assert (measured.twin.architecture, measured.twin.windows) == ("TempoCNN", 0)
        assert measured.twin.dense == measured.dense


def test_a_second_is_the_stream_of_all_clips(measured: Energy) -> None:
    voice = voice_of(measured.architecture)
    network: Any = voice.network
    second = measured.second
    assert second is not None
    assert (second.hop, second.seconds) == (None, pytest.approx(2.0))
    # The same by hand: two seconds of silence, one that is counted, then the clips.
    windows = [np.zeros(RATE, np.float32)] * 3 + [
        np.pad(clip, (0, RATE - len(clip)))
        for clip in (audio.load(path, target_rate=RATE).numpy() for path in (YES, EXAMPLES / "no.wav"))
    ]
    frames = torch.cat([voice.features(torch.from_numpy(w)[None])[..., :100] for w in windows], -1)
    x = frames.unflatten(-1, (-1, network.frames_per_step)).movedim(-2, 0)
    state = None
    counted = []
    for part in x.tensor_split(5):
        counter = Counter(network)
        _, state = counter.go_on(part, state)
        counted.append(counter.layers(1))
    for layer, silent, *heard in zip(second.sound.layers, second.silence.layers, *counted[2:], strict=True):
        assert silent.effective == heard[0].effective
        assert layer.effective == pytest.approx((heard[1].effective + heard[2].effective) / 2)
        assert layer.dense == pytest.approx(heard[1].dense)
        assert (layer.binary, silent.binary) == (heard[1].binary, heard[1].binary)


def test_it_is_told(measured: Energy) -> None:
    second = measured.second
    assert second is not None
    found = json.loads(json.dumps(measured.to_dict(), allow_nan=False))
    told = found["second"]
    assert (told["hop"], told["heard_seconds"]) == (None, 2)
    assert told["energy_uj"] == pytest.approx(second.sound.energy_uj, rel=1e-4)
    assert told["silence"]["energy_uj"] == pytest.approx(second.silence.energy_uj, rel=1e-4)
    for name, layers in (
        ("layers_of_a_second", second.sound),
        ("layers_of_a_second_of_silence", second.silence),
    ):
        assert sum(layer["synops"] for layer in found[name]) == pytest.approx(layers.synops, rel=1e-4)
    text = " ".join(str(measured).split())
    assert "One second of listening" in text
    assert "each frame once" in text
    assert f"Layers of {measured.architecture} in a second of listening" in text
    config = read_config(bundled_root() / "resmel-snn")
    assert config.detection is not None
    a_second = config.metrics["energy"]["energy_uj"] / config.detection.hop
    assert told["windowed"]["energy_uj"] == pytest.approx(a_second, rel=1e-4)
    assert f"resmel-snn in windows every {config.detection.hop:g} s: {a_second:.0f} µJ a second" in text
    assert max(map(len, str(measured).splitlines())) <= 110


def test_batches_do_not_matter() -> None:
    voice = voice_of("TempoSNN")
    clips = [noise(1.0, seed) for seed in range(5)]
    found = [voice.energy(clips, sample_rate=RATE, batch_size=size, twin=False) for size in (1, 4)]
    assert found[0] == found[1]


def test_a_long_clip_is_heard_once() -> None:
    voice = voice_of("TempoSNN")
    clip = noise(23.0)
    found = voice.energy(clip, sample_rate=RATE, twin=False)
    assert found.windows == 45
    assert found.second is not None
    assert found.second.seconds == pytest.approx(23.0, abs=0.2)
    cut = voice.energy([*clip.reshape(23, RATE)], sample_rate=RATE, twin=False)
    assert cut.second is not None
    assert found.second.sound.synops == pytest.approx(cut.second.sound.synops, rel=0.02)


# --- networks that hear windows -----------------------------------------------------------------------


def test_windows_cost_as_many_as_begin_in_a_second() -> None:
    voice = sv.SnnVoice.from_pretrained("m5-snn")
    found = voice.energy(YES)
    second, twin = found.second, found.twin
    assert second is not None
    assert second.hop == (voice.config.detection.hop if voice.config.detection else 0.1)
    assert second.sound.energy_uj == pytest.approx((found.energy_uj or 0) / second.hop)
    assert second.sound.energy_once_uj == pytest.approx((found.energy_once_uj or 0) / second.hop)
    silence = voice.energy(np.zeros(RATE, np.float32), sample_rate=RATE, twin=False)
    assert second.silence.synops == pytest.approx((silence.synops or 0) / second.hop)
    # A layer that hears nothing but zeros in silence takes products all the same.
    assert [layer.binary for layer in second.silence.layers] == [layer.binary for layer in found.layers]
    assert second.silence.energy_uj == pytest.approx((silence.energy_uj or 0) / second.hop, rel=1e-3)
    assert second.seconds == 0
    assert second.beside is None
    assert twin is not None
    assert twin.second is not None
    assert twin.second.sound.energy_uj == pytest.approx((twin.energy_uj or 0) / second.hop)
    told = found.to_dict()
    assert told["second"]["hop"] == second.hop
    assert "windowed" not in told["second"]
    assert "layers_of_a_second" not in told
    assert f"windows, every {second.hop:g} s" in str(found)


def test_a_stream_beside_windows() -> None:
    """Of the same clips; both ways of listening stand in one table, and their ratio below it."""
    voice = voice_of("TempoSNN")
    found = voice.energy([YES], twin="resmel-snn")
    assert found.second is not None
    assert found.twin is not None
    assert found.twin.second is not None
    ours, theirs = found.second.sound.energy_uj, found.twin.second.sound.energy_uj
    assert ours is not None
    assert theirs is not None
    share = ours / theirs
    told = f"{share:.2f}" if share >= 0.1 else f"{share:.2g}"
    assert f"A second of listening: {told} times that of resmel-snn" in " ".join(str(found).split())


@pytest.mark.parametrize("metrics", [{}, {"energy": {"windows": 3}}, {"energy": {"energy_uj": "much"}}])
def test_a_default_that_was_not_measured_is_not_told(
    metrics: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(read_config(bundled_root() / "resmel-snn"), metrics=metrics)
    assert measure.bundled_windows() is not None
    monkeypatch.setattr(measure, "read_config", lambda folder: config)
    assert measure.bundled_windows() is None
    monkeypatch.setattr(measure, "bundled_names", lambda: [])
    assert measure.bundled_windows() is None


# --- kept ---------------------------------------------------------------------------------------------


def test_it_goes_into_the_configuration_and_its_card(tmp_path: Path) -> None:
    voice = voice_of("TempoSNN")
    voice.save_pretrained(tmp_path)
    said = invoke("energy", str(tmp_path), "--data", str(YES), "--write", "--twin", "resmel-snn").stdout
    assert "One second of listening" in said
    config = read_config(tmp_path)
    told = config.metrics["energy"]
    assert told["second"]["hop"] is None
    assert told["twin"]["second"]["hop"] == 0.1
    text = make_card(config).text
    assert "| one second of listening |" in text
    assert "| hears | each frame once | windows every 0.1 s |" in text
    assert "in silence: energy, µJ" in text
    changed = {**told, "second": {"energy_uj": 3.0, "silence": "none", "hop": "often"}}
    text = make_card(dataclasses.replace(config, metrics={"energy": changed})).text
    assert "| energy, µJ | 3" in text
