"""Which files of a listing make up the checkpoint that was asked for."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.choice import Choice, choose

RUN = "experiments/multirun/2023/{model}/++model.snn.learn_beta={learn},++model.snn.n_steps={steps}"
CKPT = "/lightning_logs/version_0/checkpoints/epoch=7-step=5312.ckpt"


def run(model: str = "piczak_snn", learn: str = "False", steps: int = 15) -> str:
    return RUN.format(model=model, learn=learn, steps=steps) + CKPT


def pick(*files: str, **asked: Any) -> Choice:
    return choose(files, where="me/x", **asked)


def refused(*files: str, **asked: Any) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        pick(*files, **asked)
    assert "\n" not in str(caught.value)
    return caught.value


ROOT = ("README.md", "config.json", "model.safetensors")
SUB = ("a/config.json", "a/model.safetensors")


def test_the_usual_names_win_over_everything_else() -> None:
    assert pick(*ROOT, *SUB, "old.ckpt") == Choice("model.safetensors", "config.json")
    assert pick(*ROOT).files == ("config.json", "model.safetensors")


@pytest.mark.parametrize("subfolder", ["a", "a/", "./a", "a//"])
def test_a_subfolder_narrows(subfolder: str) -> None:
    assert pick(*ROOT, *SUB, subfolder=subfolder) == Choice("a/model.safetensors", "a/config.json")


def test_a_single_checkpoint_is_found_wherever_it_lies() -> None:
    assert pick("README.md", *SUB) == Choice("a/model.safetensors", "a/config.json")
    assert pick("README.md", "x/y/z.ckpt") == Choice("x/y/z.ckpt", None)
    # A folder with the same beginning is another folder.
    assert pick("ab/z.ckpt", "a/y.ckpt", subfolder="a") == Choice("a/y.ckpt", None)


def test_a_filename_decides() -> None:
    files = (*ROOT, *SUB, "a/best.safetensors", "one.ckpt", "two.ckpt")
    assert pick(*files, filename="two.ckpt") == Choice("two.ckpt", None)
    assert pick(*files, filename="a/best.safetensors") == Choice("a/best.safetensors", "a/config.json")
    assert pick(*files, filename="best.safetensors", subfolder="a") == Choice(
        "a/best.safetensors", "a/config.json"
    )
    error = refused(*files, filename="three.ckpt")
    assert "has no file 'three.ckpt'" in str(error)
    assert "one.ckpt" in str(error)
    assert "no config.json beside lone/w.safetensors" in str(
        refused("lone/w.safetensors", filename="lone/w.safetensors")
    )
    assert "no file of weights" in str(refused(*files, filename="README.md"))
    assert "not legal" in str(refused(*files, filename="../x.ckpt"))
    assert "not legal" in str(refused(*files, subfolder="/etc"))


def test_several_are_listed_with_the_call_for_each() -> None:
    for repo_id, call in (("me/x", "filename='{}'"), ("", "me/x/{}")):  # of a repository, of a folder
        error = refused("one.ckpt", "two.ckpt", *SUB, repo_id=repo_id)
        assert error.code == "several_checkpoints"
        assert "3 checkpoints" in str(error)
        for name in ("one.ckpt", "two.ckpt", "a/model.safetensors"):
            assert call.format(name) in str(error)
    many = refused(*(f"{i:02d}.ckpt" for i in range(32)))
    assert "and 26 more" in str(many)


def test_none_says_what_is_there() -> None:
    error = refused("README.md", "pytorch_model.bin")
    assert error.code == "no_checkpoint"
    assert "pytorch_model.bin" in str(error)
    assert "there is nothing" in str(refused())
    assert "has no model.safetensors" in str(refused("config.json"))
    assert "has no folder 'b'" in str(refused(*SUB, subfolder="b"))
    foreign = refused("config.json", "pytorch_model.bin", foreign="transformers")
    assert (foreign.code, "transformers" in str(foreign)) == ("wrong_library", True)


def test_the_papers_repository_gives_the_model_of_its_card(caplog: pytest.LogCaptureFixture) -> None:
    files = [
        run("m5_snn"),
        run(steps=1),
        run(steps=150),
        run(learn="True"),
        run(),
        run("piczak"),
        "README.md",
    ]
    with caplog.at_level(logging.INFO):
        for order in (files, files[::-1]):
            choice = choose(order, where="Eve-ning/snn_voice", repo_id="Eve-ning/snn_voice")
            assert choice == Choice(run(), None)
    assert run("m5_snn") in caplog.text  # what else there is
    # Wherever its file lies, and whatever it is called.
    alone = choose(["x/epoch=1.ckpt"], where="Eve-ning/snn_voice", repo_id="Eve-ning/snn_voice")
    assert alone == Choice("x/epoch=1.ckpt", None)
    # Anybody else's repository of that kind has to be asked more precisely.
    assert refused(*files, repo_id="somebody/snn_voice").code == "several_checkpoints"
