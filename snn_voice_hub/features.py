"""Waveform batch -> model input.

One `nn.Module` made from a `FeatureConfig`. Under "fixed" and "clip" normalisation one clip's features
never depend on another's. The chain is the paper's (`Eve-ning/snn_voice`): resample, standardise, mel
filters, logarithm, standardise; a configuration with other constants makes today's front ends of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional

from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.errors import AudioError
from snn_voice_hub.tensors import FLOAT32, float32_on_cpu, no_autocast

# Under "clip", deviations below these are noise of the recorder, or digital silence; dividing by them
# would blow it up to speech. The unit is that of the waveform (1.0 = full scale), and of its logarithm.
MIN_WAVEFORM_STD = 1e-4
_MIN_FEATURE_STD = 1e-2

# Clips whose spectra are computed together on a CPU: those of more do not fit into its cache.
_CLIPS_IN_CACHE = 4


class MelPower(nn.Module):
    """Waveforms `[B, N]` -> power in mel bands `[B, n_mels, frames]`, to rounding that of torchaudio.

    torchaudio's `MelSpectrogram` squares the magnitudes of complex numbers, square roots and all, which takes
    longer than the Fourier transform.

    Args:
        config: A front end that has bands.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.n_fft, self.hop_length = config.n_fft, config.hop_length
        before = (config.n_fft - config.win_length) // 2
        window = torch.hann_window(config.win_length, **FLOAT32)
        after = config.n_fft - config.win_length - before
        self.register_buffer("window", functional.pad(window, (before, after)))
        self.register_buffer("filters", _mel_filters(config))

    def forward(self, x: Tensor) -> Tensor:
        """Mel power of waveforms `[B, N]`."""
        if x.device.type != "cpu" or len(x) <= _CLIPS_IN_CACHE:
            return self._power(x)
        return torch.cat([self._power(part) for part in torch.split(x, _CLIPS_IN_CACHE)])

    def _power(self, x: Tensor) -> Tensor:
        around = self.n_fft // 2  # frames are centred, as `torch.stft` does it
        frames = functional.pad(x, (around, around), mode="reflect").unfold(-1, self.n_fft, self.hop_length)
        return self.of_frames(frames).transpose(-1, -2)

    def of_frames(self, frames: Tensor) -> Tensor:
        """Mel power `[..., n_mels]` of frames `[..., n_fft]`."""
        spectrum = torch.fft.rfft(frames * self.window)
        power = torch.addcmul(spectrum.real.square(), spectrum.imag, spectrum.imag)
        return power @ self.filters


