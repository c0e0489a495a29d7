"""From a training run to a bundled checkpoint.

`python -m snn_voice_hub.training.measuring.release RUN --data FOLDER`

Fits the temperature on the validation speakers, measures everything on the test speakers, and writes
`snn_voice_hub/weights/<name>/`. All figures in the configuration come from here.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.hub.bundled import bundled_root
from snn_voice_hub.hub.catalog import models_table
from snn_voice_hub.hub.checkpoints import write_checkpoint
from snn_voice_hub.registry import describe_network
from snn_voice_hub.training.clips.data import load_clips
from snn_voice_hub.training.measuring.evaluate import calibrated, evaluate
from snn_voice_hub.voice import SnnVoice

_LICENSE = "MIT"  # of what this repository holds


def release(run: Path, data: Path, out: Path) -> VoiceConfig:
    """Calibrate and measure one run, and write its checkpoint folder.

    Args:
        run: Checkpoint folder written by training.
        data: Folder with `val.tar`, `test.tar` and `background_noise.tar`.
        out: Checkpoint folder to write.

    Returns:
        The configuration with its figures.
    """
    model = SnnVoice.from_pretrained(run)
    model.config = calibrated(model, load_clips(data / "val.tar"))
    metrics: dict[str, Any] = {
        "parameters": model.num_parameters(),
        "validation": model.config.metrics["validation"],
        "test": evaluate(model, data),
    }
    model.config = dataclasses.replace(model.config, metrics=metrics, license=_LICENSE)
    expected = describe_network(model.config).state_dict()
    write_checkpoint(out, model.config, model.network.state_dict(), expected)
    return model.config


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="default: the bundled checkpoint of the run's name")
    given = parser.parse_args()
    name = VoiceConfig.load(given.run / "config.json").name
    config = release(given.run, given.data, given.out or bundled_root() / name)
    print(json.dumps({"name": name, "temperature": config.temperature, **config.metrics}, indent=2))
    print(models_table())


if __name__ == "__main__":
    main()
