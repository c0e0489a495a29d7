"""Every command says in one line what is wrong with a model, and exits with 2."""

from __future__ import annotations

import json
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from snn_voice_hub.cli import main
from snn_voice_hub.hub.bundled import bundled_root
from tests.places import EXAMPLES

YES = str(EXAMPLES / "yes.wav")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 64\n"

CONFIGS: dict[str, bytes] = {
    "empty": b"",
    "cut off": b'{"architecture": "TcySNN",',
    "no object": b"[1, 2]",
    "no text": b"\xff\xfe\x00\x80" * 9,
    "too deep": b"[" * 100_000,
    "without a field": b"{}",
}


def _changed(**fields: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


def _config(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.json").write_bytes(content)


def _weights(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.safetensors").write_bytes(content)


def _tensors(change: Callable[[dict[str, torch.Tensor], str], object]) -> Callable[[Path], object]:
    def changed(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights, next(iter(weights)))
        save_file(weights, folder / "model.safetensors")

    return changed


def _halved(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def _folder_as(name: str) -> Callable[[Path], object]:
    def replace(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return replace


BAD_CONFIG: dict[str, Callable[[Path], object]] = {
    **{f"a config.json that is {name}": _config(content) for name, content in CONFIGS.items()},
    "no config.json": lambda folder: (folder / "config.json").unlink(),
    "a folder as config.json": _folder_as("config.json"),
    "nothing": lambda folder: [path.unlink() for path in folder.iterdir()],
    "a newer version": _changed(format_version=99),
    "no labels": _changed(labels=None),
    "a label of half a character": _changed(labels=["\ud800"]),
    "no features": _changed(features=None),
    "steps for ever": _changed(network={"num_steps": 10**9}),
}
BAD_WEIGHTS: dict[str, Callable[[Path], object]] = {
    "an unknown architecture": _changed(architecture="Nope"),
    "labels of another network": _changed(labels=["yes", "no"]),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "a folder as weights": _folder_as("model.safetensors"),
    "empty weights": _weights(b""),
    "weights that are text": _weights(b"no tensors here\n" * 99),
    "weights cut off": _halved,
    "weights of a huge header": _weights(struct.pack("<Q", 1 << 60) + b"{}"),
    "a pointer in place of weights": _weights(POINTER),
    "a weight that is missing": _tensors(lambda weights, first: weights.pop(first)),
    "a weight too many": _tensors(lambda weights, first: weights.update(other=torch.zeros(3))),
    "a weight of another shape": _tensors(lambda weights, first: weights.update({first: torch.zeros(3)})),
    "a weight that is not finite": _tensors(
        lambda weights, first: weights[first].view(-1)[:1].fill_(torch.nan)
    ),
    "weights that are whole numbers": _tensors(
        lambda weights, first: weights.update({first: weights[first].int()})
    ),
}
NAMES = ["nope", "m5-sn", "m5-snn@v1.0", "m5-snn@", "me/words@", "not/a/repository", "/dev/null", YES]

COMMANDS: dict[str, list[str]] = {
    "classify": ["--model", "{model}", YES],
    "evaluate": ["{model}", "--data", "{words}", "--quick"],
    "energy": ["{model}", "--data", YES],
    "energy of a twin": ["tcy-cnn", "--data", YES, "--twin", "{model}"],
    "spikes": [YES, "--model", "{model}"],
    "export": ["{model}", "--to", "torch", "--out", "{out}.pt2"],
    "push": ["{model}", "me/words"],
    "train from it": ["--from", "{model}", "--data", "{words}", "--out", "{out}"],
    "train by it": ["--model", "tcy-snn", "--teacher", "{model}", "--data", "{words}", "--out", "{out}"],
}


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    for word in ("yes", "no"):
        (folder / word).mkdir()
        for number in range(2):
            shutil.copy(EXAMPLES / f"{word}.wav", folder / word / f"{number}.wav")
    return folder


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of checkpoints by what is wrong with them."""
    root = tmp_path_factory.mktemp("models")
    made = {}
    for number, (what, change) in enumerate((BAD_CONFIG | BAD_WEIGHTS).items()):
        made[what] = Path(shutil.copytree(bundled_root() / "tcy-snn", root / str(number)))
        change(made[what])
    return made


def called(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[object, str, str]:
    """Exit code, stdout and stderr of the program, in this process."""
    monkeypatch.setattr(sys, "argv", ["snn-voice", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, *capsys.readouterr()


def cases(broken: dict[str, Path]) -> Iterator[tuple[str, str]]:
    yield from ((what, str(folder)) for what, folder in broken.items())
    yield from (("a name", name) for name in NAMES)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_broken_model_is_one_line(
    command: str,
    broken: dict[str, Path],
    words: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = {}
    for what, model in cases(broken):
        places = {"model": model, "words": str(words), "out": str(tmp_path / "out")}
        arguments = [command.split()[0], *(text.format(**places) for text in COMMANDS[command])]
        code, out, err = called(arguments, monkeypatch, capsys)
        # Training says before what clips it has found.
        lines = [line for line in err.splitlines() if " to learn from, " not in line]
        one = len(lines) == 1 and lines[0].startswith("snn-voice: error: ")
        if code != 2 or out or not one or "can't be reached" in err:
            wrong[what, model] = (code, out[:200], err[-300:])
        assert not [path for path in tmp_path.rglob("*") if path.is_file()], what
    assert wrong == {}


def test_a_card_needs_a_good_configuration(
    broken: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for what in BAD_CONFIG:
        code, out, err = called(["card", str(broken[what])], monkeypatch, capsys)
        assert (code, out, err.count("\n")) == (2, "", 1), what


def test_what_is_no_lightning_file_is_not_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {"empty.ckpt": b"", "text.ckpt": b"no pickle\n" * 9, "zip.ckpt": b"PK\x03\x04" + bytes(99)}
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    for name in (*made, "nowhere.ckpt", "."):
        given, out = str(tmp_path / name), tmp_path / "out"
        code, _, err = called(["convert", given, str(out)], monkeypatch, capsys)
        assert (code, err.count("\n"), out.exists()) == (2, 1, False), name


@pytest.mark.parametrize("what", ["weights cut off", "a newer version"])
def test_the_service_does_not_begin_with_a_broken_model(
    what: str, broken: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["serve", "--model", str(broken[what]), "--port", "0"]
    code, out, err = called(arguments, monkeypatch, capsys)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("snn-voice: error: ")
