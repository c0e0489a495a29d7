"""Links of Markdown documents, as GitHub follows them: to files, and to titles in them."""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterator
from functools import cache

from tests.places import ROOT

_BLOCK = re.compile(r"^ *(```+).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_INLINE = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_DEFINED = re.compile(r"^\[[^\]]+\]:\s*<?(\S+?)>?\s*$", re.MULTILINE)
_ATTRIBUTE = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=\"([^\"]+)\"")
_TITLE = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)
_NAMED = re.compile(r"<a\b[^>]*?\b(?:id|name)=\"([^\"]+)\"")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def links(text: str) -> Iterator[str]:
    """Targets of a document's links and pictures that lie in the project."""
    prose = _COMMENT.sub("", _CODE.sub("", _BLOCK.sub("", text)))
    for pattern in (_INLINE, _DEFINED, _ATTRIBUTE):
        yield from (target for target in pattern.findall(prose) if not _ELSEWHERE.match(target))


def anchors(text: str) -> set[str]:
    """Names that a link to a document may end with, behind `#`."""
    prose = _BLOCK.sub("", text)
    found: set[str] = set(_NAMED.findall(prose))
    for title in _TITLE.findall(prose):
        name, count = slug(title), 0
        while name in found:
            count += 1
            name = f"{slug(title)}-{count}"
        found.add(name)
    return found


def slug(title: str) -> str:
    """The anchor of a title: small letters, a hyphen for each space, no other signs."""
    shown = re.sub(r"\]\([^)]*\)", "", html.unescape(title))  # of a link, what is seen
    return re.sub(r"[^\w\- ]", "", shown.lower()).strip().replace(" ", "-")


def broken(file: str, text: str) -> list[str]:
    """Those of a document's links that lead nowhere.

    Args:
        file: Its path below the project's root.
        text: What it says.
    """
    found = []
    for target in links(text):
        path, _, anchor = target.partition("#")
        place = posixpath.normpath(posixpath.join(posixpath.dirname(file), path)) if path else file
        known = _anchors_of(place) if path else anchors(text)
        gone = path and (place.startswith("..") or not (ROOT / place).exists())
        if gone or (anchor and anchor not in known):
            found.append(f"{file}: {target}")
    return found


@cache
def _anchors_of(file: str) -> frozenset[str]:
    path = ROOT / file
    if path.is_dir():
        path /= "README.md"
    if path.suffix != ".md" or not path.exists():
        return frozenset()
    return frozenset(anchors(path.read_text(encoding="utf-8")))
