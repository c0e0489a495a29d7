"""Negatives: what is read of them, where none of the words is said, and what is cut from them."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips.cutting import rare_words, windows, with_negatives
from snn_voice_hub.training.clips.negatives import Negatives, read_negatives
from tests.training.helpers import dataset

RATE = 16_000
WORDS = ("no", "up", "yes", "_silence_")

Item = dict[str, Any]
Written = Callable[..., Path]


def item(path: str, kind: str = "speech", **about: Any) -> Item:
    return {"path": path, "kind": kind, **about}


def said(word: str, start: float, end: float) -> list[object]:
    return [word, start, end]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes sound files of some seconds, and their index where there is one."""

    def write(seconds: dict[str, float], items: list[Item] | None = None, name: str = "others") -> Path:
        folder = tmp_path / name
        rng = np.random.default_rng(0)
        for path, long in seconds.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            sf.write(folder / path, 0.1 * rng.standard_normal(round(long * RATE)), RATE)
        if items is not None:
            (folder / "index.json").write_text(json.dumps({"about": "made here", "items": items}))
        return folder

    return write


def seconds(negatives: Negatives) -> list[tuple[str, float, float]]:
    spans = negatives.spans(WORDS)
    return [(negatives.sounds[s.sound].name, s.start / RATE, round(s.end / RATE, 3)) for s in spans]


def test_words_are_left_out_with_what_is_around_them(written: Written) -> None:
    times = [said("yes", 2.0, 2.4), said("seven", 5.0, 5.5), said("no", 2.9, 3.1), said("up", 9.5, 9.8)]
    folder = written({"a.wav": 10.0}, [item("a.wav", word_times=times)])
    # "seven" is no word of this model; between "yes" and "no", and after "up", no window is left.
    assert seconds(read_negatives([folder])) == [("a.wav", 0.0, 1.7), ("a.wav", 3.4, 9.2)]


def test_of_a_phrase_all_of_it_has_to_be_said(written: Written) -> None:
    texts = ("Hey, robot, stop!", "hey you robot", "they robot", "robot")
    items = [item(f"{n}.wav", transcript=text) for n, text in enumerate(texts)]
    read = read_negatives([written({one["path"]: 1.0 for one in items}, items)])
    assert {span.sound for span in read.spans(["hey robot", "up"])} == {1, 2, 3}
    assert {span.sound for span in read.spans(["hey robot", "robot"])} == set()


@pytest.mark.parametrize(
    "about",
    [
        {"untimed_words": ["yes"]},
        {"words": ["yes"]},
        {"words": ["yes", "no"], "word_times": [["no", 0.1, 0.2]]},
        {"transcript": "I say Yes."},
    ],
)
def test_nothing_is_taken_where_a_word_may_be_anywhere(written: Written, about: Item) -> None:
    assert seconds(read_negatives([written({"a.wav": 3.0}, [item("a.wav", **about)])])) == []


def test_what_sounds_no_word_is_taken(written: Written) -> None:
    about = {"words": ["seven"], "transcript": "yesterday's seven nodes", "homophones": ["know"]}
    assert seconds(read_negatives([written({"a.wav": 3.0}, [item("a.wav", **about)])])) == [
        ("a.wav", 0.0, 3.0)
    ]


def test_single_words_are_whole(written: Written) -> None:
    parts = [said("open", 0.0, 0.7), said("yes", 0.8, 1.6), said("close", 2.0, 2.9)]
    items = [item("w.wav", "words", segments=parts, word_times=[said("yes", 0.8, 1.6)])]
    spans = read_negatives([written({"w.wav": 3.0}, items)]).spans(WORDS)
    # "open" ends 0.1 s before the word, so its end is within what is left out.
    assert [(s.start, s.end, s.single) for s in spans] == [(32_000, 46_400, True)]


def test_folders_say_what_they_hold(written: Written) -> None:
    folder = written(
        {"a.wav": 2.0, "noise/n.wav": 1.0, "music/x/m.wav": 1.0, "rir/r.wav": 0.2, "b/s.wav": 1.0}
    )
    found = {sound.name: sound.kind for sound in read_negatives([folder]).sounds}
    assert found == {
        "a.wav": "speech",
        "noise/n.wav": "noise",
        "music/x/m.wav": "music",
        "rir/r.wav": "rir",
        "b/s.wav": "speech",
    }


def test_a_tar_is_what_its_folder_is(written: Written, tmp_path: Path) -> None:
    folder = written({"a.wav": 2.0, "n.wav": 1.0}, [item("a.wav", speaker="ann"), item("n.wav", "noise")])
    with tarfile.open(tmp_path / "others.tar", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, f"train/{path.name}")
    one, other = (read_negatives([source]) for source in (folder, tmp_path / "others.tar"))
    assert [sound.kind for sound in other.sounds] == ["speech", "noise"]
    assert [sound.speaker for sound in other.sounds] == ["ann", ""]
    for left, right in zip(one.sounds, other.sounds, strict=True):
        assert np.array_equal(left.wave, right.wave)


def test_rooms_of_churches_are_left_out(written: Written) -> None:
    items = [item("a.wav", "rir", rt60_s=0.4), item("b.wav", "rir", rt60_s=2.0), item("c.wav", "rir")]
    rooms = read_negatives([written({"a.wav": 0.2, "b.wav": 0.3, "c.wav": 0.1}, items)]).rooms()
    assert [len(room) for room in rooms] == [3200, 1600]
    assert all(np.abs(room).max() == 1 for room in rooms)


