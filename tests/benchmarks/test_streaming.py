"""The load of `benchmarks.stream`: its frames are those of the protocol, and it measures what it says."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.stream import front_end
from benchmarks.streaming.client import frame, frames_in
from snn_voice_hub import SnnVoice

protocol = pytest.importorskip("websockets.server")
frames = pytest.importorskip("websockets.frames")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 2_560, 65_535, 65_536])
def test_frames_are_those_of_the_protocol(size: int) -> None:
    payload = bytes(i % 251 for i in range(size))
    server = protocol.ServerProtocol()
    server.state = protocol.State.OPEN
    server.parser = server.parse()  # without the request before it
    next(server.parser)
    server.receive_data(frame(2, payload))
    (found,) = server.events_received()
    assert (int(found.opcode), bytes(found.data)) == (2, payload)


@pytest.mark.parametrize("size", [0, 125, 126, 65_536])
@pytest.mark.parametrize("step", [1, 1_000, 1 << 20])
def test_frames_of_a_server_are_read_however_they_come(size: int, step: int) -> None:
    payloads = [b"a" * size, b"b"]
    sent = b"".join(frames.Frame(frames.Opcode.TEXT, data).serialize(mask=False) for data in payloads)
    data, found = bytearray(), []
    for at in range(0, len(sent), step):
        data += sent[at : at + step]
        found += list(frames_in(data))
    assert found == [(1, payload) for payload in payloads]
    assert not data


def test_all_but_the_network_is_measured_of_both_kinds_of_networks() -> None:
    for name in ("tcy-snn", "tempo-snn"):
        model = SnnVoice.from_pretrained(name)
        for whole in (False, True):
            front_end(model, np.zeros(8_000, np.float32), 0.1, whole=whole)()
