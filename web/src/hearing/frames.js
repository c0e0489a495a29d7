/** What is kept of a stream, where the network's steps are the frames of the sound: what it remembers of all before. */

import { Ring } from "../ring.js";
import { FrameFront, stepSamples } from "./front.js";
import { RingHearing } from "./ringed.js";

/**
 * @import { Facts, FrameFacts } from "../../types/index.d.ts"
 * @import { Network } from "../network.js"
 * @import { SoughtWindow } from "../search.js"
 */

/**
 * A stream begins as a clip does. Where nothing was louder than the gate for as long as an answer looks back, the
 * network does not run, and what was heard is forgotten: the next sound finds it at rest.
 */
export class FrameHearing extends RingHearing {
  /**
   * @param {Facts} facts Of the model.
   * @param {Network} network
   * @param {{hop: number, gate: number | null}} listening Samples between scores, and the level of silence.
   */
  constructor(facts, network, { hop, gate }) {
    const frames = /** @type {FrameFacts} */ (facts.frames);
    const front = new FrameFront(frames, hop / stepSamples(frames));
    super(facts, new Ring(front.hops * front.hop, front.hop), gate);
    this.#network = network;
    this.#front = front;
    this.#frames = frames;
    // So many quiet hops in a row, and nothing that an answer looks back at was loud.
    this.#asleep = Math.ceil(frames.numSteps / front.steps);
    this.#memory = new Memory(frames, facts.labels.length);
  }

  #network;
  #front;
  #frames;
  #asleep;
  #memory;
  #quiet = 0; // hops in a row
  /** @type {number | null} Where the first hop began. */
  #first = null;

  reset() {
    super.reset();
    this.#quiet = 0;
    this.#first = null;
    this.#rest();
  }

  #rest() {
    this.#memory = new Memory(this.#frames, this.facts.labels.length);
  }

  /** @returns {SoughtWindow | null} */
  next() {
    const window = this.ring.next();
    if (!window) return null;
    this.#first ??= window.begin;
    this.#quiet = this.isQuiet(this.level) ? this.#quiet + 1 : 0;
    const end = (window.begin + this.ring.size) / this.facts.sampleRate;
    if (this.#quiet < this.#asleep) return { place: window.begin, end };
    if (this.#quiet === this.#asleep) this.#rest();
    return { place: null, end };
  }

  /** @param {SoughtWindow} window */
  async scores(window) {
    const begin = /** @type {number} */ (window.place);
    const steps = this.#front.ofStream(this.ring.samples(begin), begin === this.#first);
    try {
      await this.#memory.advance(this.#network, steps);
    } catch (error) {
      this.#rest();
      throw error;
    }
    return this.shares(this.#memory.sum());
  }
}

/** What a network remembers, and its newest answers. */
class Memory {
  /**
   * @param {FrameFacts} facts
   * @param {number} classes
   */
  constructor(facts, classes) {
    this.#state = new Float32Array(facts.stateSize);
    this.#outputs = Array.from({ length: facts.numSteps }, () => new Float32Array(classes));
  }

  /** @type {Float32Array} */
  #state;
  /** @type {Float32Array[]} */
  #outputs;

  /**
   * @param {Network} network
   * @param {Float32Array[]} steps
   */
  async advance(network, steps) {
    const { logits, state } = await network.advance(steps, this.#state);
    this.#state = state;
    this.#outputs = [...this.#outputs, ...logits].slice(-this.#outputs.length);
  }

  /** @returns {Float32Array} The logits of the newest steps together. */
  sum() {
    return this.#outputs[0].map((_, i) => this.#outputs.reduce((sum, row) => sum + row[i], 0));
  }
}

/**
 * @param {Facts} facts
 * @param {Network} network
 * @param {Float32Array} window Sound of a clip.
 * @returns {Promise<Float32Array>} Its logits, from a network at rest.
 */
export async function logitsOfClip(facts, network, window) {
  const frames = /** @type {FrameFacts} */ (facts.frames);
  const memory = new Memory(frames, facts.labels.length);
  await memory.advance(network, new FrameFront(frames, 1).ofClip(window));
  return memory.sum();
}
