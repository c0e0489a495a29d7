"""Model cards: metadata that the Hub reads, figures that were measured and no others, prose that stays."""

from __future__ import annotations

import copy
import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

import snn_voice_hub as sv
from snn_voice_hub.hub.bundled import bundled_names, bundled_root
from snn_voice_hub.hub.cards.page import make_card, update_card
from snn_voice_hub.hub.checkpoints import read_config
from tests.hub.cards.helpers import bundled, metadata, results
from tests.places import ROOT

# --- metadata -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", bundled_names())
def test_metadata_survive_the_hubs_own_reader(name: str) -> None:
    card = make_card(bundled(name), f"me/{name}")
    again = ModelCard(str(card))
    assert again.data.to_dict() == card.data.to_dict() == metadata(str(card))
    assert str(again) == str(card)
    data = metadata(str(card))
    assert data["library_name"] == "snn-voice-hub"
    assert data["pipeline_tag"] == "audio-classification"
    assert (data["license"], data["language"]) == ("mit", "en")
    assert data["datasets"] == ["google/speech_commands"]
    assert ("spiking-neural-network" in data["tags"]) == name.endswith("snn")
    assert [example["src"].rpartition("_")[2] for example in data["widget"]] == ["down.wav", "go.wav"]
    assert "base_model" not in data  # `start` is the name of a folder there, not of a repository


@pytest.mark.parametrize("name", bundled_names())
def test_the_model_index_holds_the_measured_figures(name: str) -> None:
    config = bundled(name)
    test = config.metrics["test"]
    card = make_card(config, f"me/{name}")
    found = results(card)
    for title, key in (
        ("Top-1 accuracy", "top1"),
        ("Top-2 accuracy", "top2"),
        ("Top-5 accuracy", "top5"),
        ("Mean top-1 accuracy over the covered words", "covered_mean"),
    ):
        assert found.pop(title, None) == test.get(key)
    changed = [share for shares in test.get("robustness", {}).values() for share in shares.values()]
    assert list(found.values()) == changed
    (entry,) = metadata(str(card))["model-index"]
    assert entry["name"] == name
    (result,) = entry["results"]
    assert result["task"]["type"] == "audio-classification"
    assert result["dataset"]["type"] == "google/speech_commands"
    assert result["dataset"]["split"] == "test"
    assert result["dataset"]["name"] == f"Speech Commands, {test['clips']:,} test clips"
    for metric in result["metrics"]:
        assert metric["type"] == "accuracy"


def test_accuracy_on_changed_clips_is_shown_and_indexed() -> None:
    test = {
        "top1": 0.9,
        "top2": 0.95,
        "calibration_error_before": 0.08,
        "clips": 10,
        "robustness": {"white_noise": {"20_db": 0.85, "0_db": 0.6}, "shift": {"up_to_100_ms": 0.88}},
    }
    card = make_card(bundled("m5-snn", metrics={"test": test}))
    assert results(card) == {
        "Top-1 accuracy": 0.9,
        "Top-2 accuracy": 0.95,
        "Top-1 accuracy, white noise, 20 dB": 0.85,
        "Top-1 accuracy, white noise, 0 dB": 0.6,
        "Top-1 accuracy, shift, up to 100 ms": 0.88,
    }
    assert "| top-2 accuracy, all clips | 95.0 % |" in card.text
    assert "| calibration error at temperature 1 | 8.0 % |" in card.text
    assert "| white noise, 0 dB | 60.0 % |" in card.text
    # The same again: results that are ours are replaced, not added to.
    fresh = make_card(bundled("m5-snn", metrics={"test": test | {"top1": 0.91}}))
    assert results(update_card(str(card), fresh))["Top-1 accuracy"] == 0.91


