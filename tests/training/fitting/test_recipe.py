"""Recipes: strict, readable, changeable from a command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.registry import get_architecture
from snn_voice_hub.training.fitting.recipe import changed, read_recipe
from snn_voice_hub.training.fitting.recipes import RECIPES, fine_tuning
from snn_voice_hub.training.study.paper_recipes import TITLES, paper_recipe

yaml = pytest.importorskip("yaml")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPES[name].to_dict(), sort_keys=False))
    assert read_recipe(path) == RECIPES[name]


@pytest.mark.parametrize("name", RECIPES)
def test_the_front_end_is_the_architectures(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.features is None
    assert recipe.complete().features == get_architecture(recipe.architecture).default_features
    other = changed(recipe, ["features.log_offset=0.25"])
    assert other.features == dataclasses.replace(recipe.front_end, log_offset=0.25)


def test_values_from_a_command_line() -> None:
    base = RECIPES["resmel-snn"]
    other = changed(base, ["lr=1e-3", "augmentation.noise=0.25", "augmentation.snr_db=[0, 10]",
                           "network.num_steps=2", "network.threshold=0.5", "three_phase=true"])  # fmt: skip
    assert other.lr == 0.001
    assert other.augmentation is not None
    assert (other.augmentation.noise, other.augmentation.snr_db) == (0.25, (0.0, 10.0))
    assert other.network == {"num_steps": 2, "learn_beta": True, "threshold": 0.5}
    assert other.three_phase is True
    assert base == RECIPES["resmel-snn"]
    assert base.network["num_steps"] == 4
    assert changed(base, ["silence=0", "unknown=0", "augmentation=null"]).augmentation is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("lr", "changes no field"),
        ("speed=3", "changes no field"),
        ("augmentation.colour=1", "changes no field"),
        ("lr.x=1", "changes no field"),
        ("lr=fast", "lr='fast'"),
        ("lr=-1", "lr=-1"),
        ("epochs=1.5", "epochs=1.5"),
        ("epochs=0", "epochs=0"),
        ("batch_size=true", "batch_size=True"),
        ("optimizer=sgd", "optimizer='sgd'"),
        ("silence=0.001", "no clip"),
        ("silence=1.0", "all of them"),
        ("augmentation=null", "silence needs"),
        ("augmentation=3", "augmentation is 3"),
        ("augmentation.snr_db=[1]", "snr_db"),
        ("network.num_steps=[", "not valid YAML"),
        ("constants=some", "constants='some'"),
    ],
)
def test_values_that_are_not_legal(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        changed(RECIPES["resmel-snn"], [change])


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    with pytest.raises(SnnVoiceError, match="can't be read"):
        read_recipe(path)
    for text, message in (
        ("", "JSON object"),
        ("lr: 1e-4", "architecture is missing"),
        ("architecture: M5SNN\nfeatures: {kind: waveform}\ncolour: 3", "unknown field colour"),
        ("architecture: M5SNN\nfeatures: {kind: tape}", "features.kind"),
        ("a: [", "not valid YAML"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message) as caught:
            read_recipe(path)
        assert str(path) in str(caught.value)
    path.write_text("architecture: M5SNN\nfeatures: {kind: waveform}\nlr: 1e-4")
    assert read_recipe(path).lr == 1e-4


@pytest.mark.parametrize("name", TITLES)
@pytest.mark.parametrize("twin", ["CNN", "SNN"])
def test_the_paper(name: str, twin: str) -> None:
    """Its hyper-parameters: Adam with weight decay 1e-4, one cycle in three phases, batch 128, 15 epochs."""
    recipe = paper_recipe(name + twin)
    assert (recipe.optimizer, recipe.weight_decay, recipe.three_phase) == ("adam", 1e-4, True)
    assert (recipe.lr, recipe.pct_start) == ((1e-3, 0.4) if name == "Piczak" else (1e-2, 0.2))
    assert (recipe.final_div_factor, recipe.batch_size, recipe.epochs, recipe.patience) == (1e5, 128, 15, 5)
    assert recipe.augmentation is None
    assert recipe.front_end.kind == ("waveform" if name == "M5" else "logmel")
    if twin == "SNN":
        other = paper_recipe(name + twin, num_steps=15, learn_beta=True, epochs=3)
        assert (other.network["num_steps"], other.network["learn_beta"], other.epochs) == (15, True, 3)
        assert other.network["reset"] == "subtract-before-decay"


def test_what_the_paper_has_not() -> None:
    with pytest.raises(ConfigError, match="no network 'ResMelSNN'"):
        paper_recipe("ResMelSNN")
    with pytest.raises(ConfigError, match="no time steps"):
        paper_recipe("M5CNN", num_steps=5)


def test_other_words() -> None:
    from snn_voice_hub import SnnVoice

    for name, silence in (("resmel-snn", True), ("m5-snn", False)):
        config = SnnVoice.from_pretrained(name).config
        for clips in (2, 25, 100, 5000):
            recipe = fine_tuning(config, clips)
            assert recipe.features == config.features
            assert recipe.network == {k: v for k, v in config.network.items() if k != "num_classes"}
            assert bool(recipe.silence) == (silence and clips >= 10)
            assert recipe.steps * recipe.epochs >= 600
            assert recipe.steps >= clips // recipe.batch_size
