"""API keys: who may ask, and by which name the queue knows them."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from snn_voice_hub.errors import ConfigError
from snn_voice_hub.text import read_text
from snn_voice_server.failures import Unauthorized

_HASH = re.compile(r"[0-9a-f]{64}")
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)


@dataclass(frozen=True)
class _Key:
    name: str
    digest: bytes


class ApiKeys:
    """The keys of a service; without any, everybody may ask.

    Args:
        plain: Keys as they are sent.
        hashed: Name -> SHA-256 of a key in hex.

    Raises:
        ConfigError: A key could not be sent, or a hash is none.
    """

    def __init__(self, plain: Sequence[str] = (), hashed: Sequence[tuple[str, str]] = ()) -> None:
        self._keys: list[_Key] = []
        for index, key in enumerate(plain, 1):
            if not key.isascii() or not key.isprintable() or " " in key:
                raise ConfigError(
                    f"API key {index} can't be sent in a header", hint="printable ASCII, no spaces"
                )
            self._keys.append(_Key(f"key-{index}", hashlib.sha256(key.encode()).digest()))
        for name, digest in hashed:
            if not _HASH.fullmatch(digest):
                raise ConfigError(f"the hash of the API key {name!r} is not a SHA-256 in hex")
            self._keys.append(_Key(name, bytes.fromhex(digest)))

    def __len__(self) -> int:
        return len(self._keys)

    def who(self, authorization: str) -> str:
        """The name of the key in an `Authorization` header; "" where no keys are set.

        Raises:
            Unauthorized: No key, or not one of these.
        """
        if not self._keys:
            return ""
        given = _BEARER.fullmatch(authorization)
        hint = "send the header Authorization: Bearer KEY"
        if given is None:
            raise Unauthorized("this service needs an API key", hint=hint)
        digest = hashlib.sha256(given.group(1).encode()).digest()
        # All are compared, each in constant time, so that the time tells nothing about them.
        found = [key.name for key in self._keys if hmac.compare_digest(key.digest, digest)]
        if not found:
            raise Unauthorized("this API key is not known", hint=hint)
        return found[0]


def read_keys(plain: Sequence[str], file: Path | None) -> ApiKeys:
    """The keys of the settings.

    Args:
        plain: Keys as they are sent.
        file: Lines of a name and the SHA-256 of a key in hex; blank ones and those with # are passed over.

    Raises:
        ConfigError: The file can't be read, or a line is something else.
    """
    hashed: list[tuple[str, str]] = []
    if file is not None:
        try:
            lines = read_text(file).splitlines()
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ConfigError(f"the file of API keys {file} can't be read: {reason}") from error
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) != 2 or not _HASH.fullmatch(words[1].lower()):
                raise ConfigError(
                    f"line {number} of {file} is not a name and a SHA-256",
                    hint='printf %s "$KEY" | sha256sum',
                )
            hashed.append((words[0], words[1].lower()))
        if not hashed:
            raise ConfigError(f"the file of API keys {file} holds none", hint="a line: name sha256")
    return ApiKeys(plain, hashed)
