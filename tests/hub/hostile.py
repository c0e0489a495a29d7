"""A server in the place of the Hub that answers what no Hub would; the name of a repository chooses how."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "a" * 40
CONFIG, WEIGHTS = b'{"format_version": 1}', b"weights " * 500
# From the blobs of a repository out of the cache, into the folder that HF_HOME lies in.
OUT = "../../../../victim"
UP = "../../../victim"


def git(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sibling(name: Any, content: bytes = WEIGHTS, **more: Any) -> dict[str, Any]:
    return {"rfilename": name, "size": len(content), "blobId": git(content)} | more


def listing(*siblings: Any, **more: Any) -> dict[str, Any]:
    files = siblings or (sibling("config.json", CONFIG), sibling("model.safetensors"))
    return {"id": "evil/x", "sha": COMMIT, "private": False, "tags": [], "siblings": list(files)} | more


def weights(**more: Any) -> dict[str, Any]:
    return listing(sibling("config.json", CONFIG), sibling("model.safetensors", **more))


def named(name: Any) -> dict[str, Any]:
    return listing(*(sibling(f"{name}{file}") for file in ("config.json", "model.safetensors")))


LISTINGS: dict[str, Any] = {
    "parent": named("../../"),
    "parent-inside": named("a/../../../"),
    "parent-ckpt": listing(sibling("../../../x.ckpt")),
    "root": named("/etc/"),
    "backslash": named("..\\..\\"),
    "drive": named("C:/"),
    "drive-relative": named("C:"),
    "nul": named("a\0/"),
    "escape": listing(sibling("\x1b[2J\nforged.ckpt")),
    "surrogate": listing(sibling("\ud800.ckpt")),
    "long-part": named("a" * 300 + "/"),
    "long-path": named("a/" * 3000),
    "no-name": listing(sibling("")),
    "dot": named("./"),
    "number": listing(sibling(5)),
    "twice": listing(sibling("a.ckpt"), sibling("a.ckpt")),
    "text-siblings": listing("config.json", "model.safetensors"),
    "dict-siblings": listing(siblings={"config.json": 1}),
    "sha-out": listing(sha=UP),
    "sha-dict": listing(sha={"a": 1}),
    "sha-none": listing(sha=None),
    "blob-out": weights(blobId=OUT),
    "blob-number": weights(blobId=7),
    "lfs-out": weights(lfs={"sha256": OUT, "size": 4000, "pointerSize": 1}),
    "lfs-list": weights(lfs=[1]),
    "size-negative": weights(size=-1),
    "size-bool": weights(size=True),
    "size-text": weights(size="4000"),
    "size-huge": weights(size=10**15),
    "size-out-of-reach": weights(size=10**4000),
    "list": [1, 2],
    "null": None,
    "many": listing(*({"rfilename": f"m{i}/x.ckpt"} for i in range(60_000))),
}
RAW: dict[str, bytes] = {
    "page": b"<html>",
    "no-utf-8": b'{"sha": "\xff\xfe"}',
    "nothing": b"",
    "deep": b"[" * 200_000,
    "digits": b'{"sha": ' + b"9" * 100_000 + b"}",
    "empty-lists": b"[" + b"[]," * 2_600_000 + b"[]]",
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(head=True)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with suppress(OSError):
            if self.path == "/api/repos/create":
                self._create(json.loads(body)["name"])
            elif self.path == "/api/validate-yaml":
                self._send(b'{"errors": [], "warnings": []}')
            elif "/preupload/" in self.path:
                self._for_ever(b" " * (1 << 20))

    def _create(self, trick: str) -> None:
        here = f"http://127.0.0.1:{self.server.server_port}"
        if trick == "create-list":
            self._send(b"[]")
        elif trick == "create-nothing":
            self._send(b"")
        elif trick == "create-number":
            self._send(b'{"url": 5}')
        elif trick == "create-endless":
            self._for_ever(b" " * (1 << 20))
        elif trick == "create-drip":
            self._for_ever(b" ", 0.05)
        elif trick == "create-packed":
            self._send(gzip.compress(b" " * (1 << 20)) * 2000, Content_Encoding="gzip")
        elif trick == "create-says-token":
            body = json.dumps({"error": [self._token]}).encode()
            self._send(body, status=400, X_Error_Message=f"Not {self._token}")
        else:
            self._send(json.dumps({"url": f"{here}/evil/{trick}"}).encode())

    def _answer(self, head: bool = False) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        with suppress(OSError):
            if path == "/api/models":
                self._list(parse_qs(parts.query).get("search", ["list"])[0], head)
            elif path.startswith("/api/models/"):
                self._list(path.split("/")[4], head)
            elif path.startswith("/elsewhere"):
                self.server.elsewhere.append(self.headers.get("Authorization"))
                self._send(WEIGHTS, head)
            else:
                _, trick, _, _, *name = path.strip("/").split("/")
                self._file(trick, "/".join(name), head)

    # --- pieces -----------------------------------------------------------------------------------

    def _send(self, body: bytes, head: bool = False, status: int = 200, **headers: str) -> None:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | told).items():
            self.send_header(name, value)
        self.end_headers()
        if not head:
            self.wfile.write(body)

    def _for_ever(self, piece: bytes, pause: float = 0, **headers: str) -> None:
        """Chunks until nobody reads any more."""
        self.close_connection = True
        self.send_response(200)
        for name, value in ({"Transfer-Encoding": "chunked"} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        while not self.server.ended:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            time.sleep(pause)

    @property
    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    # --- answers ----------------------------------------------------------------------------------

    def _list(self, trick: str, head: bool) -> None:
        here = f"http://127.0.0.1:{self.server.server_port}"
        if trick in LISTINGS:
            self._send(json.dumps(LISTINGS[trick]).encode(), head)
        elif trick in RAW:
            self._send(RAW[trick], head)
        elif trick == "endless":
            self._for_ever(b" " * (1 << 20))
        elif trick == "endless-entries":
            self._for_ever(b'{"rfilename": "x"},' * 50_000)
        elif trick == "drip":
            self._for_ever(b" ", 0.05)
        elif trick == "drip-headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            while not self.server.ended:
                self.wfile.write(b"x")
                time.sleep(0.05)
        elif trick == "continues":
            while not self.server.ended:
                self.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        elif trick == "long-headers":
            self._send(b"{}", head, X="x" * 50_000_000)
        elif trick == "bomb":
            packed = gzip.compress(b" " * (1 << 20)) * 2000
            self._send(packed, head, Content_Encoding="gzip")
        elif trick == "cut":
            self._send(b"{", head, Content_Length="500")
            self.close_connection = True
        elif trick == "no-length":
            self._send(b"{}", head, Content_Length="many")
        elif trick == "moved-to-file":
            self._send(b"", head, 307, Location="file:///etc/passwd")
        elif trick == "moved-to-nothing":
            self._send(b"", head, 307, Location="http://[::1")
        elif trick == "moved-round":
            self._send(b"", head, 307, Location=f"{here}{self.path}")
        elif trick == "moved-endless":
            self.send_response(307)
            self.send_header("Location", f"{here}/api/models/evil/null")
            self._for_ever_after_headers()
        elif trick == "moved-with-token":
            self._send(b"", head, 307, Location=f"{here}/api/models/evil/null?t={self._token}")
        elif trick == "says-token":
            error = f"Invalid {self._token}"
            body = json.dumps({"error": error, "errors": [{"message": error}]}).encode()
            self._send(body, head, 403, X_Error_Message=error, X_HF_Warning=f"x; {error}")
        elif trick == "says-token-as-repository":
            self._send(b"", head, 404, X_Error_Code="RepoNotFound", X_Error_Message=self._token)
        elif trick == "says-token-as-status":
            self.wfile.write(f"HTTP/1.1 500 {self._token}\r\nContent-Length: 0\r\n\r\n".encode())
        elif trick == "says-token-as-nonsense":
            self.wfile.write(f"{self._token} is yours\r\n\r\n".encode())
            self.close_connection = True
        elif trick == "says-token-as-name":
            told = listing(sibling(f"{self._token}\n.ckpt"))
            self._send(json.dumps(told).encode().replace(b"hf_", b"h\\u0066_"), head)
        elif trick == "error-is-a-list":
            self._send(b"[1]", head, 400)
        elif trick == "status-300":
            self._send(b"", head, 300)
        else:
            self._send(json.dumps(listing()).encode(), head)

    def _for_ever_after_headers(self) -> None:
        self.close_connection = True
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not self.server.ended:
            self.wfile.write(b"100000\r\n" + b" " * (1 << 20) + b"\r\n")

    def _file(self, trick: str, name: str, head: bool) -> None:
        content = WEIGHTS if name.endswith("model.safetensors") else CONFIG
        marks = {"X_Repo_Commit": COMMIT, "ETag": f'"{git(content)}"'}
        here = f"http://127.0.0.1:{self.server.server_port}"
        if trick == "etag-out":
            self._send(content, head, **marks | {"ETag": f'"{OUT}"'})
        elif trick == "etag-out-damaged":
            self._send(bytes(len(content)), head, **marks | {"ETag": f'"{OUT}"'})
        elif trick == "linked-etag-out":
            self._send(content, head, **marks, X_Linked_ETag=f'"{OUT}"')
        elif trick == "commit-out":
            self._send(content, head, **marks | {"X_Repo_Commit": UP})
        elif trick == "other-commit":
            self._send(content, head, **marks | {"X_Repo_Commit": "b" * 40})
        elif trick == "entry-missing-out":
            self._send(b"", head, 404, X_Error_Code="EntryNotFound", X_Repo_Commit=UP)
        elif trick == "file-endless":
            self._send(b"", True, **marks) if head else self._for_ever(b"x" * (1 << 20), **marks)
        elif trick == "file-longer":
            self._send(content + b"more", head, **marks)
        elif trick == "file-damaged":
            self._send(bytes(len(content)), head, **marks)
        elif trick == "file-packed":
            self._send(gzip.compress(content), head, **marks, Content_Encoding="gzip")
        elif trick == "file-drip":
            self._send(content, True, **marks)
            for byte in () if head else content:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
        elif trick == "file-cut":
            self._send(content, True, **marks)
            self.wfile.write(b"" if head else content[:1])
            self.close_connection = True
        elif trick == "file-moved-to-file":
            self._send(b"", head, 302, **marks, Location="file:///etc/passwd")
        elif trick == "file-elsewhere":
            # Of the same machine, but another origin.
            away = here.replace("127.0.0.1", "localhost") + "/elsewhere"
            self._send(b"", head, 302, **marks, X_Linked_Size=str(len(content)), Location=away)
        else:
            self._send(content, head, **marks)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Of requests that were sent on.
    elsewhere: list[str | None]
    ended = False

    def handle_error(self, *_: object) -> None:
        """Clients that have enough hang up."""


@contextmanager
def hostile() -> Iterator[tuple[str, Callable[[], list[str | None]]]]:
    """The address of a running one, and what came with requests that it had sent on to another address."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.elsewhere = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", lambda: server.elsewhere
    finally:
        server.ended = True
        server.shutdown()
        server.server_close()
