/** What both kinds of hearing share: the newest sound of a stream, in pieces that come due. */

import { softmax } from "../answers.js";
import { SILENCE } from "../labels.js";
import { Ring } from "../ring.js";

/**
 * @import { Facts } from "../../types/index.d.ts"
 * @import { SoughtWindow } from "../search.js"
 */

export class RingHearing {
  /**
   * @param {Facts} facts Of the model.
   * @param {Ring} ring Holds the sound.
   * @param {number | null} gate What is not louder is silence, in dB of full scale; null for none.
   */
  constructor(facts, ring, gate) {
    this.facts = facts;
    this.ring = ring;
    this.#gate = gate;
    /** Scores of silence: no word is in it. */
    this.silence = Float32Array.from(facts.labels, (label) => Number(label === SILENCE));
  }

  #gate;
  #heard = false;

  /** Of the newest sound, in dB of full scale. */
  get level() {
    return this.ring.level;
  }

  /** Forget all that was heard. */
  reset() {
    this.ring.reset();
    this.#heard = false;
  }

  /** @param {Float32Array} samples At the model's rate. */
  push(samples) {
    this.#heard ||= samples.length > 0;
    this.ring.push(samples);
  }

  /** Let so much silence follow as windows hold that hold sound. */
  pushSilence() {
    if (this.#heard) this.ring.push(new Float32Array(this.facts.numSamples - 1));
  }

  /** @returns {SoughtWindow | null} The next window that is complete. */
  next() {
    throw new Error("is for a subclass");
  }

  /**
   * @param {SoughtWindow} window One of the newest, no silence.
   * @returns {Promise<Float32Array>} Its scores.
   */
  async scores(window) {
    throw new Error(`is for a subclass: ${window.end}`);
  }

  /** @param {number} level */
  isQuiet(level) {
    return this.#gate !== null && level <= this.#gate;
  }

  /** @param {ArrayLike<number>} logits */
  shares(logits) {
    return softmax(logits, this.facts.temperature);
  }
}
