"""The front end's configuration: how a waveform becomes a network's input, and how much that may cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from snn_voice_lite.config.values import check_choice, check_int, check_number, shown
from snn_voice_lite.errors import ConfigError

# The kinds that are made of the power in mel bands, as prose calls them. `Features.of_power` alone says what
# becomes of that power; all else asks `FeatureConfig.has_bands`.
_OF_BANDS = {"logmel": "log-mel"}
KINDS = ("waveform", *_OF_BANDS)
NORMALIZATIONS = ("fixed", "clip", "batch")

# What audio.load takes.
MIN_RATE, MAX_RATE = 4_000, 192_000
# Bounds with room for real use: a window of a minute at 16 kHz, spectra of ten seconds at 48 kHz. A file of a
# few kilobytes can ask for no more than about 100 MB a clip.
MAX_SAMPLES = 2**20
_MAX_FFT = 2**15
_MAX_MELS = 1024
_MAX_KERNEL = 2**20  # values; 44,100 -> 16,000 Hz takes 76,000
_MAX_FILTERS = 2**22
_MAX_SPECTRA = 2**23
MAX_VALUES = 2**20
# Of the resampling kernel: torchaudio's defaults, with which `features.Features` makes it.
_LOWPASS_WIDTH, _ROLLOFF = 6, 0.99
# float32 divides by these and multiplies with them without a zero or an infinity.
_TINY, _HUGE = 1e-12, 1e12


def kinds_of(dims: int) -> list[str]:
    """The kinds whose features have so many dimensions without batch and channel."""
    return [kind for kind in KINDS if dims == 1 + (kind in _OF_BANDS)]


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """How a waveform becomes the model's input; see `features.Features` for the computation.

    The defaults are the paper's (REFERENCE: `Eve-ning/snn_voice`), so that code states only what it changes.
    `config.json` states every field.

    Attributes:
        kind: "waveform" (`[B, 1, N]`) or "logmel" (`[B, 1, n_mels, frames]`).
        sample_rate: Rate in Hz of the waveforms handed in.
        num_samples: Length of the model's window, in samples at `sample_rate`.
        feature_rate: Rate in Hz to which torchaudio resamples before anything else.
        normalization: "fixed" (the constants below), "clip" (each clip by itself) or "batch" (over the
            whole batch, as the paper trained: an answer then depends on the clip's batch-mates).
        waveform_mean: Mean of the waveform at `feature_rate`, for "fixed".
        waveform_std: Its standard deviation, for "fixed".
        mel_rate: Rate in Hz that the mel filters assume (the paper's assume 16 kHz on 4 kHz sound).
        n_fft: FFT size in samples.
        win_length: Window in samples.
        hop_length: Hop in samples.
        n_mels: Number of mel bands.
        f_min: Lowest frequency of the mel filters, Hz.
        f_max: Highest frequency of the mel filters, Hz; None for half of `mel_rate`.
        log_offset: Added before the logarithm.
        ignore_below: Log-mel values not above this are left out of mean and deviation.
        feature_mean: Mean of the log-mel values, for "fixed".
        feature_std: Their standard deviation, for "fixed".
        zero_below: Standardised values below this become 0.
    """

    kind: str
    sample_rate: int = 16_000
    num_samples: int = 16_000
    feature_rate: int = 4_000
    normalization: str = "fixed"
    waveform_mean: float = 0.0
    waveform_std: float = 1.0
    mel_rate: int = 16_000
    n_fft: int = 400
    win_length: int = 60
    hop_length: int = 30
    n_mels: int = 60
    f_min: float = 0.0
    f_max: float | None = None
    log_offset: float = 2.22e-16
    ignore_below: float | None = -20.0
    feature_mean: float = 0.0
    feature_std: float = 1.0
    zero_below: float | None = -5.0

    def __post_init__(self) -> None:
        """Check every value, and what they ask for together.

        Raises:
            ConfigError: A value is out of range; the message names it.
        """
        check_choice("features.kind", self.kind, KINDS)
        check_choice("features.normalization", self.normalization, NORMALIZATIONS)
        check_int("features.sample_rate", self.sample_rate, low=MIN_RATE, high=MAX_RATE)
        for name in ("feature_rate", "mel_rate"):
            check_int(f"features.{name}", getattr(self, name), low=1000, high=MAX_RATE)
        for name, most in (
            ("num_samples", MAX_SAMPLES),
            ("n_fft", _MAX_FFT),
            ("win_length", _MAX_FFT),
            ("hop_length", MAX_SAMPLES),
            ("n_mels", _MAX_MELS),
        ):
            check_int(f"features.{name}", getattr(self, name), low=1, high=most)
        for name in ("waveform_std", "feature_std"):
            check_number(f"features.{name}", getattr(self, name), low=_TINY, high=_HUGE)
        check_number("features.log_offset", self.log_offset, low=1e-30, high=_HUGE)
        for name in ("waveform_mean", "feature_mean", "ignore_below", "zero_below"):
            if getattr(self, name) is not None or name.endswith("_mean"):
                check_number(f"features.{name}", getattr(self, name), low=-_HUGE, high=_HUGE)
        self._check_filters()
        self._check_size()

    @classmethod
    def of(cls, given: object) -> FeatureConfig:
        """What a user hands in as a front end: one, or a dict of its keyword arguments.

        Raises:
            ConfigError: It is something else, or a value of it is not legal.
        """
        if isinstance(given, dict):
            try:
                given = cls(**given)
            except TypeError as error:
                legal = ", ".join(field.name for field in fields(cls))
                raise ConfigError(
                    "features has an unknown or missing field", hint=f"legal fields: {legal}"
                ) from error
        if not isinstance(given, cls):
            raise ConfigError(f"features={shown(given)} is not legal", hint="a FeatureConfig")
        return given

    def _check_filters(self) -> None:
        if self.win_length > self.n_fft:
            raise ConfigError(
                f"features.win_length={self.win_length} is not legal", hint=f"at most n_fft={self.n_fft}"
            )
        top = self.mel_rate / 2
        check_number("features.f_min", self.f_min, low=0.0, high=top)
        if self.f_max is not None and not self.f_min < check_number("features.f_max", self.f_max) <= top:
            raise ConfigError(
                f"features.f_max={self.f_max!r} is not legal", hint=f"above f_min and at most {top:g} Hz"
            )

    def _check_size(self) -> None:
        """Refuse what is legal value by value and too much together."""
        if self._kernel > _MAX_KERNEL:
            raise ConfigError(
                f"features.feature_rate={self.feature_rate} is not legal: to resample "
                f"{self.sample_rate} Hz to it takes a kernel of {self._kernel:,} values",
                hint="a rate with a large common divisor with sample_rate, such as a quarter of it",
            )
        values = math.prod(self.shape)
        if values > MAX_VALUES:
            raise ConfigError(
                f"features.num_samples={self.num_samples} is not legal: a window has {values:,} features",
                hint=f"at most {MAX_VALUES:,}: a shorter window, a longer hop_length, fewer n_mels",
            )
        if not self.has_bands:
            return
        if self.n_fft // 2 >= self._resampled:
            raise ConfigError(
                f"features.n_fft={self.n_fft} is not legal: a window of "
                f"num_samples={self.num_samples} has {self._resampled} at {self.feature_rate} Hz",
                hint="less than twice as many",
            )
        filters, spectra = (self.n_fft // 2 + 1) * self.n_mels, self.shape[1] * self.n_fft
        if filters > _MAX_FILTERS:
            raise ConfigError(
                f"features.n_mels={self.n_mels} is not legal: with n_fft={self.n_fft} its filters have "
                f"{filters:,} values",
                hint=f"at most {_MAX_FILTERS:,}",
            )
        if spectra > _MAX_SPECTRA:
            raise ConfigError(
                f"features.hop_length={self.hop_length} is not legal: the spectra of a window have "
                f"{spectra:,} values",
                hint=f"at most {_MAX_SPECTRA:,}: a longer hop_length, a shorter n_fft or window",
            )

    @property
    def _ratio(self) -> tuple[int, int]:
        """Rate before and after resampling, reduced."""
        common = math.gcd(self.sample_rate, self.feature_rate)
        return self.sample_rate // common, self.feature_rate // common

    @property
    def _kernel(self) -> int:
        """Values of torchaudio's resampling kernel."""
        before, after = self._ratio
        width = math.ceil(_LOWPASS_WIDTH * before / (min(before, after) * _ROLLOFF))
        return 0 if before == after else after * (2 * width + before)

    @property
    def _resampled(self) -> int:
        """Length of the window in samples at `feature_rate`."""
        before, after = self._ratio
        return -(-self.num_samples * after // before)

    @property
    def shape(self) -> tuple[int, ...]:
        """One window's features without batch and channel: `[N]`, or `[n_mels, frames]`."""
        if not self.has_bands:
            return (self._resampled,)
        around = self.n_fft // 2
        return self.n_mels, 1 + (self._resampled + 2 * around - self.n_fft) // self.hop_length

    @property
    def has_bands(self) -> bool:
        """Whether its features are mel bands over time; else they are a waveform."""
        return self.kind in _OF_BANDS

    @property
    def title(self) -> str:
        """The kind, as prose calls it."""
        return _OF_BANDS.get(self.kind, self.kind)

    @property
    def seconds(self) -> float:
        """Length of the model's window in seconds."""
        return self.num_samples / self.sample_rate
