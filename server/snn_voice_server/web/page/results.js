// @ts-check
/** Shows the answer: the words in large letters, five bars, a time line if it is long, and where the time went. */

import { element } from "./elements.js";
import { headline } from "./headline.js";
import { isClass, percent, shownLabel, timesOf } from "./labels.js";
import { clearest, withGaps, wordsIn } from "./segments.js";
import { Timeline } from "./timeline.js";

/** What the parts of `Server-Timing` are called on the page, in the order of the way of a clip. */
const PARTS = new Map([
  ["decode", "Decode"],
  ["queue", "Queue"],
  ["compute", "Compute"],
]);

/**
 * @typedef {object} ResultElements
 * @property {HTMLElement} word
 * @property {HTMLElement} note
 * @property {HTMLElement} barsTitle Says which part of a longer sound the bars are of.
 * @property {HTMLElement} bars An `<ol>`.
 * @property {HTMLElement} times A `<dl>`.
 * @property {HTMLElement} strip Under the picture of the sound.
 * @property {HTMLElement} heard An `<ol>`: the words of a longer sound.
 */

/**
 * @typedef {import("./segments.js").Segment} Segment
 */

export class Results {
  /**
   * @param {ResultElements} elements
   * @param {(text: string) => void} speak
   */
  constructor(elements, speak) {
    this.elements = elements;
    this.timeline = new Timeline(elements.strip, elements.heard, (segment) => speak(this.#choose(segment)));
  }

  /**
   * Nothing is known yet, and nothing old may be taken for it.
   *
   * @param {string} [why] What is being waited for.
   */
  clear(why = "The five likeliest words will stand here.") {
    const { word, barsTitle, bars, times } = this.elements;
    word.textContent = "";
    word.className = "word empty";
    barsTitle.hidden = true;
    bars.replaceChildren();
    times.replaceChildren();
    this.timeline.clear();
    this.wait(why);
  }

  /** @param {string} text What is being waited for. */
  wait(text) {
    this.elements.note.textContent = text;
  }

  /**
   * @param {import("./api.js").Answer} answer
   * @param {import("./headline.js").Knowledge} knows What the model tells apart.
   * @returns {string} The same in a few sentences, for those who hear the page.
   */
  show({ windows, timing }, knows) {
    this.clear();
    const { word, note, times } = this.elements;
    if (!windows.some(({ predictions }) => predictions.length)) {
      note.textContent = "The service found no word.";
      return note.textContent;
    }
    const words = wordsIn(windows);
    const best = clearest(windows);
    const { name, kind, remark } = headline(words, windows, knows);
    word.textContent = name;
    word.className = `word ${kind}`;
    note.textContent = remark;
    if (windows.length > 1 && words.length) {
      this.timeline.show(withGaps(words, windows[windows.length - 1].end));
    }
    this.#choose(words[0] ?? { start: best.start, end: best.end, window: best });
    this.elements.barsTitle.hidden = windows.length === 1;
    const rows = [["Round trip", timing.roundTrip], ...serverRows(timing.server)];
    times.replaceChildren(...rows.map(([part, value]) => time(String(part), Number(value))));
    const score = words.length === 1 ? `, ${percent(best.predictions[0].score)}` : "";
    return `${name}${score}. ${remark}`;
  }

  /**
   * @param {Segment} segment One with a word.
   * @returns {string} Its scores, for those who hear the page.
   */
  #choose(segment) {
    const { barsTitle, bars } = this.elements;
    const predictions = segment.window?.predictions ?? [];
    bars.replaceChildren(...predictions.map((prediction) => bar(prediction)));
    barsTitle.textContent = `Scores at ${timesOf(segment)}`;
    this.timeline.choose(segment);
    const said = predictions.map(({ label, score }) => `${shownLabel(label)} ${percent(score)}`);
    return `${barsTitle.textContent}: ${said.join(", ")}`;
  }
}

/**
 * @param {Map<string, number>} server
 * @returns {[string, number][]} The known parts first.
 */
function serverRows(server) {
  const known = [...PARTS.keys()].filter((name) => server.has(name));
  const others = [...server.keys()].filter((name) => !PARTS.has(name));
  return [...known, ...others].map((name) => [PARTS.get(name) ?? name, server.get(name) ?? 0]);
}

/**
 * @param {import("./api.js").Prediction} prediction
 * @returns {HTMLElement}
 */
export function bar({ label, score }) {
  const row = document.createElement("li");
  const track = element("span", "track");
  track.setAttribute("aria-hidden", "true");
  track.append(element("span", "fill"));
  const name = element("span", isClass(label) ? "label class" : "label", shownLabel(label));
  row.append(name, track, element("span", "score"));
  setScore(row, score);
  return row;
}

/**
 * @param {HTMLElement} row Made by `bar`.
 * @param {number} score
 */
export function setScore(row, score) {
  const fill = /** @type {HTMLElement} */ (row.querySelector(".fill"));
  const text = /** @type {HTMLElement} */ (row.querySelector(".score"));
  fill.style.width = `${100 * Math.min(1, Math.max(0, score))}%`;
  text.textContent = percent(score);
}

/**
 * @param {string} name
 * @param {number} milliseconds
 * @returns {HTMLElement}
 */
function time(name, milliseconds) {
  const group = document.createElement("div");
  const value = element("dd", "", milliseconds < 10 ? milliseconds.toFixed(1) : milliseconds.toFixed(0));
  value.append(element("span", "unit", " ms"));
  group.append(element("dt", "", name), value);
  return group;
}
