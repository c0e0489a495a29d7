/** Clips of any length -> windows of the model's length. */

import { roundEven } from "./numbers.js";

/** A clip at most this much longer than the window is still one: recorders rarely stop on the sample. */
const CUT_SECONDS = 0.25;

/**
 * Make a clip exactly one window long: zeros behind a shorter one, a longer one loses its quieter end.
 *
 * @param {Float32Array} samples
 * @param {number} size
 * @returns {Float32Array}
 */
export function fit(samples, size) {
  const surplus = samples.length - size;
  if (surplus <= 0) {
    const padded = new Float32Array(size);
    padded.set(samples);
    return padded;
  }
  const first = power(samples.subarray(0, surplus));
  const last = power(samples.subarray(size));
  return first < last ? samples.subarray(surplus) : samples.subarray(0, size);
}

/**
 * @param {Float32Array} samples
 * @returns {number}
 */
function power(samples) {
  return samples.reduce((sum, sample) => sum + sample * sample, 0);
}

/**
 * The windows of a clip. The last one ends with it, so it may come sooner than the others.
 *
 * @param {Float32Array} samples
 * @param {number} size Of a window.
 * @param {number} rate In Hz.
 * @param {number} hop Seconds between windows.
 * @returns {{windows: Float32Array[], begins: number[], length: number}} Where each begins, and how long one
 *   is, in samples: as long as the clip where that is the only one.
 */
export function split(samples, size, rate, hop) {
  const last = samples.length - size;
  if (last <= roundEven(CUT_SECONDS * rate)) {
    return { windows: [fit(samples, size)], begins: [0], length: samples.length };
  }
  const step = Math.max(1, roundEven(hop * rate));
  const begins = [];
  for (let begin = 0; begin < last; begin += step) begins.push(begin);
  begins.push(last);
  return { windows: begins.map((begin) => samples.subarray(begin, begin + size)), begins, length: size };
}
