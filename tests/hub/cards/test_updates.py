"""A card is made again: what people wrote in it stays, what was measured is renewed."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

import snn_voice_hub as sv
from snn_voice_hub.hub.cards.page import has_own_words, make_card, update_card
from tests.hub.cards.helpers import bundled, metadata, results

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
    assert [len(result["metrics"]) for result in found] == [len(results(fresh)), 1]


def test_our_figures_follow_the_configuration() -> None:
    card = update_card(OWN, make_card(bundled("m5-snn"), "me/x"))
    again = update_card(str(card), make_card(bundled("resmel-snn"), "me/x"))
    assert results(again)["Top-1 accuracy"] == bundled("resmel-snn").metrics["test"]["top1"]
    assert len(results(again)) == len(results(make_card(bundled("resmel-snn")))) + 1  # and their own
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
