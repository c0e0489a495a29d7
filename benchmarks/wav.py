"""From the bytes of a WAV file to a word, one clip at a time: where does the time go?"""

from __future__ import annotations

import argparse
import io
import itertools
from collections.abc import Callable, Iterator, Sequence

import soundfile
import torch

from benchmarks.common import Timing, begin, interleave, load_clips, make_parser
from benchmarks.report import Report, Table
from benchmarks.subjects import ENGINE_NAMES, make_engines, say_missing
from snn_voice_hub import audio
from snn_voice_hub.hub.bundled import bundled_names
from snn_voice_hub.inference.windows import fit
from snn_voice_hub.models.base import Network
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.voice import SnnVoice


def wav_bytes(clips: Clips, sample_rate: int = 16_000) -> list[bytes]:
    """Each clip as a WAV file."""
    files = []
    for row in clips.waveforms:
        buffer = io.BytesIO()
        soundfile.write(buffer, row, sample_rate, format="WAV")
        files.append(buffer.getvalue())
    return files


def over(items: Sequence[object], function: Callable[..., object]) -> Callable[[], object]:
    """A call without arguments that takes the next item each time, round and round."""
    turn: Iterator[object] = itertools.cycle(items)
    return lambda: function(next(turn))


def time_model(
    name: str, engines: Sequence[str], clips: Clips, given: argparse.Namespace
) -> tuple[dict[str, Timing], dict[str, str]]:
    """Time one bundled model: the whole way by each engine, and the parts of it."""
    model = SnnVoice.from_pretrained(name).requires_grad_(False)
    assert isinstance(model.network, Network)
    made, missing = make_engines(model.network, engines)
    files = wav_bytes(clips)
    c = model.config.features
    waves = [fit(audio.load(data, target_rate=c.sample_rate), c.num_samples).unsqueeze(0) for data in files]
    inputs = [model.features(wave) for wave in waves]
    variants: dict[str, Callable[[], object]] = {
        "decode": over(files, lambda data: audio.load(data, target_rate=c.sample_rate)),
        "features": over(waves, model.features),
    }
    for engine_name, engine in made.items():
        whole = SnnVoice.from_pretrained(name, engine=engine_name).requires_grad_(False)
        variants[f"{engine_name}: network"] = over(inputs, engine)
        variants[f"{engine_name}: classify"] = over(files, whole.classify)
    with torch.inference_mode():
        timings = interleave(variants, seconds=given.seconds, rounds=given.rounds)
    return timings, missing


def table(given: argparse.Namespace, models: Sequence[str], engines: Sequence[str], clips: Clips) -> str:
    """The table of some bundled models."""
    result = Table(
        *("model", "engine", "whole, CPU ms", "decode", "features", "network", "rest", "network's share")
    )
    missing: dict[str, dict[str, str]] = {}
    for name in models:
        timings, missing[name] = time_model(name, engines, clips, given)
        decode, features = timings["decode"].cpu_ms, timings["features"].cpu_ms
        for key, timing in timings.items():
            engine, _, what = key.partition(": ")
            if what != "classify":
                continue
            network = timings[f"{engine}: network"].cpu_ms
            whole = timing.cpu_ms
            rest = whole - decode - features - network
            result.add(name, engine, whole, decode, features, network, rest, f"{network / whole:.0%}")
    return "\n\n".join(part for part in (str(result), say_missing(missing)) if part)


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__, clips=32)
    parser.add_argument("--models", nargs="+", choices=bundled_names(), default=bundled_names())
    usual = [name for name in ENGINE_NAMES if name != "compile"]
    parser.add_argument("--engines", nargs="+", choices=ENGINE_NAMES, default=usual)
    given = begin(parser)
    report = Report("wav", "From WAV bytes to a word", given.out)
    clips = load_clips(given.data, given.clips, given.cache)
    report.add(f"One thread, batch 1, {len(clips)} real clips in turn, medians of CPU milliseconds.")
    report.add(table(given, given.models, given.engines, clips))


if __name__ == "__main__":
    main()
