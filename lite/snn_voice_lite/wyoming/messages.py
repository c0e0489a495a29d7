"""What comes over the wire: a line of JSON, perhaps more JSON, and a payload, which is read piece by piece.

The package `wyoming` reads messages, too, but it takes payloads of any length whole, and what is no message
raises there whatever it happens to raise.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Final, NamedTuple

from snn_voice_lite.config.values import MAX_INT, shown
from snn_voice_lite.errors import SnnVoiceError

# Bytes of a line, and of the JSON behind it.
MAX_JSON: Final = 1 << 16
_HALVES: Final = re.compile("[\ud800-\udfff]")
# Bytes of a payload that are worked on at a time.
_PIECE = 1 << 15


class MessageError(SnnVoiceError):
    """Bytes that are no message, or a message that lacks what it needs."""

    code = "bad_message"


class WyomingMessage(NamedTuple):
    """A message without its payload.

    Attributes:
        type: What it is.
        data: What it says.
        payload: How many bytes follow.
    """

    type: str
    data: dict[str, Any]
    payload: int

    def number(self, name: str) -> int:
        """A whole number that it has to hold, of at most 63 bits.

        Raises:
            MessageError: It is not there, or something else.
        """
        value = self.data.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= MAX_INT:
            raise MessageError(f"{self.type} needs a whole number as {name!r}, not {shown(value)}")
        return value

    def text(self, name: str) -> str | None:
        """A text that it may hold, and that can be sent again.

        Raises:
            MessageError: It is something else, or has halves of characters, which no UTF-8 can hold.
        """
        value = self.data.get(name)
        if value is None or (isinstance(value, str) and not _HALVES.search(value)):
            return value
        raise MessageError(f"{self.type} needs a text as {name!r}, or none")

    def timestamp(self) -> float | None:
        """When it is, on the client's clock in milliseconds, if it says so.

        Raises:
            MessageError: It is no number.
        """
        return None if self.data.get("timestamp") is None else float(self.number("timestamp"))


async def read_message(reader: asyncio.StreamReader) -> WyomingMessage | None:
    """The next message; its payload has to be read before the next one.

    Args:
        reader: What the client sends, with a limit of `MAX_JSON`.

    Returns:
        The message; None where the client has left.

    Raises:
        MessageError: It is none.
    """
    try:
        line = await reader.readuntil(b"\n")
        head = _json_object(line)
        more = _length(head, "data_length")
        if more > MAX_JSON:
            raise MessageError(f"data_length={more} is not legal", hint=f"at most {MAX_JSON}")
        data = head.get("data") or {}
        if more and isinstance(data, dict):
            data = {**data, **_json_object(await reader.readexactly(more))}
    except asyncio.LimitOverrunError as error:
        raise MessageError(f"a message does not begin with a line of at most {MAX_JSON} bytes") from error
    except asyncio.IncompleteReadError:
        return None
    kind = head.get("type")
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise MessageError("a message needs a 'type' that is text, and 'data' that is an object")
    return WyomingMessage(kind, data, _length(head, "payload_length"))


async def read_piece(reader: asyncio.StreamReader, left: int) -> bytes:
    """The next bytes of a payload; none where the client has left.

    Args:
        reader: What the client sends.
        left: How many bytes of the payload are still to come.
    """
    return await reader.read(min(left, _PIECE))


def _json_object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageError("what came is no JSON, as messages of the Wyoming protocol are") from error
    if not isinstance(value, dict):
        raise MessageError("what came is JSON, but no object")
    return value


def _length(head: dict[str, Any], name: str) -> int:
    value = head.get(name) or 0
    if not isinstance(value, int) or value < 0:
        raise MessageError(f"{name}={shown(value)} is not legal", hint="a number of bytes")
    return value
