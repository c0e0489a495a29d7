"""Sound that goes on: what does a second of it cost, and how long after a word is it an event?

Words of real clips stand in a stream over faint noise, a second or more apart. A stream is fed in chunks of a
hop. The prototype is what one would do without `stream()`: `classify_windows` on the last window, every hop.
The service is loaded by `streaming/client.py`, whose beginning says what a delay is.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from snn_voice_lite.streaming.detector import Event
from snn_voice_lite.streaming.session import VoiceStream

from benchmarks.common import begin, disturbance, interleave, load_clips, make_parser
from benchmarks.report import Report, Table
from benchmarks.streaming import peers, service
from snn_voice_hub.config import is_word
from snn_voice_hub.hub.bundled import DEFAULT_MODEL
from snn_voice_hub.inference.hearing.frames import outputs_of_frames
from snn_voice_hub.inference.hearing.windows import outputs_of_rows
from snn_voice_hub.training.measuring.streams import Stream, missed, word_stream
from snn_voice_hub.voice import SnnVoice

Wave = npt.NDArray[np.float32]
RATE = 16_000
# Of the noise behind the words: a quiet room, for which the gate stays open.
_NOISE_DB = -60.0
_QUIET_DB = -85.0  # below the gate
_HOPS = (0.1, 0.2)


def spoken(given: argparse.Namespace, model: SnnVoice) -> Stream:
    """Words over noise."""
    clips = load_clips(given.data, given.clips * 2, given.cache)
    known = [i for i, label in enumerate(clips.labels) if is_word(label) and label in model.labels]
    stream = word_stream(clips.pick(np.array(known[: given.clips])), [], 0.0, sample_rate=RATE)
    noise = 10 ** (_NOISE_DB / 20) * np.random.default_rng(0).standard_normal(len(stream.waveform))
    return Stream((stream.waveform + noise).astype(np.float32), stream.said)


def in_chunks(wave: Wave, seconds: float) -> Iterator[Wave]:
    """A sound in pieces."""
    size = round(seconds * RATE)
    yield from (wave[i : i + size] for i in range(0, len(wave), size))


def streamed(model: SnnVoice, wave: Wave, hop: float, **options: Any) -> Callable[[], list[Event]]:
    """A session that hears the sound."""
    stream = model.stream(sample_rate=RATE, hop=hop, **options)

    def hear() -> list[Event]:
        stream.reset()
        return [event for chunk in in_chunks(wave, hop) for event in stream.feed(chunk)]

    return hear


def prototype(model: SnnVoice, wave: Wave, hop: float) -> Callable[[], object]:
    """A window of the sound every hop, each by itself."""
    windows = every_window(model, wave, hop)
    return lambda: [model.classify_windows(window, sample_rate=RATE) for window in windows]


def every_window(model: SnnVoice, wave: Wave, hop: float) -> npt.NDArray[np.float32]:
    """The windows `[W, N]` that a stream hears before its end; it begins as if silence had been before."""
    size, step = model.config.features.num_samples, round(hop * RATE)
    padded = np.pad(wave, (size, 0))[step:]
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::step]


def front_end(model: SnnVoice, wave: Wave, hop: float, *, whole: bool) -> Callable[[], object]:
    """All but the network: by frames, or window by window."""
    if whole:
        windows = [torch.from_numpy(window.copy())[None] for window in every_window(model, wave, hop)]
        return torch.inference_mode()(lambda: [model.features(window) for window in windows])
    stream = model.stream(sample_rate=RATE, hop=hop, gate=None)
    outputs = torch.zeros((1, len(model.labels)))
    answers = torch.zeros((round(hop * RATE), 1, len(model.labels)))  # more than there are steps

    def unwatched(*_: object) -> NoReturn:
        raise AssertionError("nobody asked for membranes")

    @torch.inference_mode()
    def take() -> None:
        stream.reset()
        for chunk in in_chunks(wave, hop):
            due = stream.take(chunk)
            while due:
                if model.remembers:
                    given = outputs_of_frames(
                        due.inputs, lambda x, state: (answers[: len(x)], state), unwatched
                    )
                else:
                    given = outputs_of_rows(due.inputs, lambda _: outputs, lambda _: outputs)
                stream.give(due, given)
                due = stream.more()

    return take


def one_session(given: argparse.Namespace, wave: Wave) -> Table:
    """CPU time of a second of sound, by engine and hop."""
    part = wave[: round(given.sound * RATE)]
    table = Table(
        *("engine", "hop, s", "events, ms", "and scores, ms", "prototype, ms", "times faster"),
        *("silence, ms", "all but the network, ms", "whole windows, ms"),
    )
    quiet = (10 ** (_QUIET_DB / 20) * np.random.default_rng(0).standard_normal(len(part))).astype(np.float32)
    for engine in given.engines:
        model = SnnVoice.from_pretrained(given.model, engine=engine)
        for hop in given.hops:
            timings = interleave(
                {
                    "events": streamed(model, part, hop, gate=None, scores=False),
                    "scores": streamed(model, part, hop, gate=None),
                    "prototype": prototype(model, part, hop),
                    "silence": streamed(model, quiet, hop, scores=False),
                    "frames": front_end(model, part, hop, whole=False),
                    "windows": front_end(model, part, hop, whole=True),
                },
                seconds=given.seconds,
                rounds=given.rounds,
                warmup=1,
            )
            ms = {name: timing.cpu_ms / given.sound for name, timing in timings.items()}
            ratio = ms["prototype"] / ms["events"]
            cells = (ms["events"], ms["scores"], ms["prototype"], ratio)
            table.add(engine, hop, *cells, ms["silence"], ms["frames"], ms["windows"])
    return table


def latency(given: argparse.Namespace, sound: Stream) -> Table:
    """How long after a word's end it is an event, in time of the sound."""
    table = Table(
        "hop, s", "smoothing, s", "words", "heard", "median, s", "90th percentile, s", "start, s", "end, s"
    )
    model = SnnVoice.from_pretrained(given.model)
    point = model.config.detection
    for hop in given.hops:
        for smoothing in sorted({0.0, 0.3, point.smoothing if point else 0.3}):
            events = streamed(model, sound.waveform, hop, smoothing=smoothing)()
            left, _ = missed(sound.said, events)
            pairs = []
            for word in (word for word in sound.said if word not in left):
                heard = [e for e in events if e.label == word.label and word.start <= e.time <= word.end + 1]
                pairs.append((word, heard[0]))
            late = [event.time - word.end for word, event in pairs]
            starts = statistics.median(event.start - word.start for word, event in pairs)
            ends = statistics.median(event.end - word.end for word, event in pairs)
            worst = float(np.quantile(late, 0.9))
            table.add(
                hop, smoothing, len(sound.said), len(pairs), statistics.median(late), worst, starts, ends
            )
    return table


