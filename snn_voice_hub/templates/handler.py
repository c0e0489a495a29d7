"""Custom handler for Hugging Face Inference Endpoints, made by snn-voice-hub (push with endpoint_handler).

The endpoint imports this file from the repository, makes one `EndpointHandler` and calls it for each request.
Change it as you like; a later push replaces it only if it is still as it was made.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snn_voice_hub import AudioError, SnnVoice
from snn_voice_hub.audio import load

MAX_SECONDS = 60.0
_PARAMETERS = ("top_k", "min_score", "words_only", "function_to_apply")
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,")
_SAMPLES = '{"array": [0.0, 0.1], "sampling_rate": 16000}'
_LEGAL = f"the bytes of a sound file, their base64, or {_SAMPLES}"

Clip = bytes | np.ndarray[Any, Any]


class EndpointHandler:
    """Sound in, words out.

    Args:
        path: The repository's folder; by default the one that this file lies in. Nothing is downloaded.
    """

    def __init__(self, path: str = "") -> None:
        folder = Path(path) if path else Path(__file__).parent
        self.voice = SnnVoice.from_pretrained(folder.resolve(), device="auto", local_files_only=True)
        self.voice.warm_up()

    def __call__(self, data: dict[str, Any]) -> list[Any]:
        """Answer a request.

        Args:
            data: `inputs`: the bytes of a sound file, their base64 (also as a data URL), or samples with
                their rate as `{"array": [...], "sampling_rate": 16000}` (`raw` is another name for
                `array`); or a list of those. `parameters`, if any: `top_k`, `min_score`, `words_only` and
                `function_to_apply`, as `SnnVoice.classify` has them.

        Returns:
            `[{"label": "yes", "score": 0.97}, ...]`, best first; for a list of inputs a list of such lists.

        Raises:
            ValueError: The request can't be answered; the message says why. Endpoints answer it with 400.
        """
        if not isinstance(data, dict) or "inputs" not in data:
            raise ValueError(f'the request has no "inputs": send {_LEGAL}')
        parameters = _parameters(data.get("parameters"))
        inputs = data["inputs"]
        if not isinstance(inputs, list):
            return self._answers([self._wave(inputs, "inputs")], parameters)[0]
        if not inputs:
            raise ValueError(f'"inputs" is an empty list: send one or more of {_LEGAL}')
        if isinstance(inputs[0], int | float):
            raise ValueError(f'"inputs" is a list of numbers, whose rate is not known: send {_SAMPLES}')
        waves = [self._wave(entry, f"inputs[{index}]") for index, entry in enumerate(inputs)]
        return self._answers(waves, parameters)

    def _wave(self, given: object, name: str) -> torch.Tensor:
        clip, rate = _clip(given, name)
        try:
            return load(clip, sample_rate=rate, target_rate=self.voice.sample_rate, max_seconds=MAX_SECONDS)
        except AudioError as error:
            hint = "cut it" if error.code == "too_long" else error.hint
            raise ValueError(f"{name}: {error.message}{f' ({hint})' if hint else ''}") from error

    def _answers(self, waves: list[torch.Tensor], parameters: dict[str, Any]) -> list[list[dict[str, Any]]]:
        rate = self.voice.sample_rate
        found = self.voice.classify(tuple(waves), sample_rate=rate, progress=False, **parameters)
        return [[{"label": p.label, "score": p.score} for p in answer] for answer in found]


def _parameters(given: object) -> dict[str, Any]:
    """What was asked besides; the model itself says whether the values are legal."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ValueError('"parameters" is no JSON object: send {"top_k": 5}')
    found = {name: value for name, value in given.items() if value is not None}
    for name in found:
        if name not in _PARAMETERS:
            # Passing over it would answer another question than the one that was asked.
            raise ValueError(f"unknown parameter {name!r}: send one of {', '.join(_PARAMETERS)}")
    return found


def _clip(given: object, name: str) -> tuple[Clip, int | None]:
    """One clip, and its rate where it is samples."""
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given), None
    if isinstance(given, str):
        return _decoded(given, name), None
    if isinstance(given, dict):
        return _samples(given, name)
    raise ValueError(f"{name} can't be read as sound: send {_LEGAL}")


def _decoded(text: str, name: str) -> bytes:
    if text.startswith(("http://", "https://")):
        raise ValueError(f"{name} is an address, and addresses are not fetched: send {_LEGAL}")
    if prefix := _DATA_URL.match(text):
        text = text[prefix.end() :]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{name} is not valid base64: send {_LEGAL}") from error


def _samples(given: dict[str, Any], name: str) -> tuple[Clip, int]:
    samples = given.get("array", given.get("raw"))
    rate = given.get("sampling_rate")
    if samples is None or rate is None or len(given) != 2:
        raise ValueError(f"{name} holds {', '.join(map(str, given)) or 'nothing'}: send {_SAMPLES}")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not float(rate).is_integer():
        raise ValueError(f"the sampling_rate of {name} is no whole number of hertz: send {_SAMPLES}")
    try:
        # Numbers only: strings that look like some would be taken too.
        array = np.asarray(samples)
        if array.dtype.kind not in "iuf":
            raise ValueError("no numbers")
    except ValueError as error:
        raise ValueError(f"the samples of {name} are no list of numbers: send {_SAMPLES}") from error
    # Integers that come as JSON are samples on the scale of the others, not of an integer format.
    return array.astype(np.float32) if isinstance(samples, list) else array, int(rate)
