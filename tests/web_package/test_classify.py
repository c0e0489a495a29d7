"""Clips in the browser: answers are those of the library."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import soxr

import snn_voice_hub as sv
from tests.slowness import mostly_slow
from tests.web_package.helpers import Laid, Samples

# Clips are the bytes of files, in base64.
CLASSIFY = """async ([model, clips, options]) => {
  const { Voice } = await import("@snn-voice/web");
  const voice = await Voice.load(model);
  const answers = [];
  for (const clip of clips) {
    const bytes = Uint8Array.from(atob(clip), (c) => c.charCodeAt(0));
    answers.push(await voice.classify(bytes.buffer, options));
  }
  await voice.close();
  return answers;
}"""

LONGER = """async (sound) => {
  const { Voice } = await import("@snn-voice/web");
  const voice = await Voice.load("resmel-snn.onnx");
  const samples = new Float32Array(await (await fetch(sound)).arrayBuffer());
  return {
    all: await voice.classify(samples, { topK: 37 }),
    words: await voice.classify(samples, { minScore: 0.5 }),
    windows: await voice.classifyWindows(samples, { topK: 1, hop: 0.7 }),
  };
}"""

RATE = """async ([sound, sampleRate]) => {
  const { Voice } = await import("@snn-voice/web");
  const voice = await Voice.load("resmel-snn.onnx");
  const samples = new Float32Array(await (await fetch(sound)).arrayBuffer());
  const buffer = new AudioBuffer({ length: samples.length, numberOfChannels: 2, sampleRate });
  buffer.copyToChannel(samples, 0);
  buffer.copyToChannel(samples, 1);
  return [await voice.classify(samples, { sampleRate }), await voice.classify(buffer)];
}"""

REFUSED = """async () => {
  const { SnnVoiceError, Voice } = await import("@snn-voice/web");
  const voice = await Voice.load("plain.onnx");
  const samples = new Float32Array(16_000);
  const codes = [];
  for (const work of [
    () => voice.classify(samples, { top_k: 1 }),
    () => voice.classify(samples, { topK: 0 }),
    () => voice.classify(samples, { minScore: 2 }),
    () => voice.classify([1, 2]),
    () => voice.classify(new Float32Array(0)),
    () => voice.classify(Float32Array.of(NaN)),
    () => voice.classify(samples, { sampleRate: 1 }),
    () => voice.classify(new ArrayBuffer(99)),
    () => voice.stream({ words: ["maybe"] }),
    () => voice.stream({ threshold: 0 }),
    () => voice.stream({ threshold: { maybe: 0.5 } }),
    () => voice.stream({ hop: 9 }),
    () => voice.stream().feed([1]),
    () => voice.listen(),
    () => Voice.load("nowhere.onnx"),
    () => Voice.load("page.js"),
    () => voice.close().then(() => voice.classify(samples)),
  ]) {
    try {
      await work();
      codes.push("none");
    } catch (error) {
      codes.push(error instanceof SnnVoiceError && error.message ? error.code : String(error));
    }
  }
  return codes;
}"""


# A WAV file of 24 bits and two channels, and what is cut off behind its header.
KINDS = """async ([deep, plain]) => {
  const { decode } = await import("@snn-voice/web");
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const all = [bytes(deep), bytes(plain), bytes(plain).subarray(0, 4000), bytes(plain).subarray(0, 20)];
  const found = [];
  for (const each of all) {
    const sound = await decode(new Blob([each]), 16_000).catch((error) => [error.code]);
    found.push(Array.from(sound));
  }
  return found;
}"""


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def compare(found: list[dict[str, Any]], expected: list[sv.Prediction], within: float = 1e-4) -> None:
    assert found[0]["label"] == expected[0].label
    scores = {p.label: p.score for p in expected}
    assert {p["label"]: p["score"] for p in found} == pytest.approx(scores, abs=within)


@pytest.mark.parametrize("name", mostly_slow(["resmel-snn", "tempo-snn"], "resmel-snn"))
def test_files(opened: Any, voices: dict[str, sv.SnnVoice], clips: dict[str, Path], name: str) -> None:
    with opened() as page:
        asked = [f"{name}.onnx", [encoded(path) for path in clips.values()], {"topK": 37}]
        answers = page.evaluate(CLASSIFY, asked)
    apart = []
    for path, found in zip(clips.values(), answers, strict=True):
        expected = voices[name].classify(path, top_k=37)
        assert found[0]["label"] == expected[0].label
        scores = {p.label: p.score for p in expected}
        apart.append(max(abs(p["score"] - scores[p["label"]]) for p in found))
    # On this or that processor, one membrane may lie within rounding of its threshold.
    assert sorted(apart)[-2] < 1e-4
    assert max(apart) < 0.02


@pytest.mark.slow
def test_a_file_without_the_lite_key(opened: Any, clips: dict[str, Path]) -> None:
    plain = sv.SnnVoice.from_pretrained("tcy-cnn", engine="torch")
    with opened() as page:
        asked = ["plain.onnx", [encoded(path) for path in clips.values()], {"topK": 35}]
        answers = page.evaluate(CLASSIFY, asked)
    for path, found in zip(clips.values(), answers, strict=True):
        compare(found, plain.classify(path, top_k=35))


@pytest.mark.slow
def test_a_longer_clip(opened: Any, laid: Laid, voices: dict[str, sv.SnnVoice], sentence: Samples) -> None:
    sound, model = sentence[:50_000], voices["resmel-snn"]
    with opened() as page:
        found = page.evaluate(LONGER, laid(sound))
    compare(found["all"], model.classify(sound, sample_rate=16_000, top_k=37))
    compare(found["words"], model.classify(sound, sample_rate=16_000, min_score=0.5))
    windows = model.classify_windows(sound, sample_rate=16_000, top_k=1, hop_seconds=0.7)
    assert [(w["start"], w["end"]) for w in found["windows"]] == [(w.start, w.end) for w in windows]
    for one, other in zip(found["windows"], windows, strict=True):
        compare(one["predictions"], other.predictions)


@pytest.mark.slow
def test_another_rate(
    opened: Any, laid: Laid, voices: dict[str, sv.SnnVoice], clips: dict[str, Path]
) -> None:
    """The filter is not soxr's to the last digit, and a spike may differ."""
    sound = soxr.resample(sf.read(clips["yes"], dtype="float32")[0], 16_000, 44_100)
    with opened() as page:
        found = page.evaluate(RATE, [laid(sound), 44_100])
    expected = voices["resmel-snn"].classify(sound, sample_rate=44_100)
    for answer in found:
        compare(answer[:1], expected[:1], within=0.01)


