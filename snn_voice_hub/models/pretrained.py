"""The mixin that loads, saves and publishes models, as a checkpoint folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, TypedDict

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from snn_voice_lite.visible import module_logger
from torch import Tensor, nn

from snn_voice_hub.config import LIBRARY_NAME, VoiceConfig
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.hub.cards.page import make_card
from snn_voice_hub.hub.checkpoints import Checkpoint, resolve, write_checkpoint
from snn_voice_hub.hub.dtypes import DTYPES, cast_weight
from snn_voice_hub.hub.loading import Loading
from snn_voice_hub.hub.publish import push_folder
from snn_voice_hub.models.saving import check_described
from snn_voice_hub.tensors import float32_on_cpu
from snn_voice_hub.writing import write_whole, writing_into

logger = module_logger(__name__)

_ELSEWHERE = "name a folder that can be written"


class LoadOptions(TypedDict, total=False):
    """The keyword arguments of `HubModel.from_pretrained`, for type checkers; their meaning stands there."""

    revision: str | None
    subfolder: str | None
    filename: str | None
    token: str | bool | None
    cache_dir: str | Path | None
    local_files_only: bool
    force_download: bool
    num_steps: int | None
    device: str | torch.device
    dtype: str | torch.dtype | None


class HubModel(
    PyTorchModelHubMixin,
    library_name=LIBRARY_NAME,
    pipeline_tag="audio-classification",
    paper_url="https://github.com/Eve-ning/snn_voice",
):
    """`from_pretrained`, `save_pretrained` and `push_to_hub` over a checkpoint folder.

    huggingface_hub's mixin by itself drops unknown fields of the configuration, leaves missing weights
    random and prints; both of its hooks are replaced here by a strict reader and writer.
    """

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        revision: str | None = None,
        subfolder: str | None = None,
        filename: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        num_steps: int | None = None,
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype | None = None,
    ) -> Self:
        """Load a checkpoint, in evaluation mode.

        Args:
            pretrained_model_name_or_path: None for the bundled default, a bundled name (see
                `list_models`), a checkpoint folder, a `.safetensors` file with its `config.json` beside it, a
                Lightning `.ckpt` of the paper's code, or a Hub id `owner/name` or `owner/name@revision`.
                A `Path` always is a path. Text that is a bundled name and a checkpoint folder is taken as the
                folder, and the log says so.
            revision: Branch, tag or commit of a Hub repository; all files of a load are from one commit.
            subfolder: Folder of the checkpoint inside the repository or folder.
            filename: Its file of weights, where there are several.
            token: Hub token; by default the one of `hf auth login`.
            cache_dir: The Hub client's cache folder.
            local_files_only: Use what an earlier download left, and never the network.
            force_download: Download again even where the cache has it.
            num_steps: Time steps of a Lightning checkpoint that does not say so itself. Of a network whose
                time steps are those of the sound: of how many of its newest outputs an answer is the sum, at
                most those of a window. Other networks were trained with a number of steps, and keep it.
            device: "cpu", "cuda", "mps", or "auto" for the best there is.
            dtype: "float32", "float16" or "bfloat16" for the network's weights and arithmetic; the front end
                stays in float32. By default float32, whatever the file holds.

        Returns:
            The model.

        Raises:
            CheckpointError: No such checkpoint, or weights that do not fit, are not finite, or would have to
                be cast from integers or the like; a Git LFS pointer in their place; the state of a run.
            ConfigError: A bad `config.json`, device, dtype or `num_steps`.
        """
        where, number = pick_device(device), pick_dtype(dtype)  # before anything is downloaded
        loading = Loading(
            revision=revision,
            subfolder=subfolder,
            filename=filename,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
            num_steps=num_steps,
        )
        checkpoint = resolve(pretrained_model_name_or_path, loading)
        with float32_on_cpu():
            model = cls._from_checkpoint(checkpoint)
        assert isinstance(model, nn.Module)
        bare = model._bare_network()
        for key, tensor in bare.state_dict().items():
            cast_weight(str(checkpoint.weights), key, tensor, number)  # what does not fit would be infinite
        bare.to(number)
        model.to(where).eval()
        return model

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        dtype: str | torch.dtype | None = None,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **pushing: Any,
    ) -> str | None:
        """Write the model as a checkpoint folder: configuration, weights, and a card where there is none.

        What could not be opened again is refused before anything is written. Of `torch.compile` and parallel
        modules the network inside is saved. Weights in float64 are written as float32.

        Args:
            save_directory: The folder; made where it does not exist.
            dtype: "float32", "float16" or "bfloat16" for the weights on the disk, which takes half the
                space for the last two. Networks are loaded in float32 all the same, unless `from_pretrained`
                is asked for another dtype. By default the model's own.
            push_to_hub: Publish it as well.
            repo_id: Where; by default under the folder's name.
            **pushing: More arguments of `push_to_hub`.

        Returns:
            What `push_to_hub` gives, or None.

        Raises:
            CheckpointError: The network is not the one that the configuration describes (another head, an
                added module, weights in another form), a weight is NaN, infinite, of a dtype that would have
                to be cast, or past the range of `dtype`.
            ConfigError: The configuration does not fit the network or can't be written, or `dtype` is not
                legal.
            SnnVoiceError: The folder can't be written.
        """
        target = None if dtype is None else pick_dtype(dtype)
        name = os.fspath(save_directory)
        if not name or "\0" in name:
            raise ConfigError(f"save_directory={name!r} is not legal", hint="the path of a folder")
        folder = Path(name)
        with writing_into(folder, _ELSEWHERE):
            config = self._write(folder, target)
        package = config.architecture_package
        if package is not None and package.name is None:
            what = f"{config.architecture} is in no installed package"
            logger.warning("%s: who opens %s needs the file that defines it, and --import", what, folder)
        card = folder / "README.md"
        if not card.exists():
            write_whole(card, str(self.generate_model_card(repo_id=repo_id)), hint=_ELSEWHERE)
        return self.push_to_hub(repo_id or folder.name, dtype=dtype, **pushing) if push_to_hub else None

    def push_to_hub(  # type: ignore[override]
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        commit_message: str = "Push a model of snn-voice-hub",
        branch: str | None = None,
        create_pr: bool = False,
        replace_card: bool = False,
        endpoint_handler: bool = False,
        formats: Sequence[str] = (),
        dtype: str | torch.dtype | None = None,
        token: str | bool | None = None,
        quiet: bool = False,
    ) -> str:
        """Publish the model on the Hugging Face Hub: configuration, weights and card, in one commit.

        A card that is there already keeps its prose; its metadata are brought up to date.

        Args:
            repo_id: `owner/name`, or a name under your own account; made where it does not exist.
            private: Make a new repository private, or public; None for the account's default.
            commit_message: First line of the commit.
            branch: Branch to push to, made where it is missing; by default the main one.
            create_pr: Open a pull request instead of pushing.
            replace_card: Write a fresh card even where the one on the Hub holds other words.
            endpoint_handler: Push the `handler.py` and `requirements.txt` that Hugging Face Inference
                Endpoints need as well. A `handler.py` there that somebody wrote is never replaced.
            formats: Formats in which the model is to lie there as well, for programs without PyTorch: "onnx",
                "onnx-int8", "lite". The card names the files. It takes the extra `[export]`, and an
                `SnnVoice`.
            dtype: Of the weights; see `save_pretrained`.
            token: Hub token; by default the one of `hf auth login`.
            quiet: No progress bars.

        Returns:
            URL of the commit or pull request.

        Raises:
            CheckpointError: The Hub can't be reached, or refuses; the message says what to do. Or the model
                can't be saved, see `save_pretrained`; nothing reaches the Hub then.
            ConfigError: The model can't be saved, or a format does not exist.
            MissingExtraError: Formats are asked for, and the extra `[export]` is not installed.
            SnnVoiceError: The model can't be exported.
        """
        with TemporaryDirectory() as folder, TemporaryDirectory() as exports:
            self.save_pretrained(folder, dtype=dtype)
            beside = self._in_formats(formats, Path(exports)) if formats else {}
            return push_folder(
                folder,
                repo_id,
                private=private,
                commit_message=commit_message,
                branch=branch,
                create_pr=create_pr,
                replace_card=replace_card,
                endpoint_handler=endpoint_handler,
                beside=beside,
                token=token,
                quiet=quiet,
            )

    def _in_formats(self, formats: Sequence[str], folder: Path) -> Mapping[str, Path]:
        """Write files in these formats; place in a repository -> file."""
        raise ConfigError(
            "other formats hold a front end, which a network alone has not",
            hint="SnnVoice(network, ...).push_to_hub(..., formats=[...])",
        )

    def _save_pretrained(self, save_directory: Path) -> None:
        self._write(save_directory, None)

    def _write(self, folder: Path, dtype: torch.dtype | None) -> VoiceConfig:
        config, weights = self._to_checkpoint()
        described = self._described(config)
        check_described(self._bare_network(), described, config)
        write_checkpoint(folder, config, weights, described.state_dict(), dtype=dtype)
        return config

    def generate_model_card(self, *_: Any, **kwargs: Any) -> ModelCard:
        """The README.md of a saved checkpoint."""
        return make_card(self._to_checkpoint()[0], kwargs.get("repo_id"))

    @classmethod
    def _from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """Build the model of a checkpoint."""
        raise NotImplementedError(f"{cls.__name__} does not define _from_checkpoint()")

    def _bare_network(self) -> nn.Module:
        """The network without front end and wrappers."""
        raise NotImplementedError(f"{type(self).__name__} does not define _bare_network()")

    def _described(self, config: VoiceConfig) -> nn.Module:
        """What the configuration describes, without values."""
        raise NotImplementedError(f"{type(self).__name__} does not define _described()")

    def _to_checkpoint(self) -> tuple[VoiceConfig, dict[str, Tensor]]:
        """Configuration and the bare network's state dict."""
        raise NotImplementedError(f"{type(self).__name__} does not define _to_checkpoint()")


def pick_device(device: str | torch.device) -> torch.device:
    """The torch device of that name; "auto" takes CUDA, then Apple's GPU, then the CPU.

    Raises:
        ConfigError: Not a device, or not on this machine.
    """
    if device == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(name)
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(
            f"device={device!r} is not legal", hint="'auto', 'cpu', 'cuda', 'cuda:1', 'mps'"
        ) from error
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (found.index or 0) >= count.get(found.type, 0):
        raise ConfigError(
            f"device={str(device)!r} is not on this machine", hint="device='auto' takes the best there is"
        )
    return found


def pick_dtype(dtype: str | torch.dtype | None) -> torch.dtype:
    """The torch dtype of that name; float32 for None.

    Raises:
        ConfigError: Not one that networks run in.
    """
    if dtype is None:
        return torch.float32
    for name, found in DTYPES.items():
        if dtype in (name, found):
            return found
    raise ConfigError(f"dtype={dtype!r} is not legal", hint=f"one of {', '.join(map(repr, DTYPES))}")
