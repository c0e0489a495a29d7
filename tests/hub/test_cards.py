"""Model cards: metadata that the Hub reads, figures that were measured and no others, prose that stays."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

import snn_voice_hub as sv
from snn_voice_hub.hub.card_text import BUILT_IN_SPIKING, NEURON_DEFAULTS
from snn_voice_hub.hub.cards import has_own_words, make_card, update_card
from snn_voice_hub.hub.checkpoints import bundled_names, bundled_root
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.registry import get_architecture

ROOT = Path(__file__).parents[2]


def bundled(name: str, **changes: Any) -> sv.VoiceConfig:
    config = sv.VoiceConfig.load(bundled_root() / name / "config.json")
    return dataclasses.replace(config, **changes)


def metadata(text: str) -> dict[str, Any]:
    """The front matter, by the Hub's own expression."""
    match = re.match(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$))", text)
    assert match
    found = yaml.safe_load(match[2])
    assert isinstance(found, dict)
    return found


def results(card: ModelCard) -> dict[str, Any]:
    index = metadata(str(card)).get("model-index", [])
    return {m.get("name"): m["value"] for entry in index for r in entry["results"] for m in r["metrics"]}


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
    assert "where nobody speaks" not in part.text


def test_every_measured_figure_can_be_read() -> None:
    metrics = copy.deepcopy(bundled("resmel-snn").metrics) | {"energy": {"synops": 1234567}}
    metrics["test"] |= {"top1": 0.9233, "covered_mean": 0.9159, "thin_top1": 0.8889}
    metrics["test"] |= {"calibration_error": 0.0216, "cpu_ms_one_clip": 13.09}
    metrics["false_alarms_held_out"]["running_tap"]["score_95"] = 0.0043
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
    assert "| synops | 1,234,567 |" in text
    assert "711,919 parameters" in text
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


def test_what_the_card_knows_of_the_classes_is_so() -> None:
    """`hub` stands below `models` and can't ask them."""
    spiking = [n for n in sv.list_architectures() if issubclass(get_architecture(n), SpikingNetwork)]
    assert sorted(BUILT_IN_SPIKING) == [name for name in spiking if name != "Tiny"]
    for name in BUILT_IN_SPIKING:
        parameters = inspect.signature(get_architecture(name)).parameters
        assert {key: parameters[key].default for key in NEURON_DEFAULTS} == NEURON_DEFAULTS


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


