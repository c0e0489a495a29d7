"""The picture of words missed against false alarms."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the extra [plots] is not installed")

from snn_voice_hub.training.measuring.curve_plot import draw_curves


def test_numbers_stand_at_the_axes(tmp_path: Path) -> None:
    path = tmp_path / "curves.svg"
    draw_curves({"a": [(0.5, 0.9), (12.0, 0.2), (900.0, 0.1)]}, path, title="$a$", marked={"a": (12.0, 0.2)})
    drawn = path.read_text()
    assert "mathdefault" not in drawn
    for text in ("1", "10", "100", "$a$"):  # a title is no formula
        assert f"<!-- {text} -->" in drawn
