"""The energy of a model's clips: beside its twin, as JSON, table and picture, and in the card."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest

import snn_voice_hub as sv
from snn_voice_hub import audio
from snn_voice_hub.spikes.energy.estimate import Energy
from snn_voice_hub.spikes.energy.layers import LEFT_OUT
from snn_voice_hub.spikes.energy.measure import write_energy
from snn_voice_hub.spikes.energy.plot import draw_energy
from tests.places import EXAMPLES

YES = EXAMPLES / "yes.wav"


# --- a model ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured() -> Energy:
    return sv.SnnVoice.from_pretrained("hjh-snn").energy(sorted(EXAMPLES.glob("*.wav"))[:3])


def test_a_model_against_its_twin(measured: Energy) -> None:
    assert (measured.model, measured.clips, measured.windows) == ("hjh-snn", 3, 3)
    twin = measured.twin
    assert twin is not None
    assert (twin.model, twin.clips, twin.windows, twin.num_steps) == ("hjh-cnn", 3, 3, 1)
    assert [layer.binary for layer in measured.layers] == [True, True, False]
    assert measured.dense == 5 * twin.dense == 5 * 7_626_416
    assert measured.energy_uj is not None
    assert twin.energy_uj is not None
    assert twin.macs is not None
    assert 0 < twin.macs < twin.dense
    assert measured.against()["effective"] == pytest.approx(measured.energy_uj / twin.energy_uj)
    assert measured.against()["dense"] == pytest.approx(measured.energy_uj / twin.dense_uj)
    # Neurons stand on the input: no layer sees the same at each step.
    assert measured.energy_once_uj == measured.energy_uj


def test_json_says_what_is_left_out(measured: Energy) -> None:
    found = json.loads(json.dumps(measured.to_dict(), allow_nan=False))
    assert (found["pj_a_mac"], found["pj_an_ac"]) == (4.6, 0.9)
    assert "Horowitz 2014, 45 nm" in found["constants"]
    assert found["left_out"] == LEFT_OUT
    assert "memory traffic" in LEFT_OUT
    assert sum(layer["synops"] for layer in found["layers"]) == pytest.approx(found["synops"], abs=2)
    assert found["twin"]["model"] == "hjh-cnn"
    assert [layer["name"] for layer in found["twin"]["layers"]] == ["cnn.0.conv", "cnn.1.conv", "fc"]
    assert found["share_of_twin"]["effective"] == pytest.approx(measured.against()["effective"], rel=1e-4)
    assert set(measured.summary()) == set(found) - {"layers", "activity"}


def test_the_table_says_it_too(measured: Energy) -> None:
    text = str(measured)
    assert "hjh-snn" in text
    assert "38,132,080" in text
    assert "times the energy of hjh-cnn, if both skip zeros" in text
    assert "Left out: memory traffic" in text
    assert max(map(len, text.splitlines())) <= 110


def test_clips_of_all_kinds_cost_the_same() -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    data = YES.read_bytes()
    wanted = voice.energy(str(YES))
    assert (wanted.clips, wanted.windows) == (1, 1)
    for clip in (YES, data, io.BytesIO(data), [YES], (data,)):
        assert voice.energy(clip) == wanted
    assert voice.energy(audio.load(YES, target_rate=16_000), sample_rate=16_000) == wanted
    assert voice.energy([YES, YES], batch_size=1) == dataclasses.replace(
        wanted, clips=2, windows=2, twin=voice.energy([YES, YES]).twin
    )


def test_long_clips_are_several_windows() -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    found = voice.energy([np.zeros(40_000, np.float32), YES], sample_rate=16_000, twin=False)
    assert (found.clips, found.windows, found.twin) == (2, 5, None)


def test_bad_clips_and_twins_are_named() -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    with pytest.raises(sv.AudioError, match="clip 1: "):
        voice.energy([YES, b"no sound"])
    with pytest.raises(sv.AudioError, match=r"nowhere\.wav"):
        voice.energy([YES, "nowhere.wav"])
    with pytest.raises(sv.ConfigError, match="there is no clip"):
        voice.energy([])
    with pytest.raises(sv.CheckpointError, match="no checkpoint 'nobody'"):
        voice.energy(YES, twin="nobody")
    c = voice.config
    other = sv.SnnVoice(
        sv.TcyCNN(35), dataclasses.replace(c.features, num_samples=8000), c.labels, name="short"
    ).eval()
    with pytest.raises(sv.ConfigError, match="the twin short hears windows of 8,000 samples at 16,000 Hz"):
        voice.energy(YES, twin=other)


def test_options_that_only_classify_has_are_refused() -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    for unknown in ({"top_k": 3}, {"on_error": "return"}, {"min_score": 0.5}, {"batchsize": 2}):
        with pytest.raises(sv.ConfigError, match=f"unknown argument {next(iter(unknown))}=") as caught:
            voice.energy(YES, **unknown)  # type: ignore[arg-type]
        assert caught.value.hint == "legal are twin, sample_rate, batch_size, max_seconds"


def test_a_twin_may_be_named_or_given() -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    named = voice.energy(YES, twin="hjh-cnn")
    assert named.twin is not None
    assert named.twin.model == "hjh-cnn"
    assert voice.energy(YES, twin=sv.SnnVoice.from_pretrained("hjh-cnn")) == named


def test_a_batch_of_the_paper_is_counted_clip_by_clip() -> None:
    voice = sv.SnnVoice.from_pretrained("tcy-snn")
    features = dataclasses.replace(voice.config.features, normalization="batch")
    paper = sv.SnnVoice(voice.network, features, voice.labels).eval()
    short = np.random.default_rng(0).normal(0, 0.1, 9000).astype(np.float32)
    both = paper.energy([YES, short], sample_rate=16_000, twin=False)
    alone = [paper.energy(clip, sample_rate=16_000, twin=False).synops for clip in (YES, short)]
    assert both.synops == pytest.approx(sum(n for n in alone if n is not None) / 2)


# --- written and drawn --------------------------------------------------------------------------------


def test_totals_go_into_the_configuration_and_its_card(measured: Energy, tmp_path: Path) -> None:
    voice = sv.SnnVoice.from_pretrained("hjh-snn")
    voice.save_pretrained(tmp_path)
    before = voice.config.metrics
    write_energy(tmp_path, measured)
    written = sv.SnnVoice.from_pretrained(tmp_path).config.metrics
    assert written == before | {"energy": measured.summary()}
    from snn_voice_hub.hub.cards.page import make_card

    text = make_card(dataclasses.replace(voice.config, metrics=written)).text
    assert "| one window of sound | `hjh-snn` | `hjh-cnn` |" in text
    assert "| operations, if nothing is skipped | 38,132,080 | 7,626,416 |" in text
    assert "on average over 3 windows: 4.6 pJ a MAC, 0.9 pJ an AC (Horowitz 2014" in text
    assert "Left out: memory traffic" in text
    share = measured.against()["effective"]
    assert f"Energy against `hjh-cnn`: {share:.2f} times if both skip zeros" in text
    with pytest.raises(sv.CheckpointError):
        write_energy(tmp_path / "nowhere", measured)


@pytest.mark.parametrize("energy", [{}, {"synops": "many"}, {"twin": 3}, {"twin": {"macs": None}}, [1]])
def test_a_card_leaves_out_what_it_does_not_understand(energy: object) -> None:
    from snn_voice_hub.hub.cards.page import make_card

    config = dataclasses.replace(
        sv.SnnVoice.from_pretrained("tcy-cnn").config, metrics={"energy": energy, "parameters": 3535}
    )
    assert "Left out" not in make_card(config).text


def test_the_picture(measured: Energy, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name, energy in (("both", measured), ("alone", dataclasses.replace(measured, twin=None))):
        path = tmp_path / f"{name}.png"
        draw_energy(energy, path)
        pixels = np.asarray(image.open(path).convert("RGB"))
        assert pixels.shape[1] == 1100
        # The bars: accumulates are orange, the twin's layers light blue.
        assert (pixels == (213, 94, 0)).all(2).sum() > 1000
        assert ((pixels == (86, 180, 233)).all(2).sum() > 1000) == (name == "both")
    with pytest.raises(sv.ConfigError, match="can't be written"):
        draw_energy(measured, tmp_path / "none" / "x.png")
