/** What is kept of a stream, where the network hears windows of sound, each by itself. */

import { Ring } from "../ring.js";
import { RingHearing } from "./ringed.js";

/**
 * @import { Facts } from "../../types/index.d.ts"
 * @import { Network } from "../network.js"
 * @import { SoughtWindow } from "../search.js"
 */

export class WindowHearing extends RingHearing {
  /**
   * @param {Facts} facts Of the model.
   * @param {Network} network
   * @param {{hop: number, gate: number | null, back: number}} listening Samples between windows, the level of silence,
   *   and how many windows before the newest may still be asked for.
   */
  constructor(facts, network, { hop, gate, back }) {
    super(facts, new Ring(facts.numSamples, hop, back * hop), gate);
    this.#network = network;
  }

  #network;

  /** @returns {SoughtWindow | null} */
  next() {
    const window = this.ring.next();
    if (!window) return null;
    const end = (window.begin + this.ring.size) / this.facts.sampleRate;
    return { place: this.isQuiet(window.level) ? null : window.begin, end };
  }

  /** @param {SoughtWindow} window */
  async scores(window) {
    return this.shares(await this.#network.hear(this.ring.samples(/** @type {number} */ (window.place))));
  }
}
