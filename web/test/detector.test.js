import assert from "node:assert/strict";
import test from "node:test";

import { Detector } from "../src/detector.js";
import { Search } from "../src/search.js";
import { eachCase } from "./cases.js";

eachCase("detector", "events are Python's", ({ labels, settings, window, hop, words, scores, ends, events }) => {
  const rows = scores.map((row) => Float32Array.from(row));
  const detector = new Detector(labels, settings, { window, hop, words });
  const found = rows.map((row, i) => detector.feed(row, ends[i])).filter(Boolean);
  assert.deepEqual(found, events);

  // The same events without most of the windows, and at the same windows.
  detector.reset();
  if (detector.together === 1) return;
  const silence = Float32Array.from(labels, (label) => Number(label === "_silence_"));
  const search = new Search(detector.together, (row) => detector.holds(row), silence, detector.apart);
  const sparse = [];
  let ran = 0;
  const settle = () => {
    const known = search.known();
    for (const { scores: row, end } of known) {
      const event = detector.feed(row, end);
      if (event) sparse.push(event);
    }
    return known.at(-1)?.end;
  };
  rows.forEach((_, i) => {
    search.push({ place: i, end: ends[i] });
    for (let asked = search.ask(); asked; asked = search.ask()) {
      settle();
      ran += 1;
      search.tell(rows[asked.place]);
      const before = sparse.length;
      const end = settle();
      if (sparse.length > before && sparse.at(-1).time === end) search.event();
    }
    settle();
    assert.deepEqual(sparse, events.filter(({ time }) => time <= ends[i]));
  });
  assert.ok(ran < rows.length);
});

test("a word that the model does not know is refused", () => {
  const settings = { threshold: 0.5, thresholds: {}, smoothing: 0, refractory: 1, hop: 0.1 };
  const listening = { window: 1, hop: 0.1 };
  const code = "bad_option";
  for (const words of [["_silence_"], ["maybe"], [], "yes", 5]) {
    assert.throws(() => new Detector(["yes", "_silence_"], settings, { ...listening, words }), { code });
  }
});

test("what has no share at all is no word, however small the threshold is", () => {
  for (const threshold of [1e-308, 1e-46, 1e-40]) {
    const settings = { threshold, thresholds: {}, smoothing: 0, refractory: 1, hop: 0.1 };
    const detector = new Detector(["yes", "_silence_"], settings, { window: 1, hop: 0.1 });
    assert.equal(detector.holds(new Float32Array(2)), false);
    assert.equal(detector.feed(new Float32Array(2), 1), null);
    assert.equal(detector.feed(Float32Array.of(0.5, 0.5), 1.1)?.label, "yes");
  }
});
