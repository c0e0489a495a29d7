"""The network on frames in streams on a device: the CPU's events, however it is fed; and how many at once."""

from __future__ import annotations

import time

import torch
from snn_voice_lite.streaming.detector import Event
from snn_voice_lite.streaming.session import VoiceStream

from benchmarks.gpu_check.clock import Budget, WrongAnswer
from benchmarks.gpu_check.sound import RATE, Pcm, sentence
from benchmarks.report import Table
from snn_voice_hub.voice import SnnVoice

MODEL = "tempo-snn"
_CHUNK = 0.1
# Of a score, where no spike flips; one that does moves a word's score a little, and no event.
_SCORES = 0.05


def heard(voice: SnnVoice, chunk: float) -> list[Event]:
    """The events of the sentence, fed in pieces of so many seconds."""
    stream, sound, size = voice.stream(sample_rate=RATE), sentence(), round(chunk * RATE)
    pieces = (sound[begin : begin + size] for begin in range(0, len(sound), size))
    found = [event for piece in pieces for event in stream.feed(piece)]
    return [*found, *stream.flush()]


def check_events(device: torch.device) -> list[str]:
    """The words that are heard.

    Raises:
        WrongAnswer: They are not the CPU's, or depend on how the sound is cut.
    """
    wanted = heard(SnnVoice.from_pretrained(MODEL, device="cpu", engine="torch"), _CHUNK)
    here = SnnVoice.from_pretrained(MODEL, device=str(device), engine="torch")
    for chunk in (_CHUNK, 0.037):
        found = heard(here, chunk)
        if [event.label for event in found] != [event.label for event in wanted]:
            raise WrongAnswer(f"{MODEL} in a stream of {chunk} s: {found}, on the CPU {wanted}")
        for one, other in zip(found, wanted, strict=True):
            if abs(one.score - other.score) > _SCORES or abs(one.end - other.end) > 0.1:
                raise WrongAnswer(f"{MODEL} in a stream of {chunk} s: {one}, on the CPU {other}")
    return [event.label for event in wanted]


def step_all(voice: SnnVoice, streams: list[VoiceStream], chunk: Pcm) -> None:
    """A chunk for each stream, their rows in one batch."""
    dues = [stream.take(chunk) for stream in streams]
    rows = [row for due in dues for row in due.inputs]
    outputs = voice.run_inputs(rows).cpu() if rows else None
    at = 0
    for stream, due in zip(streams, dues, strict=True):
        mine = None if outputs is None or not due.inputs else outputs[at : at + len(due.inputs)]
        at += len(due.inputs)
        stream.give(due, mine)


def measure(device: torch.device, budget: Budget, counts: tuple[int, ...]) -> Table:
    """How much sound streams hear in a second, with a batch for all of them."""
    table = Table("streams in a batch", "seconds of sound in a second", "ms for 0.1 s of all")
    voice = SnnVoice.from_pretrained(MODEL, device=str(device), engine="torch").requires_grad_(False)
    sound, size = sentence(), round(_CHUNK * RATE)
    for count in counts:
        if budget.part_left < 2:
            break
        streams = [voice.stream(sample_rate=RATE, gate=None) for _ in range(count)]
        step_all(voice, streams, sound[:size])
        rounds, began = 0, time.perf_counter()
        # What a stream hears ends on the CPU: no device needs to be waited for.
        while rounds < 3 or (time.perf_counter() - began < 2 and rounds < 100 and budget.part_left > 0):
            begin = (rounds + 1) * size % (len(sound) - size)
            step_all(voice, streams, sound[begin : begin + size])
            rounds += 1
        seconds = (time.perf_counter() - began) / rounds
        table.add(count, count * _CHUNK / seconds, 1e3 * seconds)
    return table
