/** Sound -> the frames that a step of a network on frames hears. */

import { LogMel } from "../log_mel.js";

/** @import { FrameFacts } from "../../types/index.d.ts" */

export class FrameFront {
  /**
   * @param {FrameFacts} facts Of the model.
   * @param {number} steps Of the network in a hop.
   */
  constructor(facts, steps) {
    this.facts = facts;
    this.steps = steps;
    this.#logMel = new LogMel(facts.features);
    const { hopLength, fftSize } = facts.features;
    /** Samples between scores. */
    this.hop = steps * stepSamples(facts);
    this.#around = Math.floor(fftSize / 2);
    this.#before = facts.leadFrames * hopLength + this.#around;
    // Hops that are looked at together: this one, and those before it that its first frames reach into.
    this.hops = 1 + Math.ceil(this.#before / this.hop);
    this.#here = (this.hops - 1) * this.hop;
  }

  #logMel;
  #around;
  #before;
  #here;

  /**
   * The steps of a hop of a stream.
   *
   * @param {Float32Array} samples This hop and those before it; changed where the stream begins.
   * @param {boolean} begins Whether they are the first of the stream.
   * @returns {Float32Array[]} Each `[bands, framesPerStep]`, row by row.
   */
  ofStream(samples, begins) {
    const { hopLength, bands } = this.facts.features;
    const last = samples.length - 1;
    // What would be before the stream is mirrored, as at the beginning of a clip.
    for (let k = 1; begins && k <= this.#around && this.#here + k <= last; k++) {
      samples[this.#here - k] = samples[this.#here + k];
    }
    const columns = Array.from({ length: this.steps * this.facts.framesPerStep }, (_, i) => {
      const out = new Float32Array(bands);
      if (begins && i < this.facts.leadFrames) return out;
      const start = this.#here - this.#before + i * hopLength;
      this.#logMel.column((n) => samples[Math.max(0, Math.min(last, start + n))], out);
      return out;
    });
    return this.#inSteps(columns);
  }

  /**
   * The steps of a whole clip; frames behind the last whole step are left out.
   *
   * @param {Float32Array} samples
   * @returns {Float32Array[]}
   */
  ofClip(samples) {
    const { leadFrames, features } = this.facts;
    const lead = Array.from({ length: leadFrames }, () => new Float32Array(features.bands));
    const columns = this.#logMel.columns(samples);
    const steps = Math.floor((columns.length - leadFrames) / this.facts.framesPerStep);
    return this.#inSteps([...lead, ...columns].slice(0, steps * this.facts.framesPerStep));
  }

  /** @param {Float32Array[]} columns */
  #inSteps(columns) {
    const { framesPerStep, features } = this.facts;
    return Array.from({ length: columns.length / framesPerStep }, (_, step) => {
      const out = new Float32Array(features.bands * framesPerStep);
      for (let frame = 0; frame < framesPerStep; frame++) {
        columns[step * framesPerStep + frame].forEach((value, band) => (out[band * framesPerStep + frame] = value));
      }
      return out;
    });
  }
}

/**
 * @param {FrameFacts} facts
 * @returns {number} Samples of sound in a step.
 */
export function stepSamples(facts) {
  return facts.features.hopLength * facts.framesPerStep;
}
