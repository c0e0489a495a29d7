"""Chunks of sound as callers hand them over -> mono samples."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from snn_voice_lite.containers.faults import audio_error
from snn_voice_lite.errors import AudioError

Samples: TypeAlias = npt.NDArray[np.float32]

# How bytes are read: little-endian, one channel.
ENCODINGS: Final[dict[str, np.dtype[Any]]] = {"pcm16": np.dtype("<i2"), "float32": np.dtype("<f4")}

_FLOATS = ("float16", "float32", "float64")
_LEGAL = "legal are [N] arrays and tensors of float or int16, and bytes of PCM"
# What the power of a spectrum bears; far beyond any mistake of scale.
_MAX_PEAK = 1e12


class ChunkReader:
    """Makes float32 samples of chunks; of a sample that bytes end within, the rest comes with the next chunk.

    A chunk that is refused leaves nothing behind.

    Args:
        encoding: How bytes are read, one of `ENCODINGS`.
    """

    def __init__(self, encoding: str = "pcm16") -> None:
        self._dtype = ENCODINGS[encoding]
        self._left = b""

    def reset(self) -> None:
        """Forget what is left over."""
        self._left = b""

    def read(self, chunk: object) -> Samples:
        """The samples `[N]` of a chunk; there may be none.

        Args:
            chunk: `[N]` array or tensor of float (full scale is 1.0) or int16, or bytes.

        Raises:
            AudioError: It is something else, of another shape or type, or holds what is not finite.
        """
        left = self._left
        if isinstance(chunk, bytes | bytearray | memoryview):
            data = left + bytes(chunk)
            whole = len(data) - len(data) % self._dtype.itemsize
            array: npt.NDArray[Any] = np.frombuffer(data[:whole], dtype=self._dtype)
            left = data[whole:]
        else:
            array = _as_array(chunk)
        samples = _as_floats(array)
        self._left = left
        return samples


def _as_array(chunk: object) -> npt.NDArray[Any]:
    """An array of a chunk that is an array, or a tensor, which this module does not know by name."""
    array: Any = chunk
    if callable(detach := getattr(chunk, "detach", None)):
        try:
            array = detach().cpu().resolve_neg().numpy()
        except (RuntimeError, TypeError, AttributeError) as error:  # bfloat16, sparse, meta, ...
            raise audio_error(
                "bad_dtype", f"samples can't be taken from {str(chunk)[:80]}", _LEGAL
            ) from error
    if not isinstance(array, np.ndarray):
        raise audio_error("bad_type", f"a chunk of sound can't be {type(chunk).__name__}", _LEGAL)
    if array.ndim != 1:
        what = f"a chunk of shape {list(array.shape)} is not [N]"
        raise audio_error("bad_shape", what, "one channel; average several before")
    return array


def _as_floats(array: npt.NDArray[Any]) -> Samples:
    if array.dtype.kind == "i" and array.dtype.itemsize == 2:
        return array.astype(np.float32) * np.float32(2.0**-15)
    if array.dtype.name not in _FLOATS:
        raise audio_error("bad_dtype", f"samples can't be of dtype {array.dtype.name}", _LEGAL)
    with np.errstate(over="ignore"):  # becomes infinite, and is told as that
        samples = np.array(array, dtype=np.float32)  # a copy: callers use their arrays again
    if samples.size:
        peak = float(np.abs(samples).max())
        if not peak <= _MAX_PEAK:
            raise _no_sound(peak)
    return samples


def _no_sound(peak: float) -> AudioError:
    if not np.isfinite(peak):
        what = "the chunk holds samples that are NaN, infinite or too large for float32"
        return audio_error("not_finite", what)
    return audio_error("not_finite", f"samples of up to {peak:.3g} are no sound", "full scale is 1.0")