def test_clips_of_another_source_are_not_said_to_be_of_the_training_data() -> None:
    card = make_card(bundled("m5-snn", metrics={"test": {"top1": 0.5, "clips": 40, "data": "my kitchen"}}))
    ((result,),) = [entry["results"] for entry in metadata(str(card))["model-index"]]
    assert result["dataset"]["name"] == "my kitchen, 40 test clips"
    assert result["dataset"]["type"] == "custom"


def test_what_was_not_measured_is_not_there() -> None:
    bare = make_card(bundled("m5-snn", metrics={}))
    assert "model-index" not in metadata(str(bare))
    assert "metrics" not in metadata(str(bare))
    assert "## Measured" not in bare.text
    assert not re.findall(r"\d %", bare.text)
    assert "has not been measured" in bare.text
    part = make_card(bundled("m5-snn", metrics={"test": {"top1": 0.5, "top5": None, "clips": True}}))
    assert results(part) == {"Top-1 accuracy": 0.5}
    assert "| top-1 accuracy, all clips | 50.0 % |" in part.text
    assert "top-5" not in part.text
    assert "Spikes:" not in part.text
    assert "where none of the words is said" not in part.text


def test_every_measured_figure_can_be_read() -> None:
    metrics = copy.deepcopy(bundled("resmel-snn").metrics) | {"energy": {"synops": 1234567}}
    metrics["test"] |= {"top1": 0.9233, "covered_mean": 0.9159, "thin_top1": 0.8889}
    metrics["test"] |= {"calibration_error": 0.0216, "cpu_ms_one_clip": 13.09}
    metrics["test"]["false_alarms"]["running_tap"]["score_95"] = 0.0043
    config = bundled("resmel-snn", metrics=metrics, training={"start": "resmel-cnn"})
    text = make_card(config).text
    assert "on 1,486 test clips" in text
    assert "| top-1 accuracy, all clips | 92.3 % |" in text
    assert "| top-1 on the thin words, 54 clips together | 88.9 % |" in text
    assert "mean over the 20 covered words | 91.6 %" in text
    assert "ECE, 15 bins) | 2.2 %" in text
    assert "13.1 ms of one CPU thread" in text
    for layer, rate in config.metrics["test"]["spike_rates"].items():
        assert f"| `{layer}` | {100 * rate:.1f} % |" in text
    assert "| running tap | 122 | 0.004 | 100.0 % |" in text
    assert "| synaptic operations (SynOps): both | 1,234,567 |" in text
    assert f"{metrics['parameters']:,} parameters" in text
    assert "Pete Warden" in text
    assert "| started from the weights of | resmel-cnn |" in text
    going_on = {"epochs": 1, "before": {"description": "x", "lr": 0.5, "before": {"epochs": 7}}}
    rows = make_card(bundled("m5-snn", training=going_on)).text.partition("| recipe |")[2].splitlines()[2:6]
    assert rows == [
        "| epochs | 1 |",
        "| before that: highest learning rate | 0.5 |",
        "| before that: before that: epochs | 7 |",
        "",
    ]


def test_one_figure_does_not_come_twice() -> None:
    test = bundled("resmel-snn").metrics["test"] | {"covered_words": 0, "covered_mean": None}
    text = make_card(bundled("resmel-snn", metrics={"test": test})).text
    assert "thin words" not in text
    assert "top-1 accuracy, all clips" in text


@pytest.mark.parametrize("name", bundled_names())
def test_the_cards_in_the_repository_are_those_of_the_bundled_models(name: str) -> None:
    written = (ROOT / "model_cards" / f"{name}.md").read_text(encoding="utf-8")
    assert written == str(make_card(bundled(name), name)), "`make cards` writes them anew"


def test_the_card_of_piczak_is_made_from_its_figures_and_says_where_the_weights_are() -> None:
    folder = ROOT / "model_cards" / "piczak-snn"
    config = read_config(folder)
    assert (config.architecture, config.network["num_steps"]) == ("PiczakSNN", 15)
    written = (folder / "README.md").read_text(encoding="utf-8")
    fresh = make_card(config, "runs/piczak-snn")
    assert written == str(update_card(written, fresh)), "`make cards` writes it anew"
    assert results(ModelCard(written))["Top-1 accuracy"] == config.metrics["test"]["top1"]
    own_words = written.partition("<!-- snn-voice-hub")[0]
    assert "`make piczak" in own_words
    assert 'from_pretrained("runs/piczak-snn")' in written


