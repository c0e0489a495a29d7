"""Does a folder of C answer as the network? Where there is a compiler it is built, and hears signals."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.export.agreement import signals
from snn_voice_hub.features import Features
from snn_voice_hub.models.framed import FramedSNN

# The signals are no words, and of two labels that are as likely rounding chooses one. If fewer have the same
# best label, something is wrong.
_SAME = 0.5
_SECONDS = 300


@dataclass(frozen=True)
class BestLabels:
    """How the best labels compare.

    Attributes:
        clips: How many were compared.
        same: Of these, those with the same best label.
    """

    clips: int
    same: int


def find_c_compiler() -> list[str] | None:
    """`$CC`, or the first of gcc, clang and cc; None where there is none."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    return next(([found] for name in ("gcc", "clang", "cc") if (found := shutil.which(name))), None)


def compared(files: Mapping[str, str], network: FramedSNN, config: VoiceConfig) -> BestLabels | None:
    """Build the files, and compare the best labels of the built-in signals with the network's.

    Args:
        files: Name -> text.
        network: The network, in evaluation mode.
        config: Of the model.

    Returns:
        The comparison; None where there is no compiler.

    Raises:
        SnnVoiceError: They can't be built, or answer otherwise.
    """
    compiler = find_c_compiler()
    if compiler is None:
        return None
    waves = (signals(config.features) * 32768).round().clamp(-32768, 32767).to(torch.int16)
    with torch.inference_mode(False), torch.no_grad():
        best = network(Features(config.features)(waves.float() / 32768)).argmax(1).tolist()
    with TemporaryDirectory() as name:
        for file, text in files.items():
            Path(name, file).write_text(text, encoding="utf-8")
        sources = [file for file in files if file.endswith(".c")]
        _run([*compiler, "-std=c99", "-O1", *sources, "-o", "listen"], name)
        told = _run([str(Path(name, "listen")), "--clip"], name, waves.numpy().astype("<i2").tobytes())
    found = told.decode().splitlines()
    same = sum(line.startswith(f"{config.labels[i]} ") for line, i in zip(found, best, strict=True))
    if same < _SAME * len(best):
        raise SnnVoiceError(
            f"the exported C does not answer as PyTorch does: {same} of {len(best)} signals with the same "
            "best label",
            hint="without --int8, where it was given",
            code="not_equal",
        )
    return BestLabels(len(best), same)


def _run(command: list[str], folder: str, given: bytes = b"") -> bytes:
    try:
        done = subprocess.run(
            command, cwd=folder, input=given, capture_output=True, check=True, timeout=_SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        lines = said.decode(errors="replace").strip().splitlines()
        raise SnnVoiceError(
            f"the exported C can't be built and run: {lines[0] if lines else error}",
            hint="CC names another compiler",
            code="not_built",
        ) from error
    return done.stdout
