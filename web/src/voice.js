/** A model: loaded from a file, asked about clips, listening to streams. */

import { best, combine, softmax } from "./answers.js";
import { samplesOf } from "./decoding.js";
import { Detector, chosenWords } from "./detector.js";
import { SnnVoiceError, checkNames, checkNumber } from "./errors.js";
import { factsOf } from "./facts.js";
import { FrameHearing, logitsOfClip } from "./hearing/frames.js";
import { stepSamples } from "./hearing/front.js";
import { WindowHearing } from "./hearing/windows.js";
import { isWord } from "./labels.js";
import { metadata } from "./metadata.js";
import { openMicrophone } from "./microphone.js";
import { Network } from "./network.js";
import { roundEven } from "./numbers.js";
import { VoiceStream } from "./session.js";
import { split } from "./windows.js";

/**
 * @import { ClassifyOptions, Detection, Facts, ListenOptions, LoadOptions, Prediction, Sound, StreamOptions,
 *   WindowAnswer, WindowOptions } from "../types/index.d.ts"
 */

// In dB of full scale; a room is louder in every microphone.
const GATE = -70;
const LONGEST = 60;
const HOP = 0.5;
const CLIP_OPTIONS = ["topK", "minScore", "wordsOnly", "sampleRate"];
const STREAM_OPTIONS = ["words", "threshold", "hop", "smoothing", "refractory", "gate"];

export class Voice {
  /**
   * @param {Facts} facts
   * @param {Network} network
   */
  constructor(facts, network) {
    this.facts = facts;
    this.labels = facts.labels;
    this.words = facts.labels.filter(isWord);
    this.sampleRate = facts.sampleRate;
    this.#network = network;
  }

  #network;

  /**
   * @param {string | URL | ArrayBuffer | Uint8Array} source Where the model's file is, or its bytes.
   * @param {LoadOptions} [options]
   * @returns {Promise<Voice>}
   * @throws {SnnVoiceError} It can't be fetched, or is no model of `snn-voice export`.
   */
  static async load(source, options = {}) {
    checkNames(options, ["ort"]);
    const bytes = typeof source === "string" || source instanceof URL ? await fetched(source) : new Uint8Array(source);
    const facts = factsOf(metadata(bytes));
    return new Voice(facts, await Network.create(bytes, facts, options.ort));
  }

  /**
   * @param {Sound} sound
   * @param {ClassifyOptions} [options]
   * @returns {Promise<Prediction[]>}
   */
  async classify(sound, options = {}) {
    checkNames(options, CLIP_OPTIONS);
    const asked = askedFor(options);
    const { rows } = await this.#scored(sound, options.sampleRate, HOP);
    return best(combine(rows, this.labels), this.labels, asked);
  }

  /**
   * @param {Sound} sound
   * @param {WindowOptions} [options]
   * @returns {Promise<WindowAnswer[]>}
   */
  async classifyWindows(sound, options = {}) {
    checkNames(options, [...CLIP_OPTIONS, "hop"]);
    const asked = askedFor(options);
    const hop = checkNumber("hop", options.hop ?? HOP, { above: 0 });
    const { rows, begins, length } = await this.#scored(sound, options.sampleRate, hop);
    return rows.map((row, i) => ({
      start: begins[i] / this.sampleRate,
      end: (begins[i] + length) / this.sampleRate,
      predictions: best(row, this.labels, asked),
    }));
  }

