"""What does the arithmetic of each network cost, beside its CNN twin's? Operations and microjoules.

All models hear the same clips. The figures are counts times constants: they depend on no clock, and on the
machine only in how a sum is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.common import begin, in_batches, load_clips, make_parser, share_right, stop
from benchmarks.report import Report, Table
from benchmarks.subjects import UNTRAINED, Subject, add_options, load_subject, steps
from snn_voice_hub.hub.bundled import bundled_names, bundled_root
from snn_voice_hub.notation import percent
from snn_voice_hub.spikes.energy.estimate import Energy
from snn_voice_hub.spikes.energy.layers import AC_PJ, CONSTANTS, LEFT_OUT, MAC_PJ
from snn_voice_hub.spikes.energy.measure import write_energy
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.voice import SnnVoice

CLIPS = 400


@dataclass
class Measured:
    """A spiking network with its CNN twin, and what both cost."""

    subject: Subject
    energy: Energy

    @property
    def twin(self) -> Energy:
        """The twin's."""
        assert self.energy.twin is not None
        return self.energy.twin


def measure(subject: Subject, clips: Clips) -> Measured:
    """What clips cost a network and its twin."""
    rate = subject.voice.sample_rate
    return Measured(subject, subject.voice.energy(list(clips.waveforms), twin=subject.twin, sample_rate=rate))


def right(voice: SnnVoice, clips: Clips) -> str:
    """Share of the clips whose best word is right."""
    return percent(share_right(in_batches(voice, clips.batch(slice(None))), clips, voice.labels))


def totals(found: Sequence[Measured], clips: Clips) -> Table:
    """Energy of spiking networks and of their twins."""
    table = Table(
        *("model", "T", "right", "µJ", "input layer once, µJ"),
        *("CNN, right", "CNN, zeros skipped, µJ", "CNN, µJ"),
    )
    for one in found:
        table.add(
            one.energy.model,
            one.energy.num_steps,
            right(one.subject.voice, clips),
            one.energy.energy_uj,
            one.energy.energy_once_uj,
            right(one.subject.twin, clips),
            one.twin.energy_uj,
            one.twin.dense_uj,
        )
    return table


def shares(found: Sequence[Measured]) -> Table:
    """Energy of spiking networks as a share of their twins'."""
    table = Table(
        *("model", "both skip zeros", "and the input layer runs once"),
        *("only the SNN skips zeros", "and its input layer runs once", "neither skips zeros"),
    )
    for one in found:
        share = one.energy.against()
        keys = ("effective", "effective_once", "dense", "dense_once")
        neither = one.energy.dense_uj / one.twin.dense_uj
        table.add(one.energy.model, *(f"{share[key] or 0:.2f}" for key in keys), f"{neither:.2f}")
    return table


def operations(found: Sequence[Measured]) -> Table:
    """Operations, neurons and memory of both."""
    table = Table(
        *("model", "operations", "effective MACs", "ACs", "SynOps", "activation sparsity"),
        *("neuron updates", "parameters and buffers, bytes", "membranes, bytes"),
    )
    for one in found:
        for e in (one.energy, one.twin):
            table.add(
                e.model,
                *(f"{value or 0:,.0f}" for value in (e.dense, e.macs, e.acs, e.synops)),
                percent(e.activation_sparsity),
                *(f"{value:,}" for value in (e.neuron_updates, e.footprint, e.state)),
            )
    return table


def layers(one: Measured) -> Table:
    """Where a network's energy arises, beside the same layers of its twin."""
    table = Table("layer", "input", "operations", "effective", "µJ", "CNN, zeros skipped, µJ", "CNN, µJ")
    for ours, theirs in zip(one.energy.layers, one.twin.layers, strict=True):
        kind = "binary" if ours.binary else "float"
        table.add(
            f"`{ours.name}`",
            f"{kind}, the same at each step" if ours.constant else kind,
            f"{ours.dense:,.0f}",
            f"{ours.synops or 0:,.0f}",
            ours.energy_uj,
            theirs.energy_uj,
            theirs.dense_uj,
        )
    return table


def seconds(found: Sequence[Measured]) -> Table:
    """What a second of listening costs each network."""
    table = Table(
        *("model", "hears", "effective MACs", "ACs", "µJ", "input layer once, µJ", "nothing skipped, µJ"),
        *("in silence, µJ", "in silence, input layer once, µJ"),
    )
    for one in found:
        for e in (one.energy, one.twin):
            assert e.second is not None, "a trained network was counted"
            sound, silence, hop = e.second.sound, e.second.silence, e.second.hop
            table.add(
                e.model,
                "each frame once" if hop is None else f"windows, every {hop:g} s",
                *(f"{value or 0:,.0f}" for value in (sound.macs, sound.acs)),
                *(sound.energy_uj, sound.energy_once_uj, sound.dense_uj),
                *(silence.energy_uj, silence.energy_once_uj),
            )
    return table


