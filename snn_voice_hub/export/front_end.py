"""A front end and an encoding in operations that graph formats have: convolutions, products, comparisons.

`features.Features` runs a fast Fourier transform over overlapping frames. ONNX has nodes for both, but the
transform of its runtimes is less exact than a convolution with the sines and cosines themselves, and the
logarithm of a nearly empty mel band shows it (`benchmarks/onnx_features.py`).
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.features import MIN_WAVEFORM_STD, Features, MelPower
from snn_voice_hub.tensors import FLOAT32, Kind

# Of `models.encoding`: a magnitude below it never spikes under "latency"; what keeps its logarithm finite.
_LATENCY_THRESHOLD, _LATENCY_EPSILON = 0.01, 1e-7


class FrontEnd(nn.Module):
    """`Features` of the same configuration, to rounding, in what can be exported with a free batch.

    Args:
        config: The front end, under any normalisation but "batch".

    Raises:
        SnnVoiceError: Its normalisation is "batch": the answer of a clip would depend on others.
    """

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        if config.normalization == "batch":
            raise SnnVoiceError(
                'normalization="batch" can\'t be exported: an answer would depend on the clips beside it',
                hint='normalization="clip" or "fixed"',
                code="not_exportable",
            )
        self._features = Features(config)
        self._mel = _Mel(config, self._features.mel) if config.has_bands else None
        self._features.mel = nn.Identity()

    def forward(self, waveforms: Tensor) -> Tensor:
        """Features of waveforms `[B, num_samples]`; see `Features.forward`."""
        x = self._standardised(self._resample(waveforms))
        if self._mel is None:
            return x.unsqueeze(1)
        return self._features.of_power(self._mel(x), self._mel.offset)

    def _standardised(self, x: Tensor) -> Tensor:
        if self._features.config.normalization != "clip":
            return self._features._standardise_waveform(x)
        x = x - _mean(x)
        return x / _mean(x.square()).sqrt().clamp(min=MIN_WAVEFORM_STD)

    def _resample(self, x: Tensor) -> Tensor:
        r = self._features.resample
        if not isinstance(r, torchaudio.transforms.Resample):
            return x
        step, phases = r.orig_freq // r.gcd, r.new_freq // r.gcd
        padded = functional.pad(x, (r.width, r.width + step)).unsqueeze(1)
        resampled = functional.conv1d(padded, cast(Tensor, r.kernel), stride=step)  # [B, phases, frames]
        return resampled.transpose(1, 2).flatten(1)[:, : -(-x.shape[-1] * phases // step)]


def _mean(x: Tensor) -> Tensor:
    """Of samples `[B, N]`, `[B, 1]`, by way of the means of short parts.

    ONNX Runtime in a browser adds one value after the other to a single float32. Over 4,000 samples that
    made a clip's deviation wrong by 1.6e-5, a hundred times what rounding costs elsewhere.
    """
    parts = next(n for n in range(math.isqrt(x.shape[-1]), 0, -1) if x.shape[-1] % n == 0)
    return x.reshape(-1, parts, x.shape[-1] // parts).mean(-1).mean(-1, keepdim=True)


class _Mel(nn.Module):
    """`MelPower` by a convolution with the sines and cosines of the samples that the window lets through."""

    basis: Tensor
    filters: Tensor
    offset: Tensor

    def __init__(self, config: FeatureConfig, mel: nn.Module) -> None:
        super().__init__()
        assert isinstance(mel, MelPower)
        self.n_fft, self.hop_length = config.n_fft, config.hop_length
        self.before = (config.n_fft - config.win_length) // 2
        self.after = config.n_fft - config.win_length - self.before
        exact: Kind = {"dtype": torch.float64, "device": "cpu"}
        bins = torch.arange(config.n_fft // 2 + 1, **exact).unsqueeze(1)
        places = torch.arange(self.before, self.before + config.win_length, **exact)
        # Whole turns are left out while they are whole numbers; a cosine of a large angle is less exact.
        angles = (bins * places).remainder(config.n_fft) * (2 * math.pi / config.n_fft)
        window = mel.window[self.before : self.before + config.win_length].double()
        self.register_buffer(
            "basis", (torch.cat([angles.cos(), -angles.sin()]) * window).float().unsqueeze(1)
        )
        self.register_buffer("filters", mel.filters.T.contiguous())
        # One a band: ONNX's optimiser takes a single 2e-16 for zero and drops it; silence would become NaN.
        self.register_buffer("offset", torch.full((config.n_mels, 1), config.log_offset, **FLOAT32))

    def forward(self, x: Tensor) -> Tensor:
        """Waveforms `[B, N]` -> power, `[B, n_mels, frames]`."""
        around = self.n_fft // 2
        x = functional.pad(x, (around, around), mode="reflect")
        x = x[:, self.before : x.shape[1] - self.after].unsqueeze(1)
        real, imaginary = functional.conv1d(x, self.basis, stride=self.hop_length).chunk(2, dim=1)
        return self.filters @ (real * real + imaginary * imaginary)


def encode_each(features: Tensor, encoding: str, num_steps: int) -> Tensor:
    """`models.encoding.encode` of each clip by itself, with a free batch.

    Args:
        features: `[B, 1, ...]`.
        encoding: "repeat" or "latency".
        num_steps: T.

    Raises:
        SnnVoiceError: The encoding is "rate", which draws at random.
    """
    if encoding == "repeat":
        return features.unsqueeze(0)
    if encoding != "latency":
        raise SnnVoiceError(
            f'encoding="{encoding}" can\'t be exported: it draws its spikes at random, from a seed made of '
            "the clip's bytes, which no graph can repeat",
            hint='encoding="repeat" or "latency"',
            code="not_exportable",
        )
    dims = tuple(range(1, features.ndim))
    magnitude = features.abs()
    low, high = magnitude.amin(dims, keepdim=True), magnitude.amax(dims, keepdim=True)
    spread = high - low
    unit = (magnitude - low) / torch.where(spread > 0, spread, torch.ones_like(spread))
    charged = unit.clamp(min=_LATENCY_THRESHOLD + _LATENCY_EPSILON)
    time = torch.log(charged / (charged - _LATENCY_THRESHOLD))
    step = torch.round(time * (num_steps - 1) / time.amax(dims, keepdim=True))
    fires = unit >= _LATENCY_THRESHOLD
    return torch.stack([((step == t) & fires).to(features.dtype) for t in range(num_steps)])
