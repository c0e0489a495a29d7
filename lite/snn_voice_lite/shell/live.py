"""Where programs that listen have their sound from: a file, raw samples on stdin, a microphone."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any, BinaryIO, Final, NamedTuple

from snn_voice_lite.errors import AudioError, SnnVoiceError, needs_packages

STDIN: Final = "-"

# Seconds of a chunk.
_CHUNK = 0.1
# What gives the sound of a microphone on Linux.
_RECORD = "arecord -q -t raw -f S16_LE -r 16000"
# Seconds of a microphone's sound that wait while the network is busy.
_WAITING = 10.0
# How files begin that hold more than raw samples.
_HEADERS = {b"RIFF": "WAV", b"OggS": "Ogg", b"fLaC": "FLAC", b"ID3\x03": "MP3", b"FORM": "AIFF"}


class LiveSound(NamedTuple):
    """Sound in chunks.

    Attributes:
        name: For people.
        sample_rate: In Hz.
        chunks: As `VoiceStream.feed` takes them.
    """

    name: str
    sample_rate: int
    chunks: Generator[Any, None, None]


def sound_of(path: str) -> str | BinaryIO:
    """What to read a file from, or stdin.

    Raises:
        AudioError: stdin was closed by whoever started the program.
    """
    if path != STDIN:
        return path
    if sys.stdin is None:
        raise closed()
    return sys.stdin.buffer


def closed() -> AudioError:
    """The error where stdin is closed."""
    return AudioError("stdin is closed", code="unreadable")


def of_file(path: str, *, realtime: bool) -> LiveSound:
    """A sound file.

    Args:
        path: The file.
        realtime: Whether each chunk comes when it would have been spoken.

    Raises:
        AudioError: It can't be read.
    """
    from snn_voice_lite.audio import blocks_of

    rate, blocks = blocks_of(path)
    size = max(1, round(_CHUNK * rate))
    chunks = (block[i : i + size] for block in blocks for i in range(0, len(block), size))
    return LiveSound(path, rate, _paced(chunks, rate) if realtime else chunks)


def _paced(chunks: Iterator[Any], rate: int) -> Generator[Any, None, None]:
    begin, count = time.monotonic(), 0
    for chunk in chunks:
        count += len(chunk)
        time.sleep(max(0.0, begin + count / rate - time.monotonic()))
        yield chunk


def check_stdin() -> None:
    """Whether samples can come on stdin; who types there would wait for words.

    Raises:
        AudioError: It is closed, or a terminal.
    """
    stdin: Any = sound_of(STDIN)
    if stdin.isatty():
        raise AudioError("stdin is a terminal", hint=f"{_RECORD} | … listen -", code="not_raw")


def of_stdin(sample_rate: int, encoding: str) -> LiveSound:
    """Raw samples on stdin, one channel; chunks are what is there.

    Args:
        sample_rate: In Hz.
        encoding: One of `streaming.chunks.ENCODINGS`.

    Raises:
        AudioError: stdin is closed, or no raw samples come.
    """
    from snn_voice_lite.streaming.chunks import ENCODINGS

    stdin: Any = sound_of(STDIN)
    size = max(1, round(_CHUNK * sample_rate)) * ENCODINGS[encoding].itemsize

    def read() -> Generator[bytes, None, None]:
        head = b""
        while chunk := stdin.read1(size):
            if len(head) < 4:
                head += chunk[:4]
                _check_raw(head)
            yield chunk

    return LiveSound("stdin", sample_rate, read())


def _check_raw(head: bytes) -> None:
    if (kind := _HEADERS.get(head[:4])) is not None:
        raise AudioError(
            f"stdin holds {kind}, not raw samples",
            hint=f"`{_RECORD}`, `ffmpeg … -f s16le -ac 1 -`; a file is read with --file",
            code="not_raw",
        )


# --------------------------------------------------------------------------------------- microphone


def _sounddevice() -> Any:
    hint = "the extra [listen], which is: pip install sounddevice"
    with needs_packages("the microphone", "sounddevice", ("sounddevice",), hint):
        try:
            import sounddevice
        except OSError as error:  # the package is there, and PortAudio is not
            what = f"the microphone can't be used: {error}"
            raise SnnVoiceError(what, hint="on Debian or Ubuntu: apt-get install libportaudio2") from error
    return sounddevice


def inputs() -> list[tuple[str, str, int, int]]:
    """The devices that can record: number, name, channels, rate in Hz.

    Raises:
        MissingExtraError: sounddevice is not installed.
        SnnVoiceError: The sound system can't be asked.
    """
    sounddevice = _sounddevice()
    try:
        found = list(enumerate(sounddevice.query_devices()))
    except sounddevice.PortAudioError as error:
        raise _refused(error) from error
    return [
        (str(i), str(device["name"]), int(device["max_input_channels"]), int(device["default_samplerate"]))
        for i, device in found
        if device["max_input_channels"] > 0
    ]


def of_microphone(device: str | None, sample_rate: int | None) -> LiveSound:
    """A microphone, until the program is interrupted.

    Args:
        device: Number, or part of the name; None for the system's default.
        sample_rate: In Hz; None for the device's own.

    Raises:
        MissingExtraError: sounddevice is not installed.
        SnnVoiceError: There is no such microphone, or it can't be used.
    """
    sounddevice = _sounddevice()
    wanted = int(device) if device is not None and device.isdecimal() else device
    try:
        found = sounddevice.query_devices(wanted, "input")
        rate = sample_rate or int(found["default_samplerate"])
        sounddevice.check_input_settings(device=wanted, channels=1, dtype="int16", samplerate=rate)
    except (sounddevice.PortAudioError, ValueError) as error:
        raise _refused(error) from error
    chunks = _recorded(sounddevice, wanted, rate)
    return LiveSound(str(found["name"]), rate, chunks)


def play_back(waveform: Any, sample_rate: int) -> None:
    """Play samples `[N]` to their end, where something can play them; a take is good without, too.

    Args:
        waveform: Float, full scale is 1.0.
        sample_rate: In Hz.
    """
    sounddevice = _sounddevice()
    with suppress(sounddevice.PortAudioError, ValueError):
        sounddevice.play(waveform, sample_rate, blocking=True)


def _recorded(sounddevice: Any, device: int | str | None, rate: int) -> Generator[bytes, None, None]:
    waiting: queue.Queue[bytes] = queue.Queue(maxsize=round(_WAITING / _CHUNK))

    def take(data: Any, frames: int, when: Any, status: Any) -> None:
        with suppress(queue.Full):  # this is the sound system's thread, which may not wait
            waiting.put_nowait(bytes(data))

    try:
        with sounddevice.RawInputStream(
            samplerate=rate,
            blocksize=max(1, round(_CHUNK * rate)),
            device=device,
            channels=1,
            dtype="int16",
            callback=take,
        ) as stream:
            while True:
                try:
                    yield waiting.get(timeout=1.0)
                except queue.Empty:
                    if not stream.active:
                        raise SnnVoiceError("the microphone gives no more sound", hint="unplugged?") from None
    except sounddevice.PortAudioError as error:
        raise _refused(error) from error


def _refused(error: Exception) -> SnnVoiceError:
    hint = "`listen --list-devices` shows those there are; --file and - need none"
    return SnnVoiceError(f"the microphone can't be used: {error}", hint=hint, code="no_microphone")
