"""What a repository needs to be deployed on Hugging Face Inference Endpoints: a handler and its requirements.

Transformers knows nothing of these models, so an endpoint runs the `handler.py` that it finds in the
repository. Ours is `templates/handler.py`, which nothing here imports: it is sent as it is,
with a last line that tells later whether somebody has changed it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from snn_voice_hub._version import __version__
from snn_voice_hub.config import LIBRARY_NAME, ArchitecturePackage
from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.install import REQUIREMENT_NOTE

HANDLER_FILE = "handler.py"
REQUIREMENTS_FILE = "requirements.txt"
_SEAL = re.compile(rb"# Made by snn-voice-hub \S+; SHA-256 of the lines above: ([0-9a-f]{64})\n")
_REQUIREMENT = f"{REQUIREMENT_NOTE}\n{LIBRARY_NAME}>={__version__}"


def endpoint_files(
    repo_id: str,
    folder: Path,
    theirs: Callable[[str], bytes | None],
    package: ArchitecturePackage | None = None,
) -> dict[str, bytes]:
    """The files to push beside a checkpoint.

    What the folder holds under these names is pushed as it is. What somebody wrote on the Hub stays: of a
    handler that is an error, requirements get our lines added if they lack them.

    Args:
        repo_id: For the message.
        folder: The checkpoint folder.
        theirs: A file on the Hub by its name; None where there is none.
        package: What has the architecture, if not this library; an endpoint has to install it.

    Returns:
        Name -> content.

    Raises:
        CheckpointError: There is a handler on the Hub that we did not make; `code` is `own_handler`.
    """
    return {
        HANDLER_FILE: _mine(folder, HANDLER_FILE) or _handler(repo_id, theirs(HANDLER_FILE)),
        REQUIREMENTS_FILE: _mine(folder, REQUIREMENTS_FILE)
        or _requirements(theirs(REQUIREMENTS_FILE), package),
    }


def handler_text() -> bytes:
    """The handler as it is pushed."""
    body = files("snn_voice_hub").joinpath("templates", HANDLER_FILE).read_bytes().replace(b"\r\n", b"\n")
    digest = hashlib.sha256(body).hexdigest()
    return body + f"# Made by {LIBRARY_NAME} {__version__}; SHA-256 of the lines above: {digest}\n".encode()


def _mine(folder: Path, name: str) -> bytes | None:
    path = folder / name
    return path.read_bytes() if path.is_file() else None


def _handler(repo_id: str, theirs: bytes | None) -> bytes:
    if theirs is not None and not _is_as_made(theirs):
        raise CheckpointError(
            f"{repo_id} has a {HANDLER_FILE} that somebody wrote or changed",
            hint=f"delete or rename it there, or push a folder with the {HANDLER_FILE} that you want",
            code="own_handler",
        )
    return handler_text()


def _is_as_made(text: bytes) -> bool:
    body, start, rest = text.rpartition(b"# Made by ")
    seal = _SEAL.fullmatch(start + rest)
    return seal is not None and hashlib.sha256(body).hexdigest() == seal.group(1).decode()


def _requirements(theirs: bytes | None, package: ArchitecturePackage | None) -> bytes:
    """What somebody wrote, and our lines where they are missing; a file that is all ours is made anew."""
    wanted, as_made = {LIBRARY_NAME: _REQUIREMENT}, [rf"{LIBRARY_NAME}>=\S+", re.escape(REQUIREMENT_NOTE), ""]
    if package is not None and package.name is not None:
        wanted[package.name] = package.requirement
        as_made.append(rf"{re.escape(package.name)}(==\S+)?")
    text = (theirs or b"").decode("utf-8-sig", "replace")
    if all(re.fullmatch("|".join(as_made), line.strip()) for line in text.splitlines()):
        text = ""
    missing = [line for name, line in wanted.items() if not _names(text, name)]
    if not missing:
        return theirs or b""
    return "\n".join([*filter(None, [text.rstrip()]), *missing, ""]).encode()


def _names(requirements: str, package: str) -> bool:
    """Whether requirements name a package; to pip `-`, `_` and `.` are the same."""
    name = "[-_.]+".join(map(re.escape, re.split(r"[-_.]+", package)))
    return re.search(rf"^\s*{name}(?![\w.-])", requirements, re.IGNORECASE | re.MULTILINE) is not None
