// @ts-check
/** Shows the answer: the best word in large letters, five bars, and where the time went. */

/** Scores are calibrated: below this the best guess is more likely wrong than right. */
const SURE = 0.5;
const CLEAR = 0.9;

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
 * @property {HTMLElement} bars An `<ol>`.
 * @property {HTMLElement} times A `<dl>`.
 */

export class Results {
  /** @param {ResultElements} elements */
  constructor(elements) {
    this.elements = elements;
  }

  /** Nothing is known yet, and nothing old may be taken for it. */
  clear() {
    const { word, note, bars, times } = this.elements;
    word.textContent = "";
    word.className = "word empty";
    note.textContent = "The five likeliest words will stand here.";
    bars.replaceChildren();
    times.replaceChildren();
  }

  /**
   * @param {import("./api.js").Answer} answer
   * @returns {string} The same in one sentence, for those who hear the page.
   */
  show({ predictions, timing }) {
    const { word, note, bars, times } = this.elements;
    const [best] = predictions;
    if (!best) {
      this.clear();
      note.textContent = "The service found no word.";
      return note.textContent;
    }
    word.textContent = shownLabel(best.label);
    word.className = best.score < SURE ? "word unsure" : "word";
    note.textContent = remark(best);
    bars.replaceChildren(...predictions.map((prediction) => bar(prediction)));
    const rows = [["Round trip", timing.roundTrip], ...serverRows(timing.server)];
    times.replaceChildren(...rows.map(([name, value]) => time(String(name), Number(value))));
    return `${shownLabel(best.label)}, ${percent(best.score)}. ${note.textContent}`;
  }
}

/**
 * @param {import("./api.js").Prediction} best
 * @returns {string}
 */
function remark({ label, score }) {
  if (score < SURE) {
    return "Only a guess: no score reaches one half.";
  }
  if (isClass(label)) {
    return "No word was heard.";
  }
  return score < CLEAR ? "Probably heard." : "Clearly heard.";
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

/**
 * @param {string} tag
 * @param {string} className
 * @param {string} [text]
 * @returns {HTMLElement}
 */
export function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/**
 * @param {string} label
 * @returns {boolean} Whether it stands for sound that is no word.
 */
export function isClass(label) {
  return /^_.+_$/.test(label);
}

/**
 * @param {string} label
 * @returns {string} Without the underscores of a class.
 */
export function shownLabel(label) {
  return isClass(label) ? label.slice(1, -1).replaceAll("_", " ") : label;
}

/**
 * @param {number} score
 * @returns {string}
 */
export function percent(score) {
  return score > 0 && score < 0.0005 ? "< 0.1 %" : `${(100 * score).toFixed(1)} %`;
}
