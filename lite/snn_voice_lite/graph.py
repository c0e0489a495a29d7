"""The network of a lite file, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from snn_voice_lite.errors import CheckpointError, SnnVoiceError

Floats = npt.NDArray[np.float32]
Shape: TypeAlias = Sequence[int | None]


class OnnxGraph:
    """An ONNX graph.

    Args:
        source: Its file, or the bytes of one.
        label: What it is called in messages.
        threads: How many may work on one run.

    Attributes:
        metadata: Texts by name.

    Raises:
        CheckpointError: It can't be read.
    """

    def __init__(self, source: Path | bytes, label: str, threads: int) -> None:
        import onnxruntime as ort  # takes as long as all else of an import

        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # what is wrong is told by an exception
        given = str(source) if isinstance(source, Path) else source
        try:
            self._session = ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])
            self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
            self._inputs = {value.name: value.shape for value in self._session.get_inputs()}
            self._outputs = {value.name: value.shape for value in self._session.get_outputs()}
        # ONNX Runtime has a class of its own for each kind of bad file, and hands on texts that are none.
        except Exception as error:
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(
                f"{label} can't be read as an ONNX file: {why}", hint="was it copied to the end?"
            ) from error
        self._label = label

    def expect(self, inputs: dict[str, Shape], outputs: dict[str, Shape]) -> None:
        """Refuse a graph with other inputs or outputs.

        Args:
            inputs: Name -> shape; None for any size.
            outputs: Some of those that it has to have.

        Raises:
            CheckpointError: It has others.
        """
        there, also = self._inputs, self._outputs
        alike = there.keys() == inputs.keys() and outputs.keys() <= also.keys()
        pairs = [(there[name], shape) for name, shape in inputs.items()] if alike else []
        pairs += [(also[name], shape) for name, shape in outputs.items()] if alike else []
        if not alike or not all(_fits(found, shape) for found, shape in pairs):
            raise CheckpointError(
                f"the graph of {self._label} does not fit what the file says of it",
                hint="`snn-voice export MODEL --to lite` writes it anew",
            )

    def run(self, outputs: Sequence[str], **inputs: Floats) -> list[Floats]:
        """The outputs of these names.

        Raises:
            SnnVoiceError: ONNX Runtime can't run it.
        """
        try:
            found: list[Floats] = self._session.run(list(outputs), inputs)
        except Exception as error:
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise SnnVoiceError(f"{self._label} can't be run: {why}") from error
        return found


def _fits(found: Sequence[Any], shape: Shape) -> bool:
    """Whether a shape is the one that is expected; an axis that is free has a name."""
    sizes = zip(found, shape, strict=False)
    return len(found) == len(shape) and all(size in (None, there) for there, size in sizes)
