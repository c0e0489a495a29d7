// @ts-check
/** A longer sound: its words under the picture of it, and in a list for the keyboard and for the ear. */

import { percent, shownLabel, timesOf } from "./labels.js";
import { element } from "./elements.js";

/** What has less of the strip has no room for its word. */
const NARROW = 0.06;

/**
 * @typedef {import("./segments.js").Segment} Segment
 */

export class Timeline {
  /**
   * @param {HTMLElement} strip Under the picture, from its left edge to its right; says nothing aloud.
   * @param {HTMLElement} list An `<ol>`.
   * @param {(segment: Segment) => void} onChoose Somebody wants to see the scores of that word.
   */
  constructor(strip, list, onChoose) {
    this.strip = strip;
    this.list = list;
    this.onChoose = onChoose;
    /** @type {Segment[]} */
    this.segments = [];
  }

  clear() {
    this.show([]);
  }

  /** @param {Segment[]} segments From the beginning of the sound to its end. */
  show(segments) {
    const { strip, list } = this;
    this.segments = segments;
    const end = segments.at(-1)?.end ?? 1;
    strip.hidden = list.hidden = !segments.length;
    strip.parentElement?.classList.toggle("lined", !strip.hidden);
    strip.replaceChildren(...segments.map((segment) => this.#onStrip(segment, end)));
    list.replaceChildren(...segments.map((segment) => this.#inList(segment)));
    list.scrollTop = 0;
  }

  /** @param {Segment} segment Whose scores are shown. */
  choose(segment) {
    this.segments.forEach((one, at) => {
      this.strip.children[at].classList.toggle("chosen", one === segment);
      this.list.children[at].querySelector("button")?.setAttribute("aria-pressed", String(one === segment));
    });
  }

  /**
   * @param {Segment} segment
   * @param {number} end Of the sound.
   * @returns {HTMLElement}
   */
  #onStrip(segment, end) {
    const share = (segment.end - segment.start) / end;
    const made = element("span", segment.window ? "part" : "part gap", segment.window && share > NARROW ? nameOf(segment) : "");
    made.style.left = `${(100 * segment.start) / end}%`;
    made.style.width = `${100 * share}%`;
    if (segment.window) {
      made.title = `${nameOf(segment)}, ${timesOf(segment)}`;
      made.addEventListener("click", () => this.onChoose(segment));
    }
    return made;
  }

  /**
   * @param {Segment} segment
   * @returns {HTMLElement}
   */
  #inList(segment) {
    const row = document.createElement("li");
    const { window } = segment;
    const inside = document.createElement(window ? "button" : "span");
    inside.className = "heard";
    const score = window ? percent(window.predictions[0].score) : "";
    inside.append(
      element("span", "when", timesOf(segment)),
      " ",
      element("span", "what", nameOf(segment)),
      " ",
      element("span", "score", score),
    );
    if (window) {
      inside.setAttribute("type", "button");
      inside.addEventListener("click", () => this.onChoose(segment));
    }
    row.append(inside);
    return row;
  }
}

/**
 * @param {Segment} segment
 * @returns {string} Its word.
 */
function nameOf({ window }) {
  return window ? shownLabel(window.predictions[0].label) : "no word";
}
