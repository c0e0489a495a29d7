/** Scores of windows that follow each other -> events: which word was said, and when. */

import { SnnVoiceError } from "./errors.js";
import { UNKNOWN, isWord } from "./labels.js";
import { f32, roundEven, roundTime } from "./numbers.js";

/** @import { Detection, KeywordEvent } from "../types/index.d.ts" */

// The first window that is sure of a word ends so many seconds before the word, in the median: its end is known
// without it.
const EARLY = 0.2;
/** Smaller numbers have few digits in float32, and some processors take them for 0. */
const LEAST = 2 ** -126;
const ROUNDING = 1e-6;

/**
 * @param {string[]} labels Of the model.
 * @param {Iterable<string> | null | undefined} words Some of them; null for all that are words.
 * @returns {string[]} The words to listen for.
 * @throws {SnnVoiceError} One of them is none of the model's words.
 */
export function chosenWords(labels, words) {
  const known = labels.filter(isWord);
  if (words == null) return known;
  if (typeof words === "string" || typeof words[Symbol.iterator] !== "function") {
    const hint = `a list: [${JSON.stringify(words)}]`;
    throw new SnnVoiceError("words is no list of words", { code: "bad_option", hint });
  }
  const wanted = [...new Set(words)];
  const strange = wanted.find((word) => !known.includes(word));
  if (strange !== undefined || !wanted.length) {
    throw new SnnVoiceError(strange === undefined ? "no words to listen for" : `${strange} is no word of the model`, {
      code: "bad_option",
      hint: `it listens for ${known.join(", ") || "none"}`,
    });
  }
  return wanted;
}

/**
 * A word that was said is heard by all windows that hold it, and what only resembles one by few. So a word counts by
 * its lowest share over the newest windows. It is an event where that is the highest of all words that the model knows
 * and reaches the word's threshold, the word is one that is listened for, and the last event is at least
 * `refractory` seconds old. Times are those of the sound, not of the clock.
 */
export class Detector {
  /**
   * @param {string[]} labels Of the model.
   * @param {Detection} settings The operating point.
   * @param {{window: number, hop: number, words?: Iterable<string> | null}} listening Length of a window and distance
   *   between two in seconds, and what to listen for.
   */
  constructor(labels, settings, { window, hop, words = null }) {
    const chosen = chosenWords(labels, words);
    this.hop = hop;
    /** @type {Record<string, number>} Of each word that is listened for. */
    this.thresholds = Object.fromEntries(
      chosen.map((word) => [word, Object.hasOwn(settings.thresholds, word) ? settings.thresholds[word] : settings.threshold]),
    );
    this.#labels = labels;
    this.#knowsOthers = labels.includes(UNKNOWN);
    this.#words = labels.filter(isWord);
    // A word that is not listened for makes no event, but it may be what was said.
    // What has no share at all is no word, however small a threshold is: some vanish in float32.
    this.#limits = this.#words.map((word) =>
      Object.hasOwn(this.thresholds, word) ? Math.max(f32(this.thresholds[word]), LEAST) : Infinity,
    );
    this.#refractory = settings.refractory;
    this.#window = window;
    /** Windows in a row in which a word has to reach its threshold. */
    this.together = Math.max(1, roundEven(settings.smoothing / hop));
    /** From the window of an event to the first that may be the next one, at least. */
    this.apart = Math.max(1, Math.ceil(settings.refractory / hop - ROUNDING));
    // The first of the windows by which a word is heard ends so much before the last.
    this.#lasting = (this.together - 1) * hop;
    this.reset();
  }

  #labels;
  #knowsOthers;
  #words;
  #limits;
  #refractory;
  #window;
  #lasting;
  /** @type {Float32Array[]} Shares of the newest windows, fewer than `together`. */
  #before = [];
  #last = -Infinity;

  /** Forget all that was heard. */
  reset() {
    // Before the first window, nothing was said.
    this.#before = Array.from({ length: this.together - 1 }, () => new Float32Array(this.#words.length));
    this.#last = -Infinity;
  }

  /**
   * Whether scores reach the threshold of a word that is listened for.
   *
   * @param {Float32Array} scores
   * @returns {boolean}
   */
  holds(scores) {
    return this.#shares(scores).some((share, i) => share >= this.#limits[i]);
  }

  /**
   * Take the scores of the next window.
   *
   * @param {Float32Array} scores `[C]`, 0 to 1.
   * @param {number} time Where it ends, in seconds from the first sample.
   * @returns {KeywordEvent | null} What it makes known.
   */
  feed(scores, time) {
    const shares = this.#shares(scores);
    const all = [...this.#before, shares];
    this.#before = all.slice(1);
    const lowest = shares.map((_, word) => all.reduce((low, row) => Math.min(low, row[word]), Infinity));
    let best = 0;
    for (let word = 1; word < lowest.length; word++) if (lowest[word] > lowest[best]) best = word;
    if (!(lowest[best] >= this.#limits[best]) || time - this.#last < this.#refractory) return null;
    this.#last = time;
    const end = roundTime(Math.min(time, time - this.#lasting + EARLY));
    const start = Math.min(end, Math.max(0, roundTime(time - this.#window + EARLY)));
    return { label: this.#words[best], score: lowest[best], start, end, time };
  }

  /**
   * The scores of words, as their share of what speaks for them and for no word at all.
   *
   * Which of two similar words was said can be in doubt where it is in none that one was, so other words do not count
   * against one here. Where a model knows no other speech, nothing would be left to count, and the scores stay.
   *
   * @param {Float32Array} scores
   * @returns {Float32Array} In the order of the labels.
   */
  #shares(scores) {
    let none = 0;
    scores.forEach((score, i) => {
      if (!isWord(this.#labels[i])) none = f32(none + score);
    });
    const own = scores.filter((_, i) => isWord(this.#labels[i]));
    return this.#knowsOthers ? own.map((score) => score / Math.max(f32(score + none), f32(1e-12))) : own;
  }
}
