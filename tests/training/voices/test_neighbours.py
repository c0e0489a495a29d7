"""Words that sound like others, by their phonemes."""

from __future__ import annotations

import pytest

from snn_voice_hub.training.voices.neighbours import beside, distance, neighbours, strangers
from snn_voice_hub.training.voices.pronouncing import Lexicon, Phrase

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


@pytest.mark.usefixtures("few_words")
def test_beside_a_phrase_are_its_parts_and_one_part_exchanged() -> None:
    lexicon = Lexicon()
    phrase = lexicon.of("hey robot")
    found = beside(phrase, [phrase], lexicon, 40)
    assert sum(found.values()) == 40
    assert found["hey"] == found["robot"] == 5
    # "hay" sounds as "hey" does, and a window like neither; the parts take turns, the nearest come first.
    others = ["kay robot", "k robot", "day robot", "hey robots", "hey rowboat", "hey rabbit"]
    assert sorted(set(found) - {"hey", "robot"}) == sorted(others)
    few = beside(phrase, [phrase], lexicon, 8)
    assert [*few] == ["hey", "robot", "day robot", "hey rowboat"]
    assert beside(phrase, [phrase], lexicon, 0) == {}


@pytest.mark.usefixtures("few_words")
def test_what_the_model_is_to_know_is_not_beside_it() -> None:
    lexicon = Lexicon()
    own = [lexicon.of("hey robot"), lexicon.of("k"), lexicon.of("Robot")]
    assert set(beside(own[0], own, lexicon, 40)) == {"hey", "hey rowboat", "hey robots", "hey rabbit"}
    assert set(beside(own[1], own, lexicon, 9)) == {"hey", "hay", "day"}


@pytest.mark.usefixtures("few_words")
def test_beside_a_word_is_what_sounds_as_it_is_said_by_hand() -> None:
    lexicon = Lexicon()
    odd = Phrase("robot", ((("D", "EY1"),),), by_hand=True)
    assert set(beside(odd, [odd], lexicon, 12)) == {"hey", "hay", "kay", "k"}
