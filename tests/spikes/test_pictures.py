"""The spikes of a clip as JSON and as pictures, and `snn-voice spikes`."""

from __future__ import annotations

import html
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from snn_voice_lite.answers import Prediction, Window, clearest
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub import audio
from snn_voice_hub.config import is_word
from snn_voice_hub.spikes.membranes import traced_neurons
from snn_voice_hub.spikes.raster import clip_raster, grid_of, layer_raster, spread
from snn_voice_hub.spikes.record import Row
from tests.cli.helpers import invoke, refused
from tests.models.lively import REPEATING, lively
from tests.places import EXAMPLES
from tests.slowness import mostly_slow

YES = EXAMPLES / "yes.wav"


@pytest.fixture(scope="module")
def row(default_model: sv.SnnVoice) -> Row:
    with default_model.record_spikes(mem=True) as rec:
        default_model.classify(YES)
    return rec.row(0)


# --- rasters ----------------------------------------------------------------------------------------


def test_columns_go_along_the_sound() -> None:
    spk = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)
    assert torch.equal(grid_of(spk), spk.view(2, 12, 5))
    assert grid_of(torch.zeros(2, 3, 5)).shape == (2, 3, 5)
    assert grid_of(torch.zeros(2, 7)).shape == (2, 7, 1)


@pytest.mark.parametrize(("count", "most"), [(5, 9), (5, 5), (100, 7), (1, 1)])
def test_an_even_choice(count: int, most: int) -> None:
    found = spread(count, most)
    assert len(found) == min(count, most)
    assert found == sorted(set(found))
    assert found[0] == 0
    assert found[-1] < count
    gaps = np.diff([*found, count])
    assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 3, 5), (64, 64), (1, 5000), (5000, 1), (5000,)])
def test_shown_spikes_are_those_of_the_layer(shape: tuple[int, ...]) -> None:
    spk = torch.rand(3, *shape, generator=torch.Generator().manual_seed(1)) < 0.3
    found = layer_raster("x", spk, 1024)
    rows, columns = found["rows"], found["columns"]
    assert len(rows) * len(columns) <= 1024
    assert len(rows) * len(columns) > min(math.prod(shape), 1024) * 0.9
    grid = grid_of(spk)
    shown = torch.zeros(3, len(rows), len(columns), dtype=torch.bool)
    for t, places in enumerate(found["spikes"]):
        shown[t].view(-1)[places] = True
    assert torch.equal(shown, grid[:, rows][:, :, columns])
    assert found["shape"] == list(shape)
    assert found["neurons"] == math.prod(shape)
    assert found["rate"] == pytest.approx(float(spk.float().mean()))


def test_a_clip_is_bounded_whatever_the_network() -> None:
    steps, layers = 100, 20
    spk = {f"layer.{i}": torch.ones(steps, 50, 100, dtype=torch.bool) for i in range(layers)}
    row = Row(spk, {}, torch.zeros(steps, 1000), torch.zeros(1, 1))
    text = json.dumps(clip_raster(row, [str(i) for i in range(1000)], 1.0))
    assert len(text) < 1e6
    assert json.loads(text)["layers"][0]["neurons"] == 5000


def test_a_clip_in_json(default_model: sv.SnnVoice, row: Row) -> None:
    found = json.loads(json.dumps(clip_raster(row, default_model.labels, default_model.config.temperature)))
    answer = default_model.classify(YES)
    assert [p["label"] for p in found["predictions"]] == [p.label for p in answer]
    assert [p["score"] for p in found["predictions"]] == pytest.approx([p.score for p in answer], abs=1e-5)
    assert found["num_steps"] == 4
    decision = found["decision"]
    assert decision["labels"] == [p.label for p in answer]
    assert decision["scores"][-1] == pytest.approx([p.score for p in answer], abs=1e-5)
    assert np.shape(decision["logits"]) == np.shape(decision["scores"]) == (4, 5)
    assert 1 <= decision["settled"] <= 4
    assert [layer["name"] for layer in found["layers"]] == list(row.spk)


def test_the_clearest_window() -> None:
    def window(*found: tuple[str, float]) -> Window:
        return Window(0, 1, [Prediction(label, score) for label, score in found])

    silence = window(("_silence_", 0.99))
    assert clearest([silence]) == 0
    assert clearest([silence, silence]) == 0
    assert clearest([silence, window(("no", 0.2)), window(("_silence_", 0.9), ("yes", 0.4))]) == 2


# --- pictures ---------------------------------------------------------------------------------------


