// @ts-check
/** The words of a stream: the newest in large letters, which fade, and all of them in a list. */

import { element } from "./elements.js";
import { isClass, percent, shownLabel } from "./labels.js";

/** As long as the style sheet lets a word fade. */
const FADE_MS = 5000;

const MOST = 100;

/**
 * @typedef {object} HeardElements
 * @property {HTMLElement} word In large letters.
 * @property {HTMLElement} note A sentence below.
 * @property {HTMLElement} nearest Around the word that the sound resembles most, and how much.
 * @property {HTMLElement} mark Where the threshold is.
 * @property {HTMLElement} list An `<ol>`, the newest word first; a screen reader says what is added.
 * @property {HTMLElement} count
 */

export class Heard {
  /** @param {HeardElements} elements */
  constructor(elements) {
    this.elements = elements;
    this.timer = 0;
    this.count = 0;
    this.clear();
  }

  clear() {
    this.count = 0;
    this.elements.list.replaceChildren();
    this.elements.count.textContent = "";
    this.#fade();
    this.rest();
  }

  /** Nobody listens any more. */
  rest() {
    this.#resemble("", 0);
  }

  /** @param {string} text */
  note(text) {
    this.elements.note.textContent = text;
  }

  /** @param {number} threshold */
  mark(threshold) {
    this.elements.mark.style.left = `${100 * threshold}%`;
  }

  /**
   * @param {string} label
   * @param {number} score
   * @param {number} at In seconds since the beginning.
   */
  show(label, score, at) {
    const { word, list, count } = this.elements;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.#fade(), FADE_MS);
    // A new element: its fading begins anew.
    const said = element("span", "said", shownLabel(label));
    said.append(element("span", "said-score", percent(score)));
    word.replaceChildren(said);
    word.className = "word";
    const row = document.createElement("li");
    row.append(
      element("span", "when", clock(at)),
      " ",
      element("span", "what", shownLabel(label)),
      " ",
      element("span", "score", percent(score)),
    );
    list.prepend(row);
    if (list.children.length > MOST) {
      list.lastElementChild?.remove();
    }
    this.count += 1;
    count.textContent = `${this.count} ${this.count === 1 ? "word" : "words"} heard`;
  }

  /** @param {Record<string, number>} scores Of the newest window, each label's. */
  resembles(scores) {
    const labels = Object.keys(scores);
    const none = labels.filter(isClass).reduce((sum, label) => sum + scores[label], 0);
    const word = labels.filter((label) => !isClass(label)).reduce((a, b) => (scores[b] > scores[a] ? b : a));
    // As the service counts: a word against what is none, where the model knows other speech.
    const share = "_unknown_" in scores ? scores[word] / (scores[word] + none || 1) : scores[word];
    this.#resemble(word, share);
  }

  #fade() {
    this.elements.word.className = "word empty";
    this.elements.word.replaceChildren();
  }

  /**
   * @param {string} word
   * @param {number} share
   */
  #resemble(word, share) {
    const [label, fill, score] = [".label", ".fill", ".score"].map(
      (part) => /** @type {HTMLElement} */ (this.elements.nearest.querySelector(part)),
    );
    // What resembles nothing resembles any word a little, another one each time.
    const nothing = share < 0.02;
    label.textContent = nothing ? "–" : word;
    fill.style.width = `${100 * share}%`;
    score.textContent = nothing ? "" : `${(100 * share).toFixed(0)} %`;
  }
}

/**
 * @param {number} seconds
 * @returns {string} "0:02.4"
 */
function clock(seconds) {
  const tenths = Math.round(10 * seconds);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}