def _mel_filters(config: FeatureConfig) -> Tensor:
    """Triangles that overlap by half on the mel scale (HTK's), `[n_fft // 2 + 1, n_mels]`.

    Their numbers are those of torchaudio's `melscale_fbanks`, which warns of empty bands. The paper's filters
    have some at its resolution, and to silence a warning is to change a setting of all threads.
    """
    high = config.f_max if config.f_max is not None else float(config.mel_rate // 2)
    low_mel, high_mel = (2595.0 * math.log10(1.0 + hz / 700.0) for hz in (config.f_min, high))
    mels = torch.linspace(low_mel, high_mel, config.n_mels + 2, **FLOAT32)
    edges = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    bins = torch.linspace(0, config.mel_rate // 2, config.n_fft // 2 + 1, **FLOAT32)
    above, widths = edges - bins.unsqueeze(1), edges.diff()
    return torch.minimum(-above[:, :-2] / widths[:-1], above[:, 2:] / widths[1:]).clamp(min=0)


class Features(nn.Module):
    """Waveforms `[B, N]` at `config.sample_rate` -> `[B, 1, M]` or `[B, 1, n_mels, frames]`.

    It computes in float32, whatever the model around it is cast to and whatever autocast says: the logarithm
    of a nearly empty band has no meaning in half precision. Devices are followed.

    Args:
        config: What to compute; see `FeatureConfig`.
    """

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        self.resample: nn.Module = nn.Identity()
        if config.feature_rate != config.sample_rate:
            with float32_on_cpu():
                self.resample = torchaudio.transforms.Resample(config.sample_rate, config.feature_rate)
        self.mel: nn.Module = nn.Identity()
        if config.has_bands:
            self.mel = MelPower(config)
        # The kernels follow from the configuration; a checkpoint holds the network's tensors alone.
        for module in self.modules():
            module._non_persistent_buffers_set.update(module._buffers)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Behind `to`, `half`, `double` and their like: kernels go where the function would bring them, and
        # keep their dtype.
        super()._apply(lambda kernel: kernel.to(fn(kernel).device), recurse)  # type: ignore[no-untyped-call]
        return self

    def forward(self, waveforms: Tensor) -> Tensor:
        """Compute the features of a batch.

        Args:
            waveforms: `[B, N]`, float, at `config.sample_rate`. Under "batch", N is that of the longest
                clip; otherwise the caller pads to `config.num_samples`.

        Returns:
            `[B, 1, M]` for kind "waveform", `[B, 1, n_mels, frames]` for one that has bands, float32.

        Raises:
            AudioError: Not a two-dimensional float tensor, or N is 0.
        """
        if waveforms.ndim != 2 or not waveforms.is_floating_point() or waveforms.shape[-1] == 0:
            raise AudioError(
                f"waveforms have shape {list(waveforms.shape)}, {waveforms.dtype}",
                hint="a float tensor [B, N] with N > 0",
                code="bad_shape",
            )
        with no_autocast(waveforms.device):
            x = self._standardise_waveform(self._resample(waveforms.float()))
            if not self.config.has_bands:
                return x.unsqueeze(1)
            return self.of_power(self.mel(x), self.config.log_offset)

    def of_power(self, power: Tensor, offset: Tensor | float) -> Tensor:
        """Features `[B, 1, n_mels, frames]` from the power in mel bands `[B, n_mels, frames]`.

        Args:
            power: As `mel` gives it, or as an exported graph computes it.
            offset: What the logarithm adds: `log_offset`, or a tensor of it, one a band `[n_mels, 1]`.
        """
        # float64 offset and float32 sound, as in the paper: the sum is float32.
        return self._standardise_bands(torch.log(power.unsqueeze(1) + offset))

    def of_frames(self, frames: Tensor) -> Tensor:
        """The columns of a log-mel, from the frames that they are made of.

        Args:
            frames: `[F, n_fft]`, float32, at the rate `feature_rate`.

        Returns:
            `[n_mels, F]`. For kind "logmel" under "fixed" alone, where a column depends on its frame alone.
        """
        assert isinstance(self.mel, MelPower)
        with no_autocast(frames.device):
            power = self.mel.of_frames(self._standardise_waveform(frames))
            return self.of_power(power.T.unsqueeze(0), self.config.log_offset)[0, 0]

    def _resample(self, x: Tensor) -> Tensor:
        r = self.resample
        if not isinstance(r, torchaudio.transforms.Resample) or self.config.normalization == "batch":
            out: Tensor = r(x)
            return out
        # The same filter as a matrix product. torchaudio's convolution sums in another order in another
        # batch size; the logarithm of a nearly empty mel band makes 1e-4 of that 1e-7.
        step, phases = r.orig_freq // r.gcd, r.new_freq // r.gcd
        frames = functional.pad(x, (r.width, r.width + step)).unfold(-1, r.kernel.shape[-1], step)
        length = -(-x.shape[-1] * phases // step)
        resampled: Tensor = (frames @ r.kernel.squeeze(1).T).flatten(1)[:, :length]
        return resampled

    def _standardise_waveform(self, x: Tensor) -> Tensor:
        c = self.config
        if c.normalization == "fixed":
            return (x - c.waveform_mean) / c.waveform_std
        if c.normalization == "clip":
            std = x.std(dim=-1, keepdim=True, correction=0).clamp(min=MIN_WAVEFORM_STD)
            return (x - x.mean(dim=-1, keepdim=True)) / std
        return (x - x.mean()) / _not_zero(x.std())

    def _standardise_bands(self, x: Tensor) -> Tensor:
        c = self.config
        if c.normalization == "fixed":
            x = (x - c.feature_mean) / c.feature_std
        else:
            kept = torch.ones_like(x, dtype=torch.bool) if c.ignore_below is None else x > c.ignore_below
            if c.normalization == "clip":
                dims = (1, 2, 3)
                count = kept.sum(dims, keepdim=True).clamp(min=1)
                mean = (x * kept).sum(dims, keepdim=True) / count
                var = ((x - mean).square() * kept).sum(dims, keepdim=True) / count
                x = (x - mean) / var.sqrt().clamp(min=_MIN_FEATURE_STD)
            else:
                values = x[kept] if bool(kept.any()) else x
                x = (x - values.mean()) / _not_zero(values.std())
        return x if c.zero_below is None else x.masked_fill(x < c.zero_below, 0.0)


def _not_zero(std: Tensor) -> Tensor:
    """A deviation to divide by; 1 for digital silence and for a single value (whose deviation is NaN)."""
    return torch.where(std > 0, std, torch.ones_like(std))
