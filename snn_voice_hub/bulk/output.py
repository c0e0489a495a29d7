"""The Parquet dataset that a run writes: parts that are complete or absent, and what is in them already."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from snn_voice_hub._version import __version__
from snn_voice_hub.bulk.sources import cannot_open, open_filesystem, without_secrets
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.writing import replacing

# What a run that was killed was writing.
_PENDING = re.compile(r"\..*\.part", re.DOTALL)
MANIFEST = "_snn_voice.json"  # readers of Parquet leave out what begins with "_" or "."
_FORMAT = 1
# Where an object appears when it has been sent to its end; everywhere else a file grows.
_ATOMIC_STORES = ("s3", "gcs", "abfs")

PREDICTIONS = pa.list_(pa.struct([("label", pa.string()), ("score", pa.float32())]))
SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        ("label", pa.string()),
        ("score", pa.float32()),
        ("predictions", PREDICTIONS),
        ("error_code", pa.string()),
        ("error_message", pa.string()),
    ]
)


def digest(name: str) -> bytes:
    """Sixteen bytes that stand for a clip's name."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Done:
    """The clips that have a row already, at sixteen bytes a clip.

    Args:
        digests: `digest` of each name, one after the other.
        errors: How many of the rows are errors.
    """

    def __init__(self, digests: bytes | bytearray = b"", errors: int = 0) -> None:
        # NumPy leaves out zeros at the end of bytes. Of equal lengths, different ones stay different, but who
        # looks for one has to leave them out too.
        self._digests: npt.NDArray[np.bytes_] = np.sort(np.frombuffer(digests, dtype="S16"))
        self.errors = errors

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, name: str) -> bool:
        wanted = np.bytes_(digest(name).rstrip(b"\0"))
        at = int(np.searchsorted(self._digests, wanted))
        return at < len(self._digests) and bool(self._digests[at] == wanted)


@dataclass(frozen=True)
class Manifest:
    """What a dataset's answers depend on.

    Attributes:
        model: The model as the user named it; for messages.
        checkpoint: Checksums of its configuration and weights.
        options: The options that change answers.
    """

    model: str
    checkpoint: dict[str, str]
    options: dict[str, Any]

    def text(self) -> str:
        """The file's content."""
        about = {"format": _FORMAT, "library_name": "snn-voice-hub", "version": __version__}
        content = {**about, "model": self.model, "checkpoint": self.checkpoint, "options": self.options}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def check(self, text: str, where: str) -> None:
        """Hold another run's manifest against this one.

        Raises:
            SnnVoiceError: It is none, or of another model or other options.
        """
        try:
            other = json.loads(text)
            form, model = other["format"], other["model"]
            checkpoint, options = dict(other["checkpoint"]), dict(other["options"])
        except (ValueError, TypeError, KeyError) as error:
            raise SnnVoiceError(f"{where}/{MANIFEST} is damaged", hint="name another --ray folder") from error
        if form != _FORMAT:
            raise SnnVoiceError(f"{where} was written by another release", hint="name another --ray folder")
        if checkpoint != self.checkpoint:
            same = "other weights or another configuration of " if model == self.model else "model "
            difference = f"{where} holds answers of {same}{model}, this run has {self.model}"
            raise SnnVoiceError(difference, hint="name another --ray folder")
        for key, value in self.options.items():
            # A dataset of before an option was there was made without it.
            before = options.get(key, False if value in (True, False) else None)
            if before != value:
                was = f"{where} was made with {_flag(key)}={before}, this run has {value}"
                raise SnnVoiceError(was, hint="use the same options, or name another --ray folder")


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-")


