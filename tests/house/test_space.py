"""What is ready for a Space of Hugging Face fits the service, and answers."""

from __future__ import annotations

import importlib.util
import re
import sys
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest
import soundfile as sf
import yaml
from snn_voice_server.settings import setting_variables

from snn_voice_hub.hub.bundled import bundled_names
from snn_voice_hub.install import REQUIREMENT_NOTE
from tests.places import EXAMPLES

SPACE = EXAMPLES / "space"
DOCKERFILE = (SPACE / "docker" / "Dockerfile").read_text(encoding="utf-8")


class Refused(Exception):  # noqa: N818  # as Gradio calls it: Error
    """What a page shows as an error."""


def header(name: str) -> dict[str, Any]:
    """The settings with which a Space's README begins."""
    text = (SPACE / name / "README.md").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("space_app", SPACE / "gradio" / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, with a stand-in for Gradio: what that draws needs a browser."""
    monkeypatch.setitem(sys.modules, "gradio", MagicMock(Error=Refused))
    return loaded()


@pytest.mark.parametrize("name", ["docker", "gradio"])
def test_the_header_is_one_of_a_space(name: str) -> None:
    found = header(name)
    assert found["sdk"] == name
    assert {"title", "emoji", "colorFrom", "colorTo", "license"} <= set(found)
    assert len(found["short_description"]) <= 60
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {found["colorFrom"], found["colorTo"]} <= colours


def test_the_image_sets_what_the_service_knows() -> None:
    named = set(re.findall(r"\bSNN_VOICE_\w+(?==)", DOCKERFILE))
    assert named - {"SNN_VOICE_KERNELS"} <= set(setting_variables())
    assert f"SNN_VOICE_PORT={header('docker')['app_port']}" in DOCKERFILE
    assert "USER user" in DOCKERFILE
    assert "--cors-origins https://${SPACE_HOST" in DOCKERFILE


def test_requirements_say_what_to_name() -> None:
    note, *names = (SPACE / "gradio" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert note == REQUIREMENT_NOTE
    assert names == ["snn-voice-lite", "snn-voice-hub"]


def test_the_page_by_gradio_hears(page: ModuleType) -> None:
    assert set(page.MODELS) <= set(bundled_names())
    sound, rate = sf.read(EXAMPLES / "yes.wav", dtype="int16")
    words, layers = page.hear((rate, sound), page.MODELS[0])
    assert max(words, key=words.get) == "yes"
    assert len(words) == 5
    assert len(layers) == 11
    assert all(re.fullmatch(r"\d+\.\d %", fires) for _, _, fires in layers)


def test_the_page_by_gradio_says_what_is_wrong(page: ModuleType) -> None:
    with pytest.raises(Refused, match="Record something first"):
        page.hear(None, page.MODELS[0])
    with pytest.raises(Refused, match="no samples"):
        page.hear((16_000, sf.read(EXAMPLES / "yes.wav", dtype="int16")[0][:0]), page.MODELS[0])


def test_gradio_itself_builds_the_page() -> None:
    gradio = pytest.importorskip("gradio", reason="gradio is not installed")
    assert isinstance(loaded().demo, gradio.Interface)
