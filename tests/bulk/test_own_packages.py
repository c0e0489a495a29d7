"""Workers and replicas import what has the architecture: they know only what they are given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray.serve", reason="the extra [ray] is not installed")

from snn_voice_server.on_ray.app import portable
from snn_voice_server.settings import Settings

import snn_voice_hub as sv
from snn_voice_hub.bulk.options import BulkOptions
from snn_voice_hub.bulk.run import _packages_of
from snn_voice_hub.bulk.sources import find_sources
from snn_voice_hub.bulk.worker import Assignment
from snn_voice_hub.packages import use_packages
from snn_voice_hub.registry import find_architecture
from tests.places import EXAMPLES
from tests.voice.package_helpers import REGISTERED, fresh, lay


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Path]:
    """A file with a network of one's own, and nothing of it known."""
    with fresh():
        yield lay(tmp_path, "own_net", REGISTERED.format(name="OwnNet"))


def test_a_worker_imports_what_its_driver_has(module: Path, tmp_path: Path) -> None:
    with fresh():
        use_packages([str(module)])
        cls = find_architecture("OwnNet")
        assert cls is not None
        voice = sv.SnnVoice(cls(num_classes=2), labels=["a", "b"])
        voice.save_pretrained(tmp_path / "mine")
        packages = _packages_of(sv.VoiceConfig.load(tmp_path / "mine" / "config.json"))
        assert packages == (str(module), "own_net")
    assert find_architecture("OwnNet") is None
    files = [(tmp_path / "mine" / name).read_bytes() for name in ("config.json", "model.safetensors")]
    options = BulkOptions(top_k=1, device="cpu", engine="torch", batch_size=1)
    work = Assignment(*files, find_sources([str(EXAMPLES)]), options, packages)
    assert work.load().config.architecture == "OwnNet"


def test_what_no_worker_could_know_is_told_before_ray_starts(module: Path, tmp_path: Path) -> None:
    sv.SnnVoice(sv.TcyCNN(num_classes=2), labels=["a", "b"]).save_pretrained(tmp_path / "mine")
    path = tmp_path / "mine" / "config.json"
    path.write_text(path.read_text().replace('"TcyCNN"', '"OwnNet"'))
    with pytest.raises(sv.ConfigError, match="'OwnNet' is not known"):
        _packages_of(sv.VoiceConfig.load(path))


def test_replicas_are_given_whole_paths(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(module.parent)
    settings, _ = portable(Settings(**{"import": ["own_net.py"]}))  # type: ignore[arg-type]
    assert settings.packages == [str(module)]