def test_speakers_stay_on_one_side(written: Written) -> None:
    files = {f"{n}.wav": 0.5 for n in range(60)}
    items = [item(path, speaker=f"speaker {i % 20}") for i, path in enumerate(files)]
    learned, kept = read_negatives([written(files, items)]).divided(0.3)
    one, other = ({sound.speaker for sound in part.sounds} for part in (learned, kept))
    assert not one & other
    assert len(one | other) == 20
    assert 2 <= len(other) <= 10


def test_of_few_speakers_one_is_kept(written: Written) -> None:
    files = {f"{n}.wav": 0.5 for n in range(3)} | {"n.wav": 1.0}
    items = [item(path, speaker=f"speaker {path}") for path in list(files)[:3]] + [item("n.wav", "noise")]
    learned, kept = read_negatives([written(files, items)]).divided(1e-9)
    assert [sound.kind for sound in kept.sounds] == ["speech"]
    assert [sound.kind for sound in learned.sounds] == ["speech", "speech", "noise"]


def test_the_digest_is_of_what_is_heard(written: Written) -> None:
    items = [item("a.wav", word_times=[said("yes", 1.0, 1.3)])]
    one = read_negatives([written({"a.wav": 2.0}, items)])
    same = read_negatives([written({"a.wav": 2.0}, items, name="moved")])
    later = [item("a.wav", word_times=[said("yes", 1.1, 1.3)])]
    other = read_negatives([written({"a.wav": 2.0}, later, name="other")])
    assert one.digest() == same.digest() != other.digest()


def test_facts_tell_minutes_by_source_and_licence(written: Written) -> None:
    items = [
        item("a.wav", source="here", licence="CC0"),
        item("b.wav", source="here", licence="CC0"),
        *(item(f"r{n}.wav", "rir", source=f"made, room {n}", licence="none") for n in range(5)),
    ]
    files = {"a.wav": 40.0, "b.wav": 20.0} | {f"r{n}.wav": 0.1 for n in range(5)}
    assert read_negatives([written(files, items)]).facts() == [
        {"name": "here (1 minutes without the words)", "license": "CC0"},
        {"name": "5 room impulse responses: made", "license": "none"},
    ]


def test_a_rare_word_stands_in_the_middle_alone(written: Written) -> None:
    times = [said("yes", 2.0, 2.3), said("no", 2.4, 2.6)]
    clips = rare_words(
        read_negatives([written({"t.wav": 4.0}, [item("t.wav", "thin", word_times=times)])]), WORDS, RATE
    )
    assert clips.labels == ["yes", "no"]
    loud = np.flatnonzero(np.abs(clips.waveforms[0]) > 300) / RATE
    # 2.15 s is the middle; 0.1 s on both sides of the word.
    assert loud.min() == pytest.approx(0.5 - 0.25, abs=0.05)
    assert loud.max() == pytest.approx(0.5 + 0.25, abs=0.05)


def test_everybody_is_heard_in_validation(written: Written) -> None:
    items = [item("long.wav", speaker="ann"), item("short.wav", speaker="ben"), item("w.wav", "words")]
    clips = windows(
        read_negatives([written({"long.wav": 60.0, "short.wav": 2.5, "w.wav": 0.6}, items)]), WORDS, RATE
    )
    assert set(clips.labels) == {"_unknown_"}
    assert [name.split("@")[0] for name in clips.names].count("_unknown_/long.wav") == 12
    assert clips.waveforms.shape == (12 + 2 + 1, RATE)
    assert not clips.waveforms[-1, :3000].any()  # a single word stands in the middle
    assert clips.waveforms[-1, 3500:12_500].any()


def test_clips_and_negatives_are_put_together(written: Written) -> None:
    times = [said("yes", 1.0, 1.3)]
    files = {f"{n}.wav": 3.0 for n in range(12)}
    items = [item(path, "thin", speaker=path, word_times=times, source="here") for path in files]
    clips = dataset()
    negatives = read_negatives([written(files, items)])
    both, rest, kept = with_negatives(clips, negatives, num_samples=RATE, share=0.5, unknown=True)
    assert 0 < len(rest.sounds) < 12
    assert {sound.name for sound in kept.sounds} == set(files) - {sound.name for sound in rest.sounds}
    assert len(both.train) == len(clips.train) + len(rest.sounds)
    assert both.train.waveforms.shape == (len(both.train), RATE)
    assert set(both.val.labels) == {*clips.val.labels, "_unknown_"}
    assert both.facts[-1]["name"].startswith("here (")
    plain, *_ = with_negatives(clips, negatives, num_samples=RATE, share=0.5, unknown=False)
    assert plain.val == clips.val


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "is no index of negatives"),
        ("{}", "is no index of negatives"),
        ('{"items": [{"path": "a.wav", "kind": "song"}]}', "of the kind 'song'"),
        (
            '{"items": [{"path": "a.wav", "kind": "speech", "word_times": [["yes", "x", 1]]}]}',
            "a.wav rightly",
        ),
        ('{"items": [{"path": "a.wav", "kind": "speech", "word_times": [1]}]}', "a.wav rightly"),
        ('{"items": [{"path": "b.wav", "kind": "speech"}]}', "no readable sound"),
    ],
)
def test_an_index_that_is_none(written: Written, text: str, said: str) -> None:
    folder = written({"a.wav": 1.0})
    (folder / "index.json").write_text(text)
    with pytest.raises(SnnVoiceError, match=said):
        read_negatives([folder])


def test_what_is_not_there_is_told(written: Written, tmp_path: Path) -> None:
    with pytest.raises(SnnVoiceError, match="does not exist"):
        read_negatives([tmp_path / "nowhere"])
    folder = written({"a.wav": 1.0}, [item("a.wav"), item("gone.wav")])
    (folder / "broken.wav").write_bytes(b"RIFF")
    skipped = dict(read_negatives([folder]).skipped)
    assert set(skipped) == {"others/gone.wav", "others/broken.wav"}
