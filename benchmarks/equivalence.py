"""Do all engines answer alike, clip by clip, on real recordings?

Each engine is compared with the step loop (batch 50), and both with the loop in float64. Another order of
summation moves a membrane by a rounding; where it lies at the threshold, a spike flips, and the logits of
that clip move by more than rounding. The loop at batch 1 against itself at batch 50 is the yardstick: it
changes nothing but the order in which the library's convolutions sum.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import begin, clip_source, in_batches, load_clips, make_parser
from benchmarks.report import Report, Table
from benchmarks.subjects import (
    ENGINE_NAMES,
    Subject,
    add_options,
    load_subject,
    make_engines,
    say_missing,
    steps,
)
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.training.clips.data import Clips

LOOP, SINGLE, DOUBLE = "loop", "loop, batch 1", "loop, float64"
# Spikes of both runs are in memory together.
_SPIKE_BATCH = 10

Row = dict[str, Any]


def all_logits(call: Callable[[Tensor], Tensor], features: Tensor, batch: int) -> Tensor:
    """Logits `[n, C]` of all clips, in float64."""
    return in_batches(lambda part: call(part).double(), features, batch)


def loop_logits(network: SpikingNetwork, features: Tensor, batch: int) -> Tensor:
    """Logits of the step loop in the network's own number type."""
    return all_logits(lambda x: network.forward_loop(x).sum(0), features, batch)


def double_logits(network: SpikingNetwork, features: Tensor, batch: int) -> Tensor:
    """Logits of the step loop in float64, on the same float32 features and weights."""
    return loop_logits(copy.deepcopy(network).double(), features.double(), batch)


def compare(logits: Tensor, loop: Tensor, double: Tensor, clips: Clips, labels: Sequence[str]) -> Row:
    """How one run's logits `[n, C]` differ from the loop's, and from the loop's in float64."""
    apart = (logits - loop).abs().amax(1)
    largest = loop.abs().amax(1).clamp(min=1e-30)
    top = logits.argmax(1)
    other = (top != loop.argmax(1)).nonzero().flatten().tolist()
    best = loop.topk(2, dim=1).values
    index = {label: i for i, label in enumerate(labels)}
    truth = torch.tensor([index.get(word, -1) for word in clips.labels])
    return {
        "clips": len(logits),
        "other_top1": len(other),
        "moved": int((apart > 1e-4 * largest).sum()),
        "largest": float(apart.max()),
        "of_logit": float((apart / largest).max()),
        "of_deviation": float(apart.max() / loop.std()),
        "far_from_double": int(((logits - double).abs().amax(1) > 1e-3).sum()),
        "other_than_double": int((top != double.argmax(1)).sum()),
        "accuracy": float((top == truth).double().mean()),
        "others": [
            {
                "clip": clips.names[i],
                "loop": labels[int(loop[i].argmax())],
                "here": labels[int(top[i])],
                "float64": labels[int(double[i].argmax())],
                "margin": float(best[i, 0] - best[i, 1]),
                "margin_here": float(logits[i].topk(2).values.diff().abs()),
            }
            for i in other
        ],
    }


@torch.inference_mode()
def flipped(network: SpikingNetwork, features: Tensor) -> float:
    """Spikes of all steps at once that differ from the loop's, per million neurons and steps."""
    different, total = 0, 0
    for part in torch.split(features, _SPIKE_BATCH):
        kept: dict[str, Tensor] = {}

        def keep(name: str, tensor: Tensor, kept: dict[str, Tensor] = kept) -> None:
            if not name.endswith(".mem"):
                kept[name] = tensor > 0

        network.forward_steps(part, tap=keep)
        state = None
        x = network.encoded(part)
        for t in range(network.num_steps):
            seen: dict[str, Tensor] = {}

            def see(name: str, tensor: Tensor, seen: dict[str, Tensor] = seen) -> None:
                if not name.endswith(".mem"):
                    seen[name] = tensor[0] > 0

            _, state = network.step(x[t] if len(x) > 1 else x[0], state, tap=see)
            for name, spikes in seen.items():
                different += int((spikes != kept[name][t]).sum())
                total += spikes.numel()
    return 1e6 * different / total


def run(subject: Subject, clips: Clips, given: argparse.Namespace) -> tuple[dict[str, Row], dict[str, str]]:
    """Compare all engines on one model with its present number of steps."""
    network = subject.network
    features = subject.features(clips)
    made, missing = make_engines(network, given.engines)
    loop = loop_logits(network, features, given.batch)
    double = double_logits(network, features, given.batch)

    def row(logits: Tensor) -> Row:
        return compare(logits, loop, double, clips, subject.voice.labels)

    rows = {LOOP: row(loop), DOUBLE: row(double), SINGLE: row(loop_logits(network, features, 1))}
    for name, engine in made.items():
        rows[name] = row(all_logits(engine, features, given.batch))
    if "torch" in rows:
        rows["torch"]["flipped"] = flipped(network, features[: given.spike_clips])
    return rows, missing


