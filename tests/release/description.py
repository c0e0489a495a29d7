"""What PyPI and npm show of a package: its README.md, whose links into the clone lead nowhere there."""

from __future__ import annotations

import email
import re
import tomllib
from pathlib import Path

from tests.house.markdown_links import links
from tests.places import ROOT
from tests.release.contents import Archive

_CODE = re.compile(r"(^ *```.*?^ *```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_TARGET = re.compile(r"\]\((?![a-z]+:|//|#)([^)\s]+)\)")
_PICTURES = {".png", ".svg", ".jpg", ".gif"}


def repository() -> str | None:
    """The address of the project, once it is known: `Repository` in `[project.urls]`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    address: str | None = project["urls"].get("Repository")
    return address.rstrip("/") if address else None


def dead_links(archive: Archive) -> list[str]:
    """The links of a package's description that lead to files of the clone."""
    if archive.path.suffix == ".whl":
        message = email.message_from_bytes(archive.about("METADATA"))
        text = str(message.get_payload(decode=True), "utf-8")  # type: ignore[call-overload]
    else:
        text = archive.files.get("README.md", b"").decode()
    return [target for target in links(text) if not target.startswith("#")]


def with_addresses(text: str, address: str, tag: str, root: Path = ROOT) -> str:
    """A README.md whose links lead to files of a tag, where the project lies.

    Args:
        text: The document, at the top of the clone.
        address: Of the project, such as `https://github.com/owner/name`.
        tag: Of the release.
        root: The clone.
    """

    def lead(match: re.Match[str]) -> str:
        path = match[1].partition("#")[0]
        if Path(path).suffix in _PICTURES:
            return f"]({address}/raw/{tag}/{match[1]})"
        return f"]({address}/{'tree' if (root / path).is_dir() else 'blob'}/{tag}/{match[1]})"

    pieces = _CODE.split(text)
    return "".join(piece if i % 2 else _TARGET.sub(lead, piece) for i, piece in enumerate(pieces))
