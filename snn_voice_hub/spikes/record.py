"""Recordings: what every neuron of a spiking network did while clips ran.

A recording belongs to the thread (or asyncio task) that opened it. It sees the passes of one network through
the `tap` argument of `SpikingNetwork.forward_steps`; nothing is attached to the network itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from snn_voice_hub.config import check_bool, check_number
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.models.encoding import DRAWN
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.spikes.figures import LayerFigures, in_time, layer_figures
from snn_voice_hub.tensors import FLOAT32

MAX_MEGABYTES = 1024.0

# Rows of a batch that run together inside a block. With a tap every membrane of every step exists as a whole:
# for 32 clips of M5 with 15 steps that would be a gigabyte.
_ROWS = 8

_MEM = ".mem"


@dataclass(frozen=True)
class Row:
    """One row of a recording: one window of sound.

    Attributes:
        spk: Layer name -> spikes `[T, ...]`, bool.
        mem: Layer name -> membranes `[T, ...]`, float32; empty unless they were asked for.
        logits: `[T, C]`, what each step adds.
        features: `[1, ...]`, what the network saw.
        seed: Of its encoding, where that draws.
        newest: Of how many outputs an answer is the sum, where the time steps are those of the sound; a layer
            that steps k times in a step has `[T, C, k]`. None where each step hears all of the window.
    """

    spk: dict[str, Tensor]
    mem: dict[str, Tensor]
    logits: Tensor
    features: Tensor
    seed: int | None = None
    newest: int | None = None

    def in_time(self) -> Row:
        """The same with `[T * k, C]` of each layer where the time steps are those of the sound."""
        if self.newest is None:
            return self
        spk, mem = (
            {name: in_time(x.unsqueeze(1)).squeeze(1) for name, x in held.items()}
            for held in (self.spk, self.mem)
        )
        return replace(self, spk=spk, mem=mem)


@dataclass
class _Rows:
    """Some rows that ran together."""

    features: Tensor
    seeds: list[int | None]
    spk: dict[str, Tensor] = field(default_factory=dict)
    mem: dict[str, Tensor] = field(default_factory=dict)
    logits: Tensor = field(default_factory=lambda: torch.empty(0, **FLOAT32))

    def tensors(self) -> Iterator[Tensor]:
        yield from (self.features, self.logits, *self.spk.values(), *self.mem.values())


class Recording:
    """What a spiking network did; see `SnnVoice.record_spikes`.

    All tensors lie on the CPU. A row is a window of sound: a clip that is longer than the model's window has
    several.

    Args:
        mem: Whether to keep membranes too: four times as much memory again as spikes.
        max_megabytes: What the recording may hold. More is an error, never a recording with gaps.
        newest: Of how many outputs an answer is the sum, where the time steps are those of the sound.

    Attributes:
        clips: For each row the number of its clip, counted from 0 in the order in which clips were given.
    """

    def __init__(
        self, *, mem: bool = False, max_megabytes: float = MAX_MEGABYTES, newest: int | None = None
    ) -> None:
        self._newest = newest
        self.clips: list[int] = []
        self._keeps_mem = check_bool("mem", mem)
        self._max_bytes = check_number("max_megabytes", max_megabytes, above=0.0) * 1e6
        self._bytes = 0
        self._parts: list[_Rows] = []
        self._coming: deque[int] = deque()
        self._counted = 0

    def __len__(self) -> int:
        """Number of rows B."""
        return len(self.clips)

    @property
    def layers(self) -> list[str]:
        """Names of the spiking layers, from the sound to the answer."""
        return list(self._joined().spk)

    @property
    def spk(self) -> dict[str, Tensor]:
        """Layer name -> spikes `[T, B, ...]`, bool.

        Where the time steps are those of the sound, a layer that steps k times in a step has `[T, B, C, k]`;
        `spikes.in_time` puts them in order.
        """
        return self._joined().spk

    @property
    def mem(self) -> dict[str, Tensor]:
        """Layer name -> membranes after each step `[T, B, ...]`, float32.

        Raises:
            ConfigError: They were not asked for.
        """
        if not self._keeps_mem:
            raise ConfigError("no membranes were recorded", hint="record_spikes(mem=True)")
        return self._joined().mem

    @property
    def logits(self) -> Tensor:
        """Logits of every step `[T, B, C]`, float32; their sum over T is what `SnnVoice.forward` gives.

        Where the time steps are those of the sound, it is that of the newest `num_steps`.
        """
        return self._joined().logits

    @property
    def features(self) -> Tensor:
        """What the network saw, `[B, 1, ...]`, float32."""
        return self._joined().features

    def figures(self) -> dict[str, LayerFigures]:
        """Layer name -> firing rate, dead and saturated neurons, first spike; over all rows."""
        framed = self._newest is not None
        return {name: layer_figures(spk, framed=framed) for name, spk in self.spk.items()}

    def row(self, index: int) -> Row:
        """One row by itself; its tensors share the recording's memory.

        Args:
            index: 0 to B - 1.
        """
        joined = self._joined()
        return Row(
            {name: spk[:, index] for name, spk in joined.spk.items()},
            {name: mem[:, index] for name, mem in joined.mem.items()},
            joined.logits[:, index],
            joined.features[index],
            joined.seeds[index],
            self._newest,
        )

    # --- filling it -------------------------------------------------------------------------------

    def expect(self, windows: Sequence[int]) -> None:
        """Say how many rows each of the clips will have that run next; without it, each row is a clip."""
        self._coming = deque(
            number for number, count in enumerate(windows, self._counted) for _ in range(count)
        )
        self._counted += len(windows)

    def skip(self) -> None:
        """Say that the next row does not come."""
        if self._coming:
            self._coming.popleft()

    def begin(self, features: Tensor, clip_seeds: Sequence[int] | None = None) -> _Rows:
        """A part to fill; it is no part of the recording before `add`."""
        seeds: list[int | None] = [None] * len(features) if clip_seeds is None else list(clip_seeds)
        return _Rows(features.detach().float().cpu(), seeds)

    def see(self, part: _Rows, name: str, tensor: Tensor) -> None:
        """Take what a tap is told into a part.

        Raises:
            ConfigError: There is no room for it.
        """
        layer = name.removesuffix(_MEM)
        if layer == name:
            part.spk[layer] = tensor.detach().bool().cpu()
        elif self._keeps_mem:
            part.mem[layer] = tensor.detach().float().cpu()
        held = self._bytes + sum(t.nbytes for t in part.tensors())
        if held > self._max_bytes:
            raise ConfigError(
                f"the recording is larger than {self._max_bytes / 1e6:g} MB",
                hint="fewer clips in a block, mem=False, or a larger max_megabytes",
            )

    def add(self, part: _Rows, steps: Tensor) -> None:
        """Append a part that is complete.

        Args:
            part: Made by `begin`.
            steps: Its logits, `[T, B, C]`.
        """
        part.logits = steps.detach().float().cpu()
        self._bytes += sum(t.nbytes for t in part.tensors())
        for _ in range(len(part.features)):
            if not self._coming:
                self.expect([1])
            self.clips.append(self._coming.popleft())
        self._parts.append(part)

    def _joined(self) -> _Rows:
        """All parts as one, which takes their place."""
        if not self._parts:
            raise ConfigError("nothing was recorded", hint="classify a clip inside the block")
        if len(self._parts) > 1:
            parts = self._parts
            try:
                self._parts = [
                    _Rows(
                        torch.cat([part.features for part in parts]),
                        [seed for part in parts for seed in part.seeds],
                        {name: torch.cat([part.spk[name] for part in parts], 1) for name in parts[0].spk},
                        {name: torch.cat([part.mem[name] for part in parts], 1) for name in parts[0].mem},
                        torch.cat([part.logits for part in parts], 1),
                    )
                ]
            except RuntimeError as error:
                raise ConfigError(
                    "clips of different lengths, or numbers of steps, do not fit into one tensor",
                    hint="record each in a block of its own",
                ) from error
        return self._parts[0]


# --- what is being recorded ---------------------------------------------------------------------------

# New threads begin with none; asyncio gives each task a copy of its own.
_open: ContextVar[tuple[tuple[nn.Module, Recording], ...]] = ContextVar("_open", default=())


def check_spiking(network: nn.Module) -> SpikingNetwork:
    """The network, if there are spikes to record.

    Raises:
        ConfigError: There are none.
    """
    if not isinstance(network, SpikingNetwork):
        what = f"{type(network).__name__} has no spikes to record"
        raise ConfigError(what, hint="a spiking network, such as resmel-snn")
    return network


@contextmanager
def recording(
    network: nn.Module, *, mem: bool = False, max_megabytes: float = MAX_MEGABYTES
) -> Iterator[Recording]:
    """Record a network inside the block; see `SnnVoice.record_spikes`.

    Raises:
        ConfigError: The network has no spikes, or an argument is not legal.
    """
    newest = network.num_steps if isinstance(network, Framed) else None
    found = Recording(mem=mem, max_megabytes=max_megabytes, newest=newest)
    _open.set((*_open.get(), (check_spiking(network), found)))
    try:
        yield found
    finally:
        # Not by a token: a block in a generator may end in another context than it began in.
        _open.set(tuple(entry for entry in _open.get() if entry[1] is not found))


def recordings_of(network: nn.Module) -> list[Recording]:
    """The recordings of a network that are open here, the outermost first."""
    return [found for seen, found in _open.get() if seen is network]


def expect_clips(network: nn.Module, windows: Sequence[int] | None) -> None:
    """Tell the open recordings of a network how many windows each of the next clips has.

    Args:
        network: The network.
        windows: Their numbers; None: the next window does not come.
    """
    for found in recordings_of(network):
        if windows is None:
            found.skip()
        else:
            found.expect(windows)


def run_recorded(
    network: SpikingNetwork,
    features: Tensor,
    clip_seeds: Sequence[int] | None,
    recordings: Sequence[Recording],
) -> Tensor:
    """Run a batch for its logits, and fill recordings.

    Args:
        network: The network.
        features: Model input `[B, 1, ...]`.
        clip_seeds: See `SpikingNetwork.forward_steps`.
        recordings: Where what happens goes.

    Returns:
        Logits `[B, C]`, summed over the steps, or the newest of them.

    Raises:
        ConfigError: A recording has no room for it. What it held before stays.
    """
    # What draws or learns from the whole batch sees the whole batch.
    alone = network.encoding not in DRAWN or clip_seeds is not None
    newest = network.num_steps if isinstance(network, Framed) else 0
    size = _ROWS if alone and not network.training else max(1, len(features))
    logits = []
    for start in range(0, max(1, len(features)), size):
        rows = features[start : start + size]
        seeds = None if clip_seeds is None else clip_seeds[start : start + size]
        parts = [found.begin(rows, seeds) for found in recordings]
        steps = network.forward_steps(rows, tap=_tap(recordings, parts), clip_seeds=seeds)
        for found, part in zip(recordings, parts, strict=True):
            found.add(part, steps)
        logits.append(steps[-newest:].sum(0))
    return torch.cat(logits)


def _tap(recordings: Sequence[Recording], parts: Sequence[_Rows]) -> Callable[[str, Tensor], None]:
    def tap(name: str, tensor: Tensor) -> None:
        for found, part in zip(recordings, parts, strict=True):
            found.see(part, name, tensor)

    return tap
