// @ts-check
/** A training on the service: begun, followed, cancelled, and what has come of it. */

import { element } from "./elements.js";
import { Refusal, sentence } from "./refusal.js";
import { pause } from "./transport.js";

const LOOK_MS = 1000;

/** How figures are called. */
const NAMES = new Map([
  ["missed", "Missed"],
  ["false_alarms", "False alarms an hour"],
]);
/** Those which are shares. */
const SHARES = new Set(["missed"]);
/** How much was listened to for the others: of interest to programs. */
const BEHIND = new Set(["clips", "times_said", "hours"]);

/**
 * @typedef {object} LessonElements
 * @property {HTMLElement} box
 * @property {HTMLElement} title
 * @property {HTMLProgressElement} bar
 * @property {HTMLElement} note
 * @property {HTMLElement} lines
 * @property {HTMLElement} figures
 * @property {HTMLButtonElement} cancel
 * @property {HTMLButtonElement} listen
 */

export class Lesson {
  /**
   * @param {LessonElements} elements
   * @param {{api: import("./api.js").Api, speak: (text: string) => void, onProblem: (error: unknown) => void,
   *   onChange: () => void, onListen: (model: string) => void, onDone: () => void}} parts
   */
  constructor(elements, parts) {
    this.elements = elements;
    this.parts = parts;
    /** Of the following; null where nothing is followed. @type {AbortController | null} */
    this.following = null;
    /** Whether a training runs. */
    this.runs = false;
    /** The model that came of the last one. */
    this.model = "";
    elements.cancel.addEventListener("click", () => void this.#cancel());
    elements.listen.addEventListener("click", () => parts.onListen(this.model));
  }

  /**
   * @param {Blob} clips A zip; an empty one where only synthesisers are to say the words.
   * @param {string[]} words
   * @param {boolean} synthetic Whether synthesisers say the words, too.
   */
  async begin(clips, words, synthetic) {
    const { api, onProblem, onChange, speak } = this.parts;
    this.runs = true;
    onChange();
    try {
      this.#show(await api.teach(clips, words, synthetic));
      speak("The training has begun");
    } catch (error) {
      this.runs = false;
      onChange();
      onProblem(error);
      if (!(error instanceof Refusal && error.code === "teaching")) {
        return;
      }
    }
    await this.follow();
  }

  /** Look what the service is doing, and go on looking as long as it trains. */
  async follow() {
    this.following?.abort();
    const following = new AbortController();
    this.following = following;
    const { signal } = following;
    try {
      while (!signal.aborted) {
        const job = await this.#look();
        if (signal.aborted || (job !== "lost" && job?.state !== "running")) {
          break;
        }
        await pause(LOOK_MS, signal);
      }
    } catch (error) {
      if (!signal.aborted) {
        this.parts.onProblem(error);
      }
    }
  }

  /** Look no more: nobody sees it. */
  leave() {
    this.following?.abort();
  }

  /** @returns {Promise<import("./api.js").TeachJob | null | "lost">} The newest job; "lost" where nobody answers now. */
  async #look() {
    try {
      const job = await this.parts.api.teaching();
      this.#show(job);
      return job;
    } catch (error) {
      if (error instanceof Refusal && (error.status === undefined || error.status >= 500)) {
        this.elements.note.textContent = error.message;
        return this.runs ? "lost" : null;
      }
      throw error;
    }
  }

  async #cancel() {
    const { elements, parts } = this;
    elements.cancel.disabled = true;
    elements.note.textContent = "Cancelling.";
    try {
      this.#show(await parts.api.unteach());
    } catch (error) {
      parts.onProblem(error);
    } finally {
      elements.cancel.disabled = false;
    }
  }

  /** @param {import("./api.js").TeachJob | null} job */
  #show(job) {
    const { box, title, bar, note, lines, figures, cancel, listen } = this.elements;
    const ran = this.runs;
    this.runs = job?.state === "running";
    box.hidden = !job;
    if (!job) {
      return;
    }
    const words = job.words.map((word) => `“${word}”`).join(", ");
    const titles = new Map([
      ["running", `Learning ${words}`],
      ["done", `It knows ${words}`],
      ["failed", `It has not learned ${words}`],
      ["cancelled", "Cancelled"],
    ]);
    title.textContent = titles.get(job.state) ?? "";
    bar.hidden = cancel.hidden = !this.runs;
    if (job.of > 0) {
      bar.value = job.done / job.of;
    } else {
      bar.removeAttribute("value");
    }
    note.textContent = noteOf(job);
    note.classList.toggle("bad", job.state === "failed");
    lines.textContent = job.lines.join("\n");
    const found = Object.entries(job.result?.figures ?? {}).flatMap(([name, value]) => rows(name, value));
    figures.replaceChildren(...found.flatMap(([name, text]) => [element("dt", "", name), element("dd", "", text)]));
    this.model = job.result?.model ?? "";
    listen.hidden = !this.model;
    if (ran && !this.runs) {
      this.parts.speak(`${title.textContent}. ${note.textContent}`);
      this.parts.onDone();
    }
    if (ran !== this.runs) {
      this.parts.onChange();
    }
  }
}

/**
 * @param {import("./api.js").TeachJob} job
 * @returns {string}
 */
function noteOf({ state, text, step, seconds, error, result }) {
  const time = seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
  switch (state) {
    case "running":
      return `${sentence(text || step)} ${time} so far.`;
    case "done":
      return `The model is called ${result?.model}. It took ${time}.`;
    case "failed":
      return `${sentence(error?.message ?? "The training failed")} ${sentence(error?.hint ?? "")}`.trim();
    default:
      return "";
  }
}

/**
 * @param {string} name Of a figure.
 * @param {import("./api.js").Figure | Record<string, import("./api.js").Figure>} value
 * @returns {[string, string][]} What it is called and how it is written; several where it was measured on several things.
 */
function rows(name, value) {
  if (value === null || BEHIND.has(name)) {
    return [];
  }
  if (typeof value === "object") {
    return Object.entries(value)
      .filter(([, inner]) => inner !== null)
      .map(([on, inner]) => [`${named(name)}, ${on}`, shown(name, inner)]);
  }
  return [[named(name), shown(name, value)]];
}

/** @param {string} name Of a figure. */
function named(name) {
  const words = name.replaceAll("_", " ");
  return NAMES.get(name) ?? words[0].toUpperCase() + words.slice(1);
}

/**
 * @param {string} name Of a figure.
 * @param {number | string | null} value
 */
function shown(name, value) {
  if (typeof value !== "number") {
    return String(value);
  }
  return SHARES.has(name) ? `${(100 * value).toFixed(1)} %` : String(Number(value.toPrecision(3)));
}
