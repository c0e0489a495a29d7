"""A network on frames as a folder of C99, for microcontrollers."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from snn_voice_hub.config import VoiceConfig, check_int
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.export.c.checking import BestLabels, compared
from snn_voice_hub.export.c.cost import Footprint, cost_of
from snn_voice_hub.export.c.front import make_front_end
from snn_voice_hub.export.c.plan import make_plan, wiring_of
from snn_voice_hub.export.c.readme import made_of, readme
from snn_voice_hub.export.c.tables import constants, header, tables
from snn_voice_hub.export.c.widths import layer_count, measured_width
from snn_voice_hub.export.onnx import plain_copy
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import Framed, FramedSNN
from snn_voice_hub.writing import write_together, writing_into

_HINT = "--out names a folder that is new or empty, or holds an earlier export"


@dataclass(frozen=True)
class ExportedC:
    """What was written.

    Attributes:
        folder: Where.
        cost: Flash, RAM and operations.
        layers: How many layers have weights, the head among them.
        wide: Of these, how many have weights in 16 bits, from the first one on; those of the others have 8.
        compared: How its answers compare; None where there was no compiler.
    """

    folder: Path
    cost: Footprint
    layers: int
    wide: int
    compared: BestLabels | None


def export_c(
    network: Network,
    config: VoiceConfig,
    folder: str | os.PathLike[str],
    *,
    int8: bool = False,
    wide_layers: int | None = None,
) -> ExportedC:
    """Write a spiking network on frames as C99 that computes in integers, with front end and detector.

    Where there is a C compiler, it is built, and its answers to built-in signals are compared with PyTorch's.

    Args:
        network: The network; exported as in evaluation mode.
        config: The model's configuration: front end, labels, temperature, operating point.
        folder: Where the files go. It is complete, or absent; an earlier export is replaced.
        int8: Keep weights in 8 bits instead of 16 where that changes few answers: in the last layers, by
            `widths.measured_width`.
        wide_layers: How many layers, from the first one on, keep 16 bits, instead of as many as are measured.
            0: all have 8 bits.

    Raises:
        ConfigError: `wide_layers` is more than there are, or below 0.
        SnnVoiceError: The network can't be exported, does not answer as PyTorch does, or the folder holds
            something else or can't be written.
    """
    target = check_folder(folder)
    front = make_front_end(config.features) if isinstance(network, Framed) else None
    unit = 1.0 if front is None else front.unit
    twin = plain_copy(network)
    wiring_of(twin)
    assert front is not None
    assert isinstance(twin, FramedSNN)
    wide = layers = layer_count(twin)
    if wide_layers is not None:
        wide = check_int("wide_layers", wide_layers, low=0, high=layers)
    elif int8:
        wide = measured_width(twin, config)
    plan = make_plan(twin, wide=wide, feature_unit=unit)
    sizes = constants(plan, front, config)
    cost = cost_of(plan, front, config, twin, sizes)
    content = {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted((files(__package__) / "sources").iterdir(), key=lambda path: path.name)
        if path.name.endswith((".c", ".h"))
    }
    content["model.h"] = header(plan, sizes, config)
    content["model.c"] = tables(plan, front, config)
    found = compared(content, twin, config)
    content["README.md"] = readme(config, cost, made_of(wide, layers), sizes)
    _write(target, content)
    return ExportedC(target, cost, layers, wide, found)


def check_folder(path: str | os.PathLike[str]) -> Path:
    """Refuse a folder that can't be written or holds something else, before anything long is done for it.

    Raises:
        SnnVoiceError: It holds other things, is a file, or the folder around it does not exist.
    """
    target = Path(path)
    why = ""
    if not target.absolute().parent.is_dir():
        why = f"there is no folder {target.parent}"
    elif target.exists() and not target.is_dir():
        why = "it is a file"
    elif target.is_dir() and any(target.iterdir()) and not (target / "snn_voice.h").is_file():
        why = "it holds something else"
    if why:
        raise SnnVoiceError(f"{target} can't be written: {why}", hint=_HINT, code="unwritable")
    return target


def _write(target: Path, content: Mapping[str, str]) -> None:
    with writing_into(target, _HINT):
        if target.is_dir() and any(target.iterdir()):
            write_together({target / name: text for name, text in content.items()})
            return
        part = target.absolute().parent / f".{uuid.uuid4().hex}.part"
        try:
            part.mkdir()
            for name, text in content.items():
                (part / name).write_text(text, encoding="utf-8")
            part.replace(target)  # also where an empty folder is
        except BaseException:
            with suppress(OSError):
                shutil.rmtree(part, ignore_errors=True)
            raise
