"""What does the front end cost, and what is saved by computing it for a whole batch?

For each kind of front end of the bundled models and each batch: the batch at once, clip by clip, clip by clip
with a front end that is built anew for each, and torchaudio's own transforms on the batch. `share` is the
part of the default model's network time on the same batch.
"""

from __future__ import annotations

import argparse
import functools
import warnings
from collections.abc import Callable

import torch
import torchaudio
from torch import Tensor, nn

from benchmarks.common import DEFAULT_DATA, ROOT, begin, interleave, load_clips, make_parser
from benchmarks.report import Report, Table
from snn_voice_hub import audio
from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.features import Features
from snn_voice_hub.inference.windows import fit
from snn_voice_hub.voice import SnnVoice

MODELS = ("resmel-snn", "m5-snn", "hjh-snn")
BATCHES = (1, 8, 32, 128)
OURS, LOOP, BUILT, TORCHAUDIO = "batch", "clip by clip", "built for each clip", "torchaudio"


class TorchaudioFeatures(Features):
    """The same front end with torchaudio's resampling and mel spectrogram."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__(config)
        if config.has_bands:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*all zero values.*")
                self.mel: nn.Module = torchaudio.transforms.MelSpectrogram(
                    sample_rate=config.mel_rate,
                    n_fft=config.n_fft,
                    win_length=config.win_length,
                    hop_length=config.hop_length,
                    n_mels=config.n_mels,
                    f_min=config.f_min,
                    f_max=config.f_max,
                )

    def _resample(self, x: Tensor) -> Tensor:
        out: Tensor = self.resample(x)
        return out


def variants(config: FeatureConfig, waves: Tensor) -> dict[str, Callable[[], object]]:
    """What is timed for one front end and batch."""
    ours, theirs = Features(config), TorchaudioFeatures(config)
    return {
        OURS: lambda: ours(waves),
        LOOP: lambda: torch.cat([ours(wave) for wave in waves.split(1)]),  # type: ignore[no-untyped-call]
        BUILT: lambda: torch.cat([Features(config)(w) for w in waves.split(1)]),  # type: ignore[no-untyped-call]
        TORCHAUDIO: lambda: theirs(waves),
    }


def recordings(given: argparse.Namespace, count: int) -> Tensor:
    """Real clips `[count, N]`, or the repository's synthesised words where there are none, over and over."""
    if given.data is not None or DEFAULT_DATA.exists():
        waves = load_clips(given.data, count, given.cache).batch(slice(None))
    else:
        waves = torch.stack([fit(audio.load(p), 16_000) for p in sorted((ROOT / "examples").glob("*.wav"))])
    return waves[torch.arange(count) % len(waves)]


def describe(config: FeatureConfig) -> str:
    """A front end in a few words."""
    bands = f" {config.n_mels}" * config.has_bands
    return f"{config.title}{bands}, {config.feature_rate} Hz"


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="bundled models")
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    given = begin(parser)
    clips = recordings(given, max(given.batches))
    default = SnnVoice.from_pretrained().requires_grad_(False)
    report = Report("features", "The front end", given.out)
    report.add(
        f"One thread, medians of CPU milliseconds a clip; {len(clips)} clips. Network: "
        f"`{default.config.name}`, engine {default.engine_info()['engine']}."
    )
    table = Table("front end", "batch", OURS, LOOP, BUILT, TORCHAUDIO, "times faster", "network", "share")
    for name in given.models:
        config = SnnVoice.from_pretrained(name).config.features
        for batch in given.batches:
            with torch.inference_mode():
                calls = variants(config, clips[:batch])
                x = default.features(clips[:batch])
                calls["network"] = functools.partial(default._engine, default.network, x, None)
                timings = interleave(calls, seconds=given.seconds, rounds=given.rounds)
            ms = {key: timing.cpu_ms / batch for key, timing in timings.items()}
            cells = [ms[key] for key in (OURS, LOOP, BUILT, TORCHAUDIO)]
            faster, share = ms[TORCHAUDIO] / ms[OURS], f"{ms[OURS] / ms['network']:.0%}"
            table.add(describe(config), batch, *cells, faster, ms["network"], share)
    report.add(table)
    report.add(f"*Times faster* compares `{OURS}` with `{TORCHAUDIO}`.")


if __name__ == "__main__":
    main()
