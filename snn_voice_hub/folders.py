"""A folder -> the sound files below it: one walk for every command that takes folders."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import PurePath
from typing import Final, NamedTuple

from snn_voice_lite.audio import SUFFIXES

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.notation import some

# Sound that can't be decoded: it is tried all the same, so that it is named with the reason.
_FOREIGN: Final = (
    *(".m4a", ".m4b", ".aac", ".mp4", ".3gp", ".3g2", ".amr", ".awb", ".wma", ".webm", ".weba", ".mka"),
    *(".ape", ".wv", ".ac3", ".mp2", ".ra", ".spx", ".tta", ".dsf"),
)
_ENDINGS: Final = (*SUFFIXES, *_FOREIGN)

# Folders that other systems leave; some hold files that are called like the clips beside them. Names that
# begin with a dot (`._clip.wav`, `.git`, `.ipynb_checkpoints`, `.Trash`) are left out as well.
_LITTER: Final = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}

# Of what else lies in a folder without sound, so many names are told.
_NAMED: Final = 4


class Found(NamedTuple):
    """What lies in a folder.

    Attributes:
        path: The folder's own name, and the rest; bytes that are not UTF-8 as `os.fsdecode` has them.
        problem: Why it can't be read, for "path: problem"; empty for a file.
        code: Of the problem: "not_found", "not_a_file" or "unreadable"; of what is no loss "empty_folder" or
            "same_folder".
    """

    path: str
    problem: str = ""
    code: str = ""

    @property
    def lossless(self) -> bool:
        """Whether it is a problem by which no sound is lost."""
        return self.code in ("empty_folder", "same_folder")


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or left by another system."""
    return name.startswith(".") or name in _LITTER


def is_sound(name: str) -> bool:
    """Whether a file of this name is to be tried: it ends as sound does, perhaps of a kind we can't read."""
    return name.lower().endswith(_ENDINGS) and not is_litter(name)


def walk(root: str | os.PathLike[str], also: Collection[str] = ()) -> Iterator[Found]:
    """The sound files below a folder, and what there can't be read.

    Links are followed, and each folder is entered once: what really lies below `root` comes first, in order;
    then what links lead to, under the names of the links. A file has an entry for each of its names.

    Args:
        root: The folder; may be a link, and hidden.
        also: Names of files that are wanted besides.

    Yields:
        Files and problems as the walk meets them; it keeps the names in the folders above, and of links.
    """
    entered: dict[tuple[int, int], str] = {}
    top = os.fspath(root)
    links = deque([top])
    while links:
        # A list of our own: folders may be deeper than Python's stack.
        waiting: list[str | Found] = [links.popleft()]
        while waiting:
            item = waiting.pop()
            if isinstance(item, Found):
                yield item
                continue
            try:
                state = os.stat(item)  # noqa: PTH116  (a str, which may hold any bytes)
                known = entered.setdefault((state.st_dev, state.st_ino), item)
                if known != item:
                    # A link to a folder that it is in hides nothing.
                    if not item.startswith(os.path.join(known, "")):  # noqa: PTH118
                        yield Found(item, f"the same folder as {known}", "same_folder")
                    continue
                with os.scandir(item) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                yield Found(item, f"can't be listed: {error.strerror or error}", "unreadable")
                continue
            below: list[str | Found] = []
            for entry in entries:
                found = None if is_litter(entry.name) else _look(entry, also)
                if isinstance(found, str) and entry.is_symlink():
                    links.append(found)
                elif found is not None:
                    below.append(found)
            waiting += reversed(below)
            if not entries and item != top:
                yield Found(item, "an empty folder", "empty_folder")


def _look(entry: os.DirEntry[str], also: Collection[str]) -> str | Found | None:
    """The path of a folder; a file that is wanted, or why there is none; None for all else."""
    wanted = is_sound(entry.name) or entry.name in also
    try:
        if entry.is_dir():
            return entry.path
        if entry.is_file():
            return Found(entry.path) if wanted else None
        entry.stat()  # a link that leads nowhere has none
        problem = "not a file", "not_a_file"  # opening a pipe would wait for ever
    except FileNotFoundError:
        problem = "does not exist", "not_found"
    except OSError as error:
        problem = f"can't be read: {error.strerror or error}", "unreadable"
    # A link that leads nowhere, and whose name has no ending, may have led to a folder of clips.
    if wanted or (entry.is_symlink() and not PurePath(entry.name).suffix):
        return Found(entry.path, *problem)
    return None


def no_sound(folder: str | os.PathLike[str]) -> SnnVoiceError:
    """What to say of a folder in which there is none."""
    names = [name for name in sorted(os.listdir(folder)) if not is_litter(name)]  # noqa: PTH208
    wanted = f"files ending in {', '.join(SUFFIXES)}"
    return SnnVoiceError(
        f"{os.fspath(folder)} holds no sound files", hint=f"{wanted}; there is {some(names, _NAMED)}"
    )
