/** The power of each frequency in frames of one length. */

export class PowerSpectrum {
  /** @param {number} size Of a frame, N. */
  constructor(size) {
    this.size = size;
    this.bins = Math.floor(size / 2) + 1;
    this.#cos = Float64Array.from({ length: size }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.#sin = Float64Array.from({ length: size }, (_, k) => Math.sin((2 * Math.PI * k) / size));
    this.#fast = size > 1 && (size & (size - 1)) === 0;
    this.#real = new Float64Array(size);
    this.#imag = new Float64Array(size);
    const bits = Math.log2(size);
    this.#swapped = this.#fast ? Uint32Array.from({ length: size }, (_, k) => reversed(k, bits)) : new Uint32Array();
  }

  #cos;
  #sin;
  #fast;
  #real;
  #imag;
  #swapped;

  /**
   * @param {Float64Array} frame `[N]`.
   * @param {Float64Array} out `[N / 2 + 1]`, to be filled.
   */
  of(frame, out) {
    if (!this.#fast) {
      this.#slowly(frame, out);
      return;
    }
    const [real, imag, cos, sin, size] = [this.#real, this.#imag, this.#cos, this.#sin, this.size];
    for (let k = 0; k < size; k++) real[this.#swapped[k]] = frame[k];
    imag.fill(0);
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let begin = 0; begin < size; begin += 2 * half) {
        for (let k = 0; k < half; k++) {
          const [a, b] = [begin + k, begin + k + half];
          const [c, s] = [cos[k * stride], sin[k * stride]];
          const re = real[b] * c + imag[b] * s;
          const im = imag[b] * c - real[b] * s;
          real[b] = real[a] - re;
          imag[b] = imag[a] - im;
          real[a] += re;
          imag[a] += im;
        }
      }
    }
    for (let k = 0; k < this.bins; k++) out[k] = real[k] * real[k] + imag[k] * imag[k];
  }

  /**
   * Sizes that are no power of two are rare and small: by the definition.
   *
   * @param {Float64Array} frame
   * @param {Float64Array} out
   */
  #slowly(frame, out) {
    for (let k = 0; k < this.bins; k++) {
      let [re, im] = [0, 0];
      for (let n = 0, at = 0; n < this.size; n++, at = (at + k) % this.size) {
        re += frame[n] * this.#cos[at];
        im -= frame[n] * this.#sin[at];
      }
      out[k] = re * re + im * im;
    }
  }
}

/**
 * @param {number} value
 * @param {number} bits
 * @returns {number} Its bits, the last first.
 */
function reversed(value, bits) {
  let out = 0;
  for (let i = 0; i < bits; i++) out |= ((value >> i) & 1) << (bits - 1 - i);
  return out;
}
