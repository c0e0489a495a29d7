/** One stream of sound: chunks in, events out. */

import { SnnVoiceError } from "./errors.js";
import { Resampler } from "./resampling.js";
import { Search } from "./search.js";

/**
 * @import { KeywordEvent } from "../types/index.d.ts"
 * @import { Detector } from "./detector.js"
 * @import { RingHearing } from "./hearing/ringed.js"
 */

// Seconds of a long chunk that are worked on at a time.
const PIECE = 0.5;
// What the power of a spectrum bears; far beyond any mistake of scale.
const MAX_PEAK = 1e12;

export class VoiceStream {
  /**
   * @param {RingHearing} hearing What is kept of the sound.
   * @param {Detector} detector Makes events of scores.
   * @param {{labels: string[], rate: number, target: number, sparse: boolean}} settings Of the model, rates of the
   *   chunks and of the model in Hz, and whether to leave out windows that can be in no event.
   */
  constructor(hearing, detector, { labels, rate, target, sparse }) {
    this.sampleRate = rate;
    this.hop = detector.hop;
    this.thresholds = detector.thresholds;
    this.#hearing = hearing;
    this.#detector = detector;
    this.#labels = labels;
    this.#resampler = new Resampler(rate, target);
    if (sparse && detector.together > 1) {
      /** @param {Float32Array} scores */
      const holds = (scores) => detector.holds(scores);
      this.#search = new Search(detector.together, holds, hearing.silence, detector.apart);
    }
    this.#newest = new Float32Array(labels.length);
  }

  #hearing;
  #detector;
  #labels;
  #resampler;
  /** @type {Search | null} */
  #search = null;
  /** @type {Float32Array} */
  #newest;
  #count = 0;
  #over = false;
  /** @type {Float32Array[]} */
  #pieces = [];
  /** @type {Promise<unknown>} What was asked for before; a stream does one thing after the other. */
  #turn = Promise.resolve();

  /** @returns {Record<string, number>} */
  get scores() {
    return Object.fromEntries(this.#labels.map((label, i) => [label, this.#newest[i]]));
  }

  get level() {
    return this.#hearing.level;
  }

  get seconds() {
    return this.#count / this.sampleRate;
  }

  /**
   * @param {Float32Array | Int16Array} samples
   * @returns {Promise<KeywordEvent[]>}
   */
  feed(samples) {
    let chunk;
    try {
      chunk = readChunk(samples); // now: callers use their arrays again
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#inTurn(async () => {
      this.#checkOpen();
      this.#count += chunk.length;
      const step = Math.max(1, Math.round(PIECE * this.sampleRate));
      for (let begin = 0; begin < chunk.length; begin += step) this.#pieces.push(chunk.subarray(begin, begin + step));
      return this.#heard();
    });
  }

  /** @returns {Promise<KeywordEvent[]>} */
  flush() {
    return this.#inTurn(async () => {
      this.#checkOpen();
      this.#over = true;
      for (const piece of this.#pieces.splice(0)) this.#hearing.push(this.#resampler.push(piece));
      this.#hearing.push(this.#resampler.end());
      this.#hearing.pushSilence();
      return this.#heard();
    });
  }

  /** @returns {Promise<void>} */
  reset() {
    return this.#inTurn(async () => {
      for (const part of [this.#resampler, this.#hearing, this.#detector, this.#search]) part?.reset();
      this.#count = 0;
      this.#over = false;
      this.#pieces = [];
      this.#newest = new Float32Array(this.#labels.length);
    });
  }

  /**
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  #inTurn(work) {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  #checkOpen() {
    if (this.#over) {
      throw new SnnVoiceError("the stream is over", { code: "stream_over", hint: "reset() begins a new one" });
    }
  }

  /** The next window of what has come. */
  #next() {
    let window;
    while (!(window = this.#hearing.next()) && this.#pieces.length) {
      this.#hearing.push(this.#resampler.push(/** @type {Float32Array} */ (this.#pieces.shift())));
    }
    return window;
  }

  /** @returns {Promise<KeywordEvent[]>} The events of all that has come. */
  async #heard() {
    /** @type {KeywordEvent[]} */
    const events = [];
    if (this.#search) {
      await this.#searched(this.#search, events);
      return events;
    }
    for (let window = this.#next(); window; window = this.#next()) {
      const scores = window.place === null ? this.#hearing.silence : await this.#hearing.scores(window);
      this.#detected(scores, window.end, events);
    }
    return events;
  }

  /**
   * The same, without the windows that can be in no event.
   *
   * @param {Search} search
   * @param {KeywordEvent[]} events
   */
  async #searched(search, events) {
    const settle = () => {
      const known = search.known();
      for (const { scores, end } of known) this.#detected(scores, end, events);
      return known.at(-1)?.end;
    };
    for (;;) {
      let window;
      let heard;
      while (!(window = search.ask()) && (heard = this.#next())) search.push(heard);
      settle(); // silence, and windows that can't hold a word: no event
      if (!window) return;
      try {
        search.tell(await this.#hearing.scores(window));
      } catch (error) {
        search.tell(new Float32Array(this.#labels.length)); // as if no word had been there
        throw error;
      }
      const before = events.length;
      const end = settle();
      if (events.length > before && events[events.length - 1].time === end) search.event();
    }
  }

  /**
   * @param {Float32Array} scores
   * @param {number} end
   * @param {KeywordEvent[]} events
   */
  #detected(scores, end, events) {
    this.#newest = scores;
    const event = this.#detector.feed(scores, end);
    if (event) events.push(event);
  }
}

/**
 * @param {unknown} samples
 * @returns {Float32Array} A copy, checked.
 */
export function readChunk(samples) {
  if (samples instanceof Int16Array) return Float32Array.from(samples, (sample) => sample / 32768);
  if (!(samples instanceof Float32Array)) {
    throw new SnnVoiceError("sound is neither Float32Array nor Int16Array", {
      code: "bad_type",
      hint: "mono samples; full scale is 1.0",
    });
  }
  checkSound(samples);
  return samples.slice();
}

/** @param {Float32Array} samples */
export function checkSound(samples) {
  if (!samples.every((sample) => Math.abs(sample) <= MAX_PEAK)) {
    throw new SnnVoiceError("the sound holds samples that are NaN, infinite or far too large", {
      code: "not_finite",
      hint: "full scale is 1.0",
    });
  }
}
