"""Sound that goes on, in the browser: events are those of the library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import soxr

import snn_voice_hub as sv
from tests.slowness import mostly_slow
from tests.web_package.helpers import SPOKEN, Laid, Samples

STREAM = """async ([model, sound, options, pieces]) => {
  const { Voice } = await import("@snn-voice/web");
  const voice = await Voice.load(model);
  const stream = voice.stream(options);
  const samples = new Float32Array(await (await fetch(sound)).arrayBuffer());
  const [events, scores] = [[], []];
  for (let at = 0, i = 0; at < samples.length; at += pieces[i % pieces.length], i++) {
    events.push(...(await stream.feed(samples.subarray(at, at + pieces[i % pieces.length]))));
    scores.push(Object.values(stream.scores));
  }
  events.push(...(await stream.flush()));
  const { seconds, level, hop, thresholds } = stream;
  const over = await stream.feed(samples).catch((error) => error.code);
  await stream.reset();
  const again = [...(await stream.feed(samples)), ...(await stream.flush())];
  await voice.close();
  return { events, again, scores, over, seconds, level, hop, thresholds };
}"""

LISTEN = """async ([model, count, seconds, own]) => {
  const { Voice } = await import("@snn-voice/web");
  const voice = await Voice.load(model);
  const [events, errors] = [[], []];
  let scored = 0;
  const onScores = (scores, level) => (scored += "yes" in scores && level < 0);
  const stream = own ? await navigator.mediaDevices.getUserMedia({ audio: true }) : undefined;
  const stop = await voice.listen({
    onKeyword: (event) => events.push(event),
    onError: ({ message }) => errors.push(message),
    ...(own && { stream, onScores }),
  });
  const end = performance.now() + 1000 * seconds;
  while (events.length < count && performance.now() < end) await new Promise((done) => setTimeout(done, 50));
  await Promise.all([stop(), stop()]);
  return { events, errors, scored, open: stream?.getTracks().map(({ readyState }) => readyState) };
}"""


def told(events: list[sv.Event]) -> list[tuple[str, float, float, float]]:
    return [(e.label, e.start, e.end, e.time) for e in events]


def found(events: list[dict[str, Any]]) -> list[tuple[str, float, float, float]]:
    return [(e["label"], e["start"], e["end"], e["time"]) for e in events]


@pytest.mark.parametrize(
    ("name", "options", "pieces"),
    mostly_slow(
        [
            ("resmel-snn", {}, [1600]),
            ("resmel-snn", {"scores": False, "hop": 0.06, "threshold": 0.7}, [999, 0, 5, 30_000]),
            ("resmel-snn", {"scores": False, "smoothing": 0.2, "refractory": 0.2}, [160_000]),
            ("tempo-snn", {}, [1600]),
            ("tempo-snn", {"threshold": 0.6, "smoothing": 0.2, "gate": None, "words": ["yes", "go"]}, [333]),
        ],
        ("resmel-snn", {}, [1600]),
    ),
)
def test_events(
    opened: Any,
    laid: Laid,
    voices: dict[str, sv.SnnVoice],
    sentence: Samples,
    name: str,
    options: dict[str, Any],
    pieces: list[int],
) -> None:
    """Also of a stream with much silence in it, where the network rests."""
    sound = np.concatenate([sentence[:40_000], np.zeros(40_000, np.float32), sentence[40_000:]])
    stream = voices[name].stream(sample_rate=16_000, **options)
    expected, scores = [], []
    size = pieces[0]
    for at in range(0, len(sound), size):
        expected += stream.feed(sound[at : at + size])
        scores.append(list(stream.scores.values()))
    expected += stream.flush()
    assert len(expected) > 1
    with opened() as page:
        got = page.evaluate(STREAM, [f"{name}.onnx", laid(sound), options, pieces])
    assert found(got["events"]) == told(expected)
    assert [e["score"] for e in got["events"]] == pytest.approx([e.score for e in expected], abs=0.02)
    assert got["again"] == got["events"]
    assert got["over"] == "stream_over"
    assert got["seconds"] == stream.seconds
    assert got["hop"] == stream.hop
    assert got["thresholds"] == stream.thresholds
    if pieces == [1600]:
        apart = np.abs(np.array(got["scores"]) - np.array(scores)).max(1)
        # In few windows a membrane lies within rounding of its threshold, and a spike is another.
        assert (apart > 1e-4).sum() <= 4
        assert apart.max() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_events_at_another_rate(
    opened: Any, laid: Laid, voices: dict[str, sv.SnnVoice], sentence: Samples, rate: int
) -> None:
    sound = soxr.resample(sentence, 16_000, rate).astype(np.float32)
    stream = voices["resmel-snn"].stream(sample_rate=rate, scores=False)
    expected = stream.feed(sound) + stream.flush()
    with opened() as page:
        asked = ["resmel-snn.onnx", laid(sound), {"sampleRate": rate, "scores": False}, [128]]
        got = page.evaluate(STREAM, asked)
    assert found(got["events"]) == told(expected)


# Of the sentence's words, those that the model is sure of wherever its windows fall.
SURE = {"resmel-snn": list(SPOKEN), "tempo-snn": ["yes", "no", "go", "marvin"]}


@pytest.mark.parametrize(
    ("name", "own"),
    mostly_slow([("resmel-snn", False), ("tempo-snn", False), ("resmel-snn", True)], ("resmel-snn", False)),
)
def test_the_microphone(opened: Any, name: str, own: bool) -> None:
    with opened() as page:
        got = page.evaluate(LISTEN, [f"{name}.onnx", len(SPOKEN), 20, own])
    words = [event["label"] for event in got["events"]]
    assert got["errors"] == []
    assert [word for word in words if word in SURE[name]] == SURE[name]
    assert [word for word in words if word not in SPOKEN] == []
    assert all(event["start"] < event["end"] <= event["time"] for event in got["events"])
    if own:
        assert got["scored"] > 50
        assert got["open"] == ["live"]  # who brought the stream closes it