def new_table() -> Table:
    """An empty table for `add_rows`."""
    return Table(
        *("model", "T", "run", "clips", "other top-1", "moved > 1e-4", "largest difference", "of the logit"),
        *("of the deviation", "spikes flipped per million", "> 1e-3 from float64"),
        *("other top-1 than float64", "accuracy"),
    )


def add_rows(table: Table, title: str, num_steps: int, rows: dict[str, Row]) -> None:
    """One row a run."""
    for name, row in rows.items():
        table.add(
            *(title, num_steps, name, row["clips"], row["other_top1"], row["moved"], row["largest"]),
            *(row["of_logit"], row["of_deviation"], row.get("flipped"), row["far_from_double"]),
            *(row["other_than_double"], f"{row['accuracy']:.2%}"),
        )


def describe_others(title: str, num_steps: int, rows: dict[str, Row]) -> list[str]:
    """The clips with another top-1 than the loop's, one line each."""
    return [
        f"- {title}, T = {num_steps}, {name}: `{other['clip']}` is {other['here']}, by the loop "
        f"{other['loop']}, by float64 {other['float64']}; margin {other['margin_here']:.3g}, "
        f"by the loop {other['margin']:.3g}"
        for name, row in rows.items()
        for other in row["others"]
    ]


def verdict(title: str, num_steps: int, rows: dict[str, Row], engines: Sequence[str]) -> str:
    """Whether each engine is as good as the loop on one model."""
    lines = []
    for name in engines:
        if name not in rows or name == LOOP:
            continue
        row, loop, single = rows[name], rows[LOOP], rows[SINGLE]
        agree = 1 - row["other_top1"] / row["clips"]
        far, loops = row["far_from_double"], loop["far_from_double"]
        near = "no further"
        if far > loops:  # counts of rare events scatter by their root
            near = "further, within chance" if far - loops <= 2 * (far + loops) ** 0.5 else "FURTHER"
        lines.append(
            f"- {title}, T = {num_steps}, `{name}`: top-1 of the loop on {agree:.2%} of the clips "
            f"({'at least' if agree >= 0.998 else 'LESS THAN'} 99.8%); "
            f"{row['far_from_double']} clips far from float64, the loop {loop['far_from_double']}, "
            f"at batch 1 {single['far_from_double']} ({near})"
        )
    return "\n".join(lines)


def _key(subject: Subject, num_steps: int, clips: Clips, given: argparse.Namespace) -> str:
    weights = 0
    for tensor in subject.network.state_dict().values():
        weights = zlib.crc32(tensor.contiguous().numpy().tobytes(), weights)
    source = clip_source(given.data).name
    return f"{subject.name} T={num_steps} {source} {len(clips)} {','.join(given.engines)} {weights:08x}"


def _load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__, clips=1000)
    add_options(parser)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 5, 15])
    usual = [name for name in ENGINE_NAMES if name not in (LOOP, "compile")]
    parser.add_argument("--engines", nargs="+", choices=ENGINE_NAMES, default=usual)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--spike-clips", type=int, default=200, help="clips whose spikes are compared")
    parser.add_argument("--resume", action="store_true", help="keep what an interrupted run has found")
    parser.add_argument("--threads", type=int, default=1)
    given = begin(parser)
    torch.set_num_threads(given.threads)
    clips = load_clips(given.data, given.clips, given.cache)
    given.out.mkdir(parents=True, exist_ok=True)
    store = given.out / "equivalence.json"
    found = _load(store) if given.resume else {}
    table, others, verdicts, origins = new_table(), [], [], []
    missing: dict[str, dict[str, str]] = {}
    for name in given.models:
        subject = load_subject(name, given)
        origins.append(f"{subject.title} {subject.origin}")
        for t in given.steps:
            began = time.perf_counter()
            key = _key(subject, t, clips, given)
            if key not in found:
                with steps(subject.network, t):
                    rows, reasons = run(subject, clips, given)
                found[key] = {"rows": rows, "missing": reasons}
                store.write_text(json.dumps(found, indent=1))
            rows, missing[subject.title] = found[key]["rows"], found[key]["missing"]
            add_rows(table, subject.title, t, rows)
            others += describe_others(subject.title, t, rows)
            verdicts.append(verdict(subject.title, t, rows, given.engines))
            spent = time.perf_counter() - began
            print(f"{subject.title} T={t}: {spent:.0f} s\n{verdicts[-1]}", flush=True)
    report = Report("equivalence", "Do all engines answer alike?", given.out)
    report.add(f"{len(clips)} clips of `{clip_source(given.data).name}`. Weights: {', '.join(origins)}.")
    report.add(
        '"Moved" counts clips whose logits differ by more than 1e-4 of their largest: there a spike flipped. '
        f"Runs are in batches of {given.batch} but where it says otherwise; spikes are compared on "
        f"{min(given.spike_clips, len(clips))} clips."
    )
    report.add(table)
    for part in ("\n".join(filter(None, verdicts)), say_missing(missing)):
        if part:
            report.add(part)
    report.add("## Clips with another top-1 than the loop's")
    report.add("\n".join(others) or "None.")


if __name__ == "__main__":
    main()
