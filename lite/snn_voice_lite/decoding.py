"""libsndfile's decoder, with the checks that it lacks: sound files become blocks of mono float32.

libsndfile is lenient where silence would be wrong: it takes a file that was cut off for a short one. The
checks of this module make that an error, and let pass the headers of programs that wrote into a pipe and
could not know the length.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile as sf

from snn_voice_lite.containers.faults import CONVERT, audio_error, cut, not_audio
from snn_voice_lite.containers.kinds import arrange
from snn_voice_lite.containers.quiet import unheard
from snn_voice_lite.containers.streams import check_alone, check_behind
from snn_voice_lite.containers.view import FileView

Samples: TypeAlias = npt.NDArray[np.float32]

MIN_SAMPLE_RATE: Final = 4_000  # Hz
MAX_SAMPLE_RATE: Final = 192_000  # Hz

BLOCK_VALUES: Final = 1 << 18  # samples × channels that are converted at a time
# Samples that may be missing: encoders disagree on what an MP3's count includes, and Opus may skip silence.
_DECODED = ("WAV", "WAVEX", "RF64", "AIFF", "CAF", "AU", "FLAC", "OGG", "MP3")
_SLACK = {"MP3": 1152, "OGG": 8192}


def downmix(frames: npt.NDArray[Any]) -> Samples:
    """Average float32 frames `[n, channels]` to `[n]`, alike for files and arrays."""
    if frames.shape[1] == 1:
        return np.ascontiguousarray(frames[:, 0])
    with np.errstate(invalid="ignore", over="ignore"):  # whatever is not finite is told afterwards
        mono: Samples = frames.mean(axis=1, dtype=np.float64).astype(np.float32)
    return mono


class _Decoder(sf.SoundFile):  # type: ignore[misc]  # soundfile has no type information
    """A sound file that is only read forwards.

    After each block `soundfile` would seek to where it is anyway, and in FLAC of unknown length that fails.
    """

    def __init__(self, view: FileView) -> None:
        super().__init__(view)
        self.view = view

    def seekable(self) -> bool:
        return False


def _quietly(kind: str | None) -> AbstractContextManager[None]:
    return unheard() if kind == "MP3" else nullcontext()


def open_decoder(file: BinaryIO, label: str) -> _Decoder:
    """See what the bytes are and whether they are complete, and open a decoder on them."""
    view = FileView(file)
    if not view.end:
        raise audio_error("empty", f"{label} is empty (0 bytes)")
    kind, found = arrange(view, label)
    try:
        with _quietly(kind):
            return _Decoder(view)
    except sf.SoundFileError as error:
        if kind == "MP3":  # anything may begin with a sync word by chance
            raise not_audio(label, view.peek(0, 16)) from error
        if found:
            raise audio_error(
                "not_audio", f"{label} is {kind} in an unsupported encoding", CONVERT
            ) from error
        raise cut(label, f"its {kind} header can't be read to the end") from error


def check_decoder(sound: Any, label: str) -> None:
    """Raise `AudioError` for an encoding or a rate that is not supported."""
    # The length of MP3 inside WAV is a guess that can be too small, and sound would be dropped.
    mpeg = sound.subtype.startswith("MPEG")
    if sound.format not in _DECODED or mpeg != (sound.format == "MP3"):
        what = f"{sound.subtype} in {sound.format}"
        raise audio_error("not_audio", f"{label} is {what}, which is not supported", CONVERT)
    if not MIN_SAMPLE_RATE <= sound.samplerate <= MAX_SAMPLE_RATE:
        hint = f"supported are {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz"
        raise audio_error("bad_sample_rate", f"{label} has a sample rate of {sound.samplerate} Hz", hint)


def decoded_blocks(sound: Any, label: str) -> Iterator[Samples]:
    """Decode to mono blocks; complain where the sound ends before it should."""
    step = max(1, BLOCK_VALUES // sound.channels)
    total = sound.view.announced or sound.frames
    done = 0
    try:
        # Asking for more than the header promises can run the decoder into tags behind the sound.
        while (count := min(step, total - done)) > 0:
            with _quietly(sound.format):
                block = sound.read(count, dtype="float32", always_2d=True)
            if not len(block):
                break
            done += len(block)
            yield downmix(block)
    except sf.SoundFileError as error:
        check_alone(sound.view, sound.format, label)
        check_behind(sound.view, sound.format, label, sound.view.tell())
        raise cut(label, f"decoding fails after {done / sound.samplerate:.2f} s") from error
    check_alone(sound.view, sound.format, label)
    if total > 1 << 40:  # the length was left open, or is our own claim
        if sound.view.tell() < sound.view.size:
            check_behind(sound.view, sound.format, label, sound.view.tell())
            raise cut(label, f"decoding stops after {done / sound.samplerate:.2f} s")
    elif done < total - _SLACK.get(sound.format, 0):
        raise cut(label, f"{done} of {total} samples are there")
    elif sound.view.announced and _goes_on(sound, label):
        raise cut(label, f"its header announces {total} samples, and more are there")


def _goes_on(sound: Any, label: str) -> bool:
    """Whether a decoder that was not told the length has more samples."""
    at = sound.view.tell()
    try:
        with _quietly(sound.format):
            return bool(len(sound.read(1, dtype="float32", always_2d=True)))
    except sf.SoundFileError:  # what follows is not of this stream
        check_behind(sound.view, sound.format, label, at)
        return False
