"""The energy benchmark: its tables hold what was counted."""

from __future__ import annotations

import pytest

from benchmarks import energy
from benchmarks.subjects import load_subject
from snn_voice_hub.training.clips.data import load_clips
from tests.places import EXAMPLES


def test_tables_hold_what_was_counted(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("words")
    for path in EXAMPLES.glob("*.wav"):
        (folder / path.stem).mkdir()
        (folder / path.stem / path.name).symlink_to(path)
    clips = load_clips(folder)
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
