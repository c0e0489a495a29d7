/** Graphs that take one step in a run and graphs that take several are run alike. */

import assert from "node:assert/strict";
import test from "node:test";

import { Network } from "../src/network.js";

class Tensor {
  constructor(type, data, dims) {
    assert.equal(data.length, dims.reduce((product, size) => product * size, 1));
    Object.assign(this, { type, data, dims });
  }
}

/** Logits `[sum, state]` of each step; the state becomes the sum of all frames so far. */
function running(dims) {
  return {
    async run({ frames, state }) {
      dims.push(frames.dims);
      const steps = frames.dims.length === 5 ? frames.dims[0] : 1;
      const size = frames.data.length / steps;
      const logits = [];
      let sum = state.data[0];
      for (let step = 0; step < steps; step++) {
        const heard = frames.data.slice(step * size, (step + 1) * size).reduce((all, value) => all + value, 0);
        sum += heard;
        logits.push(heard, sum);
      }
      return { logits: { data: Float32Array.from(logits) }, next_state: { data: Float32Array.of(sum) } };
    },
  };
}

test("steps one by one, and all at once", async () => {
  const steps = [1, 2, 4].map((value) => Float32Array.of(value, 0, value, 0));
  const found = [];
  for (const [atOnce, expected] of [
    [false, [[1, 1, 2, 2], [1, 1, 2, 2], [1, 1, 2, 2]]],
    [true, [[3, 1, 1, 2, 2]]],
  ]) {
    const dims = [];
    const facts = { frames: { atOnce, framesPerStep: 2, features: { bands: 2 } } };
    const network = new Network({ Tensor }, running(dims), facts);
    const { logits, state } = await network.advance(steps, Float32Array.of(10));
    assert.deepEqual(dims, expected);
    found.push([logits.map((row) => [...row]), [...state]]);
  }
  assert.deepEqual(found[0], [[[2, 12], [4, 16], [8, 24]], [24]]);
  assert.deepEqual(found[1], found[0]);
});