class Output:
    """One run's door to the dataset. Only this process writes there: what others did counts once it is in.

    Args:
        target: Folder or URI; made if missing.
        manifest: What the answers depend on.

    Raises:
        SnnVoiceError: Something else is there, or a dataset of another model or other options, or another
            run is writing.
    """

    def __init__(self, target: str, manifest: Manifest) -> None:
        self.name = without_secrets(target).rstrip("/") or "/"
        self._lock: int | None = None
        # Sorts by time, and two runs never write the same name.
        self._run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
        self._written = 0
        try:
            if "://" in target and not target.startswith("file://"):
                self._fs, root = open_filesystem(target)
            else:
                local = target.removeprefix("file://")
                self._fs, root = fs.LocalFileSystem(), os.path.abspath(local)  # noqa: PTH100
            self._root = root.rstrip("/")
            self._claim(manifest)
        except OSError as error:
            self.close()
            raise cannot_open(target, error) from error
        except SnnVoiceError:
            self.close()
            raise

    def _claim(self, manifest: Manifest) -> None:
        here = self._fs.get_file_info(self._root)
        if here.is_file:
            raise SnnVoiceError(f"{self.name} is a file", hint="--ray names a folder of Parquet files")
        if here.type == fs.FileType.NotFound:
            self._fs.create_dir(self._root, recursive=True)
        self._take_lock()
        inside = self._fs.get_file_info(fs.FileSelector(self._root, allow_not_found=True))
        pending = [info for info in inside if _PENDING.fullmatch(info.base_name)]
        known = any(info.base_name == MANIFEST for info in inside)
        if known:
            with self._fs.open_input_stream(f"{self._root}/{MANIFEST}") as file:
                manifest.check(file.read().decode("utf-8", "replace"), self.name)
        elif len(pending) < len(inside):
            hint = "name a new folder, or one that an earlier run with --ray wrote"
            raise SnnVoiceError(f"{self.name} is there already and has no {MANIFEST}", hint=hint)
        for info in pending:  # of a run that was killed
            self._fs.delete_file(info.path)
        if not known:
            self._put(MANIFEST, manifest.text().encode())

    def _take_lock(self) -> None:
        """On this disk a second run is kept out; the lock ends with the process, however that ends."""
        try:
            import fcntl
        except ImportError:  # Windows
            return
        if self._fs.type_name != "local":
            return
        self._lock = os.open(self._root, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SnnVoiceError(f"another run is writing into {self.name}", hint="wait for it") from None

    def done(self) -> Done:
        """The clips that have a row.

        Raises:
            SnnVoiceError: A part can't be read.
        """
        digests, errors = bytearray(), 0
        for path in self._parts():
            try:
                with self._fs.open_input_file(path) as file:
                    part = pq.ParquetFile(file, page_checksum_verification=True)
                    for batch in part.iter_batches(columns=["path", "error_code"]):
                        paths = batch["path"].to_pylist()
                        if not all(isinstance(name, str) for name in paths):
                            raise ValueError("a row without a path")
                        errors += len(batch) - batch["error_code"].null_count
                        digests += b"".join(map(digest, paths))
            except (OSError, pa.ArrowException, KeyError, ValueError) as error:
                hint = "delete it, and its clips are done again"
                raise SnnVoiceError(f"{path} is no readable part", hint=hint) from error
        return Done(digests, errors)

    def _parts(self) -> list[str]:
        inside = self._fs.get_file_info(fs.FileSelector(self._root))
        return sorted(
            i.path for i in inside if i.base_name.startswith("part-") and i.base_name.endswith(".parquet")
        )

    def write(self, rows: pa.Table) -> None:
        """Add a part.

        Raises:
            SnnVoiceError: It can't be written.
        """
        # Encoded first, sent in one piece: a stream to a bucket that ends early is an object all the same.
        buffer = io.BytesIO()
        pq.write_table(rows, buffer, compression="zstd", write_page_checksum=True)
        name = f"part-{self._run}-{self._written:06d}.parquet"
        try:
            self._put(name, buffer.getvalue())
        except OSError as error:
            raise cannot_open(f"{self.name}/{name}", error) from error
        self._written += 1

    def _put(self, name: str, content: bytes) -> None:
        path = f"{self._root}/{name}"
        if self._fs.type_name in _ATOMIC_STORES:
            with self._fs.open_output_stream(path) as file:
                file.write(content)
            return
        if self._fs.type_name == "local":
            with replacing(Path(path)) as part, part.open("wb") as local:
                local.write(content)
                local.flush()
                os.fsync(local.fileno())
            return
        pending = f"{self._root}/.{name}.part"
        with self._fs.open_output_stream(pending) as file:
            file.write(content)
        self._fs.move(pending, path)

    def close(self) -> None:
        """Let another run in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