def test_what_is_refused(opened: Any) -> None:
    with opened(lets_fail="nowhere.onnx") as page:
        codes = page.evaluate(REFUSED)
    options = ["bad_option"] * 3
    sounds = ["bad_type", "empty", "not_finite", "bad_rate", "bad_audio"]
    streams = ["bad_option"] * 4 + ["bad_type", "bad_option"]
    assert codes == [*options, *sounds, *streams, "not_found", "bad_model", "closed"]


@pytest.mark.slow
def test_kinds_of_wav_files(opened: Any, tmp_path: Path, clips: dict[str, Path]) -> None:
    sound, rate = sf.read(clips["yes"], dtype="float32")
    sf.write(tmp_path / "deep.wav", np.stack([sound, 0.5 * sound], 1), rate, subtype="PCM_24")
    sf.write(tmp_path / "two.wav", np.stack([sound, 0 * sound], 1), rate, subtype="PCM_16")
    with opened() as page:
        found = page.evaluate(KINDS, [encoded(tmp_path / "deep.wav"), encoded(tmp_path / "two.wav")])
    deep, two, cut, header = found
    assert np.abs(np.array(deep) - 0.75 * sound).max() < 1e-4
    assert np.array_equal(np.array(two, np.float32), (0.5 * sound).astype(np.float32))
    assert cut == two[: len(cut)]
    assert len(cut) == (4_000 - 44) // 4
    assert header == ["bad_audio"]
