"""How many time steps does an answer need, what does stopping early cost, and does it save time?

Accuracy is that of all clips; time is that of the network alone, from features to logits, over some of them.
Stopping needs the step loop, in which nothing is shared between the steps: not even the first convolution,
whose input is the same in each.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.common import begin, disturbance, in_batches, interleave, load_clips, make_parser, share_right
from benchmarks.report import Report, Table
from benchmarks.subjects import make_engines, say_missing
from snn_voice_hub.inference.early_exit import run_until_sure
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.notation import percent
from snn_voice_hub.spikes.decision import running_scores
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.measuring.metrics import expected_calibration_error, right_answers
from snn_voice_hub.voice import SnnVoice

MODELS = ("resmel-snn", "m5-snn")
SURE = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
ENGINES = ("loop", "torch", "native")
_BATCH = 32


@dataclass
class Subject:
    """A model with its clips.

    Attributes:
        name: The checkpoint's.
        voice: The model.
        clips: All clips.
        features: What the network takes, `[n, 1, ...]`.
    """

    name: str
    voice: SnnVoice
    clips: Clips
    features: Tensor

    @property
    def network(self) -> SpikingNetwork:
        """The network."""
        assert isinstance(self.voice.network, SpikingNetwork)
        return self.voice.network

    def share_right(self, logits: Tensor) -> float:
        """Share of the clips whose best word is right."""
        return share_right(logits, self.clips, self.voice.labels)


def load(name: str, clips: Clips) -> Subject:
    """A bundled model and the features of all clips."""
    voice = SnnVoice.from_pretrained(name).requires_grad_(False)
    return Subject(name, voice, clips, in_batches(voice.features, clips.batch(slice(None)), 64))


@torch.inference_mode()
def by_step(subject: Subject) -> Table:
    """What all clips' answers are worth after each step: are the scores of the first steps calibrated?"""
    network, temperature = subject.network, subject.voice.config.temperature
    steps = torch.cat([network.forward_steps(part) for part in subject.features.split(_BATCH)], 1)
    table = Table("steps", "right", "calibration error", "score of 0.9 or more", "of these, right")
    for t, scores in enumerate(running_scores(steps, temperature), 1):
        right = right_answers(scores, subject.clips.labels, subject.voice.labels)
        best = scores.amax(1)
        sure = best >= 0.9
        error = expected_calibration_error(best, right)
        shares = (right.float().mean(), error, sure.float().mean(), right[sure].float().mean())
        table.add(t, *(percent(float(share)) for share in shares))
    return table


def stopped(subject: Subject, sure: float) -> tuple[float, float]:
    """Share of right answers, and mean number of steps."""
    temperature = subject.voice.config.temperature
    found = [
        run_until_sure(subject.network, part, temperature=temperature, sure=sure)
        for part in subject.features.split(_BATCH)
    ]
    steps = [count for part in found for count in part.steps]
    return subject.share_right(torch.cat([part.logits for part in found])), sum(steps) / len(steps)


def timed(subject: Subject, given: argparse.Namespace, batch: int) -> dict[str, float]:
    """Milliseconds a clip, by variant: an engine, or a score at which the loop stops."""
    picks = torch.linspace(0, len(subject.features) - 1, given.timed).round().long()
    parts = subject.features[picks].split(batch)
    temperature = subject.voice.config.temperature
    engines, missing = make_engines(subject.network, ENGINES)
    if missing:
        print(say_missing({subject.name: missing}))

    def over_parts(run: Callable[[Tensor], object]) -> Callable[[], None]:
        def call() -> None:
            with torch.inference_mode():
                for part in parts:
                    run(part)

        return call

    variants = {name: over_parts(engine) for name, engine in engines.items()}
    for sure in given.sure:
        variants[f"{sure:g}"] = over_parts(
            lambda x, sure=sure: run_until_sure(subject.network, x, temperature=temperature, sure=sure)
        )
    timings = interleave(variants, seconds=given.seconds, rounds=given.rounds, warmup=1)
    return {name: timing.cpu_ms / len(picks) for name, timing in timings.items()}


@torch.inference_mode()
def by_score(subject: Subject, given: argparse.Namespace) -> Table:
    """Accuracy, steps and time for each score at which a clip stops, and for all steps at once."""
    alone, together = timed(subject, given, 1), timed(subject, given, _BATCH)
    everything = in_batches(subject.network, subject.features)
    right, num_steps = subject.share_right(everything), subject.network.num_steps
    table = Table("stops at", "right", "mean steps", "CPU ms a clip, alone", f"of {_BATCH} clips together")
    for name in alone:
        found, steps = (right, float(num_steps)) if name in ENGINES else stopped(subject, float(name))
        said = f"never: engine `{name}`" if name in ENGINES else f"a score of {name}"
        table.add(said, percent(found), f"{steps:.2f}", alone[name], together[name])
    return table


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="bundled spiking models")
    parser.add_argument(
        "--sure", type=float, nargs="+", default=list(SURE), help="scores at which clips stop"
    )
    parser.add_argument("--timed", type=int, default=64, help="clips that are timed")
    parser.add_argument("--clips", type=int, help="clips for accuracy, by default all")
    given = begin(parser)
    clips = load_clips(given.data, given.clips, given.cache)
    report = Report("early_exit", "Stopping early", given.out)
    report.add(
        f"{len(clips):,} clips; times are medians of one thread's CPU time over {given.timed} of them, from "
        "features to logits. A clip stops when the best score of the steps so far, with the logits scaled to "
        "all steps, is at least that high."
    )
    for name in given.models:
        subject = load(name, clips)
        report.add(f"## {name}, T = {subject.network.num_steps}")
        report.add(by_step(subject))
        report.add(by_score(subject, given))
    report.add(disturbance(1))


if __name__ == "__main__":
    main()
