"""Random changes to a batch of waveforms or spectrograms that leave the word what it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from snn_voice_hub.tensors import FLOAT32
from snn_voice_hub.training.fitting.channel import CODECS, band_limited, clipped, coded, in_room
from snn_voice_hub.training.fitting.recipe import Augmentation

# Share of the sound in which nobody speaks that is music: a ring tone is no word either.
_MUSIC_ALONE = 0.35


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, 1, generator=generator, **FLOAT32)


def _floats(wave: Tensor) -> Tensor:
    """Sound in [-1, 1), whether it is kept as float32 or as int16."""
    return wave.float() / 32768 if wave.dtype == torch.int16 else wave


def _behind(x: Tensor, other: Tensor, ratio_db: Tensor) -> Tensor:
    """Clips `[B, N]` with others behind them, at ratios `[B, 1]` of their power."""
    level = x.square().mean(1, keepdim=True).sqrt() / 10 ** (ratio_db / 20)
    return x + other / other.square().mean(1, keepdim=True).sqrt().clamp(min=1e-5) * level


class Augmenter:
    """Applies an `Augmentation`, drawing from one generator.

    Args:
        settings: How strongly.
        noises: Background recordings, each `[N]`.
        sample_rate: Rate of clips and recordings in Hz.
        seed: Seed of the generator.
        music: Recordings of music, each `[N]`.
        rooms: Impulse responses `[n, M]`.
        speech: Gives a window of other speech `[N]`; None where there is none.
    """

    def __init__(
        self,
        settings: Augmentation,
        noises: list[Tensor],
        sample_rate: int,
        seed: int,
        *,
        music: Sequence[Tensor] = (),
        rooms: Tensor | None = None,
        speech: Callable[[np.random.Generator], npt.NDArray[np.float32]] | None = None,
    ) -> None:
        self.settings = settings
        self.noises = noises
        self.music = list(music)
        self.rooms = rooms if rooms is not None and len(rooms) else None
        self.speech = speech
        self.sample_rate = sample_rate
        self.generator = torch.Generator("cpu").manual_seed(seed)

    def reseed(self, seed: int) -> None:
        """Draw from here on as a new augmenter with that seed would."""
        self.generator.manual_seed(seed)

    def waveforms(self, x: Tensor, fixed: int = 0) -> Tensor:
        """Change speed, position, loudness, room, background and channel of clips `[B, N]`.

        Args:
            x: The clips.
            fixed: How many of them, at the end, stay where they are: what is heard at the edge of a window
                would be shifted out of it.
        """
        s, g = self.settings, self.generator
        count, length = x.shape
        # One resampling does speed and shift together: output sample i is input position a * i + b.
        speed = 1 + _uniform(count, -s.speed, s.speed, g)
        shift = _uniform(count, -s.shift, s.shift, g) * self.sample_rate
        if fixed:
            shift[count - fixed :] = 0
        middle = (length - 1) / 2
        position = (torch.arange(length, **FLOAT32) - middle) * speed + middle + shift
        low = position.floor()
        part = position - low
        index = low.long()
        inside = (index >= 0) & (index < length - 1)
        index = index.clamp(0, length - 2)
        x = (x.gather(1, index) * (1 - part) + x.gather(1, index + 1) * part) * inside
        if self.rooms is not None and (some := self._some(count, s.rir)) is not None:
            room = torch.randint(len(self.rooms), (len(some),), generator=g, device="cpu")
            x[some] = in_room(x[some], self.rooms[room])
        if self.speech is not None and (some := self._some(count, s.babble)) is not None:
            rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=g, device="cpu")))
            other = torch.from_numpy(np.stack([self.speech(rng) for _ in some]))
            x[some] = _behind(x[some], other, _uniform(len(some), *s.babble_db, g))
        x = x * 10 ** (_uniform(count, *s.gain_db, g) / 20)
        if self.music and (some := self._some(count, s.music)) is not None:
            pieces = torch.stack([self._piece(self._one_of(self.music), length) for _ in some])
            x[some] = _behind(x[some], pieces, _uniform(len(some), *s.snr_db, g))
        if self.noises and s.noise > 0:
            noise = torch.stack([self.noise(length) for _ in range(count)])
            level = x.square().mean(1, keepdim=True).sqrt() / 10 ** (_uniform(count, *s.snr_db, g) / 20)
            noise = noise / noise.square().mean(1, keepdim=True).sqrt().clamp(min=1e-5) * level
            x = x + noise * (torch.rand(count, 1, generator=g, **FLOAT32) < s.noise)
        return self._sent(x.clamp(-1, 1))

    def _sent(self, x: Tensor) -> Tensor:
        """What a microphone, a telephone and a codec make of clips `[B, N]`."""
        s, g = self.settings, self.generator
        count = len(x)
        if (some := self._some(count, s.clipping)) is not None:
            x[some] = clipped(x[some], 10 ** (_uniform(len(some), -20, -3, g) / 20))
        if (some := self._some(count, s.band)) is not None:
            low, high = _uniform(len(some), 50, 400, g), _uniform(len(some), 3300, 4000, g)
            x[some] = band_limited(x[some], low, high, self.sample_rate)
        if (some := self._some(count, s.codec)) is not None:
            codec = torch.randint(len(CODECS), (len(some),), generator=g, device="cpu").tolist()
            for row, which in zip(some.tolist(), codec, strict=True):
                x[row] = coded(x[row], which, self.sample_rate)
        return x

    def _some(self, count: int, share: float) -> Tensor | None:
        """Which of some clips, about a share of them; None for none. A share of 0 draws nothing."""
        if not share:
            return None
        some = torch.nonzero(torch.rand(count, generator=self.generator, **FLOAT32) < share)[:, 0]
        return some if len(some) else None

    def _one_of(self, recordings: Sequence[Tensor]) -> Tensor:
        return recordings[int(torch.randint(len(recordings), (1,), generator=self.generator, device="cpu"))]

    def _piece(self, recording: Tensor, length: int) -> Tensor:
        last = len(recording) - length
        start = int(torch.randint(last, (1,), generator=self.generator, device="cpu"))
        return _floats(recording[start : start + length])

    def mixed(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mix some of the clips `[B, N]` with others of the batch.

        A clip's part lies between a half and all, and is one of sound pressure, not of samples: a quiet clip
        is brought up first (Y. Tokozume et al., "Learning from between-class examples for deep sound
        recognition", ICLR 2018).

        Returns:
            The clips; which other one each was mixed with, `[B]`; the part of its own word, `[B]`, 1 where it
            was left alone.
        """
        g = self.generator
        count = len(x)
        other = torch.randperm(count, generator=g, device="cpu")
        part = 0.5 + 0.5 * torch.rand(count, generator=g, **FLOAT32)
        alone = (torch.rand(count, generator=g, **FLOAT32) >= self.settings.mixup) | (
            other == torch.arange(count, device="cpu")
        )
        level = x.square().mean(1).sqrt().clamp(min=1e-5)
        gain = (1 - part) / part * level / level[other]
        mixed = (x + gain.unsqueeze(1) * x[other]) / (1 + ((1 - part) / part).square().unsqueeze(1)).sqrt()
        return torch.where(alone.unsqueeze(1), x, mixed.clamp(-1, 1)), other, torch.where(alone, 1.0, part)

    def noise(self, length: int) -> Tensor:
        """A piece of a background recording, or made noise of a random colour, `[N]`."""
        g = self.generator
        pick = int(torch.randint(len(self.noises) + 2, (1,), generator=g, device="cpu"))
        if pick < len(self.noises):
            recording = self.noises[pick]
            start = int(torch.randint(len(recording) - length, (1,), generator=g, device="cpu"))
            return _floats(recording[start : start + length])
        spectrum = torch.fft.rfft(torch.randn(length, generator=g, **FLOAT32))
        slope = float(torch.rand(1, generator=g, **FLOAT32)) * 2
        frequency = torch.arange(len(spectrum), **FLOAT32).clamp(min=1)
        made: Tensor = torch.fft.irfft(spectrum / frequency ** (slope / 2), n=length)
        return made / made.std()

    def _background(self, length: int) -> Tensor:
        """A piece of noise or, where there is some, of music, up to half an octave lower or higher, `[N]`."""
        g = self.generator
        if not self.music or float(torch.rand(1, generator=g, **FLOAT32)) >= _MUSIC_ALONE:
            return self.noise(length)
        heard = round(length * 2 ** (float(torch.rand(1, generator=g, **FLOAT32)) - 0.5))
        recording = self._one_of(self.music)
        if len(recording) <= heard:
            recording = recording.repeat(heard // len(recording) + 1)
        piece = self._piece(recording, heard)
        return functional.interpolate(piece[None, None], length, mode="linear")[0, 0]

    def silence(self, count: int, length: int) -> Tensor:
        """Clips in which nobody speaks `[B, N]`: noise and music of any loudness, clicks, digital silence."""
        g = self.generator
        clips = torch.stack([self._background(length) for _ in range(count)])
        clips = clips / clips.square().mean(1, keepdim=True).sqrt().clamp(min=1e-5)
        if count > 1:  # two sources at once
            clips = clips + clips.roll(1, 0) * torch.rand(count, 1, generator=g, **FLOAT32)
        level = 10 ** (_uniform(count, -80, -8, g) / 20)
        level = level * (torch.rand(count, 1, generator=g, **FLOAT32) > 0.05)
        # Slow swells and fades, so that a change of loudness alone is no word.
        knots = torch.rand(count, 1, 6, generator=g, **FLOAT32)
        swell = functional.interpolate(knots, size=length, mode="linear", align_corners=True)[:, 0]
        steady = torch.rand(count, 1, generator=g, **FLOAT32) < 0.5
        return (clips * level * torch.where(steady, 1.0, swell)).clamp(-1, 1)

    def features(self, x: Tensor) -> Tensor:
        """Blank a block of bands and a block of frames of spectrograms `[B, 1, n_mels, frames]`."""
        if x.ndim != 4:
            return x
        for dim, widest in ((2, self.settings.bands), (3, self.settings.frames)):
            if widest:
                size = x.shape[dim]
                width = torch.randint(widest + 1, (len(x), 1), generator=self.generator, device="cpu")
                start = (torch.rand(len(x), 1, generator=self.generator, **FLOAT32) * (size - width)).long()
                axis = torch.arange(size, device="cpu")
                blank = (axis >= start) & (axis < start + width)
                shape = [len(x), 1, 1, 1]
                shape[dim] = size
                mean = x.mean((1, 2, 3), keepdim=True)
                x = torch.where(blank.view(shape).to(x.device), mean, x)
        return x
