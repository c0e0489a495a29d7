/** Frames of sound -> standardised log-mel columns, as the hub's front end computes them, to rounding. */

import { PowerSpectrum } from "./fourier.js";

/** @import { LogMelFacts } from "../types/index.d.ts" */

export class LogMel {
  /** @param {LogMelFacts} facts The front end. */
  constructor(facts) {
    this.facts = facts;
    this.#spectrum = new PowerSpectrum(facts.fftSize);
    this.#window = windowOf(facts);
    this.#filters = filtersOf(facts);
    this.#frame = new Float64Array(facts.fftSize);
    this.#power = new Float64Array(this.#spectrum.bins);
  }

  #spectrum;
  #window;
  #filters;
  #frame;
  #power;

  /**
   * One column.
   *
   * @param {(index: number) => number} sample The samples of the frame, by their index in it.
   * @param {Float32Array} out `[bands]`, to be filled.
   */
  column(sample, out) {
    const { waveformMean, waveformStd, logOffset, featureMean, featureStd, zeroBelow } = this.facts;
    const [frame, window, power] = [this.#frame, this.#window, this.#power];
    for (let n = 0; n < frame.length; n++) {
      frame[n] = window[n] === 0 ? 0 : ((sample(n) - waveformMean) / waveformStd) * window[n];
    }
    this.#spectrum.of(frame, power);
    this.#filters.forEach(({ first, weights }, band) => {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += power[first + k] * weights[k];
      const value = (Math.log(sum + logOffset) - featureMean) / featureStd;
      out[band] = zeroBelow !== null && value < zeroBelow ? 0 : value;
    });
  }

  /**
   * The columns of a whole clip, `[frames]` of `[bands]`. Frames are centred; what would be around the clip is mirrored.
   *
   * @param {Float32Array} samples
   * @returns {Float32Array[]}
   */
  columns(samples) {
    const { fftSize, hopLength, bands } = this.facts;
    const around = Math.floor(fftSize / 2);
    const last = samples.length - 1;
    const count = 1 + Math.floor((samples.length + 2 * around - fftSize) / hopLength);
    return Array.from({ length: count }, (_, i) => {
      const begin = i * hopLength - around;
      const out = new Float32Array(bands);
      this.column((n) => samples[last - Math.abs(last - Math.abs(begin + n))], out);
      return out;
    });
  }
}

/**
 * Hann's window, periodic, with zeros around it up to the size of a frame.
 *
 * @param {LogMelFacts} facts
 * @returns {Float64Array}
 */
function windowOf({ fftSize, winLength }) {
  const out = new Float64Array(fftSize);
  const before = Math.floor((fftSize - winLength) / 2);
  for (let n = 0; n < winLength; n++) {
    out[before + n] = 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / winLength);
  }
  return out;
}

/**
 * Triangles that overlap by half on the mel scale (HTK's), each with a height of 1.
 *
 * @param {LogMelFacts} facts
 * @returns {{first: number, weights: number[]}[]} For each band, from which frequency on it weighs, and how.
 */
function filtersOf({ melRate, fftSize, bands, fMin, fMax }) {
  const top = fMax ?? Math.floor(melRate / 2);
  const [low, high] = [fMin, top].map((hz) => 2595 * Math.log10(1 + hz / 700));
  const edges = Array.from({ length: bands + 2 }, (_, i) => {
    const mel = low + ((high - low) * i) / (bands + 1);
    return 700 * (10 ** (mel / 2595) - 1);
  });
  const bins = Math.floor(fftSize / 2) + 1;
  const hertz = Array.from({ length: bins }, (_, k) => (Math.floor(melRate / 2) * k) / (bins - 1));
  return Array.from({ length: bands }, (_, i) => {
    const [begin, middle, end] = edges.slice(i, i + 3);
    const all = hertz.map((hz) => Math.max(0, Math.min((hz - begin) / (middle - begin), (end - hz) / (end - middle))));
    const first = Math.max(0, all.findIndex((weight) => weight > 0));
    const weights = all.slice(first);
    while (weights.length && weights[weights.length - 1] === 0) weights.pop();
    return { first, weights };
  });
}