def test_telling_neurons(row: Row) -> None:
    found = traced_neurons(row)
    assert list(found) == ["snn.0.lif1", "snn.2.lif2", "lif"]
    for name, neurons in found.items():
        fires = row.spk[name].flatten(1)
        (_, most), (_, late), (_, near) = neurons
        assert fires[:, most].sum() == fires.sum(0).max()
        assert fires[:, late].tolist() == [False, False, False, True]
        assert not fires[:, near].any()
    assert traced_neurons(row, {"lif": [3]}) == {"lif": [("neuron 3", 3)]}
    with pytest.raises(sv.ConfigError, match=r"no layer 'nope'.*snn\.0\.lif1"):
        traced_neurons(row, {"nope": [0]})
    with pytest.raises(sv.ConfigError, match="no neuron 2496"):
        traced_neurons(row, {"lif": [0, 2496]})
    with pytest.raises(sv.ConfigError, match="too many"):
        traced_neurons(row, {"lif": list(range(7))})
    with pytest.raises(sv.ConfigError, match="no membranes"):
        traced_neurons(Row(row.spk, {}, row.logits, row.features))


def view_of(voice: sv.SnnVoice, wave: Tensor) -> Any:
    from snn_voice_hub.spikes.plots import View

    with voice.record_spikes(mem=True) as rec:
        voice.classify(wave, sample_rate=voice.sample_rate)
    thresholds = dict.fromkeys(rec.layers, 1.0)
    return View(rec.row(0), wave, voice.sample_rate, voice.labels, 1.0, thresholds, "a $title_")


