/** Logits -> scores -> what a user reads. */

import { isWord } from "./labels.js";
import { f32 } from "./numbers.js";

/** @import { Prediction } from "../types/index.d.ts" */

/**
 * @param {ArrayLike<number>} logits
 * @param {number} temperature
 * @returns {Float32Array} Their softmax.
 */
export function softmax(logits, temperature) {
  const scaled = Float32Array.from(logits, (logit) => logit / f32(temperature));
  const top = scaled.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = scaled.map((value) => Math.exp(value - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

/**
 * Scores of a clip from those of its windows.
 *
 * A word is there if any window holds it: the maximum. No word is there only if no window holds one: the minimum
 * of what all classes that are no word have together, divided among them as in the mean of the windows.
 *
 * @param {Float32Array[]} windows
 * @param {string[]} labels
 * @returns {Float32Array} The scores of several windows need not sum to 1.
 */
export function combine(windows, labels) {
  if (windows.length === 1) return windows[0];
  const none = labels.map((label) => !isWord(label));
  const means = labels.map((_, i) => (none[i] ? windows.reduce((sum, row) => sum + row[i], 0) / windows.length : 0));
  const all = Math.max(1e-12, means.reduce((a, b) => a + b, 0));
  const together = windows.map((row) => row.reduce((sum, score, i) => sum + (none[i] ? score : 0), 0));
  const least = Math.min(...together);
  return Float32Array.from(labels, (_, i) =>
    none[i] ? (least * means[i]) / all : windows.reduce((top, row) => Math.max(top, row[i]), -Infinity),
  );
}

/**
 * The best labels, best first, equal ones in the labels' order.
 *
 * @param {Float32Array} scores
 * @param {string[]} labels
 * @param {{topK: number, minScore: number | null, wordsOnly: boolean}} asked
 * @returns {Prediction[]}
 */
export function best(scores, labels, { topK, minScore, wordsOnly }) {
  let ranked = labels.map((label, i) => ({ label, score: scores[i] })).sort((a, b) => b.score - a.score);
  if (minScore !== null) ranked = ranked.filter(({ score }) => score >= minScore);
  // No word is no answer to "which words are at least so likely".
  if (wordsOnly || minScore !== null) ranked = ranked.filter(({ label }) => isWord(label));
  return ranked.slice(0, topK);
}