def layers_of_second(energy: Energy) -> Table:
    """Where the energy of a second arises in a network that hears each frame once."""
    table = Table("layer", "input", "operations", "effective", "µJ", "silence, effective", "in silence, µJ")
    assert energy.second is not None, "a trained network was counted"
    for sound, silence in zip(energy.second.sound.layers, energy.second.silence.layers, strict=True):
        table.add(
            f"`{sound.name}`",
            "binary" if sound.binary else "float",
            *(f"{value or 0:,.0f}" for value in (sound.dense, sound.synops)),
            sound.energy_uj,
            f"{silence.synops or 0:,.0f}",
            silence.energy_uj,
        )
    return table


def over_steps(subject: Subject, counts: Sequence[int], clips: Clips) -> Table:
    """Energy and answers of a network with other numbers of steps than it was trained with."""
    table = Table(
        *("T", "right", "activation sparsity", "µJ", "input layer once, µJ"),
        *("of the CNN, both skip zeros", "and the input layer runs once"),
    )
    for count in counts:
        with steps(subject.network, count):
            one, answers = measure(subject, clips), right(subject.voice, clips)
        share = one.energy.against()
        table.add(
            count,
            answers,
            percent(one.energy.activation_sparsity),
            one.energy.energy_uj,
            one.energy.energy_once_uj,
            *(f"{share[key] or 0:.2f}" for key in ("effective", "effective_once")),
        )
    return table


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__, clips=CLIPS)
    add_options(parser, models=("resmel", "tempo", "m5", "hjh", "tcy"), framed=True)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4, 8, 15])
    parser.add_argument(
        "--write", action="store_true", help="put the totals into the bundled checkpoints' config.json"
    )
    given = begin(parser)
    clips = load_clips(given.data, given.clips, given.cache)
    subjects = [load_subject(name, given) for name in given.models]
    without = [subject.title for subject in subjects if subject.origin == UNTRAINED]
    found = [measure(subject, clips) for subject in subjects if subject.origin != UNTRAINED]
    if not found:
        stop(f"no trained weights of {', '.join(without)}")
    report = Report("energy", "Energy of the arithmetic", given.out)
    report.add(
        f"{len(clips):,} test clips, the same for all models; means over one window of sound each. {MAC_PJ} "
        f"pJ a MAC, {AC_PJ} pJ an AC ({CONSTANTS}). Left out: {LEFT_OUT}. See docs/energy.md."
    )
    for title in without:
        report.add(f"{title} is left out: there are no trained weights, and fresh ones say nothing.")
    report.add("## Spiking networks and their CNN twins")
    report.add(
        '"µJ" of a spiking network counts every step in full, and only inputs that are not zero. "Input '
        'layer once": a layer whose input is the same at each step runs once, and its result is kept. "CNN, '
        'zeros skipped" is the twin on hardware that skips what a ReLU made zero, "CNN" on one that '
        'multiplies by zeros. "Right" is the share of these clips whose best word is right.'
    )
    report.add(totals(found, clips))
    report.add("Energy of the spiking network as a share of the twin's; above 1 it costs more:")
    report.add(shares(found))
    report.add("## Operations and memory")
    report.add(operations(found))
    report.add("## A second of listening")
    report.add(
        "A network that hears windows costs as much as those that begin in a second, at the hop of its "
        "operating point; one that hears each frame once was given all clips as one stream, without a pause. "
        "Silence is digital, two seconds after it began, and is counted as any sound: a stream whose gate "
        "finds silence runs no network, and it costs nothing."
    )
    report.add(seconds(found))
    for one in found:
        report.add(f"## Layers of {one.energy.model}")
        report.add(layers(one))
        if one.energy.second is not None and one.energy.second.hop is None:
            report.add("A second of listening:")
            report.add(layers_of_second(one.energy))
    first = found[0]
    report.add(f"## {first.energy.model} with other numbers of steps")
    report.add(f"The same weights, trained with T = {first.energy.num_steps}.")
    report.add(over_steps(first.subject, given.steps, clips))
    if given.write:
        for one in found:
            put(one, clips)


def put(one: Measured, clips: Clips) -> None:
    """Write totals into the bundled checkpoints of a network and its twin."""
    back = one.subject.twin.energy(
        list(clips.waveforms), twin=one.subject.voice, sample_rate=one.subject.voice.sample_rate
    )
    for energy in (one.energy, back):
        if energy.model in bundled_names():
            write_energy(bundled_root() / energy.model, energy)
            print(f"written: {energy.model}")


if __name__ == "__main__":
    main()
