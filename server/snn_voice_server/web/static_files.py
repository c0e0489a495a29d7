"""Files of a page as they are sent: plain or compressed, or not at all to who has them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Self

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".flac": "audio/flac",
}

# Nothing from another host, nothing inline; sound is played from memory (blob:).
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors "
)


def policy(frames: Sequence[str] = ()) -> str:
    """What browsers let a page load and run.

    Args:
        frames: Origins whose pages may show it in a frame.
    """
    return _POLICY + (" ".join(frames) or "'none'")


_HEADERS = {
    "Content-Security-Policy": policy(),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The page names its script and its style. With "ask first", no browser mixes those of two versions.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class StaticFile:
    """A file of a page, as it is sent.

    Attributes:
        body: Its bytes.
        gzipped: The same compressed, or None where that is not smaller.
        media_type: What it is.
        etag: Changes with the bytes.
    """

    body: bytes
    gzipped: bytes | None
    media_type: str
    etag: str

    @classmethod
    def of(cls, name: str, body: bytes) -> Self:
        """A file of that name; it is compressed here, once."""
        tag = hashlib.sha256(body).hexdigest()[:32]
        packed = gzip.compress(body, mtime=0)
        smaller = packed if len(packed) < len(body) else None
        return cls(body, smaller, _TYPES[_ending(name)], tag)

    def answer(self, request: Request, *, vary: str = "", **headers: str) -> Response:
        """The file in an encoding that the client takes, or 304 where it has it.

        Args:
            request: Its `Accept-Encoding` and `If-None-Match` count.
            vary: What else the answer depends on.
            headers: Take the place of the usual ones, or stand beside them.
        """
        if self.gzipped is not None:
            vary = ", ".join(filter(None, (vary, "Accept-Encoding")))
        packed = self.gzipped if takes_gzip(request.headers.get("accept-encoding", "")) else None
        # Two encodings are two things with two tags: a cache may hold both.
        tag = f'"{self.etag}-gzip"' if packed is not None else f'"{self.etag}"'
        headers = {**_HEADERS, "ETag": tag, **({"Vary": vary} if vary else {}), **headers}
        if _knows(request.headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=headers)
        if packed is not None:
            headers["Content-Encoding"] = "gzip"
        return Response(packed or self.body, media_type=self.media_type, headers=headers)


def add_files(app: FastAPI, path: str, files: Mapping[str, StaticFile], **headers: str) -> None:
    """Answer `GET` under a path with files; another name is a 404.

    Args:
        app: The application.
        path: Such as "/web".
        files: By name.
        headers: See `StaticFile.answer`.
    """

    async def named(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        if file is None:
            raise HTTPException(404)
        return file.answer(request, **headers)

    app.add_route(f"{path}/{{name}}", named, methods=["GET"], include_in_schema=False)


def _ending(name: str) -> str:
    return "." + name.rpartition(".")[2]


def _knows(if_none_match: str, etag: str) -> bool:
    # A proxy that compresses makes a tag weak; for "is it still the same" that is no difference.
    known = [entry.strip().removeprefix("W/") for entry in if_none_match.split(",")]
    return etag in known or known == ["*"]


def read_folder(folder: Traversable) -> dict[str, bytes]:
    """The files of a folder that a page may have, by name."""
    return {
        entry.name: entry.read_bytes()
        for entry in folder.iterdir()
        if _ending(entry.name) in _TYPES and entry.is_file()
    }


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client takes gzip: by name, or as `*`; `gzip;q=0` says no.

    Args:
        accept_encoding: The header of that name, or "", which takes bytes as they are.
    """
    known = weights(accept_encoding)
    return known.get("gzip", known.get("x-gzip", known.get("*", 0.0))) > 0


def weights(header: str) -> dict[str, float]:
    """What a header such as `Accept` names, in small letters, and how much each is liked, 0 to 1."""
    found: dict[str, float] = {}
    for entry in header.split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        found[name] = max(found.get(name, 0.0), _weight(parameters))
    return found


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
