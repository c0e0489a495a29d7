import assert from "node:assert/strict";
import test from "node:test";

import { factsOf } from "../src/facts.js";
import { metadata } from "../src/metadata.js";
import { caseBytes, eachCase } from "./cases.js";

eachCase("metadata", "what a file says of itself", ({ file, expected }) => {
  assert.deepEqual({ ...metadata(caseBytes(file)) }, expected);
});

eachCase("facts", "plain and lite files of a model say the same", ({ plain, lite }) => {
  const [one, other] = [factsOf(plain), factsOf(lite)];
  // A plain file of a network on frames has one step, a lite file as many as come.
  const alike = (facts) => ({ ...facts, detection: null, metrics: null, frames: facts.frames && { ...facts.frames, atOnce: null } });
  assert.deepEqual(alike(other), alike(one));
  assert.deepEqual([one.frames?.atOnce, other.frames?.atOnce], one.frames ? [false, true] : [undefined, undefined]);
  assert.ok(one.labels.length > 1 && one.numSamples > 1);
});

test("what is no ONNX file is refused", () => {
  const damaged = [
    new TextEncoder().encode("<!doctype html><p>not found"),
    Uint8Array.of(0x72),
    Uint8Array.of(0x72, 0xff, 0x01),
    new Uint8Array(12).fill(0xff),
    Uint8Array.of(0x0d, 1, 2),
  ];
  for (const bytes of damaged) assert.throws(() => metadata(bytes), { code: "bad_model" });
  assert.deepEqual({ ...metadata(new Uint8Array(0)) }, {});
});

test("metadata that make no model are refused, by the name of what is wrong", () => {
  const lite = { format_version: 1, kind: "windows", labels: ["a"], sample_rate: 4000, num_samples: 9, temperature: 1 };
  const said = (change) => ({ snn_voice_lite: JSON.stringify({ ...lite, ...change }) });
  assert.equal(factsOf(said({})).detection.threshold, 0.9);
  for (const [change, name] of [
    [{ format_version: 3 }, /format_version is 3/],
    [{ kind: "dreams" }, /kind is dreams/],
    [{ labels: [] }, /labels/],
    [{ labels: [1] }, /labels/],
    [{ temperature: 0 }, /temperature is 0/],
    [{ sample_rate: "fast" }, /sample_rate is fast/],
    [{ detection: { threshold: "x" } }, /detection.threshold is x/],
    [{ kind: "frames" }, /frames is no object/],
    [{ kind: "frames", frames: { frames_per_step: 1, lead_frames: 1, num_steps: 1, state_size: 1, features: { kind: "pcen" } } }, /kind is pcen/],
  ]) {
    assert.throws(() => factsOf(said(change)), { code: "bad_model", message: name });
  }
  assert.throws(() => factsOf({}), { code: "bad_model" });
  assert.throws(() => factsOf({ labels: '["a"]', input: "features" }), { message: /--features-outside/ });
  assert.throws(() => factsOf({ snn_voice_lite: "{" }), { message: /no JSON/ });
});
