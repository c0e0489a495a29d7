"""File contents on disk, each under its own hash."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fastapi.concurrency import run_in_threadpool

from snn_hub_sandbox.errors import HubError
from snn_hub_sandbox.repository import StoredFile, git_hash, lfs_pointer
from snn_voice_hub.writing import replacing

_CHUNK = 1024 * 1024


class BlobStore:
    """A folder of contents: small ones by their git hash, large ones (LFS) by their SHA-256.

    Args:
        folder: Where they lie; made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, file: StoredFile) -> Path:
        """Where the content of a file lies."""
        return self._path(file.sha256 or file.oid)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    def size(self, sha256: str) -> int | None:
        """Size of a large content, or None where it is not here."""
        try:
            return self._path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def put(self, content: bytes) -> StoredFile:
        """Keep a small content.

        Args:
            content: All of it.

        Returns:
            Its entry for a file table.
        """
        oid = git_hash(content)
        with self._kept(oid) as file:
            file.write(content)
        return StoredFile(size=len(content), oid=oid)

    async def receive(self, chunks: AsyncIterator[bytes], sha256: str, size: int) -> None:
        """Keep a large content as it arrives; never more than a chunk of it is in memory.

        Args:
            chunks: The content.
            sha256: What it was announced to hash to.
            size: How long it was announced to be.

        Raises:
            HubError: The content is not the one that was announced; nothing is kept.
        """
        digest, received, waiting = hashlib.sha256(), 0, bytearray()

        def write() -> None:
            digest.update(waiting)
            file.write(waiting)
            waiting.clear()

        with self._kept(sha256) as file:
            async for chunk in chunks:
                received += len(chunk)
                if received > size:
                    raise HubError(400, f"the upload is longer than the announced {size} bytes")
                waiting += chunk
                if len(waiting) >= _CHUNK:
                    await run_in_threadpool(write)
            write()
            if received != size:
                raise HubError(400, f"the upload has {received} of the announced {size} bytes")
            if digest.hexdigest() != sha256:
                raise HubError(400, f"the upload hashes to {digest.hexdigest()}, announced was {sha256}")

    def large(self, sha256: str, size: int) -> StoredFile:
        """The file table's entry of a large content."""
        return StoredFile(size=size, oid=git_hash(lfs_pointer(sha256, size)), sha256=sha256)

    @contextmanager
    def _kept(self, key: str) -> Iterator[BinaryIO]:
        """A file to write the content of that hash into; where the block fails, nothing is kept."""
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part, part.open("wb") as file:
            yield file
