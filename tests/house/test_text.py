"""Text that people wrote with any editor: configurations, recipes and lists."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import snn_voice_hub as sv
from snn_voice_hub.text import decoded_text, read_text
from snn_voice_hub.training.fitting.recipe import read_recipe
from tests.places import EXAMPLES
from tests.training.clips.source_helpers import load, write

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding(encoding: str, tmp_path: Path) -> None:
    for text in ("{}", '{"größe": "日本語 👩"}\n', "a", "lr: 1e-3\n# größer\n", "path;label\nä.wav;no\n"):
        assert decoded_text(text.encode(encoding)) == text
    (tmp_path / "a.txt").write_bytes("one\r\ntwo\rthree\n".encode(encoding))
    assert read_text(tmp_path / "a.txt") == "one\ntwo\nthree\n"


@pytest.mark.parametrize("mark", ["utf-16-le", "utf-16-be", "utf-8", "utf-32-le", "utf-32-be"])
def test_a_mark_goes(mark: str) -> None:
    for text in ("", "x", "größer"):
        assert decoded_text(f"\ufeff{text}".encode(mark)) == text


def test_what_is_no_text() -> None:
    for data in (b"gr\xf6\xdfe", b"\xff", b"\xff\xfea", b"{\0}"):
        with pytest.raises(UnicodeDecodeError):
            decoded_text(data)
    assert decoded_text(b"gr\xf6ss", "replace") == "gr\ufffdss"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_files_in_every_encoding(encoding: str, tmp_path: Path) -> None:
    """A checkpoint's configuration, a recipe, and a list of clips to test with."""
    bundled = Path(sv.__file__).parent / "weights" / "m5-snn"
    shutil.copytree(bundled, tmp_path / "m")
    config = tmp_path / "m" / "config.json"
    config.write_bytes(config.read_text(encoding="utf-8").encode(encoding))
    model = sv.SnnVoice.from_pretrained(tmp_path / "m", engine="torch")
    assert model.classify(EXAMPLES / "yes.wav")[0].label == "yes"
    recipe = tmp_path / "r.yaml"
    text = "architecture: M5SNN\nfeatures: {kind: waveform}\nlr: 1e-4 # größer\n"
    recipe.write_bytes(text.encode(encoding))
    assert read_recipe(recipe).lr == 1e-4
    root = write(tmp_path / "data", *(f"{word}/{n}.wav" for word in ("yes", "no") for n in range(4)))
    (root / "validation_list.txt").write_bytes("yes\\1.wav\r\nno\\2.wav\r\n".encode(encoding))
    assert sorted(load(root).val.names) == ["no/2.wav", "yes/1.wav"]


def test_text_that_is_damaged_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe{\0}")
    with pytest.raises(sv.ConfigError, match="not valid JSON"):
        sv.VoiceConfig.load(path)
