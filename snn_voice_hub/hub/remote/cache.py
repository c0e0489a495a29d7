"""The Hub client's cache of a repository: files are brought into it, and broken ones taken out.

The client itself names what it writes after what a server says (`ETag`, `X-Repo-Commit`), and `..` in there
leads out of the cache. Here each name comes from the listing, which was looked through, or from the content
of the file; the layout is the client's, so that either finds what the other has brought.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import WeakFileLock, tqdm  # type: ignore[attr-defined]
from snn_voice_lite.visible import module_logger, visible

from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.choice import LIGHTNING_SUFFIX, WEIGHTS_SUFFIX
from snn_voice_hub.hub.remote.listing import Listed
from snn_voice_hub.hub.remote.refusals import NO_ANSWER
from snn_voice_hub.hub.remote.wire import MAX_TEXT, Meter, attend, odd_answer, opened
from snn_voice_hub.writing import replacing

logger = module_logger(__name__)

CHECKSUM = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ETAG = re.compile(r'(W/)?"?[\w.:+=-]{0,128}"?', re.ASCII)
# What may be as long as weights; all else is text.
_LONG = (WEIGHTS_SUFFIX, LIGHTNING_SUFFIX, ".onnx")
# Of a file of weights; 300 times the largest that there is of this library.
_MAX_WEIGHTS = 4 << 30
# Seconds without a byte, and bytes a second after that, until a download counts as broken off.
_PATIENCE = 30.0
_SLOWEST = 4096.0
_TRIES = 5
_PAUSE = 1.0


@dataclass(frozen=True)
class RepoCache:
    """What the Hub client keeps of one repository.

    Attributes:
        repo_id: `owner/name`.
        folder: Where.
    """

    repo_id: str
    folder: Path

    @classmethod
    def of(cls, repo_id: str, cache_dir: str | Path | None) -> RepoCache:
        """That of a repository; `cache_dir` is the client's cache folder."""
        cache = Path(cache_dir or constants.HF_HUB_CACHE).expanduser()
        return cls(repo_id, cache / repo_folder_name(repo_id=repo_id, repo_type="model"))

    def pointer(self, commit: str, name: str) -> Path:
        """Where a file of a commit is, or would be."""
        return self.folder / "snapshots" / commit / name

    def bring(
        self,
        commit: str,
        name: str,
        listed: Listed,
        where: str,
        *,
        token: str | bool | None,
        again: bool = False,
        checked: bool = False,
    ) -> Path:
        """A file of a commit, downloaded where the cache does not have it.

        Args:
            commit: The commit.
            name: Its path, legal by `listing.is_path`.
            listed: What the listing says of it.
            where: How messages name the repository.
            token: Hub token.
            again: Download it even where the cache has it.
            checked: What the cache has was compared with the Hub's checksum before.

        Returns:
            Its path.

        Raises:
            CheckpointError: It is too large (code "too_large"), or what arrives is not what is listed (code
                "damaged"), or no answer of a Hub (code "bad_answer").
            HfHubHTTPError: The Hub refuses.
            OSError: It can't be written.
        """
        pointer = self.pointer(commit, name)
        if not again and pointer.is_file():
            if checked or _is(pointer, listed):
                return pointer
            logger.warning("%s of %s was damaged in the cache, and is loaded again", name, where)
            self.discard(pointer)
        blobs = self.folder / "blobs"
        for folder in (blobs, pointer.parent):
            if not folder.resolve().is_relative_to(self.folder.resolve()):
                raise CheckpointError(
                    f"{folder} leads out of the cache by a link", hint="remove it", code="unwritable"
                )
            folder.mkdir(parents=True, exist_ok=True)
        # One download of a file at a time, in whatever process; no harm is done where locks don't work.
        locks = self.folder.parent / ".locks" / self.folder.name
        locks.mkdir(parents=True, exist_ok=True)
        key = listed.checksum or hashlib.sha256(f"{commit}/{name}".encode()).hexdigest()
        with WeakFileLock(locks / f"{key}.lock"):
            blob = blobs / key
            if again or not listed.checksum or not (blob.is_file() and _is(blob, listed)):
                blob = self._download(commit, name, listed, where, token)
            _point(pointer, blob)
        return pointer

    def discard(self, pointer: Path) -> None:
        """Take a file out of the cache: its name in the commit, and its content where that lies here."""
        target = PurePath()
        with suppress(OSError):
            target = Path(os.path.normpath(pointer.parent / pointer.readlink()))
        pointer.unlink(missing_ok=True)
        if target.parent == self.folder / "blobs" and CHECKSUM.fullmatch(target.name):
            Path(target).unlink(missing_ok=True)

    def _download(self, commit: str, name: str, listed: Listed, where: str, token: str | bool | None) -> Path:
        """A file of the Hub among the blobs, by its checksum."""
        most = _MAX_WEIGHTS if name.endswith(_LONG) else MAX_TEXT
        if (listed.size or 0) > most:
            raise _too_large(name, where, most)
        if (listed.size or 0) > shutil.disk_usage(self.folder).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        url = f"{constants.ENDPOINT}/{self.repo_id}/resolve/{commit}/{quote(name)}"
        part = self.folder / "blobs" / f"{uuid.uuid4().hex}.incomplete"
        bar = tqdm(  # type: ignore[no-untyped-call]
            total=listed.size,
            unit="B",
            unit_scale=True,
            desc=visible(name, 40),
            disable=None,
            name="huggingface_hub.http_get",
        )
        try:
            with part.open("xb") as file, bar:
                getting = _Getting(url, where, name, listed.size, most, commit, token, file, bar)
                attend(getting.run, Meter(_PATIENCE, _SLOWEST), where)
            if not _is(part, listed):
                raise _damaged(name, where, "its checksum is not the Hub's")
            with part.open("rb") as whole:
                blob = part.with_name(listed.checksum or git_checksum(whole))
            part.replace(blob)
        finally:
            part.unlink(missing_ok=True)
        return blob


