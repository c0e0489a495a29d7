"""The constants of "fixed" normalisation: `python -m snn_voice_hub.training.fitting.constants train.tar`.

The paper's nets saw inputs that were standardised over their whole training batch. Mean and deviation over
all training clips stand in for those of a large batch, and make an answer independent of its batch-mates.
The figures of `hub/paper.py` come from here.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.features import Features
from snn_voice_hub.hub.paper import FRONT_ENDS
from snn_voice_hub.training.clips.data import Clips, load_clips

_BATCH = 128


def mean_and_std(chunks: Iterable[Tensor]) -> tuple[float, float]:
    """Mean and unbiased standard deviation of all values of many tensors, never held at once.

    Args:
        chunks: Tensors of any shapes; empty ones are allowed.

    Returns:
        Both as Python floats.

    Raises:
        ValueError: Fewer than two values in all.
    """
    count, mean, squares = 0, 0.0, 0.0
    for chunk in chunks:
        values = chunk.double()
        n = values.numel()
        if n == 0:
            continue
        # Chan's merge of two sets: sums of squares of the raw values would cancel where mean >> deviation.
        here = float(values.mean())
        shift = here - mean
        squares += float((values - here).square().sum()) + shift * shift * count * n / (count + n)
        count += n
        mean += shift * n / count
    if count < 2:
        raise ValueError("no mean and deviation of fewer than two values")
    return mean, math.sqrt(squares / (count - 1))


@torch.inference_mode()
def measure_constants(config: FeatureConfig, clips: Clips, *, waveform: bool = True) -> FeatureConfig:
    """A front end with the "fixed" constants of these clips.

    Args:
        config: The front end; its normalisation and constants are replaced.
        clips: Clips at `config.sample_rate`, zero-padded or cut to `config.num_samples`.
        waveform: Whether those of the waveform are; otherwise they stay as they are.

    Returns:
        The same front end with `normalization="fixed"`, `waveform_mean` and `waveform_std` of the waveform at
        `feature_rate`, and, for kind "logmel", `feature_mean` and `feature_std` of those log-mel values above
        `ignore_below` (of the waveform that was standardised by the first two). Six significant digits.
    """
    # All constants neutral: the front end then gives the values that are to be measured.
    bare = dataclasses.replace(
        config,
        normalization="fixed",
        waveform_mean=0.0,
        waveform_std=1.0,
        feature_mean=0.0,
        feature_std=1.0,
        zero_below=None,
    )

    def values(front_end: FeatureConfig) -> Iterable[Tensor]:
        features = Features(front_end)
        for waves in clips.batches(_BATCH):
            out: Tensor = features(waves)
            keep = front_end.ignore_below if front_end.has_bands else None
            yield out if keep is None else out[out > keep]

    config = dataclasses.replace(config, normalization="fixed")
    if waveform:
        mean, std = map(_six_digits, mean_and_std(values(dataclasses.replace(bare, kind="waveform"))))
        config = dataclasses.replace(config, waveform_mean=mean, waveform_std=std)
    if config.has_bands:
        bare = dataclasses.replace(bare, waveform_mean=config.waveform_mean, waveform_std=config.waveform_std)
        mean, std = map(_six_digits, mean_and_std(values(bare)))
        config = dataclasses.replace(config, feature_mean=mean, feature_std=std)
    return config


def _six_digits(value: float) -> float:
    return float(f"{value:.6g}")


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, help="folder of folders word/clip.wav, or a tar of one")
    parser.add_argument("--cache", type=Path, help="where to keep decoded clips")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    clips = load_clips(given.clips, given.cache)
    for kind, config in FRONT_ENDS.items():
        found = measure_constants(config, clips)
        names = ("waveform_mean", "waveform_std", *(("feature_mean", "feature_std") * config.has_bands))
        print(json.dumps({"kind": kind, "clips": len(clips)} | {n: getattr(found, n) for n in names}))


if __name__ == "__main__":
    main()
