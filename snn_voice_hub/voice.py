"""`SnnVoice`: a network with its front end and labels; sound in, words out."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Never, Self, Unpack, overload

import torch
from torch import Tensor, nn

from snn_voice_hub.config import FORMAT_VERSION, FeatureConfig, VoiceConfig, check_int, shown
from snn_voice_hub.errors import AudioError, CheckpointError, ConfigError
from snn_voice_hub.features import Features
from snn_voice_hub.hub.bundled import bundled_root
from snn_voice_hub.hub.checkpoints import Checkpoint, read_config, read_weights
from snn_voice_hub.hub.weights import not_finite
from snn_voice_hub.inference.answers import Prediction, Window
from snn_voice_hub.inference.early_exit import Stopped, check_stoppable, run_until_sure
from snn_voice_hub.inference.ends import HOP_SECONDS, ClassifyOptions, Clip, Ends, check_names
from snn_voice_hub.inference.engines.names import check_engine
from snn_voice_hub.inference.engines.slot import EngineSlot
from snn_voice_hub.inference.pipeline import Pipeline
from snn_voice_hub.inference.windows import fitted
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.encoding import seeds_of
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.models.pretrained import HubModel, LoadOptions
from snn_voice_hub.models.saving import unwrapped
from snn_voice_hub.packages import package_of
from snn_voice_hub.registry import build_network, describe_network, get_architecture
from snn_voice_hub.samples import are_several
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
from snn_voice_hub.tensors import FLOAT32, no_autocast


class SnnVoice(nn.Module, HubModel):
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
        if isinstance(features, dict):
            try:
                features = FeatureConfig(**features)
            except TypeError as error:
                legal = ", ".join(f.name for f in dataclasses.fields(FeatureConfig))
                raise ConfigError(
                    "features has an unknown or missing field", hint=f"legal fields: {legal}"
                ) from error
        if not isinstance(features, FeatureConfig):
            raise ConfigError(f"features={shown(features)} is not legal", hint="a FeatureConfig")
        num_classes = getattr(bare, "num_classes", len(labels))
        if len(labels) != num_classes:
            raise ConfigError(
                f"{len(labels)} labels for a network of {num_classes} classes", hint="one label a class"
            )
        arguments = bare.arguments() if isinstance(bare, Network) else {}
        self.config = VoiceConfig(
            architecture=type(bare).__name__,
            network=arguments,
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
        tensors = itertools.chain(self.network.parameters(), self.network.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        tensors = itertools.chain(self.network.parameters(), self.network.buffers())
        return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)

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
        for size in batch_sizes or (1,):
            clips = check_int("batch_size", size, low=1)
            logits = self(self.to_device(torch.zeros(clips, self.config.features.num_samples, **FLOAT32)))
        if not bool(logits.isfinite().all()):
            raise CheckpointError(f"{self.config.name or self.config.architecture}: {self._trouble()}")

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
        x, seeds = self._inputs(waveforms)
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
        network = self._bare_network()
        draws = isinstance(network, SpikingNetwork) and network.encoding != "repeat"
        return x, seeds_of(waveforms) if draws and c.normalization != "batch" else None

    # --- sound in, words out ----------------------------------------------------------------------

    @overload
    def classify(
        self, clips: list[Clip] | tuple[Clip, ...], **options: Unpack[ClassifyOptions]
    ) -> list[list[Prediction]]: ...

    @overload
    def classify(self, clips: Clip, **options: Unpack[ClassifyOptions]) -> list[Prediction]: ...

    def classify(
        self,
        clips: Any,
        *,
        sample_rate: int | None = None,
        top_k: int = 5,
        min_score: float | None = None,
        function_to_apply: str = "softmax",
        batch_size: int = 32,
        max_seconds: float = 600.0,
        on_error: str = "raise",
        progress: bool | None = None,
        early_exit: float | None = None,
        **unknown: Never,
    ) -> Any:
        """The best words of one clip or of many.

        A clip longer than the model's window is read in windows half a second apart; a word's score is its
        best over the windows.

        Of a list, the next batch is decoded by a few threads while the network computes. Memory does not grow
        with the number of clips: what waits is at most a batch (with small batches: 8 clips), and at most
        64 MiB of sound and a clip for each thread.

        Args:
            clips: One clip (a path, the bytes of a sound file, a binary file object, an array or tensor
                `[N]` or `[channels, N]`, a tuple of such an array and its rate, or a dict as `datasets` and
                the transformers pipeline have it), or a list or tuple of clips.
            sample_rate: Rate in Hz of arrays that come without one; files carry their own.
            top_k: At most so many labels, best first.
            min_score: Words of at least this score only; the answer may then be empty: no word.
            function_to_apply: "softmax", "sigmoid", or "none" for raw logits.
            batch_size: Windows that run together.
            max_seconds: Longer clips are an error.
            on_error: "raise", or "return" to get an `AudioError` at the place of a clip that failed.
            progress: Draw a progress bar on stderr once a second has passed, if that is a terminal: None for
                lists and tuples, True for any iterable of `classify_each`, False never.
            early_exit: Add no more time steps to a window once its best score is at least this, above 0 to 1;
                `Prediction.steps` says how many were run. Steps then run one after the other, whatever the
                engine. For spiking networks.
            **unknown: Other names are refused.

        Returns:
            A list of `Prediction` for one clip; a list of such lists for many, in their order.

        Raises:
            AudioError: A clip can't be used; in a list the message names which.
            ConfigError: An argument is not legal.
        """
        check_names(unknown)
        pipeline = self._pipeline(
            sample_rate=sample_rate,
            top_k=top_k,
            min_score=min_score,
            function_to_apply=function_to_apply,
            batch_size=batch_size,
            max_seconds=max_seconds,
            on_error=on_error,
            progress=progress,
            early_exit=early_exit,
        )
        return list(pipeline.each(clips)) if are_several(clips) else pipeline.one(clips)

    def classify_each(
        self, clips: Iterable[Clip], **options: Unpack[ClassifyOptions]
    ) -> Iterator[list[Prediction] | AudioError]:
        """The best words of each clip of any iterable, as soon as they are known, in order.

        The iterable may be endless. Its clips are taken in the thread that asks for answers, up to
        `2 * batch_size` before their answers; of an iterable that is no list or tuple, none before its own
        batch until the first batch has been answered. Where a clip is made from the answer to the one before
        it, use `batch_size=1`: then none is taken before its turn. Files and `bytes` are decoded by a few
        threads meanwhile, so a file has to stay until its answer has come; file objects and arrays are read
        before the next clip is taken. Memory is bounded by `batch_size` and the longest clip, not by the
        number of clips.

        Args:
            clips: Clips as `classify` takes them; always many.
            **options: The keyword arguments of `classify`.

        Yields:
            A list of `Prediction` a clip; with `on_error="return"` an `AudioError` for one that failed.

        Raises:
            AudioError: A clip can't be used; the message names which. This and what the iterable itself
                raises come at their place, after the answers to all clips before.
            ConfigError: An argument is not legal.
        """
        yield from self._pipeline(**options).each(clips)

    def classify_windows(
        self, clip: Clip, *, hop_seconds: float = HOP_SECONDS, **options: Unpack[ClassifyOptions]
    ) -> list[Window]:
        """The best words of each window of one clip.

        Args:
            clip: One clip, as `classify` takes it.
            hop_seconds: Distance between windows; the last one ends with the clip.
            **options: The keyword arguments of `classify`; a clip that can't be used is always raised.

        Returns:
            The windows in order, each with start and end in seconds. A clip that is shorter than a window,
            or at most 0.25 s longer, is one window with the clip's own length.

        Raises:
            AudioError: The clip can't be used.
            ConfigError: An argument is not legal.
        """
        return self._pipeline(**options).windows(clip, hop_seconds)

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
        check_names(unknown)
        ends = Ends(self.config, sample_rate=sample_rate, batch_size=batch_size, max_seconds=max_seconds)
        with no_autocast(self.device):
            return measure(self._counted(), self._counted_twin(twin), clips, ends)

    # --- parts ------------------------------------------------------------------------------------

    def _counted(self, *, shapes_only: bool = False) -> Counted:
        def inputs(windows: Tensor) -> tuple[Tensor, list[int] | None]:
            return self._inputs(self.to_device(windows))

        return Counted(self._bare_network(), self.config, inputs, shapes_only)

    def _counted_twin(self, twin: str | SnnVoice | bool) -> Counted | None:
        name = bundled_twin(self.config) if twin is True else None
        found = twin if name is None else bundled_root() / name
        if isinstance(found, str | Path):
            return SnnVoice.from_pretrained(found, engine="torch")._counted()
        if isinstance(found, SnnVoice):
            return found._counted()
        network = untrained_twin(self.config) if twin is True else None
        if network is None:
            return None
        return SnnVoice(network, self.config.features, self.labels).eval()._counted(shapes_only=True)

    def _pipeline(self, **options: Unpack[ClassifyOptions]) -> Pipeline:
        ends = Ends(self.config, **options)
        network = self._bare_network()
        sure = ends.options["early_exit"]
        stepped = None if sure is None else check_stoppable(network, recordings_of(network))

        def run(windows: Tensor) -> Tensor | Stopped:
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
        for name, tensor in self._bare_network().state_dict().items():
            if broken := not_finite(tensor.detach().cpu()):
                return f"{name} holds {broken}"
        silence = self.to_device(torch.zeros(1, self.config.features.num_samples, **FLOAT32))
        return "" if bool(self(silence).isfinite().all()) else "no score is finite, not even for silence"
