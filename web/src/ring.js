/** The newest sound of a stream, and the windows in it; how the sound is cut changes nothing. */

/** Of digital silence, in dB. */
export const FLOOR = -120;

/**
 * A stream begins as if silence had been before, so that its first word is heard as any other. However long it is,
 * only the newest window and what is asked for before it are held.
 */
export class Ring {
  /**
   * @param {number} size Length of a window in samples.
   * @param {number} hop Distance between windows, at most `size`.
   * @param {number} back Samples before the newest window that can still be had.
   */
  constructor(size, hop, back = 0) {
    this.size = size;
    this.hop = hop;
    this.#held = size + back;
    this.#buffer = new Float32Array(this.#held + Math.max(Math.floor(size / 2), hop));
    this.reset();
  }

  #held;
  #buffer;
  #filled = 0; // of the buffer
  #count = 0; // samples up to the newest that windows were looked for in
  #due = 0; // the count at which the next window is complete
  /** @type {number[]} */
  #levels = [];
  /** @type {Float32Array[]} */
  #pushed = [];

  /** Forget all that was heard. */
  reset() {
    this.#count = 0;
    this.#buffer.fill(0, 0, this.#held);
    this.#filled = this.#held;
    // One of the windows begins with the stream.
    this.#due = this.size - Math.floor((this.size - 1) / this.hop) * this.hop;
    this.#levels = [];
    this.#pushed = [];
  }

  /** Of the newest piece of `hop` samples that a window ended with, in dB of full scale. */
  get level() {
    return this.#levels.at(-1) ?? FLOOR;
  }

  /** @param {Float32Array} samples Nobody may change them until `next` has no window more. */
  push(samples) {
    if (samples.length) this.#pushed.push(samples);
  }

  /**
   * The next window that is complete: where it begins in the stream (below 0 in the silence before it), and the
   * level of the loudest part of `hop` samples that reaches into it.
   *
   * @returns {{begin: number, level: number} | null}
   */
  next() {
    for (let samples = this.#pushed.shift(); samples; samples = this.#pushed.shift()) {
      const missing = this.#due - this.#count;
      const taken = samples.subarray(0, missing);
      if (taken.length < samples.length) this.#pushed.unshift(samples.subarray(missing));
      this.#write(taken);
      if (this.#count === this.#due) {
        this.#due += this.hop;
        this.#levels.push(levelOf(this.#buffer.subarray(this.#filled - this.hop, this.#filled)));
        if (this.#levels.length > Math.ceil(this.size / this.hop)) this.#levels.shift();
        return { begin: this.#count - this.size, level: Math.max(...this.#levels) };
      }
    }
    return null;
  }

  /**
   * @param {number} begin Of a window that was given.
   * @returns {Float32Array} Its samples, a copy.
   */
  samples(begin) {
    const at = this.#filled - (this.#count - begin);
    return this.#buffer.slice(at, at + this.size);
  }

  /** @param {Float32Array} samples */
  #write(samples) {
    if (this.#filled + samples.length > this.#buffer.length) {
      this.#buffer.copyWithin(0, this.#filled - this.#held, this.#filled);
      this.#filled = this.#held;
    }
    this.#buffer.set(samples, this.#filled);
    this.#filled += samples.length;
    this.#count += samples.length;
  }
}

/**
 * @param {Float32Array} samples
 * @returns {number} Their deviation from their mean, in dB of full scale, at least `FLOOR`.
 */
export function levelOf(samples) {
  const mean = samples.reduce((a, b) => a + b, 0) / samples.length;
  const power = samples.reduce((sum, sample) => sum + (sample - mean) ** 2, 0) / samples.length;
  return power > 0 ? Math.max(FLOOR, 10 * Math.log10(power)) : FLOOR;
}