@pytest.mark.parametrize("name", mostly_slow(REPEATING, "M5SNN", "TcySNN"))
def test_every_architecture_can_be_drawn(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    from snn_voice_hub.spikes.plots import animate, draw

    voice = sv.SnnVoice(lively(name, num_classes=3, num_steps=2), labels=["a$b$", "_c_", "d"]).eval()
    view = view_of(voice, 0.1 * torch.randn(16_000))
    draw(view, tmp_path / "x.png")
    animate(view, tmp_path / "x.gif")
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size[0] == 1100
        assert len(picture.getcolors(1 << 16) or []) > 50
    with Image.open(tmp_path / "x.gif") as picture:
        assert picture.n_frames == 2  # type: ignore[attr-defined]


def test_the_picture_says_what_happened(default_model: sv.SnnVoice, row: Row, tmp_path: Path) -> None:
    """By the words of an SVG, in which every text stands as it is."""
    mpl = pytest.importorskip("matplotlib")
    from snn_voice_hub.spikes.plots import View, draw

    voice = default_model
    wave = audio.load(YES, target_rate=voice.sample_rate)
    view = View(
        row, wave, 16_000, voice.labels, voice.config.temperature, dict.fromkeys(row.spk, 1.0), "yes!"
    )
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw(view, tmp_path / "x.svg", {"lif": [5, 7]})
    text = html.unescape((tmp_path / "x.svg").read_text())
    answer = voice.classify(YES)
    for wanted in (
        "yes!",
        "Sound",
        "What the network sees: 40 mel bands, 101 frames",
        "Decision over time: “yes” from step 1 on",
        "logits, added up",
        *(f"{p.label}  {100 * p.score:.1f} %" for p in answer if is_word(p.label)),
        f"{len(voice.labels) - 5} others",
        "lif, threshold 1",
        "neuron 5",
        "neuron 7",
        "snn.0.lif1: 96 \N{MULTIPLICATION SIGN} 51 neurons in 64 \N{MULTIPLICATION SIGN} 51 dots",
        "step 4",
    ):
        assert f">{wanted}" in text, wanted
    for name, spk in row.spk.items():
        assert f">{name}: " in text
        assert f"{100 * float(spk.float().mean()):.1f} % fire in a step" in text


def test_dots_are_the_spikes(default_model: sv.SnnVoice, row: Row) -> None:
    """A layer that is small enough is drawn spike by spike; a larger one keeps its share of spikes."""
    from snn_voice_hub.spikes.plots import _sorted, dots_of

    small = grid_of(row.spk["lif"])[:, :60]
    dots = dots_of(small, 110)
    assert torch.equal(dots.bool(), small)
    assert set(dots.unique().tolist()) == {0.0, 1.0}
    large = grid_of(row.spk["lif"])[:, :128]  # of 128 rows, two make a dot
    dots = dots_of(large, 110)
    assert dots.shape == (4, 64, 13)
    assert float(dots.mean()) == pytest.approx(float(large.float().mean()))
    ordered = _sorted(large)
    assert torch.equal(ordered.sum(1), large.sum(1))  # rows have moved, and nothing else
    places = torch.arange(13.0)
    counts = ordered.sum(0).float()
    middle = (counts @ places / counts.sum(1))[counts.sum(1) > 0]
    assert torch.equal(middle, middle.sort().values)
    assert not counts[len(middle) :].any()  # those that never fire come last


@pytest.mark.slow
def test_frames_differ_and_end_with_the_answer(default_model: sv.SnnVoice, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image, ImageChops

    from snn_voice_hub.spikes.plots import animate

    animate(view_of(default_model, audio.load(YES, target_rate=16_000)), tmp_path / "x.gif")
    frames = []
    with Image.open(tmp_path / "x.gif") as picture:
        assert picture.n_frames == 4  # type: ignore[attr-defined]
        for index in range(4):
            picture.seek(index)
            frames.append((picture.convert("RGB"), picture.info["duration"]))
    assert [duration for _, duration in frames] == [600, 600, 600, 3000]
    (width, height) = frames[0][0].size
    for (one, _), (other, _) in itertools.pairwise(frames):
        for box in (
            (0, 30, width // 2, height),
            (2 * width // 3, 30, width, height),
        ):  # spikes, and the answer
            assert ImageChops.difference(one.crop(box), other.crop(box)).getbbox() is not None


def test_silent_neurons_and_a_single_step(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from snn_voice_hub.spikes.plots import animate, draw

    network = sv.TcySNN(num_classes=1, num_steps=1, threshold=1e6).eval()
    view = view_of(sv.SnnVoice(network, labels=["a"]), torch.zeros(16_000))
    assert not view.row.spk["snn.0"].any()
    draw(view, tmp_path / "x.svg")
    animate(view, tmp_path / "x.gif")
    assert "snn.0" in (tmp_path / "x.svg").read_text()
    assert (tmp_path / "x.gif").stat().st_size > 1000


# --- the program ------------------------------------------------------------------------------------


def test_the_program(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out, found = tmp_path / "yes.png", tmp_path / "yes.json"
    done = invoke("spikes", str(YES), "--out", str(out), "--gif", "--json", str(found), "--neuron", "lif:7")
    assert out.stat().st_size < 200_000
    assert out.read_bytes().startswith(b"\x89PNG")
    assert out.with_suffix(".gif").read_bytes().startswith(b"GIF89a")
    text = done.stdout
    assert "“yes” 99.9 %, from step 1 of 4 on" in text
    told = json.loads(found.read_text())
    energy = told["energy"]
    assert energy["energy_once_uj"] < energy["energy_uj"] < energy["cnn"]["energy_dense_uj"]
    for value in (energy["energy_uj"], energy["energy_once_uj"], energy["cnn"]["energy_dense_uj"]):
        assert f" {value:g} µJ" in text
    assert told["model"] == "resmel-snn"
    assert (told["start"], told["end"]) == (0.0, 0.75)
    for layer in told["layers"]:
        line = next(line for line in text.splitlines() if f" {layer['name']} " in line)
        assert f"{100 * layer['rate']:.1f} %" in line


def test_a_long_sound_shows_its_clearest_word(tmp_path: Path) -> None:
    words = [audio.load(EXAMPLES / f"{word}.wav").numpy() for word in ("yes", "left")]
    quiet = np.zeros(16_000, np.float32)
    sf.write(tmp_path / "long.wav", np.concatenate([quiet, words[1], quiet, 0.01 * words[0]]), 16_000)
    data = (tmp_path / "long.wav").read_bytes()
    done = invoke("spikes", "-", "--json", "-", stdin=data)
    told = json.loads(done.stdout)
    assert told["predictions"][0]["label"] == "left"
    assert told["end"] - told["start"] == 1.0
    assert told["start"] <= 1.0 + len(words[1]) / 16_000
    assert told["end"] >= 1.0


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    assert "M5CNN has no spikes" in refused("spikes", str(YES), "--model", "m5-cnn")
    assert "--gif goes with --out" in refused("spikes", str(YES), "--gif")
    assert "--neuron goes with --out" in refused("spikes", str(YES), "--neuron", "lif:1")
    for bad in ("lif", "lif:", ":1", "lif:x", "lif:-1", "lif:²"):
        assert "LAYER:NUMBER" in refused("spikes", str(YES), "--out", "x.png", "--neuron", bad)
    for name in ("yes", "yes.gif", "yes.GIF"):
        assert "no picture's name" in refused("spikes", str(YES), "--out", str(tmp_path / name), "--gif")
    assert "no layer 'nope'" in refused(
        "spikes", str(YES), "--out", str(tmp_path / "x.png"), "--neuron", "nope:1"
    )
    assert "no neuron 2496" in refused(
        "spikes", str(YES), "--out", str(tmp_path / "x.png"), "--neuron", "lif:2496"
    )
    assert not list(tmp_path.iterdir())
    assert "nope.wav" in refused("spikes", "nope.wav")
    assert "can't be written" in refused("spikes", str(YES), "--out", str(tmp_path / "no" / "x.png"))
    assert "can't be written" in refused("spikes", str(YES), "--out", str(tmp_path / "x.nope"))
    assert "can't be written" in refused("spikes", str(YES), "--json", str(tmp_path))
