"""Sound in, waveform out: files, bytes, streams, arrays and tensors become one mono float32 array.

Encoded sound is decoded by libsndfile (through `soundfile`) block by block (see
`decoding`), so memory follows the length that is really there and never what a header claims.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import soxr

from snn_voice_lite.containers.faults import SUPPORTED_FORMATS, audio_error
from snn_voice_lite.decoding import (
    BLOCK_VALUES,
    MAX_SAMPLE_RATE,
    MIN_SAMPLE_RATE,
    Samples,
    check_decoder,
    decoded_blocks,
    downmix,
    open_decoder,
)
from snn_voice_lite.errors import AudioError
from snn_voice_lite.samples import Pair, is_array, is_tensor, unpacked

__all__ = [
    "MAX_ENCODED_BYTES",
    "MAX_SAMPLE_RATE",
    "MIN_SAMPLE_RATE",
    "SUFFIXES",
    "SUPPORTED_FORMATS",
    "AudioSource",
    "blocks_of",
    "check_peak",
    "check_rate",
    "load",
]

_Encoded: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
AudioSource: TypeAlias = _Encoded | npt.NDArray[Any] | Pair | Mapping[str, Any]


# Endings of the files that a folder is searched for.
SUFFIXES: Final = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc"),
    *(".caf", ".au", ".snd", ".w64", ".rf64"),
)
MAX_ENCODED_BYTES: Final = 1 << 30  # of a stream, which has to be kept in memory while it is decoded

_MAX_CHANNELS_2D = 64
# Far beyond any mistake of scale (32-bit integers as floats are 2e9), and the power of a spectrum overflows
# not far above.
_MAX_PEAK = 1e12
_DTYPES = ("uint8", "int8", "int16", "int32", "float16", "float32", "float64")


def load(
    source: AudioSource,
    *,
    sample_rate: int | None = None,
    target_rate: int = 16_000,
    max_seconds: float = 600.0,
) -> Samples:
    """Read sound from anywhere as one mono waveform.

    Channels are averaged, then the sound is resampled (soxr, quality HQ); at the target rate already,
    the samples are left as they are. Arrays hold samples, never an encoded file: integers are scaled to
    [-1, 1) (`uint8` has its zero at 128), floats are kept and not clipped.

    A length that a header leaves open (programs that write into a pipe put 0 or a huge number) is the
    length of what is there. A length that is larger than what is there means a truncated file; where it
    is smaller, the rest is taken for something else than sound.

    Args:
        source: A path; `bytes`, `bytearray` or `memoryview` of an encoded file; a binary file object,
            read from where it stands to its end (it need not be seekable); or samples as a NumPy array
            or torch tensor (any device) of shape `[samples]` or `[channels, samples]`. Samples may also come
            with their rate: as a pair `(samples, rate)` or `(rate, samples)`, as a dict of `datasets` or of
            the transformers pipeline, or as a decoder of `torchcodec`; there the longer side is the time.
        sample_rate: Rate in Hz of an array that comes without one, required there. Encoded files carry their
            own, so for them it has no effect; headerless raw data is not supported.
        target_rate: Rate of the result in Hz.
        max_seconds: Longest sound that is accepted, in seconds; `math.inf` for no limit.

    Returns:
        Waveform `[N]` at `target_rate`, N >= 1: finite, float32, contiguous, with memory of its own.
        Full scale is [-1, 1].

    Raises:
        AudioError: With `code` one of `not_found`, `is_directory`, `unreadable`, `empty` (no bytes),
            `not_audio`, `truncated` (cut off or damaged), `no_samples`, `not_finite`, `bad_shape`,
            `bad_dtype`, `too_long`, `bad_sample_rate`, `no_sample_rate`, `bad_type`.
    """
    target = check_rate(target_rate, "target_rate")
    number = isinstance(max_seconds, int | float | np.integer | np.floating)
    if not number or isinstance(max_seconds, bool) or not max_seconds > 0:
        raise audio_error("bad_type", f"max_seconds must be a number above 0, not {_short(max_seconds)}")

    unwrapped, sample_rate = unpacked(source, sample_rate)
    if is_array(unwrapped):
        if sample_rate is None:
            raise audio_error("no_sample_rate", "an array carries no sample rate", "pass sample_rate=")
        rate = check_rate(sample_rate, "sample_rate")
        blocks = _array_blocks(_as_frames(unwrapped))
        return _assemble(blocks, rate, target, max_seconds, "the array")

    label = _label(unwrapped)
    with closing(_decoded(unwrapped, label)) as parts:
        return _assemble(parts, next(parts), target, max_seconds, label)


def blocks_of(source: AudioSource) -> tuple[int, Iterator[Samples]]:
    """Decode sound as it is asked for, so that memory does not follow its length.

    Args:
        source: A path, bytes or a binary file object, as `load` takes them.

    Returns:
        Its rate in Hz, and mono blocks of a few seconds, each `[N]`, float32.

    Raises:
        AudioError: The sound can't be used; where it is damaged later on, the block there raises it.
    """
    parts = _decoded(source, _label(source))
    return next(parts), parts


def _decoded(source: object, label: str) -> Generator[Any, None, None]:
    """The rate of encoded sound, then its blocks."""
    try:
        with _open(source, label) as file, open_decoder(file, label) as sound:
            check_decoder(sound, label)
            yield sound.samplerate
            yield from decoded_blocks(sound, label)
    except OSError as error:
        raise _os_error(error, label) from error


def _short(value: object, limit: int = 80) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def check_rate(value: object, name: str) -> int:
    """A legal sample rate in Hz, whatever kind of number it came as.

    Args:
        value: What was given.
        name: As what it was given, for the message.

    Raises:
        AudioError: It is none; with `code` "bad_sample_rate".
    """
    if is_array(value) and value.ndim == 0:
        value = value.item()
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if whole or (isinstance(value, float | np.floating) and float(value).is_integer()):
        rate = int(value)  # type: ignore[call-overload]  # mypy does not follow `whole`
        if MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
            return int(rate)
    legal = f"a whole number of hertz from {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}"
    raise audio_error("bad_sample_rate", f"{name} must be {legal}, not {_short(value)}")


def _check_finite(samples: Samples, label: str) -> None:
    if not np.isfinite(samples).all():
        raise audio_error(
            "not_finite", f"{label} holds samples that are NaN, infinite or too large for float32"
        )


def _assemble(blocks: Iterator[Samples], rate: int, target: int, max_seconds: float, label: str) -> Samples:
    """Resample mono blocks as they come, so that no copy at the source rate piles up, and join them."""
    stream = None if rate == target else soxr.ResampleStream(rate, target, 1, dtype="float32", quality="HQ")
    parts: list[Samples] = []
    count = 0
    for block in blocks:
        count += len(block)
        if count > max_seconds * rate:
            hint = "cut it, or allow more with max_seconds="
            raise audio_error("too_long", f"{label} is longer than {max_seconds:g} s", hint)
        _check_finite(block, label)
        parts.append(block if stream is None else stream.resample_chunk(block))
    if not count:
        raise audio_error("no_samples", f"{label} holds no samples")
    if stream is not None:
        parts.append(stream.resample_chunk(np.empty(0, np.float32), last=True))
    wave = np.concatenate(parts)
    if not wave.size:  # a few samples at a high rate are less than one at a low rate
        wave = np.zeros(1, np.float32)
    _check_finite(wave, label)  # the resampler overshoots, so enormous floats can still overflow
    return wave


def check_peak(wave: Samples) -> None:
    """Refuse samples `[N]` that are finite and still no sound.

    Raises:
        AudioError: With `code` "not_finite".
    """
    peak = float(max(wave.max(), -wave.min()))
    if peak > _MAX_PEAK:
        what = f"samples of up to {peak:.3g} are no sound"
        raise audio_error("not_finite", what, "full scale is 1.0")


# ---------------------------------------------------------------------------------------------- arrays


def _as_frames(source: Any) -> npt.NDArray[Any]:
    """Check samples and view them as `[samples, channels]`, still in their own dtype."""
    legal = f"legal dtypes are {', '.join(_DTYPES)}"
    if is_tensor(source):
        try:
            array: npt.NDArray[Any] = source.detach().cpu().resolve_neg().numpy()
        except (RuntimeError, TypeError) as error:  # bfloat16, sparse, quantized, meta, ...
            what = f"a {source.layout} tensor of {source.dtype} on {source.device}"
            raise audio_error("bad_dtype", f"samples can't be taken from {what}", legal) from error
    else:
        array = np.asarray(source)
    if array.dtype.name not in _DTYPES:
        raise audio_error("bad_dtype", f"samples can't be of dtype {_short(array.dtype.name)}", legal)
    shape = list(array.shape)
    if array.ndim not in (1, 2):
        hint = "legal are [samples] and [channels, samples]"
        raise audio_error("bad_shape", f"an array of shape {shape} is not sound", hint)
    if array.size == 0:
        raise audio_error("no_samples", f"an array of shape {shape} holds no samples")
    if array.ndim == 1:
        return array[:, np.newaxis]
    if shape[0] > min(_MAX_CHANNELS_2D, shape[1]):
        hint = "2-D means [channels, samples]; is the array transposed?"
        raise audio_error("bad_shape", f"an array of shape {shape} would have {shape[0]} channels", hint)
    return array.T


def _array_blocks(frames: npt.NDArray[Any]) -> Iterator[Samples]:
    """Convert `[samples, channels]` of any legal dtype to mono blocks at full scale [-1, 1]."""
    zero = np.float32(128 if frames.dtype.name == "uint8" else 0)
    scale = np.float32(1 if frames.dtype.kind == "f" else 2.0 ** (1 - 8 * frames.dtype.itemsize))
    step = max(1, BLOCK_VALUES // frames.shape[1])
    for start in range(0, len(frames), step):
        with np.errstate(over="ignore"):  # becomes infinite, and is told as that
            block = frames[start : start + step].astype(np.float32)
        yield downmix((block - zero) * scale)


# --------------------------------------------------------------------------------------- opening files


def _label(source: object) -> str:
    if isinstance(source, str | os.PathLike):
        return _short(os.fsdecode(source), 200)
    return "the audio data" if isinstance(source, bytes | bytearray | memoryview) else "the audio stream"


@contextmanager
def _open(source: object, label: str) -> Iterator[BinaryIO]:
    """Yield a seekable binary file, at its start, with everything that `source` holds."""
    if isinstance(source, str | os.PathLike):
        with _open_path(os.fsdecode(source), label) as file:
            # A pipe, or a device such as /dev/stdin, has no end that could be looked at first.
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            yield file if regular else _read_all(file, label)
    elif isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(bytes(source))
    elif callable(getattr(source, "read", None)):
        yield _read_all(source, label)
    else:
        hint = "legal are a path, bytes, a binary file object, a NumPy array or a torch tensor, "
        hint += "and a tuple of such an array and its rate"
        if isinstance(source, Iterable):
            hint += "; classify_each() takes any iterable of clips"
        raise audio_error("bad_type", f"sound can't be read from {type(source).__name__}", hint)


def _open_path(path: str, label: str) -> BinaryIO:
    try:
        if not path:  # Path("") would be the current folder
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return Path(path).open("rb")
    except ValueError as error:  # a NUL or a lone surrogate: no file can be called that
        raise audio_error("not_found", f"{label} does not exist") from error


def _read_all(stream: Any, label: str) -> BinaryIO:
    """Copy a stream into memory, up to `MAX_ENCODED_BYTES`."""
    copy = io.BytesIO()
    while copy.tell() <= MAX_ENCODED_BYTES:
        try:
            # Text is refused before it is read: decoding would fail somewhere in the middle.
            chunk = "" if isinstance(stream, io.TextIOBase) else stream.read(1 << 20)
        except ValueError as error:
            raise audio_error(
                "unreadable", f"{label} can't be read", "is it closed, or open for writing only?"
            ) from error
        if not isinstance(chunk, bytes | bytearray | memoryview | None):
            what = f"{type(stream).__name__}.read() gives {type(chunk).__name__}, not bytes"
            raise audio_error("bad_type", what, 'open files with "rb"')
        if not chunk:
            copy.seek(0)
            return copy
        copy.write(chunk)
    hint = "save it as a file and pass its path"
    raise audio_error("too_long", f"{label} is larger than {MAX_ENCODED_BYTES >> 20} MiB", hint)


def _os_error(error: OSError, label: str) -> AudioError:
    if isinstance(error, IsADirectoryError):
        return audio_error("is_directory", f"{label} is a folder, not a file")
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
        hint = "addresses are not fetched; download the file first" if "://" in label else ""
        return audio_error("not_found", f"{label} does not exist", hint)
    hint = "no permission" if isinstance(error, PermissionError) else ""
    return audio_error("unreadable", f"{label} can't be read", hint)
