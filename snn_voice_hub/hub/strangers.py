"""What a file is that stands in the place of weights or of a configuration."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from snn_voice_hub.errors import CheckpointError

# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md; the second name is from before its release.
_POINTER = re.compile(rb"version https?://(git-lfs\.github\.com|hawser\.github\.com)/spec/v\d")
_PAGE = re.compile(rb"<(!doctype|html|head|body|\?xml|!--)", re.IGNORECASE)
_AGAIN = "fetch the file again"
_LOOKED_AT = 1024
# Of the names and shapes in a safetensors file; a large network has 100 KB of them, and a million
# tensors of nothing would take seconds and gigabytes.
_MAX_HEADER = 4 << 20


def check_file(path: Path, *, safetensors: bool = False) -> None:
    """Refuse what a copy or a download leaves in the place of a file, by its own name.

    Args:
        path: The file of weights or the configuration.
        safetensors: Whether it is to hold safetensors, which say how long they are.

    Raises:
        CheckpointError: A folder, an empty file, a Git LFS pointer (code "lfs_pointer"), a web page, a file
            of another kind, or a cut one.
    """
    if not path.is_file():  # opening a pipe would wait for ever
        raise CheckpointError(
            f"{path} is {'a folder' if path.is_dir() else 'a device'}, not a file", hint=_AGAIN
        )
    try:
        with path.open("rb") as file:
            head = file.read(_LOOKED_AT)
        size = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror or error}") from error
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head:
        raise CheckpointError(f"{path} is empty", hint=_AGAIN)
    if _POINTER.match(text):
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the file itself",
            hint="run `git lfs pull` in its folder, or fetch it with `snn-voice pull`",
            code="lfs_pointer",
        )
    if _PAGE.match(text):
        raise CheckpointError(
            f"{path} is a web page", hint="fetch the file itself: of the Hub, /resolve/ in place of /blob/"
        )
    if safetensors:
        _check_length(path, head, size)


def _check_length(path: Path, head: bytes, size: int) -> None:
    # A header of safetensors is JSON, after eight bytes that can be anything.
    json = head[8:9] in (b"{", b"")
    if head.startswith((b"PK\x03\x04", b"\x80\x02")) and not json:
        raise CheckpointError(
            f"{path} is no readable safetensors file: it is a pickle of torch.save",
            hint="safetensors.torch.save_file(state_dict, path) writes what can be opened",
        )
    length = struct.unpack("<Q", head[:8])[0] if size >= 8 else 0
    if size < 8 or (json and 8 + length > size):
        raise CheckpointError(
            f"{path} is no readable safetensors file: it is cut off after {size:,} bytes", hint=_AGAIN
        )
    if head[8:9] == b"{" and length > _MAX_HEADER:
        raise CheckpointError(
            f"{path} has {length:,} bytes of names and shapes of tensors", hint=f"at most {_MAX_HEADER:,}"
        )
