"""`SnnVoice`: a network with its front end and labels; sound in, words out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Self, Unpack

import torch
from torch import Tensor, nn

from snn_voice_hub.config import FORMAT_VERSION, FeatureConfig, VoiceConfig, check_int
from snn_voice_hub.enrolment.enroller import Enroller
from snn_voice_hub.errors import CheckpointError, ConfigError
from snn_voice_hub.features import Features
from snn_voice_hub.hub.checkpoints import Checkpoint, read_config, read_weights
from snn_voice_hub.hub.weights import broken_weight
from snn_voice_hub.inference.classifier import Classifier
from snn_voice_hub.inference.early_exit import StoppedEarly, check_stoppable, run_until_sure
from snn_voice_hub.inference.ends import ClassifyOptions, Ends
from snn_voice_hub.inference.engines.names import check_engine
from snn_voice_hub.inference.engines.slot import EngineSlot
from snn_voice_hub.inference.pipeline import Pipeline
from snn_voice_hub.inference.streamed import Streamed
from snn_voice_hub.inference.windows import fitted
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.encoding import seeds_of
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.models.pretrained import HubModel, LoadOptions
from snn_voice_hub.models.saving import unwrapped
from snn_voice_hub.packages import package_of
from snn_voice_hub.registry import build_network, describe_network, get_architecture
from snn_voice_hub.spikes.energy.measure import Counted, bundled_twin, untrained_twin
from snn_voice_hub.spikes.observed import Observed
from snn_voice_hub.spikes.record import expect_clips, recordings_of, run_recorded
from snn_voice_hub.tensors import FLOAT32, device_of, dtype_of, no_autocast


class SnnVoice(Streamed, Observed, Enroller, HubModel, Classifier):
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
        return cls._made_of(network, config)

    @classmethod
    def _made_of(cls, network: Network, config: VoiceConfig) -> Self:
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

    def _in_formats(self, formats: Sequence[str], folder: Path) -> Mapping[str, Path]:
        from snn_voice_hub.export.formats import write_formats  # brings what tracing needs

        network = self._bare_network()
        assert isinstance(network, Network), "what is no Network could not be saved"
        return write_formats(network, self.config, folder, formats)

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

    # --- parts ------------------------------------------------------------------------------------

    def _counted(self, *, shapes_only: bool = False) -> Counted:
        return Counted(self._bare_network(), self.config, self._inputs, shapes_only)

    def _counted_twin(self, twin: str | Observed | bool) -> Counted | None:
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