def test_the_command_line_of_a_card_runs(folder: Path) -> None:
    (shell,) = re.findall(r"```sh\n(.*?)```", make_card(bundled("resmel-snn")).text, re.DOTALL)
    (line,) = re.findall(r"^snn-voice (classify .*)$", shell, re.MULTILINE)
    program = Path(sys.executable).with_name("snn-voice")
    done = subprocess.run([program, *line.split()], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("yes.wav  yes ")


# --- updates --------------------------------------------------------------------------------------

OWN = """\
---
license: apache-2.0
thumbnail: https://example.org/x.png
tags:
- mine
- keyword-spotting
widget:
- example_title: Our door
  src: https://example.org/door.wav
model-index:
- name: x
  results:
  - task:
      type: audio-classification
    dataset:
      name: Doors
      type: me/doors
    metrics:
    - type: f1
      value: 0.25
---

# My model

It opens *doors*.
"""


def test_own_words_and_foreign_metadata_stay() -> None:
    fresh = make_card(bundled("m5-snn"), "me/x")
    card = update_card(OWN, fresh)
    assert str(card).endswith("\n---\n\n# My model\n\nIt opens *doors*.\n")
    data = metadata(str(card))
    assert list(data)[:2] == ["license", "thumbnail"]
    assert data["license"] == "mit"  # ours: the configuration says so
    assert data["thumbnail"] == "https://example.org/x.png"
    assert data["tags"][:2] == ["mine", "keyword-spotting"]
    assert {"spiking-neural-network", "audio-classification"} < set(data["tags"])
    assert len(data["tags"]) == len(set(data["tags"]))
    assert data["widget"] == [{"example_title": "Our door", "src": "https://example.org/door.wav"}]
    ours, theirs = data["model-index"][0]["results"]
    assert ours["metrics"][0]["value"] == bundled("m5-snn").metrics["test"]["top1"]
    assert theirs["dataset"]["name"] == "Doors"
    assert theirs["metrics"] == [{"type": "f1", "value": 0.25}]
    assert str(update_card(str(card), fresh)) == str(card)


def test_a_figure_of_somebody_else_on_the_same_data_stays_apart() -> None:
    doors = "name: Doors\n      type: me/doors"
    whole = OWN.replace(doors, "name: The whole split\n      type: google/speech_commands\n      split: test")
    fresh = make_card(bundled("m5-snn"), "me/x")
    for _ in range(2):
        whole = str(update_card(whole, fresh))
    found = metadata(whole)["model-index"][0]["results"]
    assert [result["dataset"]["name"] for result in found] == [
        "Speech Commands, 1,486 test clips",
        "The whole split",
    ]
    assert [len(result["metrics"]) for result in found] == [3, 1]


def test_our_figures_follow_the_configuration() -> None:
    card = update_card(OWN, make_card(bundled("m5-snn"), "me/x"))
    again = update_card(str(card), make_card(bundled("resmel-snn"), "me/x"))
    assert results(again)["Top-1 accuracy"] == bundled("resmel-snn").metrics["test"]["top1"]
    assert len(results(again)) == 4
    unmeasured = update_card(str(again), make_card(bundled("m5-snn", metrics={}), "me/x"))
    assert metadata(str(unmeasured))["model-index"][0]["results"][0]["dataset"]["name"] == "Doors"
    assert len(metadata(str(unmeasured))["model-index"][0]["results"]) == 1


def test_the_generated_part_is_renewed_where_nobody_changed_it() -> None:
    def top1(name: str) -> str:
        return f"{100 * bundled(name).metrics['test']['top1']:.1f} %"

    old = str(make_card(bundled("m5-snn")))
    fresh = make_card(bundled("resmel-snn"), "me/x")
    assert not has_own_words(old)
    assert update_card(old, fresh).text == fresh.text
    around = old.replace("\n<!-- snn", "\nBefore.\n\n<!-- snn", 1) + "\nAfter.\n"
    assert has_own_words(around)
    text = str(update_card(around, fresh))
    assert "\nBefore.\n" in text
    assert text.endswith("\nAfter.\n")
    assert top1("resmel-snn") in text
    assert top1("m5-snn") not in text
    changed = old.replace("The paper's spiking M5", "My spiking M5")
    assert has_own_words(changed)
    text = str(update_card(changed, fresh))
    assert "My spiking M5" in text
    assert top1("m5-snn") in text
    assert results(ModelCard(text))["Top-1 accuracy"] == bundled("resmel-snn").metrics["test"]["top1"]


def test_other_line_ends_and_no_metadata() -> None:
    fresh = make_card(bundled("m5-snn"), "me/x")
    windows = update_card("\ufeff" + OWN.replace("\n", "\r\n"), fresh)
    text = str(windows)
    assert "\ufeff" not in text
    assert text.count("\n") == text.count("\r\n")
    assert text.replace("\r\n", "\n") == str(update_card(OWN, fresh))
    assert str(update_card("just words", fresh)).endswith("\n---\n\njust words")
    assert not has_own_words("")
    assert not has_own_words("---\nlicense: mit\n---\n\n")
    assert has_own_words("just words")


def test_a_licence_loses_its_old_name() -> None:
    old = "---\nlicense: other\nlicense_name: ours\nlicense_link: LICENSE\n---\nx\n"
    data = metadata(str(update_card(old, make_card(bundled("m5-snn")))))
    assert [key for key in data if key.startswith("license")] == ["license"]
    data = metadata(str(update_card(old, make_card(bundled("m5-snn", license="Theirs")))))
    assert (data["license"], data["license_name"], data["license_link"]) == ("other", "theirs", "LICENSE")


@pytest.mark.parametrize(
    ("front", "reason"),
    [
        ("tags: [a", r"no valid YAML \(line 2\)"),
        ("- a\n- b", "no YAML mapping"),
        ("model-index:\n- name: x\n  results:\n  - task: {}", "model-index can't be read"),
        ("model-index: 3", "model-index can't be read"),
    ],
)
def test_metadata_that_can_not_be_read_are_named(front: str, reason: str) -> None:
    with pytest.raises(sv.CheckpointError, match=reason) as raised:
        update_card(f"---\n{front}\n---\nwords\n", make_card(bundled("m5-snn")))
    assert "mend README.md" in raised.value.hint


FRESH = make_card(bundled("tcy-snn"), "me/x")


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet=st.sampled_from("ab: -#<>!\n\t|`é|"), max_size=60))
def test_no_word_is_ever_lost(words: str) -> None:
    text = f"---\nlicense: mit\n---\n{words}"
    card = str(update_card(text, FRESH))
    assert card.endswith(f"\n---\n{words}")
    assert metadata(card)["library_name"] == "snn-voice-hub"
    assert str(update_card(card, FRESH)) == card
