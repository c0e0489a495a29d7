"""Sound as other libraries hand it out: samples beside their rate, in pairs, dicts and decoders.

`soundfile`, `librosa` and `torchaudio` give `(samples, rate)`, `scipy` and `gradio` `(rate, samples)`. What
`datasets` holds and the transformers pipeline takes are dicts; since its version 4 `datasets` has decoders of
`torchcodec` instead.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from snn_voice_lite.containers.faults import audio_error

Pair: TypeAlias = tuple[npt.NDArray[Any], int] | tuple[int, npt.NDArray[Any]]

_SAMPLES: Final = ("array", "raw")
_RATES: Final = ("sampling_rate", "sample_rate")
_DICTS: Final = '{"array": NumPy array, "sampling_rate": Hz}, {"bytes": ...} or {"path": ...}'


def is_tensor(value: object) -> bool:
    """Whether a value is a tensor of PyTorch, which whoever has one has imported; this package does not."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    return tensor is not None and isinstance(value, tensor)


def is_array(value: object) -> TypeGuard[npt.NDArray[Any]]:
    """Whether a value is an array, or a tensor, which has what is asked of arrays here."""
    return isinstance(value, np.ndarray) or is_tensor(value)


def are_several(clips: object) -> bool:
    """Whether these are several clips: a list, or a tuple that is no pair of samples and their rate."""
    return isinstance(clips, list) or (isinstance(clips, tuple) and _pair(clips) is None)


def unpacked(source: object, sample_rate: int | None) -> tuple[object, int | None]:
    """What is in the packing of another library.

    Args:
        source: Anything.
        sample_rate: The rate that was told besides; one that stands beside the samples is theirs.

    Returns:
        Samples with their rate, or the encoded sound; of anything else, what came.

    Raises:
        AudioError: With `code` "bad_type" for a dict without sound, "bad_shape" for lists that are no array,
            "unreadable" for a decoder that fails.
    """
    if isinstance(source, str | bytes) or is_array(source):
        return source, sample_rate
    if isinstance(source, tuple) and (pair := _pair(source)) is not None:
        return _upright(pair[0]), pair[1]
    if isinstance(source, Mapping):
        return _from_dict(source, sample_rate)
    if callable(decode := getattr(source, "get_all_samples", None)):
        try:
            source = decode()
        except (RuntimeError, ValueError, OSError) as error:
            said = " ".join(str(error).split())[:200]
            raise audio_error(
                "unreadable", f"{type(source).__name__} can't decode the sound", said
            ) from error
    samples, rate = getattr(source, "data", None), getattr(source, "sample_rate", None)
    if is_tensor(samples) and rate is not None:
        return _upright(samples), rate
    return source, sample_rate


def _pair(values: tuple[Any, ...]) -> tuple[Any, int] | None:
    """The samples and the rate with which a tuple begins; what more there is are labels."""
    if len(values) < 2:
        return None
    first, second = values[:2]
    if _is_samples(first) and _is_number(second):
        return first, second
    return (second, first) if _is_number(first) and _is_samples(second) else None


def _is_samples(value: object) -> bool:
    if isinstance(value, list):
        return True
    return is_array(value) and value.ndim > 0


def _is_number(value: object) -> bool:
    if is_array(value):  # `datasets` has rates as arrays, if asked for arrays
        return value.ndim == 0
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _from_dict(source: Mapping[Any, Any], sample_rate: int | None) -> tuple[object, int | None]:
    for name in _SAMPLES:
        if source.get(name) is not None:
            rates = (source[key] for key in _RATES if source.get(key) is not None)
            return _upright(source[name]), next(rates, sample_rate)
    for name in ("bytes", "path"):
        if source.get(name) is not None:
            return source[name], sample_rate
    row = source.get("audio")
    if row is not None and not (isinstance(row, Mapping) and "audio" in row):
        return unpacked(row, sample_rate)
    keys = ", ".join(map(str, source)) or "nothing"
    raise audio_error("bad_type", f"sound can't be read from a dict of {keys[:200]}", f"legal are {_DICTS}")


def _upright(samples: object) -> object:
    """Samples as `[samples]` or `[channels, samples]`.

    Some libraries hand out `[samples, channels]`. The longer side is the time.
    """
    if not is_array(samples):
        try:
            samples = np.asarray(samples)
        except ValueError as error:  # lists of unequal lengths
            raise audio_error("bad_shape", "samples are no array", "lists of equal lengths") from error
    return samples.T if samples.ndim == 2 and samples.shape[0] > samples.shape[1] else samples