def test_the_same_configuration_gives_the_same_card() -> None:
    config = bundled("resmel-snn")
    assert str(make_card(config, "me/x")) == str(make_card(copy.deepcopy(config), "me/x"))


@pytest.mark.parametrize(
    ("license", "wanted"),
    [
        ("MIT", {"license": "mit"}),
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("GPL-3.0-or-later", {"license": "gpl-3.0"}),
        ("Our Own (v2)", {"license": "other", "license_name": "our-own-v2"}),
        ("", {}),
    ],
)
def test_licences_have_the_hubs_names(license: str, wanted: dict[str, str]) -> None:
    data = metadata(str(make_card(bundled("m5-snn", license=license))))
    assert {key: value for key, value in data.items() if key.startswith("license")} == wanted


def test_a_fine_tuned_model_names_its_base() -> None:
    training = {"start": "Eve-ning/snn_voice"}
    assert (
        metadata(str(make_card(bundled("m5-snn", training=training))))["base_model"] == "Eve-ning/snn_voice"
    )
    training = {"base_model": ["a/b", "c/d"]}  # type: ignore[dict-item]
    assert metadata(str(make_card(bundled("m5-snn", training=training))))["base_model"] == ["a/b", "c/d"]


def test_other_words_and_other_data() -> None:
    config = sv.VoiceConfig(
        architecture="MyNet",
        network={},
        features=sv.FeatureConfig(kind="logmel", normalization="batch"),
        labels=["hüh", "hott", "_silence_"],
        data=[{"name": "Stable | yard", "url": "https://huggingface.co/datasets/me/horses"}],
        metrics={"test": {"top1": 0.75, "clips": 8}},
    )
    card = make_card(config)
    data = metadata(str(card))
    assert "language" not in data
    assert "widget" not in data
    assert data["datasets"] == ["me/horses"]
    assert data["model-index"][0]["results"][0]["dataset"]["name"] == "Stable | yard, 8 test clips"
    assert "spiking" not in " ".join(data["tags"])
    assert "hott.wav" in card.text  # a file name that any shell takes
    assert "2 words: hüh, hott." in card.text
    assert "knows them as the class `_silence_`" in card.text
    assert "Besides: `_silence_`, which is no word." in card.text
    assert "the score need not be low" in card.text
    knowing = make_card(dataclasses.replace(config, labels=[*config.labels, "_unknown_"])).text
    assert "Besides: `_silence_` and `_unknown_`, which are no words." in knowing
    assert "holds none of its words is the class `_unknown_`" in knowing
    assert "the score need not be low" not in knowing
    assert "How many false alarms an hour that makes has not been measured." in card.text
    heard = {"threshold": 0.9, "hours": {"speech": 0.25}, "words": {"false_alarms": {"speech": 1615.2}}}
    measured = dataclasses.replace(config, metrics={"test": {"top1": 0.75, "clips": 8, "listening": heard}})
    text = make_card(measured).text
    assert "on 0.25 h of speech without its words, at a threshold of 0.9: 1,615 false alarms an hour." in text
    assert "has not been measured" not in text
    few = {**heard, "words": {"false_alarms": {"speech": 4.0}}}
    chosen = dataclasses.replace(config, metrics={"listening_validation": few})
    assert (
        "0.25 h of validation speech without its words, at a threshold of 0.9: 4.0 false alarms an hour."
        in (make_card(chosen).text)
    )
    assert "depends on the other clips of its batch" in card.text
    private = dataclasses.replace(config, data=[])
    assert metadata(str(make_card(private)))["model-index"][0]["results"][0]["dataset"]["type"] == "custom"


