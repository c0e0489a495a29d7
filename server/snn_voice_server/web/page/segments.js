// @ts-check
/** From the windows of a sound, which overlap, to the words in it, one after the other. */

import { isClass } from "./labels.js";

/** Scores are calibrated over what the model knows: below this its best guess is rather wrong than right. */
export const SURE = 0.5;

/** Of words that follow fast, windows that overlap may each hold one. What an edge makes of a word is rarely so sure. */
const CERTAIN = 0.99;

/** What is shorter, in seconds, is no pause that anybody would look at. */
const SHORTEST_GAP = 0.05;

/**
 * @typedef {import("./api.js").Window} Window
 *
 * @typedef {object} Segment A part of the sound; segments do not overlap.
 * @property {number} start In seconds.
 * @property {number} end
 * @property {Window | null} window That in which its word is clearest; null where no word is.
 */

/**
 * The words of a sound, in order.
 *
 * A word ends up in several windows, and what a window's edge cuts off sounds like another word. So the surest
 * window comes first, and one that overlaps a surer one of another word does not count, unless it is certain.
 *
 * @param {Window[]} windows By their beginning.
 * @returns {Segment[]} Neighbours of the same word are one.
 */
export function wordsIn(windows) {
  const holds = windows.map((window) => isSure(window) && !isClass(window.predictions[0].label));
  const order = windows.map((_, at) => at).filter((at) => holds[at]);
  order.sort((a, b) => score(windows[b]) - score(windows[a]) || a - b);
  /** @type {Set<number>} */
  const counted = new Set();
  for (const at of order) {
    const rival = overlapping(windows, at).some((other) => counted.has(other) && label(windows[other]) !== label(windows[at]));
    if (!rival || score(windows[at]) >= CERTAIN) {
      counted.add(at);
    }
  }
  /** @type {(Segment & {window: Window})[]} */
  const words = [];
  windows.forEach((window, at) => {
    const last = words.at(-1);
    if (!counted.has(at)) {
      return;
    }
    if (last && counted.has(at - 1) && label(last.window) === label(window)) {
      last.end = window.end;
      last.window = score(window) > score(last.window) ? window : last.window;
      return;
    }
    let { start } = window;
    if (last && last.end > start) {
      last.end = start = (last.end + start) / 2; // two certain ones: each has its half of what they share
    }
    words.push({ start, end: window.end, window });
  });
  return words;
}

/**
 * @param {Segment[]} words
 * @param {number} end Of the sound, in seconds.
 * @returns {Segment[]} The same with the gaps between them.
 */
export function withGaps(words, end) {
  /** @type {Segment[]} */
  const all = [];
  let at = 0;
  for (const word of [...words, null]) {
    const next = word ? word.start : end;
    if (next - at >= SHORTEST_GAP) {
      all.push({ start: at, end: next, window: null });
    }
    if (word) {
      all.push(word);
      at = word.end;
    }
  }
  return all;
}

/**
 * @param {Window[]} windows At least one.
 * @returns {Window} That with the best word; where none holds a word, the one with the best score.
 */
export function clearest(windows) {
  const words = windows.filter((window) => window.predictions.length && !isClass(window.predictions[0].label));
  return (words.length ? words : windows).reduce((a, b) => (score(b) > score(a) ? b : a));
}

/**
 * @param {Window} window
 * @returns {boolean} Whether its best answer is rather right than wrong.
 */
export function isSure(window) {
  return score(window) >= SURE;
}

/**
 * @param {Window} window
 * @returns {number} How likely no word is in it: what all classes that are no word have together.
 */
export function noWord({ predictions }) {
  return predictions.reduce((sum, found) => sum + (isClass(found.label) ? found.score : 0), 0);
}

/**
 * @param {Window[]} windows
 * @param {number} at
 * @returns {number[]} Which of them share sound with that one.
 */
function overlapping(windows, at) {
  const found = [];
  for (let other = at - 1; other >= 0 && windows[other].end > windows[at].start; other -= 1) {
    found.push(other);
  }
  for (let other = at + 1; other < windows.length && windows[other].start < windows[at].end; other += 1) {
    found.push(other);
  }
  return found;
}

/** @param {Window} window */
function score(window) {
  return window.predictions[0]?.score ?? 0;
}

/** @param {Window} window */
function label(window) {
  return window.predictions[0].label;
}
