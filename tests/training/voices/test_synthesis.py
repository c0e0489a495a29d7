"""Words by synthesisers as a folder to train with: by one that hums."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.training.clips.negatives import read_negatives
from snn_voice_hub.training.clips.sources import load_dataset
from snn_voice_hub.training.clips.synthetic import RECORD, facts_of_folder
from snn_voice_hub.training.voices import batches, synthesis
from snn_voice_hub.training.voices.orders import TRIES, Clip
from snn_voice_hub.training.voices.pronouncing import Phrase
from snn_voice_hub.training.voices.recognising import Recogniser
from snn_voice_hub.training.voices.synthesis import synthesize
from snn_voice_hub.training.voices.synthesiser import Speaker
from tests.training.voices.helpers import Hum


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.wav")}


def test_clips_are_as_training_wants_them(hum: Hum, tmp_path: Path) -> None:
    made = synthesize(["hey  robot", "Lumos"], tmp_path / "said", count=5)
    assert [(word.text, word.made, word.kept) for word in made.words] == [
        ("hey robot", 5, 5),
        ("Lumos", 5, 5),
    ]
    assert (made.engines, made.notes, made.neighbours_folder) == (("hum",), (), None)
    for path in files(made.folder):
        wave, rate = soundfile.read(made.folder / path)
        assert (rate, soundfile.info(made.folder / path).subtype) == (16_000, "PCM_16")
        loud = np.flatnonzero(np.abs(wave) > 0.01)
        assert 0.04 < loud[0] / rate < 0.08 > (len(wave) - loud[-1]) / rate
        assert np.abs(wave).max() == pytest.approx(0.5, abs=0.01)
        word, name = path.split("/")
        assert word in ("hey robot", "Lumos")
        assert name.startswith("hum-v")
    dataset = load_dataset(made.folder)
    assert sorted(set(dataset.train.labels)) == ["Lumos", "hey robot"]
    assert dataset.facts == [
        {
            "name": f"synthetic words by hum ({len(dataset.train)} training clips)",
            "license": "made by a synthesiser",
        }
    ]


def test_the_same_seed_gives_the_same_clips_and_another_one_others(hum: Hum, tmp_path: Path) -> None:
    for name, seed, jobs in (("a", 0, 1), ("b", 0, 4), ("c", 1, 1)):
        synthesize(["robot"], tmp_path / name, count=6, seed=seed, jobs=jobs)
    one, same, other = (files(tmp_path / name) for name in "abc")
    assert one == same != other


def test_a_run_goes_on_and_more_clips_join_it(hum: Hum, tmp_path: Path) -> None:
    synthesize(["robot"], tmp_path, count=4)
    before = files(tmp_path)
    lost, kept = sorted(before)[:2]
    (tmp_path / lost).unlink()
    (tmp_path / kept).write_bytes(b"as it was")
    hum.spoken.clear()
    made = synthesize(["robot", "hey"], tmp_path, count=6)
    assert sorted(hum.spoken) == ["hey"] * 6 + ["robot"] * 3
    assert made.words[0].kept == 6
    after = files(tmp_path)
    assert after[kept] == b"as it was"
    assert after[lost] == before[lost]
    assert {path: after[path] for path in before if path != kept}.items() <= before.items()
    # Nor does a shorter run take anything away.
    assert synthesize(["robot"], tmp_path, count=2).words[0].kept == 2
    assert files(tmp_path) == after
    assert list(json.loads((tmp_path / RECORD).read_text())["words"]) == ["robot", "hey"]


def test_a_run_that_was_interrupted_goes_on(hum: Hum, tmp_path: Path) -> None:
    def break_off(clips: Generator[Clip, None, None], total: int) -> Iterator[Clip]:
        assert total == 8
        for number, clip in enumerate(clips):
            if number == 3:
                clips.close()
                raise KeyboardInterrupt
            yield clip

    with pytest.raises(KeyboardInterrupt):
        synthesize(["robot"], tmp_path, count=8, jobs=1, show=break_off)
    hum.spoken.clear()
    assert synthesize(["robot"], tmp_path, count=8).words[0].kept == 8
    assert 4 <= len(hum.spoken) < 8


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"seed": 1}, "with seed 0, not 1"),
        ({"max_seconds": 2.0}, "with max_seconds 1.0, not 2.0"),
        ({"words": ["robot=R OW1 B AH0 T"]}, "with pronunciation none, not R OW1 B AH0 T"),
    ],
)
def test_clips_that_were_made_otherwise_are_not_mixed(
    changed: dict[str, object], says: str, hum: Hum, tmp_path: Path
) -> None:
    synthesize(["robot"], tmp_path, count=1)
    before = files(tmp_path)
    with pytest.raises(SnnVoiceError, match=rf"clips of 'robot' {says} \(the same again, or another --out"):
        synthesize(**{"words": ["robot"], "folder": tmp_path, "count": 1, **changed})  # type: ignore[arg-type]
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("word", "reason"), [("mute", "silent"), ("loud", "clipped"), ("endless", "too long")]
)
def test_what_can_not_be_used_is_thrown_away_and_tried_again(
    word: str, reason: str, hum: Hum, tmp_path: Path
) -> None:
    (found,) = synthesize([word], tmp_path, count=2).words
    assert (found.made, found.kept, dict(found.thrown)) == (2 * TRIES, 0, {reason: 2 * TRIES})
    assert bool(found.too_long) == (reason == "too long")
    assert files(tmp_path) == {}
    hum.spoken.clear()
    assert synthesize([word], tmp_path, count=2).words == (found,)
    assert hum.spoken == []


def test_lengths_of_what_is_too_long_are_told(hum: Hum, tmp_path: Path) -> None:
    (found,) = synthesize(["slow"], tmp_path, count=12).words
    assert found.kept > 8
    assert found.thrown["too long"] == len(found.too_long) == found.made - found.kept
    assert 1.0 < found.too_long[0] <= found.too_long[-1] < 1.6
    assert all(len(soundfile.read(tmp_path / clip.path)[0]) <= 16_000 for clip in found.clips if clip.path)


def test_what_is_not_understood_is_thrown_away(
    hum: Hum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["Hey robot.", "what was that", *["k robot"] * 9])
    monkeypatch.setattr(
        synthesis,
        "_recogniser",
        lambda folder, lexicon: Recogniser("ears", lambda wave: next(answers), lexicon),
    )
    (found,) = synthesize(["hey robot"], tmp_path, count=3, check=tmp_path, jobs=1).words
    assert dict(found.thrown) == {"not recognised": 1}
    assert sorted(clip.heard for clip in found.clips) == ["Hey robot.", "k robot", "k robot"]
    with pytest.raises(SnnVoiceError, match="with check ears, not none"):
        synthesize(["hey robot"], tmp_path, count=3)


def test_neighbours_are_negatives(hum: Hum, tmp_path: Path) -> None:
    made = synthesize(["hey robot"], tmp_path / "said", count=2, neighbours=12)
    folder = made.neighbours_folder
    assert folder == tmp_path / "said-neighbours"
    counts = {word.text: word.kept for word in made.neighbours}
    assert sum(counts.values()) == 12
    assert counts["hey"] + counts["robot"] == 3
    assert {"day robot", "hey rowboat"} <= set(counts)
    assert not {"hey robot", "hay robot", "hey window"} & set(counts)
    read = read_negatives([folder])
    assert {(sound.kind, sound.source, sound.licence) for sound in read.sounds} == {
        ("words", "synthetic words by hum", "made by a synthesiser")
    }
    assert len(read.spans(["hey robot"])) == 12
    # The same folder serves a model that knows the parts.
    assert len(read.spans(["robot"])) == sum(n for text, n in counts.items() if "robot" not in text.split())


def test_where_there_are_no_neighbours_it_is_told(hum: Hum, tmp_path: Path) -> None:
    made = synthesize(["window", "xyzzy"], tmp_path / "said", count=1, neighbours=5)
    assert made.neighbours == ()
    assert made.notes == (
        "'window' has no neighbours: no common word sounds like it",
        "'xyzzy' has no neighbours: nobody knows how it is said",
    )


def test_who_can_not_say_it_is_left_out(hum: Hum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader(Hum):
        name = "reader"

        def can_say(self, said: Phrase) -> str:
            return "takes no pronunciation" if said.by_hand else ""

    monkeypatch.setattr(synthesis, "chosen_engines", lambda names, kokoro: [Reader(), hum])
    made = synthesize(["robot=R OW1 B AH0 T", "hey"], tmp_path, count=8)
    assert made.notes == ("'robot' is not said by reader: it takes no pronunciation",)
    speakers = [{clip.engine for clip in word.clips} for word in made.words]
    assert speakers == [{"hum"}, {"hum", "reader"}]
    monkeypatch.setattr(synthesis, "chosen_engines", lambda names, kokoro: [Reader()])
    with pytest.raises(SnnVoiceError, match="nobody here can say 'k': reader takes no pronunciation"):
        synthesize(["k=K EY1"], tmp_path, count=1)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("", "no word or phrase"),
        ("../up", "no word or phrase"),
        ("-v", "no word or phrase"),
        ("_unknown_", "no word or phrase"),
        ("[[a]]", "no word or phrase"),
        ("日本", "no word or phrase"),
        ("sheila=", "no pronunciation"),
        ("sheila=SH QQ1", "'QQ1' is no phoneme"),
        ("sheila=S1", "'S1' is no phoneme"),
        ("hey you=HH EY1 Y UW1", "has 2 words, its pronunciation 1"),
        ("ROBOT", "'ROBOT' is wanted twice"),
    ],
)
def test_wishes_that_are_none(word: str, says: str, hum: Hum, tmp_path: Path) -> None:
    with pytest.raises(SnnVoiceError, match=says):
        synthesize(["robot", word], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_numbers_that_are_none(hum: Hum, tmp_path: Path) -> None:
    for name, value in (("count", 0), ("neighbours", -1), ("max_seconds", 0.0), ("jobs", 0)):
        with pytest.raises(ConfigError, match=name):
            synthesize(["robot"], tmp_path, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(SnnVoiceError, match="nothing to say"):
        synthesize([], tmp_path)


def test_one_that_fails_is_told_and_what_was_made_is_kept(
    hum: Hum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say, times = hum.say, iter(range(100))

    def failing(said: Phrase, voice: Speaker, path: Path) -> None:
        if next(times) == 3:
            raise SnnVoiceError("hum failed with exit code 1")
        say(said, voice, path)

    monkeypatch.setattr(hum, "say", failing)
    with pytest.raises(SnnVoiceError, match="exit code 1"):
        synthesize(["robot"], tmp_path, count=6, jobs=1)
    assert len(json.loads((tmp_path / RECORD).read_text())["words"]["robot"]["clips"]) >= 3
    assert synthesize(["robot"], tmp_path, count=6).words[0].kept == 6


def test_the_record_is_kept_on_the_way(hum: Hum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_KEEP_SECONDS", -1.0)
    seen = []

    def look(clips: Generator[Clip, None, None], total: int) -> Iterator[Clip]:
        for clip in clips:
            seen.append(len(json.loads((tmp_path / RECORD).read_text())["words"]["robot"]["clips"]))
            yield clip

    synthesize(["robot"], tmp_path, count=3, show=look)
    assert seen == [1, 2, 3]


def test_a_record_that_is_damaged(hum: Hum, tmp_path: Path) -> None:
    for text in ("", "[]", '{"words": {"robot": {"settings": {}, "clips": [{"number": 0}]}}}'):
        (tmp_path / RECORD).write_text(text)
        with pytest.raises(SnnVoiceError, match=f"{RECORD} can't be read"):
            synthesize(["robot"], tmp_path)
        assert facts_of_folder(tmp_path) == {}


def test_sentences_are_other_speech(hum: Hum, tmp_path: Path) -> None:
    made = synthesize(["hey robot"], tmp_path / "said", count=1, sentences=6)
    assert made.neighbours == ()
    assert len({one.text for one in made.sentences}) == len(made.sentences) == 6
    assert all("hey robot" not in one.text and 3 <= len(one.text.split()) <= 8 for one in made.sentences)
    (folder,) = {made.neighbours_folder}
    assert folder is not None
    assert {sound.kind for sound in read_negatives([folder]).sounds} == {"speech"}
    again = synthesize(["hey robot"], tmp_path / "again", count=1, sentences=6)
    assert [one.text for one in again.sentences] == [one.text for one in made.sentences]


def test_no_sentence_holds_a_word_of_the_model(hum: Hum, tmp_path: Path) -> None:
    made = synthesize(["hey"], tmp_path / "said", count=1, sentences=8)
    # "hay" is said as "hey".
    assert not {"hey", "hay"} & {word for one in made.sentences for word in one.text.split()}
