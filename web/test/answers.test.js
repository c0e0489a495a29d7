import assert from "node:assert/strict";
import test from "node:test";

import { best, combine, softmax } from "../src/answers.js";
import { split } from "../src/windows.js";
import { apart, eachCase } from "./cases.js";

eachCase("answers", "the answer for a clip of several windows", ({ logits, temperature, labels, answers }) => {
  const rows = logits.map((row) => softmax(row, temperature));
  const scores = combine(rows, labels);
  for (const { asked, expected } of answers) {
    const found = best(scores, labels, asked);
    assert.deepEqual(found.map(({ label }) => label), expected.map(([label]) => label));
    assert.ok(apart(found.map(({ score }) => score), expected.map(([, score]) => score)) < 1e-6);
  }
});

eachCase("windows", "the windows of a clip", ({ samples, size, rate, hop, begins, length, first }) => {
  const found = split(Float32Array.from(samples), size, rate, hop);
  assert.deepEqual(found.begins, begins);
  assert.equal(found.length, length);
  assert.deepEqual(Array.from(found.windows[0]), first);
  assert.ok(found.windows.every((window) => window.length === size));
});

test("equal scores come in the order of the labels", () => {
  const found = best(Float32Array.of(0.3, 0.3, 0.4), ["a", "b", "c"], { topK: 3, minScore: null, wordsOnly: false });
  assert.deepEqual(found.map(({ label }) => label), ["c", "a", "b"]);
});
