// @ts-check
/** The log-mel of sound that comes in pieces: how strong each band of pitch is, for the eye. */

const WINDOW_S = 0.032;
const LOWEST_HZ = 60;
const HIGHEST_HZ = 7600;

/** Silence and full scale, in dB of a band. */
const FLOOR_DB = -75;
const CEILING_DB = -15;

export class LogMel {
  /**
   * @param {number} sampleRate In Hz.
   * @param {number} bands
   * @param {number} hop Seconds from frame to frame.
   */
  constructor(sampleRate, bands, hop) {
    const length = Math.round(WINDOW_S * sampleRate);
    const size = 2 ** Math.ceil(Math.log2(length));
    this.hop = hop * sampleRate;
    this.window = Float32Array.from({ length }, (_, at) => 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / length));
    this.gain = 2 / this.window.reduce((sum, value) => sum + value, 0);
    this.newest = new Float32Array(length); // a ring
    this.at = 0;
    this.due = this.hop;
    this.real = new Float32Array(size);
    this.imaginary = new Float32Array(size);
    this.cosines = Float32Array.from({ length: size / 2 }, (_, at) => Math.cos((2 * Math.PI * at) / size));
    this.sines = Float32Array.from({ length: size / 2 }, (_, at) => -Math.sin((2 * Math.PI * at) / size));
    this.filters = filters(bands, sampleRate, size);
  }

  /**
   * @param {Float32Array} piece
   * @param {(frame: Float32Array) => void} onFrame Is given each frame that is complete: its bands, the lowest
   *   first, 0 for silence to 1 for the loudest.
   */
  push(piece, onFrame) {
    for (const sample of piece) {
      this.newest[this.at] = sample;
      this.at = (this.at + 1) % this.newest.length;
      this.due -= 1;
      if (this.due <= 0) {
        this.due += this.hop;
        onFrame(this.#frame());
      }
    }
  }

  /** @returns {Float32Array} */
  #frame() {
    const { window, newest, real, imaginary } = this;
    real.fill(0);
    imaginary.fill(0);
    for (let index = 0; index < window.length; index += 1) {
      real[index] = window[index] * newest[(this.at + index) % newest.length];
    }
    transform(real, imaginary, this.cosines, this.sines);
    return Float32Array.from(this.filters, ({ first, weights }) => {
      let power = 0;
      weights.forEach((weight, index) => {
        power += weight * (real[first + index] ** 2 + imaginary[first + index] ** 2);
      });
      const decibels = 10 * Math.log10(power * this.gain ** 2 + 1e-12);
      return Math.min(1, Math.max(0, (decibels - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
    });
  }
}

/**
 * @param {number} bands
 * @param {number} sampleRate
 * @param {number} size Of the transform.
 * @returns {{first: number, weights: Float32Array}[]} For each band its first bin, and the weights from there on.
 */
function filters(bands, sampleRate, size) {
  const mel = (/** @type {number} */ hertz) => 2595 * Math.log10(1 + hertz / 700);
  const [low, high] = [mel(LOWEST_HZ), mel(Math.min(HIGHEST_HZ, sampleRate / 2))];
  const edge = (/** @type {number} */ at) => (700 * (10 ** ((low + ((high - low) * at) / (bands + 1)) / 2595) - 1) * size) / sampleRate;
  return Array.from({ length: bands }, (_, band) => {
    const [from, peak, to] = [edge(band), edge(band + 1), edge(band + 2)];
    const first = Math.ceil(from);
    const weights = Float32Array.from({ length: Math.max(0, Math.ceil(to) - first) }, (_, index) => {
      const bin = first + index;
      return bin < peak ? (bin - from) / (peak - from) : (to - bin) / (to - peak);
    });
    // The lowest bands are narrower than a bin.
    return weights.some((weight) => weight > 0.1) ? { first, weights } : { first: Math.round(peak), weights: Float32Array.of(1) };
  });
}

/**
 * The fast Fourier transform, in place.
 *
 * @param {Float32Array} real As many as a power of two.
 * @param {Float32Array} imaginary
 * @param {Float32Array} cosines Of the first half of the circle.
 * @param {Float32Array} sines
 */
function transform(real, imaginary, cosines, sines) {
  const size = real.length;
  for (let index = 1, other = 0; index < size; index += 1) {
    let bit = size >> 1;
    for (; other & bit; bit >>= 1) {
      other ^= bit;
    }
    other ^= bit;
    if (index < other) {
      [real[index], real[other]] = [real[other], real[index]];
      [imaginary[index], imaginary[other]] = [imaginary[other], imaginary[index]];
    }
  }
  for (let half = 1; half < size; half *= 2) {
    const stride = size / (2 * half);
    for (let begin = 0; begin < size; begin += 2 * half) {
      for (let index = 0; index < half; index += 1) {
        const [a, b] = [begin + index, begin + index + half];
        const [cosine, sine] = [cosines[index * stride], sines[index * stride]];
        const x = real[b] * cosine - imaginary[b] * sine;
        const y = real[b] * sine + imaginary[b] * cosine;
        real[b] = real[a] - x;
        imaginary[b] = imaginary[a] - y;
        real[a] += x;
        imaginary[a] += y;
      }
    }
  }
}
