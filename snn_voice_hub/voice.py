"""`SnnVoice`: a network with its front end and labels; sound in, words out."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Never, Self, Unpack, cast

import torch
from torch import Tensor, nn

from snn_voice_hub.config import FORMAT_VERSION, FeatureConfig, VoiceConfig, check_int
from snn_voice_hub.errors import CheckpointError, ConfigError
from snn_voice_hub.features import Features
from snn_voice_hub.hub.checkpoints import Checkpoint, read_config, read_weights
from snn_voice_hub.hub.weights import broken_weight
from snn_voice_hub.inference.classifier import Classifier
from snn_voice_hub.inference.early_exit import StoppedEarly, check_stoppable, run_until_sure
from snn_voice_hub.inference.ends import ClassifyOptions, Clip, Ends, check_names
from snn_voice_hub.inference.engines.names import check_engine
from snn_voice_hub.inference.engines.slot import EngineSlot
from snn_voice_hub.inference.frames import FrameFront, FrameHearing, outputs_of_frames, step_samples
from snn_voice_hub.inference.hearing import WindowHearing, outputs_of_rows
from snn_voice_hub.inference.listener import Listener
from snn_voice_hub.inference.pipeline import Pipeline
from snn_voice_hub.inference.windows import fitted
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.encoding import DRAWN, seeds_of
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.models.pretrained import HubModel, LoadOptions
from snn_voice_hub.models.saving import unwrapped
from snn_voice_hub.packages import package_of
from snn_voice_hub.registry import build_network, describe_network, get_architecture
from snn_voice_hub.spikes.energy.estimate import Energy
from snn_voice_hub.spikes.energy.measure import Counted, bundled_twin, measure, untrained_twin
from snn_voice_hub.spikes.record import (
    MAX_MEGABYTES,
    Recording,
    expect_clips,
    recording,
    recordings_of,
    run_recorded,
)
from snn_voice_hub.streaming.session import Hearing
from snn_voice_hub.tensors import FLOAT32, device_of, dtype_of, no_autocast


class SnnVoice(nn.Module, HubModel, Classifier, Listener):
    """A pretrained audio classifier: `SnnVoice.from_pretrained().classify("yes.wav")`.

    Args:
        network: The network; a `Network` of a registered architecture can be saved and pushed.
        features: Its front end: a `FeatureConfig`, or keyword arguments of one as a dict. By default the
            one of the network's architecture.
        labels: One label a class, in index order.
        temperature: Logits are divided by it before the softmax.
        name: The checkpoint's name.
        description: One line for tables and cards.
        license: Licence of the weights.
        engine: How the network is run, see `engine_info`.

    Raises:
        ConfigError: Labels do not fit the network, or another value is not legal.

    Example:
        >>> model = SnnVoice.from_pretrained()
        >>> model.classify("yes.wav")[0].label
        'yes'
    """

    def __init__(
        self,
        network: nn.Module,
        features: FeatureConfig | dict[str, Any] | None = None,
        labels: Sequence[str] = (),
        *,
        temperature: float = 1.0,
        name: str = "",
        description: str = "",
        license: str = "",
        engine: str = "auto",
    ) -> None:
        super().__init__()
        bare = unwrapped(network)
        if features is None and isinstance(bare, Network):
            features = bare.default_features
        features = FeatureConfig.of(features)
        if isinstance(bare, Framed):  # with another one it would run, and give other scores in a stream
            bare.check_front_end(features)
        num_classes = getattr(bare, "num_classes", len(labels))
        if len(labels) != num_classes:
            what = f"{len(labels)} labels for a network of {num_classes} classes"
            raise ConfigError(what, hint="one label a class")
        self.config = VoiceConfig(
            architecture=type(bare).__name__,
            network=bare.arguments() if isinstance(bare, Network) else {},
            features=features,
            labels=[str(label) for label in labels],
            temperature=temperature,
            name=name,
            description=description,
            license=license,
        )
        self.network = network
        self.features = Features(features)
        if self.device.type != "meta":
            self.features.to(self.device)
        self._engine = EngineSlot(engine)

    # --- loading and saving -----------------------------------------------------------------------

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        engine: str = "auto",
        **loading: Unpack[LoadOptions],
    ) -> Self:
        """Load a checkpoint, in evaluation mode.

        Args:
            pretrained_model_name_or_path: None for the bundled default, a bundled name (see
                `list_models`), a checkpoint folder, a `.safetensors` file with its `config.json` beside it, a
                Lightning `.ckpt` of the paper's code, or a Hub id `owner/name` or `owner/name@revision`.
                A `Path` always is a path. Text that is a bundled name and a checkpoint folder is taken as the
                folder, and the log says so.
            engine: How the network is run: "auto" for the fastest that works here, "loop" (one step after
                the other), "torch" (all steps at once, equal to the loop), "compile" (`torch.compile`),
                "onnx" (ONNX Runtime, extra `[export]`) or "native" (event-driven kernels, built once by the
                machine's C++ compiler). "torch+bf16" and "native+bf16" compute large linear layers in
                bfloat16, which helps Piczak. See `engine_info`.
            **loading: `revision`, `subfolder`, `filename`, `token`, `cache_dir`, `local_files_only`,
                `force_download`, `num_steps`, `device`, `dtype`; their meaning stands at
                `HubModel.from_pretrained`.

        Returns:
            The model.

        Raises:
            CheckpointError: No such checkpoint, or weights that do not fit, are not finite, or would have to
                be cast from integers or the like; a Git LFS pointer in their place; the state of a run.
            ConfigError: A bad `config.json`, device, dtype or engine.
        """
        check_engine(engine)
        model = super().from_pretrained(pretrained_model_name_or_path, **loading)
        model.engine = engine
        return model

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Behind `to`, `half` and their like: an engine holds copies of weights as they were.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._engine = EngineSlot(self.engine)
        return self

    def _bare_network(self) -> nn.Module:
        return unwrapped(self.network)

    def _described(self, config: VoiceConfig) -> nn.Module:
        return describe_network(config)

    @classmethod
    def _from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        config = read_config(checkpoint)
        network = build_network(config)
        network.load_state_dict(read_weights(checkpoint, network.state_dict()))
        model = cls(network, config.features, config.labels)
        model.config = dataclasses.replace(
            config, network=model.config.network, format_version=FORMAT_VERSION
        )
        return model

    def _to_checkpoint(self) -> tuple[VoiceConfig, dict[str, Tensor]]:
        # Raises where the architecture is not registered: nobody could open that checkpoint.
        known = get_architecture(self.config.architecture)
        config = dataclasses.replace(self.config, architecture_package=package_of(known))
        return config, self._bare_network().state_dict()

    # --- what it is -------------------------------------------------------------------------------

    @property
    def labels(self) -> list[str]:
        """One label a class, in index order."""
        return list(self.config.labels)

    @property
    def sample_rate(self) -> int:
        """Rate in Hz of the waveforms that `forward` takes."""
        return self.config.features.sample_rate

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return device_of(self.network)

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        return dtype_of(self.network)

    @property
    def engine(self) -> str:
        """How the network is run, as it was asked for; may be set to another name."""
        return self._engine.name

    @engine.setter
    def engine(self, name: str) -> None:
        self._engine = EngineSlot(name)

    def engine_info(self) -> dict[str, Any]:
        """How the network is really run; makes the engine if that was not done yet.

        Returns:
            `engine` (its name; "module" for a network that is not a `Network`), `requested`, `reasons` (why
            others were not taken, by name), `device`, `dtype`, `threads`, what the engine adds, and
            `left_to_torch`: why some input was run by PyTorch, where there was such input.

        Raises:
            MissingExtraError: The engine was asked for by name, and its package is not installed.
        """
        return self._engine.info(self.network)

    @torch.inference_mode()
    def warm_up(self, *batch_sizes: int) -> None:
        """Make the engine and run it on silence, so that no later call pays for what only a first one needs.

        Args:
            *batch_sizes: Numbers of windows that will run together; one by default. It matters for
                "compile", which compiles for each size.

        Raises:
            CheckpointError: The network gives no finite logits.
            ConfigError: A size is not legal.
            MissingExtraError: The engine was asked for by name, and its package is not installed.
        """
        silence = torch.zeros(self.config.features.num_samples, **FLOAT32)
        for size in batch_sizes or (1,):
            clips = check_int("batch_size", size, low=1)
            logits = self(self.to_device(silence.repeat(clips, 1)))
            if self.remembers:
                stream = self.stream(sample_rate=self.sample_rate, gate=None)
                self.run_inputs(clips * list(stream.take(silence).inputs))
        if not bool(logits.isfinite().all()):
            raise CheckpointError(f"{self.config.title}: {self._trouble()}")

    def to_device(self, waveforms: Tensor) -> Tensor:
        """Waveforms where the weights are.

        Args:
            waveforms: Any shape, on the CPU.
        """
        device = self.device
        if device.type == "cuda":
            # From pinned memory neither the copy nor this thread waits for what the device is doing.
            waveforms = waveforms.pin_memory()
        return waveforms.to(device, non_blocking=True)

    def num_parameters(self) -> int:
        """Number of trained values."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    # --- waveforms in, logits out -----------------------------------------------------------------

    def forward(self, waveforms: Tensor) -> Tensor:
        """Raw logits of waveforms.

        In evaluation mode an answer does not depend on `torch.autocast`: it is off inside. In training mode
        the network obeys it; the front end stays in float32.

        Args:
            waveforms: `[B, N]` float at `sample_rate`, on any device. Clips shorter than the window are
                padded with zeros, up to 0.25 s longer ones are cut at their quieter end; under
                `normalization="batch"` they are taken as they are.

        Returns:
            Logits `[B, C]`, float32, summed over the time steps, before temperature and softmax.

        Raises:
            AudioError: Not a float tensor `[B, N]`, or clips longer than one window.
        """
        return self._logits(*self._inputs(waveforms))

    def _logits(self, x: Tensor, seeds: list[int] | None) -> Tensor:
        """Logits `[B, C]` of what the network takes."""
        network = self._bare_network()
        with nullcontext() if self.network.training else no_autocast(self.device):
            if isinstance(network, SpikingNetwork) and (open_here := recordings_of(network)):
                return run_recorded(network, x, seeds, open_here).float()
            return self._engine(self.network, x, seeds).float()

    def _inputs(self, waveforms: Tensor) -> tuple[Tensor, list[int] | None]:
        """What the network takes: features, and a seed a clip where its encoding draws."""
        c = self.config.features
        waveforms = fitted(waveforms, c).to(self.device)
        x = self.features(waveforms).to(self.dtype)
        return x, seeds_of(waveforms) if self._draws() and c.normalization != "batch" else None

    @torch.inference_mode()
    def run_inputs(self, inputs: Sequence[Any]) -> Tensor:
        """Run the network on what streams have prepared, for whoever makes batches of several streams.

        Args:
            inputs: Rows of `VoiceStream.take(...).inputs`, of any streams of this model, which alone knows
                what they are; at least one.

        Returns:
            What `VoiceStream.give` takes: `[B, C]`, on the network's device.
        """
        if isinstance(network := self._bare_network(), Framed):
            return outputs_of_frames(inputs, partial(self._advance, network), partial(self._watch, network))
        return outputs_of_rows(
            inputs,
            lambda windows: cast(Tensor, self(self.to_device(windows))),
            lambda features: self._logits(self._as_weights(features), None),
        )

    def _advance(self, network: Framed, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        with no_autocast(self.device):
            outputs, after = self._engine.advance(network, self._as_weights(x), self._as_weights(state))
            return outputs.float(), after.float()

    def _watch(self, network: Framed, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with no_autocast(self.device):
            outputs, after, mems = self._engine.watch(network, self._as_weights(x), self._as_weights(state))
            return outputs.float(), after.float(), mems.float()

    def _as_weights(self, values: Tensor) -> Tensor:
        """Values on the CPU where the weights are, in their number type."""
        return self.to_device(values).to(self.dtype)

    def _hop_of(self, seconds: float) -> int:
        network, c = self._bare_network(), self.config.features
        if not isinstance(network, Framed):
            return super()._hop_of(seconds)
        step = step_samples(c, network)
        return step * max(1, round(seconds * c.sample_rate / step))

    @property
    def remembers(self) -> bool:
        """Whether the network remembers the sound before; otherwise it hears windows, each by itself."""
        return isinstance(self._bare_network(), Framed)

    def _hearing(self, hop: int, gate: float | None, back: int, *, spikes: bool = False) -> Hearing:
        network = self._bare_network()
        if isinstance(network, Framed):
            if spikes and not isinstance(network, SpikingNetwork):
                raise ConfigError(
                    f"{type(network).__name__} has no neurons that spike", hint="a spiking network"
                )
            steps = hop // step_samples(self.config.features, network)
            front = FrameFront(self.features, network, steps)
            return FrameHearing(self.config, front, network, gate, raster=spikes, trouble=self._trouble)
        if spikes:
            raise ConfigError(
                f"{self.config.title} hears windows, and its neurons forget the one before",
                hint="a network whose steps are those of the sound; record_spikes() tells of a clip",
            )
        reuse = not self._draws()
        return WindowHearing(
            self.config, self.features, hop, gate, back=back, reuse=reuse, trouble=self._trouble
        )

    def _draws(self) -> bool:
        """Whether the network draws random numbers, by a seed made of the clip."""
        network = self._bare_network()
        return isinstance(network, SpikingNetwork) and network.encoding in DRAWN

    # --- what the neurons do ----------------------------------------------------------------------

    def record_spikes(
        self, *, mem: bool = False, max_megabytes: float = MAX_MEGABYTES
    ) -> AbstractContextManager[Recording]:
        """Record what every neuron does while clips run inside the block, in this thread.

            with model.record_spikes() as rec:
                model.classify("yes.wav")
            rec.spk["lif"]  # [T, B, ...]

        Inside the block the network runs as the engine "torch" runs it, in float32 also where the engine's
        linear layers are bfloat16; outside it nothing changes. Several calls are appended to each other. Of
        blocks inside each other, each records. A clip that is longer than the model's window has a row for
        each window; `Recording.clips` says which.

        Args:
            mem: Whether to keep the membranes too.
            max_megabytes: What the recording may hold; more is a `ConfigError`, and what was recorded before
                stays.

        Returns:
            A context manager that gives the `Recording`.

        Raises:
            ConfigError: On entering: the network does not spike.
        """
        return recording(self._bare_network(), mem=mem, max_megabytes=max_megabytes)

    def energy(
        self,
        clips: Clip | list[Clip] | tuple[Clip, ...],
        *,
        twin: str | SnnVoice | bool = True,
        sample_rate: int | None = None,
        batch_size: int = 8,
        max_seconds: float = 600.0,
        **unknown: Never,
    ) -> Energy:
        """Estimate what the network's arithmetic costs on clips, beside its twin: operations and microjoules.

        Of a window of sound, and of a second of listening: windows overlap, or where time steps are those of
        the sound, all clips are heard as one stream; and of a second of digital silence.

        Operations are counted by NeuroBench's definitions, at every time step in full; energy is their number
        times 4.6 pJ a MAC and 0.9 pJ an AC (Horowitz 2014, 45 nm, float32). It leaves out memory traffic,
        neuron updates, batch norm, pooling and the front end; see `snn_voice_hub.spikes.energy.layers`.

        Args:
            clips: One clip or a list of clips, as `classify` takes them.
            twin: What to compare with. True for the bundled model of the same name with -cnn for -snn (or the
                other way), else, for a spiking network, the CNN of the same shapes, of which only the
                operations without any skipping are known. Or a model, or a name, folder or Hub id of one.
                False for none.
            sample_rate: Rate of arrays in Hz; files carry their own.
            batch_size: Windows that run together; it changes no figure.
            max_seconds: Longer clips are an error.
            **unknown: Other names are refused.

        Returns:
            Means over the windows; `print` shows tables, `to_dict` is for JSON.

        Raises:
            AudioError: A clip can't be used; in a list the message names which.
            CheckpointError: There is no such twin.
            ConfigError: No clip, a twin with another window, a network in training mode, or one with layers
                that are not counted.
        """
        check_names(unknown, inspect.getfullargspec(self.energy).kwonlyargs)
        ends = Ends(self.config, sample_rate=sample_rate, batch_size=batch_size, max_seconds=max_seconds)
        with no_autocast(self.device):
            return measure(self._counted(), self._counted_twin(twin), clips, ends)

    # --- parts ------------------------------------------------------------------------------------

    def _counted(self, *, shapes_only: bool = False) -> Counted:
        return Counted(self._bare_network(), self.config, self._inputs, shapes_only)

    def _counted_twin(self, twin: str | SnnVoice | bool) -> Counted | None:
        found = bundled_twin(self.config) if twin is True else twin
        if isinstance(found, str | Path):
            found = SnnVoice.from_pretrained(found, engine="torch")
        if isinstance(found, SnnVoice):
            return found._counted()
        if twin is True and (network := untrained_twin(self.config)) is not None:
            return SnnVoice(network, self.config.features, self.labels).eval()._counted(shapes_only=True)
        return None

    def _pipeline(self, **options: Unpack[ClassifyOptions]) -> Pipeline:
        ends = Ends(self.config, **options)
        network = self._bare_network()
        sure = ends.options["early_exit"]
        stepped = None if sure is None else check_stoppable(network, recordings_of(network))

        def run(windows: Tensor) -> Tensor | StoppedEarly:
            windows = self.to_device(windows)
            if sure is None or stepped is None:
                logits: Tensor = self(windows)
                return logits
            inputs = self._inputs(windows)
            with no_autocast(self.device):
                return run_until_sure(stepped, *inputs, temperature=self.config.temperature, sure=sure)

        return Pipeline(ends, run, partial(expect_clips, network), self._trouble)

    def _trouble(self) -> str:
        """Why scores are not finite, if it is not what is heard; "" if it is."""
        if broken := broken_weight(self._bare_network()):
            return broken
        silence = self.to_device(torch.zeros(1, self.config.features.num_samples, **FLOAT32))
        return "" if bool(self(silence).isfinite().all()) else "no score is finite, not even for silence"
