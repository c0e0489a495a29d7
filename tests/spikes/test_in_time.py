"""Spikes of networks whose time steps are those of the sound: in order, in seconds, along a recording."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from snn_voice_lite.streaming.detector import Event
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub import audio
from snn_voice_hub.config import SPEECH_COMMANDS
from snn_voice_hub.models.framed import FramedSNN
from snn_voice_hub.spikes import in_time, layer_figures
from snn_voice_hub.spikes.decision import decide, running_scores, running_sums
from snn_voice_hub.spikes.membranes import traced_neurons
from snn_voice_hub.spikes.raster import clip_raster, layer_raster
from snn_voice_hub.spikes.sentence import Sentence, draw_sentence, hear, step_seconds, told
from tests.cli.helpers import invoke, refused
from tests.models.lively import stir
from tests.models.test_framed import Slowing
from tests.places import EXAMPLES

RATE = 16_000
WORDS = ("yes", "no", "stop")
# A layer of this one steps twice in a step, which hears 40 ms.
STEPS, STEP = 25, 0.04


@pytest.fixture(scope="module")
def slowing() -> sv.SnnVoice:
    network = stir(Slowing(len(SPEECH_COMMANDS), num_steps=STEPS))
    return sv.SnnVoice(network, labels=SPEECH_COMMANDS, name="slowing", engine="torch").eval()


@pytest.fixture(scope="module")
def wave() -> Tensor:
    return torch.cat([audio.load(EXAMPLES / f"{word}.wav", target_rate=RATE) for word in WORDS])


def framed(voice: sv.SnnVoice) -> FramedSNN:
    assert isinstance(voice.network, FramedSNN)
    return voice.network


# --- what is recorded -------------------------------------------------------------------------------


def test_the_order_of_time_by_hand() -> None:
    steps = torch.arange(12).view(3, 1, 2, 2)  # neuron 0 has 0 1, then 4 5, then 8 9
    assert in_time(steps)[:, 0, 0].tolist() == [0, 1, 4, 5, 8, 9]
    assert in_time(steps)[:, 0, 1].tolist() == [2, 3, 6, 7, 10, 11]
    whole = torch.zeros(3, 1, 5)
    assert in_time(whole) is whole


def test_figures_count_neurons_once() -> None:
    spk = torch.zeros(4, 1, 3, 2, dtype=torch.bool)
    spk[:, 0, 0] = True  # always
    spk[2, 0, 1, 1] = True  # once, in the third step
    found = layer_figures(spk, framed=True)
    assert (found.neurons, found.dead, found.saturated) == (3, 1, 1)
    assert found.rate == pytest.approx(9 / 24)
    assert found.first_spike == pytest.approx((1 + 3) / 2)


def test_a_recording(slowing: sv.SnnVoice) -> None:
    clip = 0.1 * torch.randn(2, RATE, generator=torch.Generator().manual_seed(2))
    seen: dict[str, Tensor] = {}
    network = framed(slowing)
    with torch.inference_mode():
        outside = slowing(clip)
        steps = network.forward_steps(slowing.features(clip), tap=seen.__setitem__)
        with slowing.record_spikes(mem=True) as rec:
            assert torch.equal(slowing(clip), outside)
    assert {name: tuple(spk.shape) for name, spk in rec.spk.items()} == {
        **dict.fromkeys(("snn.0.lif1", "snn.0.lif2", "snn.1.lif1"), (STEPS, 2, 24, 2)),
        **dict.fromkeys(("snn.1.lif2", "lif"), (STEPS, 2, 32)),
    }
    row = rec.row(1)
    assert row.newest == STEPS
    ordered = row.in_time()
    # Step by step, by the network itself.
    state = None
    for t, frames in enumerate(network.encoded(slowing.features(clip[1:]))):
        moments: dict[str, Tensor] = {}
        _, state = network.step(frames, state, tap=moments.__setitem__)
        fast = moments["snn.0.lif1"][0, 0].bool()
        assert torch.equal(ordered.spk["snn.0.lif1"][2 * t : 2 * t + 2], fast.T)
        assert torch.equal(ordered.spk["lif"][t], moments["lif"][0, 0].bool())
        torch.testing.assert_close(
            ordered.mem["snn.0.lif1"][2 * t + 1], moments["snn.0.lif1.mem"][0, 0, :, 1]
        )
    assert torch.equal(ordered.in_time().spk["lif"], row.spk["lif"])
    assert {name: found.neurons for name, found in rec.figures().items()} == {
        name: shape[2] for name, shape in ((n, s.shape) for n, s in rec.spk.items())
    }
    assert torch.equal(rec.logits, steps)


def test_the_answer_is_the_newest_outputs(slowing: sv.SnnVoice) -> None:
    logits = torch.tensor([[1.0, 0], [0, 2], [4, 0], [0, 8]])
    assert running_sums(logits, 2).tolist() == [[1, 0], [1, 2], [4, 2], [4, 8]]
    assert running_sums(logits, 4).tolist() == running_sums(logits).tolist()
    assert torch.equal(running_scores(logits, 2.0, 2), (running_sums(logits, 2) / 2).softmax(-1))
    found = decide(logits, ["a", "b"], 1.0, 2)
    assert (found.label, found.since, found.steps) == ("b", 4, 4)
    network = framed(slowing)
    fewer = stir(Slowing(len(SPEECH_COMMANDS), num_steps=10))
    voice = sv.SnnVoice(fewer, labels=SPEECH_COMMANDS, engine="torch").eval()
    clip = 0.1 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode(), voice.record_spikes() as rec:
        inside = voice(clip)
    torch.testing.assert_close(rec.logits[-10:].sum(0), inside)
    torch.testing.assert_close(inside, voice(clip).detach())
    row = rec.row(0)
    torch.testing.assert_close(
        running_scores(row.logits, 1.0, row.newest)[-1], inside[0].softmax(-1), atol=1e-6, rtol=1e-5
    )
    assert network.num_steps == STEPS


def test_long_clips_are_windows_all_the_same(slowing: sv.SnnVoice, wave: Tensor) -> None:
    with slowing.record_spikes() as rec:
        slowing.classify(wave.numpy(), sample_rate=RATE)
    assert len(rec) == 1 + -(-(len(wave) - RATE) // (RATE // 2))
    assert rec.spk["lif"].shape[0] == STEPS


# --- told and drawn ---------------------------------------------------------------------------------


def row_of(voice: sv.SnnVoice) -> Any:
    with voice.record_spikes(mem=True) as rec:
        voice.classify(EXAMPLES / "yes.wav")
    return rec.row(0)


def test_columns_are_moments_of_a_step(slowing: sv.SnnVoice) -> None:
    row = row_of(slowing)
    found = json.loads(json.dumps(clip_raster(row, slowing.labels, 1.0, step_seconds=STEP)))
    assert (found["num_steps"], found["step_seconds"]) == (STEPS, STEP)
    answer = slowing.classify(EXAMPLES / "yes.wav")
    assert [p["label"] for p in found["predictions"]] == [p.label for p in answer]
    assert [p["score"] for p in found["predictions"]] == pytest.approx([p.score for p in answer], abs=1e-5)
    fast, slow = found["layers"][0], found["layers"][-1]
    assert (fast["shape"], fast["neurons"], fast["columns"]) == ([24], 24, [0, 1])
    assert (slow["shape"], slow["neurons"], slow["columns"]) == ([32], 32, [0])
    spk = row.spk["snn.0.lif1"]
    for t, places in enumerate(fast["spikes"]):
        assert places == spk[t].flatten().nonzero().squeeze(1).tolist()
    few = layer_raster("x", spk, 10, framed=True)
    assert (len(few["rows"]), few["columns"]) == (5, [0, 1])


def test_membranes_have_an_order_too(slowing: sv.SnnVoice) -> None:
    row = row_of(slowing)
    found = traced_neurons(row)
    assert list(found) == ["snn.0.lif1", "snn.1.lif1", "lif"]
    most = found["snn.0.lif1"][0][1]
    counts = row.in_time().spk["snn.0.lif1"].sum(0)
    assert counts[most] == counts.max()
    with pytest.raises(sv.ConfigError, match="no neuron 24"):
        traced_neurons(row, {"snn.0.lif1": [24]})


@pytest.mark.slow
def test_the_picture_has_the_time_of_the_sound(
    slowing: sv.SnnVoice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mpl = pytest.importorskip("matplotlib")
    from PIL import Image

    from snn_voice_hub.spikes.plots import View, animate, draw

    row = row_of(slowing)
    sound = audio.load(EXAMPLES / "yes.wav", target_rate=RATE)
    sound = torch.nn.functional.pad(sound, (0, RATE - len(sound)))
    view = View(row, sound, RATE, slowing.labels, 1.0, dict.fromkeys(row.spk, 1.0), "yes!", 2.0, STEP)
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw(view, tmp_path / "x.svg")
    text = html.unescape((tmp_path / "x.svg").read_text())
    since = 2.0 + STEP * decide(row.logits, slowing.labels, 1.0, row.newest).since
    for wanted in (
        f"from {since:.2f} s on",
        "after 3.00 s",
        "snn.0.lif1: 24 neurons, ",
        "snn.1.lif2: 32 neurons, ",
        f"{100 * float(row.spk['snn.0.lif1'].float().mean()):.1f} % fire in a step",
        "Membranes of some neurons over the sound",
    ):
        assert wanted in text, wanted
    assert "step 1" not in text
    assert "time step" not in text
    animate(view, tmp_path / "x.gif")
    with Image.open(tmp_path / "x.gif") as picture:
        assert picture.n_frames == STEPS  # type: ignore[attr-defined]
        picture.seek(3)
        assert picture.info["duration"] == 240  # of 40 ms
    monkeypatch.setattr("snn_voice_hub.spikes.plots._MOST_PICTURES", 9)
    animate(view, tmp_path / "x.gif")
    with Image.open(tmp_path / "x.gif") as picture:
        assert picture.n_frames == 9  # type: ignore[attr-defined]  # every third step, the last one among them
        assert picture.info["duration"] == 720


def test_what_is_drawn_is_in_order() -> None:
    from snn_voice_hub.spikes.plots import _grid, _until

    spk = torch.rand(6, 3) < 0.5
    grid = _grid(spk, (0.0, 1.0))
    assert torch.equal(grid[0], spk.T)
    shown = _until(torch.ones(1, 3, 6), 2, 3)
    assert torch.equal(shown, torch.tensor([1.0, 1, 1, 1, 0, 0]).expand(3, 6))


# --- a whole recording ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sentence(slowing: sv.SnnVoice, wave: Tensor) -> Sentence:
    network = framed(slowing)
    events = [Event("yes", 0.9, 0.2, 0.6, 0.7), Event("stop", 0.8, 1.4, 1.9, 2.0)]
    step = step_seconds(network, slowing.features)
    row = hear(network, slowing.features, wave)
    return Sentence(row, wave, RATE, step, slowing.labels, 1.0, events, "words.wav")


def test_a_recording_is_heard_as_one(slowing: sv.SnnVoice, wave: Tensor, sentence: Sentence) -> None:
    network, row = framed(slowing), sentence.row
    assert sentence.step_seconds == STEP
    steps = len(row.logits)
    assert steps == len(wave) // 640
    assert sentence.seconds == pytest.approx(steps * STEP)
    with torch.inference_mode():
        torch.testing.assert_close(row.logits, network.forward_steps(slowing.features(wave[None]))[:, 0])
    # What a stream says at the same moments.
    scores, ends = slowing.scores_along(wave.numpy(), hop=STEP)
    own = sentence.scores()
    places = [round(end / STEP) - 1 for end in ends if round(end / STEP) <= steps]
    assert len(places) > 50
    np.testing.assert_allclose(own[places].numpy(), scores[: len(places)], atol=1e-4)


def test_short_and_long_recordings(slowing: sv.SnnVoice) -> None:
    network = framed(slowing)
    assert len(hear(network, slowing.features, torch.zeros(100)).logits) == STEPS
    with pytest.raises(sv.AudioError, match=r"60\.1 s of sound are too long") as caught:
        hear(network, slowing.features, torch.zeros(round(60.1 * RATE)))
    assert caught.value.hint == "up to 60 s"
    other = sv.TcySNN(2).eval()
    with pytest.raises(sv.ConfigError, match="TcySNN hears windows"):
        hear(other, slowing.features, torch.zeros(RATE))


def test_it_is_told_step_by_step(sentence: Sentence) -> None:
    found = json.loads(json.dumps(told(sentence), allow_nan=False))
    steps = len(sentence.row.logits)
    assert (found["num_steps"], found["step_seconds"]) == (steps, STEP)
    assert [event["label"] for event in found["events"]] == ["yes", "stop"]
    assert {"yes", "stop"} <= set(found["scores"])
    assert len(found["scores"]) <= 6
    index = sentence.labels.index("stop")
    assert found["scores"]["stop"] == pytest.approx(sentence.scores()[:, index].tolist(), abs=1e-4)
    for layer in found["layers"]:
        assert len(layer["rates"]) == steps
        assert np.mean(layer["rates"]) == pytest.approx(layer["rate"], abs=1e-3)
    assert found["layers"][0]["neurons"] == 24


def test_the_words_of_all_events_are_drawn(sentence: Sentence) -> None:
    from dataclasses import replace

    many = replace(sentence, events=[Event(word, 0.9, 0, 1, 1) for word in sentence.labels[:9]])
    assert many.words() == list(range(9))


def test_the_picture_of_a_recording(sentence: Sentence, tmp_path: Path) -> None:
    mpl = pytest.importorskip("matplotlib")
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw_sentence(sentence, tmp_path / "x.svg")
    text = html.unescape((tmp_path / "x.svg").read_text())
    frames = sentence.row.features.shape[-1]
    for wanted in (
        "words.wav",
        f"What the network hears: 40 mel bands, {frames} frames, each once",
        "Scores by the newest 1 s",
        "yes 0.70 s",
        "stop 2.00 s",
        "seconds",
        *(f"{name}: {found.neurons} neurons" for name, found in sentence.figures().items()),
    ):
        assert wanted in text, wanted
    draw_sentence(sentence, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


# --- the program ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("follower")
    network = stir(sv.TempoSNN(len(SPEECH_COMMANDS)))
    sv.SnnVoice(network, labels=SPEECH_COMMANDS, name="follower").save_pretrained(path)
    return path


def test_a_clip(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "yes.json"
    said = invoke("spikes", str(EXAMPLES / "yes.wav"), "--model", str(folder), "--json", str(out)).stdout
    found = json.loads(out.read_text())
    assert (found["num_steps"], found["step_seconds"]) == (50, 0.02)
    assert f"from {0.02 * found['decision']['settled']:.2f} s on" in said
    assert found["energy"]["cnn"]["energy_dense_uj"] > found["energy"]["energy_uj"]


def test_a_whole_recording(folder: Path, wave: Tensor, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    sound, out, told_in = (tmp_path / name for name in ("words.wav", "words.png", "words.json"))
    sf.write(sound, wave.numpy(), RATE)
    asked = ("spikes", str(sound), "--whole", "--model", str(folder))
    said = invoke(*asked, "--out", str(out), "--json", str(told_in)).stdout
    found = json.loads(told_in.read_text())
    assert out.read_bytes().startswith(b"\x89PNG")
    assert found["num_steps"] == len(wave) // 320
    assert (found["file"], found["model"]) == (str(sound), "follower")
    assert found["seconds"] == pytest.approx(len(wave) / RATE, abs=1e-3)
    voice = sv.SnnVoice.from_pretrained(folder, engine="torch")
    events = list(voice.listen([wave.numpy()], sample_rate=RATE))
    assert [event["label"] for event in found["events"]] == [event.label for event in events]
    assert ("no word was heard" in said) == (not events)
    assert f"{found['energy_uj_a_second']:.3g} µJ a second of this sound" in said
    assert json.loads(invoke(*asked, "--json", "-").stdout) == found


def test_mistakes_are_one_line(folder: Path, tmp_path: Path) -> None:
    yes = str(EXAMPLES / "yes.wav")
    assert "ResMelSNN hears windows" in refused("spikes", yes, "--whole")
    assert "--whole and --gif do not go together" in refused(
        "spikes", yes, "--whole", "--gif", "--out", str(tmp_path / "x.png")
    )
    assert "--whole and --neuron do not go together" in refused("spikes", yes, "--whole", "--neuron", "lif:1")
    assert "can't be written" in refused(
        "spikes", yes, "--whole", "--model", str(folder), "--out", str(tmp_path / "x.nope")
    )
    sf.write(tmp_path / "long.wav", np.zeros(61 * 8_000, np.float32), 8_000)
    assert "too long" in refused("spikes", str(tmp_path / "long.wav"), "--whole", "--model", str(folder))
