"""The networks that are measured, with trained weights where there are any."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.common import in_batches
from snn_voice_hub.config import SPEECH_COMMANDS
from snn_voice_hub.hub.catalog import list_models
from snn_voice_hub.inference.engines.base import Engine
from snn_voice_hub.inference.engines.choice import make_engine
from snn_voice_hub.inference.engines.names import ENGINES
from snn_voice_hub.models import architectures
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import Framed
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.registry import get_architecture
from snn_voice_hub.spikes.energy.measure import twin_architecture
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.fitting.teaching import adopt
from snn_voice_hub.voice import SnnVoice

# Where the weights of a network are from that has never been trained.
UNTRAINED = "untrained"
# Every name that an engine can be asked for; "auto" is one of these.
ENGINE_NAMES = tuple(name for name in ENGINES if name != "auto")


@dataclass
class Subject:
    """One architecture with its CNN twin.

    Attributes:
        name: Short name, a key of `SUBJECTS`.
        title: Name in tables.
        voice: The spiking network with its front end and labels.
        twin: Its CNN twin with its own front end.
        origin: Where the spiking weights come from.
        twin_origin: Where the twin's come from.
    """

    name: str
    title: str
    voice: SnnVoice
    twin: SnnVoice
    origin: str
    twin_origin: str

    @property
    def network(self) -> SpikingNetwork:
        """The spiking network."""
        network = self.voice.network
        assert isinstance(network, SpikingNetwork)
        return network

    @property
    def cnn(self) -> Network:
        """The CNN twin."""
        network = self.twin.network
        assert isinstance(network, Network)
        return network

    def features(self, clips: Clips) -> Tensor:
        """Model input `[B, 1, ...]` of clips; the twin takes the same."""
        return in_batches(lambda x: self.voice.features(x).to(self.voice.dtype), clips.batch(slice(None)), 64)


def _spiking(*, framed: bool) -> dict[str, str]:
    """Short name -> architecture, of every bundled spiking network: m5 -> M5SNN, hjhs -> HjhSCNN.

    Args:
        framed: Whether of those whose time steps are those of the sound, or of those that repeat a window.
    """
    found = {name: getattr(architectures, name) for name in architectures.__all__}
    return {
        title_of(name).lower(): name
        for name, cls in found.items()
        if issubclass(cls, SpikingNetwork) and issubclass(cls, Framed) is framed
    }


def title_of(architecture: str) -> str:
    """What a network and its CNN twin are called in tables: "M5" of M5SNN, "HjhS" of HjhSCNN."""
    return architecture.removesuffix("CNN").removesuffix("SNN")


SUBJECTS = _spiking(framed=False)
# These have no T that could be another one.
FRAMED = _spiking(framed=True)


# What a benchmark hands on to a process that it starts for one network.
CHILD_OPTIONS = ("data", "cache", "piczak", "piczak_cnn")


def add_options(
    parser: argparse.ArgumentParser, *, models: Sequence[str] = tuple(SUBJECTS), framed: bool = False
) -> None:
    """Options that choose networks and their weights.

    Args:
        parser: Gets them.
        models: Those that are chosen by default.
        framed: Whether networks may be chosen whose time steps are those of the sound.
    """
    known = SUBJECTS | FRAMED if framed else SUBJECTS
    parser.add_argument("--models", nargs="+", choices=known, default=list(models), metavar="NAME")
    add_weights(parser)


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Options that name weights which are not bundled."""
    parser.add_argument("--piczak", type=Path, help="checkpoint folder of PiczakSNN (not bundled: 102 MB)")
    parser.add_argument("--piczak-cnn", type=Path, help="checkpoint folder of PiczakCNN")


def load_subject(name: str, given: argparse.Namespace | None = None) -> Subject:
    """One of `SUBJECTS` or `FRAMED`, in evaluation mode and without gradients.

    Weights are those of the bundled checkpoint, or of the folders that `given` names. A network without any
    takes those of its CNN twin, as the hybrid HjhS; where that has none either, as Piczak's, they are fresh,
    with a seed.

    Args:
        name: A key of either.
        given: Options of `add_options`.
    """
    architecture = (SUBJECTS | FRAMED)[name]
    twin_name = twin_architecture(architecture)
    assert twin_name is not None, f"{architecture} has no CNN twin"
    folders = given if name == "piczak" else None
    twin, twin_origin = _voice(twin_name, folders and folders.piczak_cnn)
    voice, origin = _voice(architecture, folders and folders.piczak)
    if origin == UNTRAINED and twin_origin != UNTRAINED:
        network = get_architecture(architecture)(len(twin.labels))
        adopt(network, twin.network.state_dict(), twin.labels, twin.labels)
        voice, origin = SnnVoice(network, twin.config.features, twin.labels), f"weights of {twin_origin}"
    for model in (voice, twin):
        model.eval().requires_grad_(False)
    return Subject(name, title_of(architecture), voice, twin, origin, twin_origin)


def _voice(architecture: str, source: Path | None) -> tuple[SnnVoice, str]:
    """A network from a checkpoint, else the bundled one, else with fresh weights; and where they are from."""
    bundled = (info.name for info in list_models() if info.architecture == architecture)
    found = source or next(bundled, None)
    if found is not None:
        return SnnVoice.from_pretrained(found), Path(found).name
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = get_architecture(architecture)(len(SPEECH_COMMANDS))
        return SnnVoice(network, labels=SPEECH_COMMANDS), UNTRAINED


@contextmanager
def steps(network: nn.Module, num_steps: int) -> Iterator[None]:
    """Let a spiking network run with another number of time steps for a while; a CNN is left alone."""
    if not isinstance(network, SpikingNetwork):
        yield
        return
    before = network.num_steps
    network.num_steps = num_steps
    try:
        yield
    finally:
        network.num_steps = before


def make_engines(network: Network, names: Sequence[str]) -> tuple[dict[str, Engine], dict[str, str]]:
    """The engines that can be made for a network as it is now, and why the others can't.

    Args:
        network: The network; an engine is made for its present weights and number of steps.
        names: Which engines.
    """
    engines: dict[str, Engine] = {}
    missing: dict[str, str] = {}
    for name in names:
        try:
            engine, facts = make_engine(network, name)
        except Exception as error:  # an engine that breaks must not end the benchmark of the others
            missing[name] = f"{type(error).__name__}: {error}"
            continue
        if facts["engine"] == name:
            engines[name] = engine
        else:
            missing[name] = str(facts["reasons"].get(name, f"{facts['engine']} took its place"))
    return engines, missing


def say_missing(missing: Mapping[str, Mapping[str, str]]) -> str:
    """Why engines are missing, one line an engine and reason, as Markdown.

    Args:
        missing: Title of a model -> what `make_engines` said of it.
    """
    titles: dict[tuple[str, str], list[str]] = {}
    for title, reasons in missing.items():
        for name, reason in reasons.items():
            titles.setdefault((name, reason), []).append(title)
    return "\n".join(
        f"- no engine `{name}` for {', '.join(models)}: {reason}" for (name, reason), models in titles.items()
    )


def spike_rates(network: SpikingNetwork, features: Tensor, batch: int = 8) -> dict[str, float]:
    """Share of neurons that fire a step, by layer."""
    sums: dict[str, float] = {}
    parts = torch.split(features, batch)

    def tap(name: str, tensor: Tensor) -> None:
        if not name.endswith(".mem"):
            sums[name] = sums.get(name, 0.0) + float(tensor.mean()) * tensor.shape[1] / len(features)

    with torch.inference_mode():
        for part in parts:
            network.forward_steps(part, tap=tap)
    return sums
