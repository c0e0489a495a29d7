"""Sends a sound file to `WS /stream` at the speed of a microphone, and prints the words that are heard.

    snn-voice serve
    python examples/stream_client.py examples/yes.wav

Needs `websockets`, which the extra `[serve]` has.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

import soundfile
from websockets.asyncio.client import ClientConnection, connect

# Seconds of sound in a message.
CHUNK = 0.08


async def send(socket: ClientConnection, file: Path, speed: float) -> None:
    """Send the file, and then that there is no more of it."""
    with soundfile.SoundFile(file) as sound:
        for block in sound.blocks(round(CHUNK * sound.samplerate), dtype="int16", always_2d=True):
            await socket.send(block[:, 0].tobytes())
            await asyncio.sleep(CHUNK / speed)
    await socket.send(json.dumps({"type": "close"}))


async def listen(url: str, file: Path, words: list[str] | None, model: str, key: str, speed: float) -> int:
    """Print what the service says of a file; 1 if it refuses."""
    rate = soundfile.info(file).samplerate
    hello = {"sample_rate": rate, "encoding": "pcm16", "words": words, "model": model}
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    code = 0
    async with connect(url, additional_headers=headers) as socket:
        await socket.send(json.dumps(hello))
        sending = asyncio.create_task(send(socket, file, speed))
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "keyword":
                print("{start:8.2f}-{end:.2f} s  {label}  {score:.2f}".format(**message), flush=True)
            elif message["type"] == "error":
                print("{message} ({hint})".format(**message))
                code = 1
        sending.cancel()
    return code


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default="ws://127.0.0.1:8000/stream")
    parser.add_argument("--words", type=lambda text: text.split(","), help="what to listen for: yes,stop")
    parser.add_argument("--model", default="", help="which of the service's models")
    parser.add_argument("--key", default="", help="API key")
    parser.add_argument("--speed", type=float, default=1.0, help="times as fast as a microphone")
    given = parser.parse_args()
    return asyncio.run(listen(given.url, given.file, given.words, given.model, given.key, given.speed))


if __name__ == "__main__":
    raise SystemExit(main())
