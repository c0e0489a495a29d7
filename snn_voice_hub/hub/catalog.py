"""What is bundled: the table behind `list_models` and `snn-voice models`."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

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