@dataclass
class _Getting:
    """One download, which goes on where it broke off."""

    url: str
    where: str
    name: str
    size: int | None
    most: int
    commit: str
    token: str | bool | None
    file: BinaryIO
    bar: Any

    def run(self, meter: Meter) -> None:
        """Write all of it into the file."""
        tries = 0
        while True:
            begun = self.file.tell()
            try:
                self._once(meter)
                return
            except HfHubHTTPError:
                raise
            except NO_ANSWER:
                tries = tries + 1 if self.file.tell() == begun else 1
                if meter.given_up or tries >= _TRIES:
                    raise
                logger.info("downloading %s of %s broke off; it goes on", self.name, self.where)
            time.sleep(_PAUSE)

    def _once(self, meter: Meter) -> None:
        begun = self.file.tell()
        headers = {"X-HF-Download-Counter": "1"} | ({"Range": f"bytes={begun}-"} if begun else {})
        with opened(self.url, self.where, token=self.token, headers=headers, accept=self._accept) as response:
            if begun and not response.headers.get("Content-Range", "").startswith(f"bytes {begun}-"):
                self.bar.update(-begun)
                self.file.seek(0)
                self.file.truncate()
                begun = 0
            self._agree(begun, response.headers.get("Content-Length", ""))
            for piece in response.iter_raw():
                meter.add(len(piece))
                if self.file.tell() + len(piece) > (self.size or 0):
                    raise self._other_length()
                self.file.write(piece)
                self.bar.update(len(piece))
        if self.file.tell() != self.size:
            raise self._other_length()

    def _agree(self, begun: int, length: str) -> None:
        """Refuse a length that is not the listed one, or past what can be."""
        if length.isdecimal():
            whole = begun + int(length)
            if self.size is None and whole > self.most:
                raise _too_large(self.name, self.where, self.most)
            if self.size not in (None, whole):
                raise self._other_length()
            self.size = whole
        elif self.size is None:
            raise odd_answer(self.where, f"it does not say how long {self.name} is")

    def _accept(self, response: Any) -> None:
        """Refuse what would be the name of a file outside the cache, though nothing is called by it here."""
        if urlsplit(str(response.request.url)).netloc != urlsplit(constants.ENDPOINT).netloc:
            return  # who keeps the files has other marks
        for header in ("ETag", "X-Linked-ETag"):
            if not _ETAG.fullmatch(told := response.headers.get(header, "")):
                raise odd_answer(self.where, f"{visible(repr(told))} is no {header}")
        if (told := response.headers.get("X-Repo-Commit", self.commit)) != self.commit:
            raise odd_answer(self.where, f"{visible(repr(told))} is not the commit {self.commit}")

    def _other_length(self) -> CheckpointError:
        return _damaged(self.name, self.where, "it has another length than the Hub's")


def _damaged(name: str, where: str, what: str) -> CheckpointError:
    return CheckpointError(f"{name} of {where} arrived damaged: {what}", hint="load it again", code="damaged")


def _too_large(name: str, where: str, most: int) -> CheckpointError:
    return CheckpointError(
        f"{name} of {where} is larger than {most >> 20:,} MiB",
        hint="no checkpoint of this library is",
        code="too_large",
    )


def _is(path: Path, listed: Listed) -> bool:
    """Whether a file is the listed one; true of any where the Hub says nothing of it."""
    if listed.size is not None and path.stat().st_size != listed.size:
        return False
    with path.open("rb") as file:
        if listed.sha256:
            return hashlib.file_digest(file, "sha256").hexdigest() == listed.sha256
        return not listed.git or git_checksum(file) == listed.git


def git_checksum(file: BinaryIO) -> str:
    """What Git calls a content by; it is read to its end."""
    # https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    digest = hashlib.sha1(f"blob {size}\0".encode())
    while piece := file.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def _point(pointer: Path, blob: Path) -> None:
    """Let a name of a commit be that of a blob; without links, as on some disks, the blob moves there."""
    try:
        if getattr(constants, "HF_HUB_DISABLE_SYMLINKS", False):
            raise OSError
        with replacing(pointer) as part:
            part.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:
        blob.replace(pointer)
