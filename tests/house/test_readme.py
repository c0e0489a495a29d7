"""The README says what is so."""

from __future__ import annotations

import re

import snn_voice_hub as sv
from snn_voice_hub.hub.catalog import models_table, results_csv
from tests.places import ROOT

README = (ROOT / "README.md").read_text()


def test_the_table_of_models_is_the_measured_one() -> None:
    """To mend it: `python -c "from snn_voice_hub.hub.catalog import models_table; print(models_table())"`."""
    (table,) = re.findall(r"<!-- models -->\n(.*?)\n<!-- /models -->", README, re.DOTALL)
    assert table == models_table()


def test_the_words_are_the_models() -> None:
    words = re.search(r"words are \*(.*?)\*", README, re.DOTALL)
    assert words is not None
    assert tuple(words[1].split()) == tuple(sv.SnnVoice.from_pretrained("m5-snn").labels)


def test_the_table_of_results_is_the_measured_one() -> None:
    """To mend it: `make cards`."""
    assert (ROOT / "model_cards" / "results.csv").read_text() == results_csv()
