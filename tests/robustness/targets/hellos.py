"""The first messages of a stream: `read_hello`, and what is heard after it.

Behind a zero byte stand bytes of sound.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Final

from snn_voice_lite import Voice
from snn_voice_lite.errors import SnnVoiceError
from snn_voice_server.failures import RequestError
from snn_voice_server.http.hellos import read_hello

from tests.robustness.contract import told

JSON: Final = True
_WORDS: Final = ("yes", "stop")


@cache
def _voice() -> Voice:
    return Voice("tempo-snn")


def run(data: bytes) -> str:
    """Greet a service, and speak to it."""
    text, _, sound = data.partition(b"\0")
    try:
        hello = read_hello(text.decode("utf-8", "replace"))
        stream = _voice().stream(sample_rate=hello.sample_rate, **hello.options())
        for begin in range(0, len(sound), 999):
            stream.feed(sound[begin : begin + 999])
        for event in stream.flush():
            assert 0 <= event.start <= event.end
            json.dumps([event.label, event.score, event.time], allow_nan=False)
    except (RequestError, SnnVoiceError) as error:
        return told(error)
    return "a stream"


def seeds() -> list[bytes]:
    """Hellos of all fields."""
    plain = {"sample_rate": 16_000, "encoding": "pcm16"}
    hellos = [
        plain,
        {"type": "hello", **plain, "words": list(_WORDS), "threshold": 0.5, "scores": True, "spikes": True},
        {**plain, "encoding": "float32", "sample_rate": 8_000, "threshold": {"stop": 0.6}, "hop_ms": 100.5},
        {**plain, "sample_rate": 192_000, "model": "x", "key": "y", "words": None, "scores": False},
    ]
    return [
        json.dumps(hello).encode() + sound for hello in hellos for sound in (b"", b"\0" + bytes(range(256)))
    ]
