"""Words that sound like others, by their phonemes."""

from __future__ import annotations

import pytest

from snn_voice_hub.training.voices.neighbours import distance, neighbours, strangers

SAID = {
    "no": [["N", "OW1"]],
    "know": [["N", "OW1"]],
    "go": [["G", "OW1"]],
    "snow": [["S", "N", "OW1"]],
    "bee": [["B", "IY1"]],
    "left": [["L", "EH1", "F", "T"]],
    "lift": [["L", "IH1", "F", "T"]],
    "soft": [["S", "AO1", "F", "T"]],
    "live": [["L", "IH1", "V"], ["L", "AY1", "V"]],
    "elephant": [["EH1", "L", "AH0", "F", "AH0", "N", "T"]],
}


@pytest.mark.parametrize(
    ("one", "other", "far"),
    [("ab", "ab", 0), ("ab", "acb", 1), ("ab", "b", 1), ("ab", "ba", 2), ("abc", "xyz", 3), ("a", "abcd", 3)],
)
def test_distance_counts_changes(one: str, other: str, far: int) -> None:
    assert distance(tuple(one), tuple(other)) == distance(tuple(other), tuple(one)) == far


def test_neighbours_are_near_and_no_homophones() -> None:
    found = neighbours(["no", "left"], SAID, [*SAID, "unheard-of"])
    # Of two phonemes, everything short would be in a distance of two.
    assert found == {"go": 1, "snow": 1, "lift": 1, "soft": 2}


def test_strangers_are_what_is_not_said_as_a_word() -> None:
    assert strangers(["no"], SAID, ["know", "bee", "unheard-of", "go", "no"]) == ["bee", "go"]