def test_the_neuron_is_described_as_it_is() -> None:
    text = make_card(bundled("m5-snn")).text
    assert "T = 5 time steps" in text
    assert "beta * m[t-1] + x[t] - s[t-1] * threshold" in text
    paper = bundled("m5-snn")
    paper.network.update(reset="subtract-before-decay", beta=0.9, learn_beta=True)
    text = make_card(paper).text
    assert "Membrane decay beta: 0.9, where training started" in text
    assert "m[t] = beta * (m[t-1] - s[t-1] * threshold) + x[t]" in text
    assert "nothing above 2 kHz" in text
    assert "## Neuron" not in make_card(bundled("m5-cnn")).text


def test_the_citation_is_the_projects() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["preferred-citation"]
    text = make_card(bundled("m5-snn")).text
    for fact in (
        cited["title"],
        f"{cited['authors'][0]['family-names']}, {cited['authors'][0]['given-names']}",
        cited["institution"]["name"],
        str(cited["year"]),
        cited["url"],
    ):
        assert f"{{{fact}}}" in text


# --- what to do with it ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in (bundled_root() / "resmel-snn").iterdir():
        shutil.copy(file, tmp_path)
    shutil.copy(ROOT / "examples" / "yes.wav", tmp_path)
    return tmp_path


@pytest.mark.parametrize("repo_id", [None, str(bundled_root() / "m5-snn")])
def test_the_python_of_a_card_runs(
    folder: Path, repo_id: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (python,) = re.findall(r"```python\n(.*?)```", make_card(bundled("resmel-snn"), repo_id).text, re.DOTALL)
    monkeypatch.chdir(folder)
    exec(compile(python, "card", "exec"), {})
    answers = capsys.readouterr().out.splitlines()
    assert len(answers) == 3
    assert answers[0].startswith("yes 0.")


@pytest.mark.slow
def test_the_command_line_of_a_card_runs(folder: Path) -> None:
    (shell,) = re.findall(r"```sh\n(.*?)```", make_card(bundled("resmel-snn")).text, re.DOTALL)
    (line,) = re.findall(r"^snn-voice (classify .*)$", shell, re.MULTILINE)
    program = Path(sys.executable).with_name("snn-voice")
    done = subprocess.run([program, *line.split()], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("yes.wav  yes ")


def test_where_it_listens_is_told_as_measured() -> None:
    figures = {"missed": {"10_db": 0.125}, "false_alarms": {"speech": 12.34, "noise": 0.0}, "single": 0.05}
    listening = {"threshold": 0.9, "hours": {"speech": 1.5}, "single_words": 9, "commands": figures}
    metrics = {"test": {"top1": 0.9, "clips": 10, "listening": listening}}
    text = str(make_card(bundled("m5-snn", metrics=metrics), "me/x"))
    assert "| listening, threshold 0.9, 1.5 h of speech | |" in text.replace("|  |", "| |")
    assert "| the ten commands: missed at 10 dB | 12.5 % |" in text
    assert "| the ten commands: false alarms an hour of speech | 12.3 |" in text
    assert "| the ten commands: other single words taken for one | 5.0 % |" in text
    listening |= {"clips": 1_000, "times_said": 1}
    assert "| listening, threshold 0.9, 1,000 clips, 1.5 h of speech |" in str(
        make_card(bundled("m5-snn", metrics=metrics), "me/x")
    )
    # No saying makes new people.
    listening |= {"clips": 30, "times_said": 7}
    assert "| listening, threshold 0.9, 30 clips, said 7 times, 1.5 h of speech |" in str(
        make_card(bundled("m5-snn", metrics=metrics), "me/x")
    )
    odd: dict[str, Any] = {"threshold": "x", "hours": 3, "words": {"missed": "all", "single": None}}
    metrics["test"]["listening"] = odd
    assert "istening" not in str(make_card(bundled("m5-snn", metrics=metrics), "me/x"))
