"""A lesson from its words to a checkpoint, with a synthesiser that hums and a small network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from snn_voice_hub import SnnVoice
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training import teach
from snn_voice_hub.training.clips.negatives import Negatives
from snn_voice_hub.training.lessons import noise
from snn_voice_hub.training.lessons import teach as teaching
from snn_voice_hub.training.lessons.lesson import Lesson
from snn_voice_hub.training.lessons.material import centred
from snn_voice_hub.training.lessons.noise import computed_noises
from snn_voice_hub.training.lessons.recipe import lesson_recipe
from snn_voice_hub.training.lessons.teach import Step
from tests.training.voices.helpers import Hum

RATE = 16_000


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lessons of seconds."""

    def brief(*given: object, **named: object) -> object:
        recipe = lesson_recipe(*given, **named)  # type: ignore[arg-type]
        return dataclasses.replace(recipe, epochs=2, steps=2, batch_size=10)

    monkeypatch.setattr(teaching, "lesson_recipe", brief)
    monkeypatch.setattr(noise, "_SECONDS", 2)
    monkeypatch.setattr(teaching, "_NEIGHBOURS", 4)
    monkeypatch.setattr(teaching, "_SENTENCES", 0)
    monkeypatch.setattr(teaching, "default_negatives", lambda: Path("/nowhere"))