  /**
   * @param {StreamOptions} [options]
   * @returns {VoiceStream}
   */
  stream(options = {}) {
    checkNames(options, [...STREAM_OPTIONS, "sampleRate", "scores"]);
    const { sampleRate: rate = this.sampleRate, gate = GATE, scores = true } = options;
    const words = options.words == null ? null : [...chosenWords(this.labels, options.words)];
    const point = operatingPoint(this.facts, words, options);
    if (gate !== null) checkNumber("gate", gate, { low: -120, high: 0 });
    const hop = this.#hopOf(point.hop);
    const detector = new Detector(this.labels, point, {
      window: this.facts.numSamples / this.sampleRate,
      hop: hop / this.sampleRate,
      words,
    });
    // Of a network that remembers, every step counts for the next one.
    const sparse = !scores && !this.facts.frames;
    const back = sparse ? detector.together - 1 : 0;
    const hearing = this.facts.frames
      ? new FrameHearing(this.facts, this.#network, { hop, gate })
      : new WindowHearing(this.facts, this.#network, { hop, gate, back });
    return new VoiceStream(hearing, detector, { labels: this.labels, rate, target: this.sampleRate, sparse });
  }

  /**
   * @param {ListenOptions} options
   * @returns {Promise<() => Promise<void>>} Stops it; the last words come before it is done.
   * @throws {SnnVoiceError} There is no microphone, or the page may not use it.
   */
  async listen(options) {
    options ??= /** @type {ListenOptions} */ ({}); // from JavaScript anything may come
    const { onKeyword, onScores, onError, stream: media, ...rest } = options;
    checkNames(rest, STREAM_OPTIONS);
    if (typeof onKeyword !== "function") {
      throw new SnnVoiceError("nobody is told of the words", { code: "bad_option", hint: "onKeyword: a function" });
    }
    this.stream(rest); // what is not legal is said before the microphone is asked for
    return openMicrophone({
      media,
      begin: (sampleRate) => this.stream({ ...rest, sampleRate, scores: Boolean(onScores) }),
      onKeyword,
      onScores,
      onError,
    });
  }

  /** @returns {Promise<void>} */
  async close() {
    await this.#network.close();
  }

  /**
   * @param {Sound} sound
   * @param {number | undefined} rate
   * @param {number} hop
   */
  async #scored(sound, rate, hop) {
    const samples = await samplesOf(sound, rate ?? this.sampleRate, this.sampleRate);
    const { windows, begins, length } = split(samples, this.facts.numSamples, this.sampleRate, hop);
    const rows = [];
    for (const window of windows) rows.push(softmax(await this.#logits(window), this.facts.temperature));
    return { rows, begins, length };
  }

  /** @param {Float32Array} window */
  #logits(window) {
    return this.facts.frames ? logitsOfClip(this.facts, this.#network, window) : this.#network.hear(window);
  }

  /**
   * @param {number} seconds
   * @returns {number} Samples between scores; of a network on frames, those of whole steps.
   */
  #hopOf(seconds) {
    const samples = seconds * this.sampleRate;
    if (!this.facts.frames) return roundEven(samples);
    const step = stepSamples(this.facts.frames);
    return step * Math.max(1, roundEven(samples / step));
  }
}

/**
 * @param {string | URL} source
 * @returns {Promise<Uint8Array>}
 */
async function fetched(source) {
  const hint = "the address of a file of `snn-voice export`, on a host that lets this page read it";
  let answer;
  let bytes;
  try {
    answer = await fetch(source);
    // A connection may also end in the middle of the file.
    bytes = answer.ok ? await answer.arrayBuffer() : null;
  } catch (cause) {
    throw new SnnVoiceError(`${source} can't be fetched`, { code: "not_found", hint, cause });
  }
  if (!bytes) throw new SnnVoiceError(`${source} answers ${answer.status}`, { code: "not_found", hint });
  return new Uint8Array(bytes);
}

/**
 * @param {ClassifyOptions} options
 * @returns {{topK: number, minScore: number | null, wordsOnly: boolean}}
 */
function askedFor({ topK = 5, minScore = null, wordsOnly = false }) {
  checkNumber("topK", topK, { low: 1 });
  if (minScore !== null) checkNumber("minScore", minScore, { low: 0, high: 1 });
  return { topK, minScore, wordsOnly };
}

/**
 * @param {Facts} facts
 * @param {string[] | null} words
 * @param {StreamOptions} options
 * @returns {Detection} The model's operating point, and what is asked for instead.
 */
function operatingPoint(facts, words, { threshold, hop, smoothing, refractory }) {
  const point = { ...facts.detection };
  point.hop = checkNumber("hop", hop ?? point.hop, { low: 0.01, high: facts.numSamples / facts.sampleRate });
  if (smoothing != null) point.smoothing = checkNumber("smoothing", smoothing, { low: 0, high: LONGEST });
  if (refractory != null) point.refractory = checkNumber("refractory", refractory, { low: 0, high: LONGEST });
  if (typeof threshold === "object" && threshold !== null) {
    const heard = chosenWords(facts.labels, words);
    for (const [word, value] of Object.entries(threshold)) {
      if (!heard.includes(word)) {
        throw new SnnVoiceError(`threshold has ${word}, which is not listened for`, {
          code: "bad_option",
          hint: `words are ${heard.join(", ")}`,
        });
      }
      checkNumber(`threshold.${word}`, value, { above: 0, high: 1 });
    }
    point.thresholds = { ...point.thresholds, ...threshold };
  } else if (threshold != null) {
    point.threshold = checkNumber("threshold", threshold, { above: 0, high: 1 });
    point.thresholds = {};
  }
  return point;
}
