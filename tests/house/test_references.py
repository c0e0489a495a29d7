"""The files and modules that documents, docstrings and comments name in backticks are there."""

from __future__ import annotations

from pathlib import PurePosixPath

from tests.house.references import missing_file, missing_part, modules, named, text_of, tracked
from tests.places import ROOT

# What was true of an earlier release, measured results, and cards.
LEFT_OUT = ("CHANGELOG.md", "benchmarks/results/", "benchmarks/study/", "model_cards/")


def test_what_is_named_is_there() -> None:
    module_of = {path: name for name, path in modules().items()}
    found = []
    for file in tracked():
        path = ROOT / file
        if PurePosixPath(file).suffix in (".py", ".md") and not file.startswith(LEFT_OUT) and path.exists():
            module = module_of.get(path, "")
            names = {*named(text_of(path))}
            found += [f"{file}: {name}" for name in names if missing_file(name) or missing_part(name, module)]
    assert sorted(found) == []


def test_what_is_not_there_is_found() -> None:
    assert list(named("see `models.lif`, or `python -m a.b X`, or `c()`; a ``d``")) == [
        *("models.lif", "python", "-m", "a.b", "X", "c")
    ]
    assert missing_file("hub/no_such.py")
    assert missing_file("tests/no_such/")
    assert not missing_file("hub/legacy/lightning.py")
    assert not missing_file("tests/house/")
    module = "snn_voice_hub.models.network"
    for name, missing in {
        "models.scan": True,  # moved
        "models.lif.lif_stop": True,
        "models.lif.lif_step": False,
        "snn_voice_hub.models.lif.lif_step": False,
        "lif.lif_step": False,  # beside it
        "mem.shape": False,  # no module
    }.items():
        assert missing_part(name, module) is missing, name