def recorded(folder: Path, word: str, speakers: int = 3) -> None:
    (folder / word).mkdir(parents=True)
    time = np.arange(RATE // 2) / RATE
    for n in range(speakers):
        wave = np.pad(0.3 * np.sin(2 * np.pi * (250 + 40 * n) * time), RATE // 2)
        soundfile.write(folder / word / f"s{n}_nohash_0.wav", wave, RATE)


def test_from_a_text_to_a_word_that_listens(tmp_path: Path, hum: Hum, short: None) -> None:
    steps: list[Step] = []
    taught = teach(["hey robot"], tmp_path / "robot", model="m5-snn", count=20, report=steps.append)
    assert list(dict.fromkeys(step.name for step in steps)) == ["synthesize", "read", "train", "measure"]
    assert taught.words == ("hey robot",)
    assert set(taught.figures["missed"]) == {"synthetic voices"}
    assert set(taught.figures["false_alarms"]) == {"noise"}  # the neighbours are single words
    assert "snn-voice negatives" in taught.notes[0]
    model = SnnVoice.from_pretrained(tmp_path / "robot")
    assert model.labels == ["hey robot", "_silence_", "_unknown_"]
    assert model.config.detection is not None
    card = (tmp_path / "robot" / "README.md").read_text()
    assert "synthetic words by hum" in card
    # A second call is over at once, and says the same.
    said = len(hum.spoken)
    again = teach(["hey robot"], tmp_path / "robot", model="m5-snn", count=20)
    assert again.figures == taught.figures
    assert len(hum.spoken) == said


@pytest.mark.slow
def test_it_goes_on_where_it_was_cut_off(
    tmp_path: Path, hum: Hum, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(step: Step) -> None:
        if step.name == "train" and step.done == 1:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        teach(["lumos"], tmp_path / "a", model="m5-snn", count=20, report=cut_off)
    said = len(hum.spoken)
    epochs: list[int] = []
    taught = teach(
        ["lumos"],
        tmp_path / "a",
        model="m5-snn",
        count=20,
        report=lambda step: epochs.append(step.done) if step.name == "train" else None,
    )
    assert len(hum.spoken) == said
    whole = teach(["lumos"], tmp_path / "b", model="m5-snn", count=20)
    assert taught.figures == whole.figures


@pytest.mark.slow
def test_recordings_count_as_much_as_machines(tmp_path: Path, hum: Hum, short: None) -> None:
    recorded(tmp_path / "clips", "hey robot")
    out = tmp_path / "robot"
    taught = teach(["hey robot", "lumos"], out, model="m5-snn", clips=[tmp_path / "clips"], count=20)
    assert set(taught.figures["missed"]) == {"recordings", "synthetic voices"}
    training = SnnVoice.from_pretrained(out).config.training
    assert training["synthetic_clips"] > 0
    told = [fact["name"] for fact in SnnVoice.from_pretrained(out).config.data]
    assert told[0].startswith("own recordings (2 training clips)")


@pytest.mark.slow
def test_recordings_alone_are_enough(tmp_path: Path, short: None) -> None:
    recorded(tmp_path / "clips", "lumos", speakers=8)
    taught = teach(["lumos"], tmp_path / "out", model="m5-snn", clips=[tmp_path / "clips"], count=0)
    assert set(taught.figures["clips"]) == {"recordings"}
    # The few that are kept are said eight times.
    assert taught.figures["times_said"] == {"recordings": 8}


def test_a_phrase_that_takes_too_long_is_refused_at_once(tmp_path: Path, hum: Hum, short: None) -> None:
    with pytest.raises(SnnVoiceError, match=r"'endless' takes .* s to say, and the model hears 1 s"):
        teach(["endless"], tmp_path / "out", model="m5-snn", count=200)
    assert len(hum.spoken) < 100
    # Another word may take its place.
    Lesson(("lumos",)).begin(tmp_path / "out")
    assert not (tmp_path / "out" / "lesson" / "said").exists()


def test_another_lesson_does_not_go_on(tmp_path: Path) -> None:
    Lesson(("lumos",)).begin(tmp_path / "out")
    Lesson(("lumos",)).begin(tmp_path / "out")
    with pytest.raises(SnnVoiceError, match="was taught with words"):
        Lesson(("nox",)).begin(tmp_path / "out")
    (tmp_path / "out" / "lesson" / "asked.json").write_text("{")
    with pytest.raises(SnnVoiceError, match=r"asked\.json can't be read"):
        Lesson(("lumos",)).begin(tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(SnnVoiceError, match="not an empty folder"):
        Lesson(("lumos",)).begin(tmp_path / "full")


def test_nothing_to_learn_from_is_told() -> None:
    with pytest.raises(SnnVoiceError, match="nothing to learn from"):
        Lesson(("lumos",), count=0)
    with pytest.raises(SnnVoiceError, match="no word to teach"):
        Lesson(())


def test_words_stand_in_the_middle() -> None:
    from snn_voice_hub.training.clips.data import Clips

    waveforms = np.zeros((2, 100), np.int16)
    waveforms[0, 3:23] = 5
    clips = centred(Clips(waveforms, ["a", "b"], ["a/1", "b/1"], []))
    assert np.flatnonzero(clips.waveforms[0]).tolist() == list(range(40, 60))
    assert not clips.waveforms[1].any()


@pytest.mark.slow
def test_computed_noise_is_heard_and_kept_apart() -> None:
    noises = computed_noises(RATE)
    assert all(np.abs(sound.wave).max() > 10_000 and len(sound.wave) == 30 * RATE for sound in noises)
    learned, kept = Negatives(noises, RATE).divided(0.25)
    assert len(learned.sounds) > len(kept.sounds) > 1
    again = computed_noises(RATE)
    assert all(np.array_equal(one.wave, other.wave) for one, other in zip(noises, again, strict=True))


def test_hours_of_other_sound_are_not_all_listened_to() -> None:
    from snn_voice_hub.training.clips.negatives import NegativeSound
    from snn_voice_hub.training.lessons.material import _thinned

    minute = np.ones(60 * 100, np.int16)
    sounds = [NegativeSound(f"speech/{n}", "speech", minute) for n in range(50)]
    sounds += [NegativeSound(f"noise/{n}", "noise", minute) for n in range(4)]
    kept = _thinned(Negatives(tuple(sounds), 100))
    assert len(kept.of_kind("speech")) == 30
    assert len(kept.of_kind("noise")) == 4
    assert _thinned(Negatives(tuple(reversed(sounds)), 100)).sounds == kept.sounds[::-1]
