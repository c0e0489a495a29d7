"""What stands in the place of a checkpoint's file is called what it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import snn_voice_hub as sv
from snn_voice_hub.errors import CheckpointError, SnnVoiceError
from snn_voice_hub.export.nir.files import export_nir
from snn_voice_hub.export.whole import export_torch
from tests.voice.saving_helpers import POINTER, WORDS, made, set_to

STRANGERS = {
    "pointer": (POINTER, "is a Git LFS pointer, not the file itself .*git lfs pull"),
    "pointer of windows": (b"\xef\xbb\xbf" + POINTER.replace(b"\n", b"\r\n"), "is a Git LFS pointer"),
    "page": (b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>", "is a web page"),
    "empty": (b"", "is empty"),
    "cut": (b"\x80", "JSON|cut off"),
}


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize(("content", "said"), STRANGERS.values(), ids=STRANGERS)
def test_strangers_are_called_what_they_are(content: bytes, said: str, name: str, folder: Path) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(SnnVoiceError, match=said):
        sv.SnnVoice.from_pretrained(folder)


def test_a_header_may_begin_as_a_pickle_does(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    padded = 0x10280  # of such a length the first bytes are those of a pickle
    assert length < padded
    header = data[8 : 8 + length] + b" " * (padded - length)
    path.write_bytes(padded.to_bytes(8, "little") + header + data[8 + length :])
    assert path.read_bytes().startswith(b"\x80\x02")
    assert sv.SnnVoice.from_pretrained(folder).labels == WORDS


def test_a_network_in_memory_is_not_exported_with_weights_that_are_no_numbers(tmp_path: Path) -> None:
    voice = made()
    set_to(float("nan"), "fc.bias")(voice)
    for export in (export_nir, export_torch):
        with pytest.raises(SnnVoiceError, match=r"TcySNN can't be exported: fc\.bias holds 1 NaN of 3"):
            export(voice.network, voice.config, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_strangers_in_the_place_of_weights(folder: Path, tmp_path: Path) -> None:
    path = folder / "model.safetensors"
    path.unlink()
    torch.save({"fc.weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"it is a pickle of torch\.save .*save_file"):
        sv.SnnVoice.from_pretrained(folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        sv.SnnVoice.from_pretrained(folder)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        sv.SnnVoice.from_pretrained(folder)
    (tmp_path / "paper.ckpt").write_bytes(POINTER)
    with pytest.raises(CheckpointError, match="is a Git LFS pointer"):
        sv.SnnVoice.from_pretrained(tmp_path / "paper.ckpt")
