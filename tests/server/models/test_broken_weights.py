"""Weights that are no numbers stop the start and the reload by name; they are not blamed on the sound."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient
from safetensors.torch import load_file, save_file
from snn_voice_server.app import create_app
from snn_voice_server.settings import Settings

from snn_voice_hub import M5CNN, SnnVoice, TcySNN
from snn_voice_hub.errors import CheckpointError
from tests.server.helpers import check, wav

KEY = "a-key-that-is-long-enough"
RIGHT = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    TcySNN().save_pretrained(tmp_path / "words")
    return tmp_path / "words"


def spoil(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file(load_file(path) | {"fc.bias": torch.full((35,), torch.nan)}, path)


def test_the_start(sound: Path) -> None:
    spoil(sound)
    with (
        pytest.raises(CheckpointError, match=r"model\.safetensors: fc\.bias holds 35 NaN of 35 values"),
        TestClient(create_app(settings=Settings(model=[str(sound)]))),
    ):
        pass


def test_one_of_several_and_the_reload(sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(sound, tmp_path / "other")
    spoil(tmp_path / "other")
    settings = Settings(model=[str(sound), str(tmp_path / "other")], api_keys=[KEY])
    with TestClient(create_app(settings=settings)) as client:
        answer = client.post("/classify", content=wav(), headers=RIGHT)
        assert answer.status_code == 200
        check(client.post("/classify?model=other", content=wav(), headers=RIGHT), 503, "not_ready")
        assert "fc.bias holds 35 NaN of 35 values" in caplog.text
        caplog.clear()
        spoil(sound)
        check(client.post("/admin/reload", headers=RIGHT), 503, "not_ready")
        assert "fc.bias holds 35 NaN of 35 values" in caplog.text
        again = client.post("/classify", content=wav(), headers=RIGHT)
        assert again.json() == answer.json()


def test_a_network_that_answers_nothing(sound: Path) -> None:
    voice = SnnVoice(M5CNN(), labels=SnnVoice.from_pretrained(sound).labels)
    voice.network.state_dict()["cnn.0.bn.running_var"].fill_(-1)  # all are finite
    with (
        pytest.raises(CheckpointError, match="no score is finite, not even for silence"),
        TestClient(create_app(voice)),
    ):
        pass
