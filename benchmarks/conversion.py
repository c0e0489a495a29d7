"""How much of a CNN survives when spikes replace its activations, before any training as a spiking network?

    python -m benchmarks.conversion --data CORPUS

The bundled CNNs become their spiking twins (`training.fitting.conversion`) with thresholds at percentiles of
the CNN's activations, measured on 512 training clips. Figures are of validation clips, since choices are made
by them.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.common import begin, in_batches, load_clips, make_parser, share_right, stop
from benchmarks.report import Report, Table
from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.features import Features
from snn_voice_hub.hub.bundled import bundled_root
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.notation import points
from snn_voice_hub.registry import build_network
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.fitting.conversion import convert
from snn_voice_hub.training.fitting.teaching import adopt

# CNN, its spiking twin, and what to change in the twin: T and the decay.
TWINS = (
    ("resmel-cnn", "resmel-snn", {"num_steps": 4}),
    ("resmel-cnn", "resmel-snn", {"num_steps": 15}),
    ("resmel-cnn", "resmel-snn", {"num_steps": 15, "beta": 0.9}),
    ("m5-cnn", "m5-snn", {"num_steps": 5}),
    ("m5-cnn", "m5-snn", {"num_steps": 15}),
)
PERCENTILES = (90.0, 95.0, 98.0, 99.0, 99.9)
_TO_CONVERT = 512


def right(network: Network, features: Tensor, clips: Clips, labels: Sequence[str]) -> str:
    """Share of clips that a network names, in percent."""
    return points(share_right(in_batches(network.eval(), features, 64), clips, labels))


def converted(cnn: str, twin: VoiceConfig) -> SpikingNetwork:
    """The spiking network with the CNN's weights, its thresholds as they come."""
    network = build_network(twin)
    assert isinstance(network, SpikingNetwork)
    folder = bundled_root() / cnn
    labels = VoiceConfig.load(folder / "config.json").labels
    adopt(network, load_file(folder / "model.safetensors"), twin.labels, labels)
    return network


@torch.no_grad()
def main() -> None:
    """Convert, measure, print a table."""
    parser = make_parser(__doc__, clips=850)
    given: argparse.Namespace = begin(parser)
    if given.data is None:
        stop("--data names the corpus: a folder with train.tar and val.tar")
    some = load_clips(given.data / "train.tar", _TO_CONVERT, given.cache)
    clips = load_clips(given.data / "val.tar", given.clips, given.cache)
    table = Table(
        "CNN", "its top-1", "T", "beta", "thresholds as they come", *(f"{p:g} %" for p in PERCENTILES)
    )
    for cnn, snn, changes in TWINS:
        source = VoiceConfig.load(bundled_root() / cnn / "config.json")
        twin = VoiceConfig.load(bundled_root() / snn / "config.json")
        # Features, labels and so on are the CNN's: they are what its weights know.
        twin = dataclasses.replace(
            source, architecture=twin.architecture, network={**twin.network, **changes, "learn_beta": False}
        )
        features = Features(source.features).eval()
        heard, learned = (in_batches(features, part.batch(slice(None)), 64) for part in (clips, some))
        asked = (heard, clips, source.labels)
        original = build_network(source)
        original.load_state_dict(load_file(bundled_root() / cnn / "model.safetensors"))
        cells = [right(converted(cnn, twin), *asked)]
        for percentile in PERCENTILES:
            network = converted(cnn, twin)
            convert(network, torch.split(learned, 64), percentile)
            cells.append(right(network, *asked))
        network = converted(cnn, twin)
        beta = next(float(b) for name, b in network.state_dict().items() if name.endswith("beta"))
        table.add(cnn, right(original, *asked), network.num_steps, f"{beta:g}", *cells)
        print(f"{cnn} {changes}: {cells}", flush=True)
    report = Report("conversion", "From activations to spikes without training", given.out)
    report.add(
        f"Top-1 in % on {len(clips)} validation clips; thresholds at percentiles of the CNN's activations on "
        f"{len(some)} training clips, batch norms measured again on spikes, the last layer scaled."
    )
    report.add(table)


if __name__ == "__main__":
    main()
