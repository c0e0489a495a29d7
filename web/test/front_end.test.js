import assert from "node:assert/strict";
import test from "node:test";

import { factsOf } from "../src/facts.js";
import { FrameFront } from "../src/hearing/front.js";
import { LogMel } from "../src/log_mel.js";
import { Resampler, resampled } from "../src/resampling.js";
import { Ring } from "../src/ring.js";
import { apart, eachCase } from "./cases.js";

const frameFacts = (features) =>
  factsOf({
    snn_voice_lite: JSON.stringify({
      format_version: 1,
      kind: "frames",
      labels: ["a"],
      sample_rate: features.sample_rate,
      num_samples: features.num_samples,
      temperature: 1,
      frames: { frames_per_step: 2, lead_frames: 1, num_steps: 2, state_size: 1, features },
    }),
  }).frames;

eachCase("log_mel", "log-mel columns are Python's", ({ features, samples, columns }) => {
  const { features: facts } = frameFacts(features);
  const found = new LogMel(facts).columns(Float32Array.from(samples));
  assert.equal(found.length, columns.length);
  const [all, expected] = [found.flatMap((column) => Array.from(column)), columns.flat()];
  // Python's spectra are float32: in a band that is nearly empty beside loud ones, the logarithm shows their rounding.
  assert.ok(apart(all, expected) < 1e-3);
  const mean = all.reduce((sum, value, i) => sum + Math.abs(value - expected[i]), 0) / all.length;
  assert.ok(mean < 2e-6, `${mean}`);
});

eachCase("log_mel", "the steps of a stream are those of the clip", ({ features, samples, columns }) => {
  const facts = frameFacts(features);
  const sound = Float32Array.from(samples);
  const front = new FrameFront(facts, 3);
  if (facts.features.fftSize / 2 > 2 * facts.features.hopLength) return; // looks ahead of a step: no stream has that
  const expected = front.ofClip(sound);
  assert.equal(expected.length, Math.floor((columns.length - 1) / 2));
  const ring = new Ring(front.hops * front.hop, front.hop);
  ring.push(sound);
  const found = [];
  for (let window = ring.next(), begins = true; window; window = ring.next(), begins = false) {
    found.push(...front.ofStream(ring.samples(window.begin), begins));
  }
  assert.ok(found.length > 3 && found.length <= expected.length);
  found.forEach((step, i) => assert.ok(apart(step, expected[i]) < 1e-6));
});

eachCase("resampling", "resampled sound is soxr's", ({ rate, target, samples, expected }) => {
  const sound = Float32Array.from(samples);
  const found = resampled(sound, rate, target);
  assert.ok(apart(found, expected) < 2e-4, `${rate} -> ${target}: ${apart(found, expected)}`);
  const stream = new Resampler(rate, target);
  const pieces = [];
  for (let at = 0, size = 1; at < sound.length; at += size, size = 1 + ((size * 7) % 501)) {
    pieces.push(...stream.push(sound.subarray(at, at + size)));
  }
  pieces.push(...stream.end());
  assert.deepEqual(pieces, Array.from(found));
});

eachCase("ring", "windows and levels are Python's", ({ size, hop, samples, windows }) => {
  const sound = Float32Array.from(samples);
  for (const piece of [1, 37, sound.length]) {
    const ring = new Ring(size, hop, 2 * hop);
    const found = [];
    for (let at = 0; at < sound.length; at += piece) {
      ring.push(sound.subarray(at, at + piece));
      for (let window = ring.next(); window; window = ring.next()) {
        found.push(window.begin);
        const expected = windows[found.length - 1];
        assert.equal(window.begin, expected.begin);
        assert.ok(Math.abs(window.level - expected.level) < 1e-3);
        const kept = ring.samples(window.begin - (found.length > 2 ? 2 * hop : 0));
        const from = window.begin - (found.length > 2 ? 2 * hop : 0);
        kept.forEach((sample, i) => assert.equal(sample, from + i < 0 ? 0 : sound[from + i]));
      }
    }
    assert.equal(found.length, windows.length);
  }
});

test("rates that can't be used are refused", () => {
  for (const rate of [0, 44100.5, 3_000, 400_000, NaN, 191_999]) {
    assert.throws(() => new Resampler(rate, 16_000), { code: "bad_rate" });
  }
});
