/**
 * Resampling of sound that goes on, by a windowed sinc: flat up to 0.913 of the lower rate's half, and 120 dB down
 * beyond that half, which is what the hub's own resampler (soxr, "HQ") does.
 *
 * Browsers resample too, each by another filter, and not all let a microphone into a context of another rate.
 * With one filter in all of them, a model hears the same everywhere, and what the tests hear.
 */

import { SnnVoiceError } from "./errors.js";
import { gcd } from "./numbers.js";

const PASS = 0.913;
const ATTENUATION = 120;
// Rates with little in common need a table for each of many phases; all usual ones need under 1,000.
const MOST_PHASES = 4_000;
const [LOWEST, HIGHEST] = [4_000, 192_000];

/** Sample k of the result belongs to the time k / target. Where the sound is cut changes nothing. */
export class Resampler {
  /**
   * @param {number} rate Of what comes, in Hz.
   * @param {number} target Of the result, in Hz.
   * @throws {SnnVoiceError} The rates can't be used.
   */
  constructor(rate, target) {
    if (!Number.isInteger(rate) || rate < LOWEST || rate > HIGHEST) {
      throw new SnnVoiceError(`a sample rate of ${String(rate)} is not legal`, {
        code: "bad_rate",
        hint: `whole numbers from ${LOWEST} to ${HIGHEST} Hz`,
      });
    }
    const common = gcd(rate, target);
    this.#step = rate / common;
    this.#phases = target / common;
    if (this.#phases > MOST_PHASES) {
      throw new SnnVoiceError(`${rate} Hz can't be brought to ${target} Hz`, {
        code: "bad_rate",
        hint: "a usual rate, such as 44100 or 48000",
      });
    }
    this.#same = rate === target;
    this.#half = this.#same ? 0 : halfLength(rate, target);
    this.#bank = this.#same ? [] : bankOf(rate, target, this.#phases, this.#half);
    this.reset();
  }

  #step;
  #phases;
  #same;
  #half;
  #bank;
  #kept = new Float32Array(0); // the newest samples that are still needed
  #from = 0; // the index of the first of them
  #count = 0; // samples that have come
  #next = 0; // index of the next sample of the result

  /** Begin anew. */
  reset() {
    this.#kept = new Float32Array(this.#half); // silence was before
    this.#from = -this.#half;
    this.#count = 0;
    this.#next = 0;
  }

  /**
   * @param {Float32Array} samples
   * @returns {Float32Array} Those of the result that are known now.
   */
  push(samples) {
    if (this.#same) return samples;
    this.#count += samples.length;
    // The last sample that a result needs is `half` behind its place.
    const known = Math.ceil(((this.#count - this.#half) * this.#phases) / this.#step);
    return this.#take(samples, Math.max(this.#next, known));
  }

  /** @returns {Float32Array} The last samples; as many come in all as belong to the time that was heard. */
  end() {
    if (this.#same) return new Float32Array(0);
    const all = Math.floor((this.#count * this.#phases) / this.#step + 0.5);
    return this.#take(new Float32Array(2 * this.#half + 1), Math.max(this.#next, all));
  }

  /**
   * @param {Float32Array} samples What has come.
   * @param {number} end Up to which index the result is known.
   * @returns {Float32Array}
   */
  #take(samples, end) {
    const sound = new Float32Array(this.#kept.length + samples.length);
    sound.set(this.#kept);
    sound.set(samples, this.#kept.length);
    const out = new Float32Array(end - this.#next);
    for (let k = this.#next; k < end; k++) {
      const place = Math.floor((k * this.#step) / this.#phases);
      const taps = this.#bank[(k * this.#step) % this.#phases];
      const begin = place - this.#half + 1 - this.#from;
      let sum = 0;
      for (let j = 0; j < taps.length; j++) sum += sound[begin + j] * taps[j];
      out[k - this.#next] = sum;
    }
    this.#next = end;
    const needed = Math.floor((end * this.#step) / this.#phases) - this.#half + 1 - this.#from;
    this.#kept = sound.slice(Math.max(0, needed));
    this.#from += Math.max(0, needed);
    return out;
  }
}

/**
 * @param {Float32Array} samples A whole clip.
 * @param {number} rate
 * @param {number} target
 * @returns {Float32Array}
 */
export function resampled(samples, rate, target) {
  const resampler = new Resampler(rate, target);
  const first = resampler.push(samples);
  const last = resampler.end();
  if (!last.length) return first;
  const out = new Float32Array(first.length + last.length);
  out.set(first);
  out.set(last, first.length);
  return out;
}

/**
 * @param {number} rate
 * @param {number} target
 * @returns {number} Samples on either side of a place, by Kaiser's formula.
 */
function halfLength(rate, target) {
  const transition = Math.PI * (1 - PASS) * Math.min(1, target / rate);
  return Math.ceil((ATTENUATION - 8) / (2.285 * transition) / 2);
}

/**
 * @param {number} rate
 * @param {number} target
 * @param {number} phases
 * @param {number} half
 * @returns {Float64Array[]} For each phase, the weights of the samples around a place.
 */
function bankOf(rate, target, phases, half) {
  const beta = 0.1102 * (ATTENUATION - 8.7);
  const cut = ((1 + PASS) / 2) * Math.min(1, target / rate); // of half the rate
  return Array.from({ length: phases }, (_, phase) => {
    const taps = Float64Array.from({ length: 2 * half }, (_, j) => {
      const t = j - half + 1 - phase / phases;
      const within = Math.max(0, 1 - (t / half) ** 2);
      const sinc = t === 0 ? 1 : Math.sin(Math.PI * cut * t) / (Math.PI * cut * t);
      return cut * sinc * (bessel(beta * Math.sqrt(within)) / bessel(beta));
    });
    // What stands still stays as it is, in every phase.
    const sum = taps.reduce((a, b) => a + b, 0);
    return taps.map((tap) => tap / sum);
  });
}

/**
 * @param {number} x
 * @returns {number} The modified Bessel function of order 0.
 */
function bessel(x) {
  let [sum, term] = [1, 1];
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}
