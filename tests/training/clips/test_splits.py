"""The rules that divide clips: nobody on two sides, independent of order, shares near what was asked."""

from __future__ import annotations

import hashlib
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips.splits import by_lists, by_speaker, by_word, position, speakers_of

SHARES = st.floats(0.05, 0.5)
SEEDS = st.integers(0, 5)


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[str], list[str], list[str]]:
    """Names, labels and speakers; some clips have none."""
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from(["yes", "no", "été"]), st.sampled_from(["", *"abcdefgh"])),
            min_size=2,
            max_size=60,
        )
    )
    labels = [word for word, _ in rows]
    names = [f"{word}/{who}{i}.wav" for i, (word, who) in enumerate(rows)]
    return names, labels, [who for _, who in rows]


@given(corpora(), SHARES, SEEDS, st.randoms())
@settings(max_examples=200, deadline=None)
def test_no_speaker_is_on_two_sides(
    corpus: tuple[list[str], list[str], list[str]], share: float, seed: int, rng: random.Random
) -> None:
    names, labels, speakers = corpus
    kept = by_speaker(names, labels, speakers, share, seed)
    order = list(range(len(names)))
    rng.shuffle(order)
    mixed = by_speaker(*([column[i] for i in order] for column in corpus), share, seed)
    if kept is None:
        assert mixed is None
        return
    assert mixed == [kept[i] for i in order]
    sides = {(who, side) for who, side in zip(speakers, kept, strict=True) if who}
    assert len(sides) == len({who for who, _ in sides})
    assert {word for word, side in zip(labels, kept, strict=True) if not side} == set(labels)
    assert any(kept)


@given(st.integers(0, 3), st.sampled_from([0.1, 0.2, 0.3]))
@settings(deadline=None, max_examples=12)
def test_the_share_of_speakers_is_near_what_was_asked(seed: int, share: float) -> None:
    rng = random.Random(seed)
    rows = [(f"s{who}", rng.choice(["yes", "no"])) for who in range(400) for _ in range(rng.randint(1, 10))]
    names = [f"{word}/{who}_nohash_{i}.wav" for i, (who, word) in enumerate(rows)]
    kept = by_speaker(names, [word for _, word in rows], speakers_of(names, [""] * len(rows)), share, seed)
    assert kept is not None
    assert abs(sum(kept) / len(kept) - share) < 0.06


@pytest.mark.parametrize("count", [2, 3, 5, 8, 20])
@pytest.mark.parametrize("seed", range(5))
def test_few_speakers_still_leave_both_sides_something(count: int, seed: int) -> None:
    rows = [(word, who, n) for word in ("yes", "no") for who in range(count) for n in range(10)]
    names = [f"{word}/{who}_nohash_{n}.wav" for word, who, n in rows]
    speakers = speakers_of(names, [""] * len(names))
    kept = by_speaker(names, [word for word, _, _ in rows], speakers, 0.1, seed)
    assert kept is not None
    chosen = {who for who, side in zip(speakers, kept, strict=True) if side}
    assert 1 <= len(chosen) <= max(1, round(0.15 * count))


def test_a_speaker_of_most_clips_is_learned_from() -> None:
    # By their places alone the one of fifteen clips would come first.
    clips = {"flite": 15, "espeak-ng": 6, "text2wave": 3}
    assert min(clips, key=position) == "flite"
    rows = [
        (who, f"{word}/{who}_nohash_{i}.wav")
        for who in clips
        for word in ("a", "b")
        for i in range(clips[who])
    ]
    names = [name for _, name in rows]
    kept = by_speaker(names, [name[0] for name in names], speakers_of(names, [""] * len(names)), 0.1)
    assert kept is not None
    assert {who for (who, _), side in zip(rows, kept, strict=True) if side} == {"text2wave"}


def test_one_speaker_and_a_speaker_for_each_word_can_not_be_divided() -> None:
    assert by_speaker(["a/1", "b/2"], ["a", "b"], ["x", "x"], 0.5) is None
    assert by_speaker(["a/1", "b/2"], ["a", "b"], ["x", "y"], 0.5) is None


def test_a_seed_is_another_draw_and_the_first_is_the_corpus_s_own() -> None:
    everyone = [f"{n:08x}" for n in range(1000)]
    own = {who for who in everyone if position(who) < 0.1}
    rule = {who for who in everyone if int(hashlib.sha1(who.encode()).hexdigest(), 16) % 2**27 < 0.1 * 2**27}
    assert own == rule
    assert 60 < len(own) < 140
    assert {who for who in everyone if position(who, 1) < 0.1} != own
    assert position("e\u0301te") == position("\u00e9te")


@given(corpora(), SHARES, SEEDS, st.randoms())
@settings(max_examples=200, deadline=None)
def test_every_word_gives_its_share(
    corpus: tuple[list[str], list[str], list[str]], share: float, seed: int, rng: random.Random
) -> None:
    names, labels, _ = corpus
    kept = by_word(names, labels, share, seed)
    order = list(range(len(names)))
    rng.shuffle(order)
    assert by_word([names[i] for i in order], [labels[i] for i in order], share, seed) == [
        kept[i] for i in order
    ]
    for word, count in Counter(labels).items():
        held = sum(side for side, own in zip(kept, labels, strict=True) if own == word)
        assert held == 0 if count == 1 else 1 <= held < count
        assert abs(held - share * count) <= 1


def test_a_word_s_draw_depends_on_the_seed_and_not_on_other_words() -> None:
    names = [f"yes/{n}.wav" for n in range(100)]
    kept = by_word(names, ["yes"] * 100, 0.2, 1)
    assert by_word(names, ["yes"] * 100, 0.2, 2) != kept
    more = by_word(["no/1.wav", "no/2.wav", *names], ["no", "no", *["yes"] * 100], 0.2, 1)
    assert more[2:] == kept


def test_lists_name_clips_by_folder_and_file() -> None:
    names = ["corpus/yes/a.flac", "corpus/yes/b.flac", "corpus/no/a.flac", "corpus/caf\u00e9/a.flac"]
    lists = {"validation_list.txt": ["yes/a.wav", "cafe\u0301/a.wav"], "testing_list.txt": ["no/a.wav"]}
    assert by_lists(names, lists) == ["val", "train", "test", "val"]
    assert by_lists(names, {}) == ["train"] * 4
    with pytest.raises(SnnVoiceError, match=r"no/a is in both validation_list.txt and testing_list.txt"):
        by_lists(names, {"validation_list.txt": ["no/a.wav"], "testing_list.txt": ["no/a.wav"]})
    with pytest.raises(SnnVoiceError, match=r"testing_list.txt names none of the clips"):
        by_lists(names, {"testing_list.txt": ["up/a.wav"]})


def test_speakers_are_told_or_read_from_the_name() -> None:
    names = ["yes/ab_nohash_0.wav", "yes/plain.wav", "my_nohash_folder/plain.wav", "no/cd_nohash_1.wav"]
    assert speakers_of(names, ["", "", "", "Eve"]) == ["ab", "", "", "Eve"]
