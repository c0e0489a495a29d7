"""What is bundled: the tables behind `list_models`, `snn-voice models` and the README."""

from __future__ import annotations

import csv
import fnmatch
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.hub.bundled import DEFAULT_MODEL, bundled_names, bundled_root
from snn_voice_hub.hub.checkpoints import read_config
from snn_voice_hub.hub.choice import WEIGHTS_FILE
from snn_voice_hub.notation import markdown_table, percent


@dataclass(frozen=True)
class ModelInfo:
    """One bundled checkpoint.

    Attributes:
        name: What `from_pretrained` takes.
        architecture: Name of the network class.
        num_steps: Time steps of which an answer is the sum; None for a network without time steps.
        step_seconds: How much sound a time step hears, where steps are those of the sound; None where each of
            them hears the whole window, or there are none.
        parameters: Number of trained values; None where it was not measured.
        accuracy: Top-1 over all test clips, 0 to 1, as `snn-voice evaluate` measured it; None where not.
        size: Bytes of the weights on disk.
        description: One line.
    """

    name: str
    architecture: str
    num_steps: int | None
    step_seconds: float | None
    parameters: int | None
    accuracy: float | None
    size: int
    description: str


def told_steps(num_steps: int | None, step_seconds: float | None) -> str:
    """Time steps as tables have them: 4, 25 of 40 ms, or -."""
    if num_steps is None:
        return "-"
    return str(num_steps) if step_seconds is None else f"{num_steps} of {1000 * step_seconds:g} ms"


def models_table() -> str:
    """The bundled checkpoints and their measured figures as a Markdown table."""
    head = (
        "model",
        "T",
        "parameters",
        "top-1",
        "top-5",
        "mean over 20 words",
        "thin words",
        "spikes",
        "CPU time",
    )
    rows = []
    for name in bundled_names():
        config = read_config(bundled_root() / name)
        test = config.metrics["test"]
        rates = list(test.get("spike_rates", {}).values())
        rows.append(
            (
                f"`{name}`" + (" (default)" if name == DEFAULT_MODEL else ""),
                told_steps(config.network.get("num_steps"), config.step_seconds),
                f"{config.metrics['parameters']:,}",
                *(percent(test[key]) for key in ("top1", "top5", "covered_mean", "thin_top1")),
                percent(sum(rates) / len(rates)) if rates else "-",
                f"{test['cpu_ms_one_clip']:.1f} ms",
            )
        )
    return markdown_table(head, rows)


def list_models(pattern: str = "*") -> list[ModelInfo]:
    """The bundled checkpoints whose name matches, the default first.

    Args:
        pattern: Shell-style, for example "*snn*".

    Returns:
        One entry a checkpoint.
    """
    found = []
    for name in bundled_names():
        if fnmatch.fnmatchcase(name, pattern):
            folder = bundled_root() / name
            config = read_config(folder)
            found.append(
                ModelInfo(
                    name=name,
                    architecture=config.architecture,
                    num_steps=config.network.get("num_steps"),
                    step_seconds=config.step_seconds,
                    parameters=config.metrics.get("parameters"),
                    accuracy=config.metrics.get("test", {}).get("top1"),
                    size=(folder / WEIGHTS_FILE).stat().st_size,
                    description=config.description,
                )
            )
    return found


def _at(*path: str) -> Callable[[VoiceConfig], object]:
    """What stands in `metrics` at this path; None where it was not measured."""

    def found(config: VoiceConfig) -> object:
        value: Any = config.metrics
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    return found


def _spikes(config: VoiceConfig) -> object:
    rates = list((_at("test", "spike_rates")(config) or {}).values())  # type: ignore[attr-defined]
    return round(sum(rates) / len(rates), 4) if rates else None


# Every figure of the bundled checkpoints that compares them: column -> where it stands.
_RESULTS: Final[dict[str, Callable[[VoiceConfig], object]]] = {
    "architecture": lambda config: config.architecture,
    "spiking": lambda config: config.is_spiking,
    "num_steps": lambda config: config.network.get("num_steps"),
    "step_seconds": lambda config: config.step_seconds,
    "sample_rate": lambda config: config.features.sample_rate,
    "labels": lambda config: len(config.labels),
    "parameters": _at("parameters"),
    "test_clips": _at("test", "clips"),
    "top1": _at("test", "top1"),
    "top2": _at("test", "top2"),
    "top5": _at("test", "top5"),
    "covered_mean": _at("test", "covered_mean"),
    "thin_top1": _at("test", "thin_top1"),
    "validation_top1": _at("validation", "top1"),
    "calibration_error": _at("test", "calibration_error"),
    "top1_recorded_noise_10_db": _at("test", "robustness", "recorded_noise", "10_db"),
    "spike_rate": _spikes,
    "cpu_ms_one_clip": _at("test", "cpu_ms_one_clip"),
    "energy_uj_a_clip": _at("energy", "energy_uj"),
    "energy_uj_a_second_of_a_stream": _at("energy", "second", "energy_uj"),
    "listening_threshold": lambda config: config.detection.threshold if config.detection else None,
    "commands_missed_10_db": _at("listening_validation", "commands", "missed", "10_db"),
    "commands_false_alarms_an_hour": _at("listening_validation", "commands", "false_alarms", "speech"),
    "license": lambda config: config.license,
}


def results_csv() -> str:
    """What was measured of each bundled checkpoint, as CSV with a header; empty where it was not.

    Shares are 0 to 1. The commands and their false alarms are of validation speakers, the rest is of test
    clips.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["model", *_RESULTS])
    for name in bundled_names():
        config = read_config(bundled_root() / name)
        writer.writerow([name, *(value(config) for value in _RESULTS.values())])
    return out.getvalue()
