"""Packages as they are built now may be published; each that lacks something, or has too much, may not."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from snn_voice_hub.hub.bundled import bundled_names
from tests.places import ROOT
from tests.release.building import pack_npm
from tests.release.contents import PRODUCTS, licences, opened

IN_GIT = (ROOT / ".git").exists()  # not where the tests run from the source distribution


def problems(kind: str, path: Path, *, compare: bool = IN_GIT) -> list[str]:
    return PRODUCTS[kind].problems(opened(path), compare=compare)


def test_the_lite_wheel_may_be_published(lite_wheel: Path) -> None:
    assert problems("lite wheel", lite_wheel) == []


def test_the_hub_wheel_may_be_published(hub_wheel: Path) -> None:
    assert problems("hub wheel", hub_wheel) == []
    told = licences(opened(hub_wheel))
    assert sorted(told) == sorted(bundled_names())
    assert {weights for weights, _ in told.values()} == {"MIT"}


@pytest.mark.skipif(not shutil.which("npm"), reason="no npm: `apt-get install npm`")
def test_the_npm_package_may_be_published(tmp_path: Path) -> None:
    assert problems("npm package", pack_npm(tmp_path)) == []


def changed(wheel: Path, out: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A wheel with other files."""
    files = opened(wheel).files
    change(files)
    with zipfile.ZipFile(out / wheel.name, "w") as written:
        for name, data in files.items():
            written.writestr(name, data)
    return out / wheel.name


WEIGHTS = "snn_voice_lite/models/tempo-snn.onnx"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: files.pop(WEIGHTS), f"it lacks {WEIGHTS}"),
        (lambda files: files.pop("snn_voice_lite/py.typed"), "it lacks snn_voice_lite/py.typed"),
        (
            lambda files: files.update({"tests/test_x.py": b""}),
            "tests/test_x.py is not for who",
        ),
        (lambda files: files.update({"snn_voice_lite/conftest.py": b""}), "is not for who"),
        (lambda files: files.update({"snn_voice_lite/x.ckpt": b""}), "is not for who"),
        (lambda files: files.update({"../x.py": b""}), "would be written elsewhere"),
        (lambda files: files.update({"snn_voice_lite/large": bytes(10_000_000)}), "at most 10 (a wheel"),
    ],
)
def test_what_must_not_be_in_a_wheel(
    lite_wheel: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], None], said: str
) -> None:
    (wrong, *_) = problems("lite wheel", changed(lite_wheel, tmp_path, change), compare=False)
    assert said in wrong


@pytest.mark.skipif(not IN_GIT, reason="git is not here")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: files.pop("snn_voice_lite/mel.py"), "snn_voice_lite/mel.py is missing"),
        (lambda files: files.update({"snn_voice_lite/notes": b""}), "snn_voice_lite/notes is not in git"),
        (lambda files: files.update({WEIGHTS: b"other"}), f"{WEIGHTS} is not what the clone has"),
    ],
)
def test_a_wheel_is_what_git_holds(
    lite_wheel: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], None], said: str
) -> None:
    assert problems("lite wheel", changed(lite_wheel, tmp_path, change)) == [said]


def _without(text: bytes) -> Callable[[dict[str, bytes]], None]:
    def change(files: dict[str, bytes]) -> None:
        (name,) = (name for name in files if name.endswith(".dist-info/METADATA"))
        files[name] = b"\n".join(line for line in files[name].split(b"\n") if not line.startswith(text))

    return change


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"License-Expression", "its licence is None"),
        (b"Project-URL", "it names no address of the project"),
        (b"Classifier: Typing", "it does not say that it is typed"),
        (b"Requires-Python", "it says no Requires-Python"),
        (b"Requires-Dist: snn-voice-lite", "it does not ask for snn-voice-lite=="),
    ],
)
def test_what_a_wheel_says_of_itself(hub_wheel: Path, tmp_path: Path, text: bytes, said: str) -> None:
    (wrong,) = problems("hub wheel", changed(hub_wheel, tmp_path, _without(text)), compare=False)
    assert wrong.startswith(said)


def test_licences_of_what_is_bundled(hub_wheel: Path, tmp_path: Path) -> None:
    def change(files: dict[str, bytes]) -> None:
        name = "snn_voice_hub/weights/m5-snn/config.json"
        files[name] = files[name].replace(b'"license": "MIT"', b'"license": "secret"')
        name = "snn_voice_hub/weights/m5-cnn/config.json"
        files[name] = files[name].replace(b'"license": "CC-BY-4.0"', b'"licence": ""')
        del files["snn_voice_hub/weights/tcy-snn/model.safetensors"]
        del files[next(name for name in files if name.endswith("licenses/LICENSE"))]

    assert problems("hub wheel", changed(hub_wheel, tmp_path, change), compare=False) == [
        "it does not bring the text of its licence",
        "m5-cnn does not say under which licence its training sound came",
        "the licence of m5-snn is secret",
        "tcy-snn has no weights",
    ]
