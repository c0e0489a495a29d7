"""From a training run to a bundled checkpoint.

`python -m snn_voice_hub.training.measuring.release RUN --data FOLDER --negatives FOLDER --unheard FOLDER`

Fits the temperature on the validation speakers, chooses the operating point by them and by the negatives that
training kept apart, measures everything on the test speakers and on sound that no training has heard, and
writes `snn_voice_hub/weights/<name>/`. All figures in the configuration come from here.

`python -m snn_voice_hub.training.measuring.release CHECKPOINT --data FOLDER --unheard OTHER --listening-only`

Measures words missed and false alarms an hour and writes them into the `config.json` of that checkpoint,
which may be a bundled one; nothing else in it changes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snn_voice_hub.config import UNKNOWN, VoiceConfig
from snn_voice_hub.hub.bundled import bundled_root
from snn_voice_hub.hub.catalog import models_table
from snn_voice_hub.hub.checkpoints import write_checkpoint
from snn_voice_hub.hub.choice import CONFIG_FILE
from snn_voice_hub.registry import describe_network
from snn_voice_hub.training.clips.cutting import joined, windows
from snn_voice_hub.training.clips.data import load_clips
from snn_voice_hub.training.clips.negatives import read_negatives
from snn_voice_hub.training.clips.sources import VAL_SHARE
from snn_voice_hub.training.measuring.evaluate import calibrated, evaluate, listening
from snn_voice_hub.training.measuring.held_out import load_test
from snn_voice_hub.training.measuring.listening import with_point
from snn_voice_hub.training.measuring.prior import expect_unknown
from snn_voice_hub.voice import SnnVoice
from snn_voice_hub.writing import writing_into

_LICENSE = "MIT"  # of what this repository holds


def release(
    run: Path,
    data: Path,
    out: Path,
    *,
    negatives: Sequence[Path] = (),
    unheard: Sequence[Path] = (),
    unknown: float | None = None,
) -> VoiceConfig:
    """Calibrate and measure one run, and write its checkpoint folder.

    Args:
        run: Checkpoint folder written by training.
        data: Folder with `val.tar`, `test.tar` and `background_noise.tar`.
        out: Checkpoint folder to write.
        negatives: Those of the training.
        unheard: Sound without the words that no training has heard, to measure on.
        unknown: How much of what it will be given to classify is other speech; None for as much as in
            training.

    Returns:
        The configuration with its figures.

    Raises:
        SnnVoiceError: Something can't be read, or other speech can't be expected of the model.
    """
    model = SnnVoice.from_pretrained(run)
    if unknown is not None:
        expect_unknown(model, unknown, float(model.config.training.get("unknown") or 0))
        training = {**model.config.training, "expected_unknown": unknown}
        model.config = dataclasses.replace(model.config, training=training)
    val = load_clips(data / "val.tar")
    if negatives:
        _, kept = read_negatives(negatives, sample_rate=model.sample_rate).divided(VAL_SHARE)
        other = windows(kept, model.labels, model.config.features.num_samples)
        # What is no word is to have honest scores as well.
        model.config = calibrated(model, joined(val, other) if UNKNOWN in model.labels else val)
        model.config = with_point(model, val, [], kept)
    else:
        model.config = calibrated(model, val)
    others = read_negatives(unheard, sample_rate=model.sample_rate) if unheard else None
    metrics: dict[str, Any] = {
        name: figures for name, figures in model.config.metrics.items() if name == "listening_validation"
    }
    metrics |= {
        "parameters": model.num_parameters(),
        "validation": model.config.metrics["validation"],
        "test": evaluate(model, data, negatives=others),
    }
    # The test clips come from where the words to learn from do, and from none of the other sources.
    if sources := model.config.data:
        metrics["test"]["data"] = sources[0]["name"]
    model.config = dataclasses.replace(model.config, metrics=metrics, license=_LICENSE)
    expected = describe_network(model.config).state_dict()
    write_checkpoint(out, model.config, model.network.state_dict(), expected)
    return model.config


def measure_listening(checkpoint: Path, data: Path, unheard: Sequence[Path]) -> VoiceConfig:
    """Measure how a checkpoint does where it listens, and write that alone into its configuration.

    Args:
        checkpoint: Its folder.
        data: Clips of words, and recordings to put behind them; see `load_test`.
        unheard: Sound without the words that no training has heard.

    Returns:
        The configuration as it was written.

    Raises:
        SnnVoiceError: Something can't be read, or the configuration can't be written.
    """
    model = SnnVoice.from_pretrained(checkpoint)
    c = model.config.features
    clips, recordings = load_test(data, None, sample_rate=c.sample_rate, num_samples=c.num_samples)
    negatives = read_negatives(unheard, sample_rate=c.sample_rate)
    config = listening(model, clips, recordings, negatives)
    with writing_into(checkpoint, "a folder of your own"):
        config.save(checkpoint / CONFIG_FILE)
    return config


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--negatives", type=Path, nargs="+", default=[])
    parser.add_argument("--unheard", type=Path, nargs="+", default=[])
    parser.add_argument("--expect-unknown", type=float, help="share of other speech among clips to classify")
    parser.add_argument("--out", type=Path, help="default: the bundled checkpoint of the run's name")
    parser.add_argument(
        "--listening-only", action="store_true", help="measure on --unheard, and change nothing else"
    )
    given = parser.parse_args()
    if given.listening_only:
        if not given.unheard:
            parser.error("--listening-only needs --unheard")
        config = measure_listening(given.run, given.data, given.unheard)
        print(json.dumps({"name": config.name, **config.metrics["test"]["listening"]}, indent=2))
        return
    name = VoiceConfig.load(given.run / "config.json").name
    out = given.out or bundled_root() / name
    config = release(
        given.run,
        given.data,
        out,
        negatives=given.negatives,
        unheard=given.unheard,
        unknown=given.expect_unknown,
    )
    print(json.dumps({"name": name, "temperature": config.temperature, **config.metrics}, indent=2))
    print(models_table())


if __name__ == "__main__":
    main()
