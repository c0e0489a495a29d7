"""The energy benchmark: its tables hold what was counted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import energy
from benchmarks.subjects import load_subject
from snn_voice_hub.training.clips.data import Clips, load_clips
from tests.places import EXAMPLES


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    folder = tmp_path_factory.mktemp("words")
    for path in EXAMPLES.glob("*.wav"):
        (folder / path.stem).mkdir()
        (folder / path.stem / path.name).symlink_to(path)
    return load_clips(folder)


def test_tables_hold_what_was_counted(clips: Clips) -> None:
    subject = load_subject("tcy")
    found = energy.measure(subject, clips)
    assert (found.energy.clips, found.twin.model) == (len(clips), "tcy-cnn")
    (row,) = energy.totals([found], clips).rows
    assert row[:2] == ("tcy-snn", "5")
    assert float(row[3]) == pytest.approx(found.energy.energy_uj, rel=0.01)
    (row,) = energy.shares([found]).rows
    # Each of the five steps costs at most what the CNN costs.
    assert 0 < float(row[1]) < 5
    assert row[5] == "5.00"
    ours, theirs = energy.operations([found]).rows
    assert (ours[1], theirs[1]) == ("17,500", "3,500")
    assert [row[0] for row in energy.layers(found).rows] == ["`fc`"]
    one, five = energy.over_steps(subject, (1, 5), clips).rows
    assert float(one[3]) < float(five[3])
    assert subject.network.num_steps == 5


def test_what_has_no_trained_weights_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips: Clips
) -> None:
    """Fresh weights say nothing of what a network costs."""

    def run(*models: str) -> None:
        options = ("--steps", "1", "--out", str(tmp_path))
        monkeypatch.setattr(sys, "argv", ["energy", *options, "--models", *models])
        energy.main()

    monkeypatch.setattr(energy, "load_clips", lambda *_: clips)
    monkeypatch.setattr(energy, "begin", lambda parser: parser.parse_args())  # the process stays as it is
    run("tcy", "piczak")
    text = (tmp_path / "energy.md").read_text()
    assert "Piczak is left out: there are no trained weights" in text
    assert "piczak-snn" not in text
    assert "## A second of listening" in text
    with pytest.raises(SystemExit):
        run("piczak")


def test_a_second_of_listening(clips: Clips) -> None:
    found = energy.measure(load_subject("tcy"), clips)
    second = found.energy.second
    assert second is not None
    ours, theirs = energy.seconds([found]).rows
    assert (ours[:2], theirs[0]) == (("tcy-snn", f"windows, every {second.hop:g} s"), "tcy-cnn")
    assert float(ours[4]) == pytest.approx((found.energy.energy_uj or 0) / (second.hop or 1), rel=0.01)
    assert float(ours[7]) == pytest.approx(second.silence.energy_uj, rel=0.01)


def test_layers_of_a_network_that_hears_each_frame_once(clips: Clips) -> None:
    subject = load_subject("tempo")
    found = subject.voice.energy([clips.waveforms[0]], twin=False, sample_rate=subject.voice.sample_rate)
    assert found.second is not None
    rows = energy.layers_of_second(found).rows
    assert [row[0] for row in rows] == [f"`{layer.name}`" for layer in found.layers]
    assert rows[0][1] == "float"
    assert rows[0][3] == f"{found.second.sound.layers[0].synops:,.0f}"
    assert rows[-1][5] == f"{found.second.silence.layers[-1].synops:,.0f}"