def sessions(given: argparse.Namespace, wave: Wave) -> Table:
    """Many sessions at once, of which each gets a chunk of a hop; so the windows of all are due together."""
    table = Table(
        "sessions",
        "windows run",
        "CPU ms a second of sound",
        "median round, ms",
        "99th percentile, ms",
    )
    model = SnnVoice.from_pretrained(given.model)
    hop = given.hops[0]
    for count in given.sessions:
        for together in (False, True):
            cpu, rounds = _rounds(model, wave, hop, count, together, given.session_seconds)
            table.add(
                count,
                "in one batch" if together else "one by one",
                1e3 * cpu / (count * hop * len(rounds)),
                1e3 * statistics.median(rounds),
                1e3 * float(np.quantile(rounds, 0.99)),
            )
    return table


def _rounds(
    model: SnnVoice, wave: Wave, hop: float, count: int, together: bool, seconds: float
) -> tuple[float, Sequence[float]]:
    """CPU time of all rounds, and the time by the clock of each, a hop of sound for every session."""
    size = round(hop * RATE)
    streams = [model.stream(sample_rate=RATE, hop=hop, gate=None, scores=False) for _ in range(count)]
    waves = [np.roll(wave, -i * 7 * size) for i in range(count)]
    rounds: list[float] = []
    cpu, began, at = time.process_time(), time.perf_counter(), 0
    while len(rounds) < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        chunks = [sound[at : at + size] for sound in waves]
        if together:
            _in_one_batch(model, streams, chunks)
        else:
            for stream, chunk in zip(streams, chunks, strict=True):
                stream.feed(chunk)
        rounds.append(time.perf_counter() - start)
        at += size
        if at + size > len(wave):
            at = 0
    return time.process_time() - cpu, rounds


def _in_one_batch(model: SnnVoice, streams: Sequence[VoiceStream], chunks: Sequence[Wave]) -> None:
    due = [stream.take(chunk) for stream, chunk in zip(streams, chunks, strict=True)]
    while any(due):
        rows = [row for one in due for row in one.inputs]
        outputs = model.run_inputs(rows) if rows else torch.empty(0)
        parts = torch.split(outputs, [len(one) for one in due])
        for stream, one, part in zip(streams, due, parts, strict=True):
            stream.give(one, part)
        due = [stream.more() for stream in streams]


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__, clips=60)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="bundled name or folder")
    parser.add_argument("--engines", nargs="+", default=["native", "onnx", "torch"])
    parser.add_argument("--hops", type=float, nargs="+", default=list(_HOPS), help="seconds between windows")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 10, 100, 300])
    parser.add_argument("--sockets", type=int, nargs="*", default=[100, 300], help="WebSocket streams")
    parser.add_argument("--socket-seconds", type=float, default=45.0, help="sound of each of them")
    parser.add_argument("--sound", type=float, default=5.0, help="seconds of sound in a turn")
    parser.add_argument("--session-seconds", type=float, default=5.0, help="time for a number of sessions")
    given = begin(parser)
    model = SnnVoice.from_pretrained(given.model)
    sound = spoken(given, model)
    # The default's tables are those of the documentation; another model has a file of its own.
    own = "" if given.model == DEFAULT_MODEL else f"_{model.config.name or model.config.architecture}"
    report = Report(f"stream{own}", "Sound that goes on", given.out)
    seconds = len(sound.waveform) / RATE
    report.add(
        f"`{given.model}`, {len(sound.said)} words in {seconds:.0f} s over noise at {_NOISE_DB:.0f} dB, "
        "one thread, the energy gate off."
    )
    report.add(
        "CPU time of a second of sound, one session, where events or every score is asked for; of it the "
        "rest without the network, and the front end of whole windows:"
    )
    report.add(one_session(given, sound.waveform))
    report.add("From a word's end to its event, and how far off `start` and `end` are in the median:")
    report.add(latency(given, sound))
    report.add(
        f"Sessions that each get a chunk of {given.hops[0]:g} s at the same moment, events alone. A round is "
        "what computing adds to the time of an event:"
    )
    report.add(sessions(given, sound.waveform))
    if given.sockets:
        report.add(service.TEXT)
        report.add(service.loaded(given, sound.waveform))
    report.add(peers.TEXT)
    for part in peers.beside(given, sound.waveform):
        report.add(part)
    report.add(disturbance(1))


if __name__ == "__main__":
    main()
