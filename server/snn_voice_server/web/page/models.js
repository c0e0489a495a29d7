// @ts-check
/** Which models there are, which one is asked, and what it knows. */

import { caveat } from "./headline.js";
import { isClass, NONE, shownLabel } from "./labels.js";
import { Refusal } from "./refusal.js";

/** A service that is away is asked less and less often. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

/**
 * @typedef {object} ModelElements
 * @property {HTMLElement} dot
 * @property {HTMLElement} name Shown where there is nothing to choose.
 * @property {HTMLElement} choice Around the select.
 * @property {HTMLSelectElement} select
 * @property {HTMLElement} vocabulary Around the words.
 * @property {HTMLElement} vocabularyTitle
 * @property {HTMLElement} words
 * @property {HTMLElement} others What it makes of other sound.
 */

export class Models {
  /**
   * @param {import("./api.js").Api} api
   * @param {ModelElements} elements
   * @param {{onChange: () => void, onKnown: () => void, onLearned: () => void, onKeyWanted: () => void}} events
   *   When another model was chosen; when it is known which are served; when `facts` have changed; when the service
   *   names them to holders of a key only.
   */
  constructor(api, elements, events) {
    this.api = api;
    this.elements = elements;
    this.events = events;
    /** @type {import("./api.js").ModelFacts | null} */
    this.facts = null;
    /** What to ask for; "" is the service's default. */
    this.chosen = "";
    /** @type {import("./api.js").ModelEntry[]} */
    this.entries = [];
    /** Whether the service takes new words. */
    this.teaches = false;
    /** Is over when `facts` are those of the chosen model. */
    this.learning = Promise.resolve();
    this.pause = FIRST_PAUSE_MS;
    this.timer = 0;
    elements.select.addEventListener("change", () => this.#choose(elements.select.value));
  }

  /**
   * Ask another one from now on.
   *
   * @param {string} name
   */
  async choose(name) {
    this.#choose(name);
    await Promise.all([this.list(), this.learning]);
  }

  /** @param {string} name */
  #choose(name) {
    this.chosen = name;
    this.facts = null;
    this.learning = this.#learn();
    this.events.onChange();
  }

  /** The name of what is asked, where there are several. */
  get name() {
    return this.entries.length > 1 ? this.elements.select.value : "";
  }

  /** Whether the service has to load what is asked, which takes longer than an answer. */
  get away() {
    return this.entries.some((entry) => entry.name === this.name && !entry.loaded);
  }

  /** Its words, in the order of the alphabet; none as long as they are not known. */
  get words() {
    return this.facts?.labels.filter((label) => !isClass(label)).sort() ?? [];
  }

  /**
   * What the model tells apart.
   *
   * @returns {import("./headline.js").Knowledge}
   */
  get knows() {
    const labels = this.facts?.labels ?? [];
    return {
      words: this.words.length,
      silence: labels.includes("_silence_"),
      speech: labels.includes("_unknown_"),
    };
  }

  /** Ask the service, and again until it is ready. */
  async load() {
    const { dot, name } = this.elements;
    clearTimeout(this.timer);
    try {
      const standard = await this.api.ready();
      dot.className = "dot good";
      name.textContent = standard || "ready";
      this.pause = FIRST_PAUSE_MS;
    } catch (error) {
      const status = error instanceof Refusal ? error.status : undefined;
      dot.className = status === 503 ? "dot waiting" : "dot bad";
      // In the service's own words: it is starting, or stopping, or says what fails.
      name.textContent = error instanceof Refusal && status === 503 ? error.message : "no answer from the service";
      if (status === 401) {
        name.textContent = "needs a key";
        this.#showName();
        this.events.onKeyWanted();
        return;
      }
      this.#showName();
      this.timer = window.setTimeout(() => void this.load(), this.pause);
      this.pause = Math.min(2 * this.pause, LONGEST_PAUSE_MS);
      return;
    }
    this.learning = this.#learn();
    await Promise.all([this.list(), this.learning]);
  }

  /** In place of the choice, which is of no use as long as nobody answers. */
  #showName() {
    this.elements.name.hidden = false;
    this.elements.choice.hidden = true;
  }

  /** Which models there are, and which of them are loaded by now. */
  async list() {
    /** @type {import("./api.js").ModelEntry[]} */
    let entries;
    try {
      ({ entries, teaches: this.teaches } = await this.api.models());
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) {
        this.events.onKeyWanted();
      }
      return; // one model, whose name is known already
    }
    const { name, choice, select } = this.elements;
    this.entries = entries;
    if (entries.length < 2) {
      this.events.onKnown();
      return;
    }
    const options = entries.map((entry) => {
      const option = new Option(entry.loaded ? entry.name : `${entry.name} (loads when asked)`, entry.name);
      option.selected = this.chosen ? entry.name === this.chosen : entry.isDefault;
      return option;
    });
    select.replaceChildren(...options);
    name.hidden = true;
    choice.hidden = false;
    this.events.onKnown();
  }

  async #learn() {
    const asked = this.chosen;
    const { name, vocabulary, vocabularyTitle, words, others } = this.elements;
    let facts = null;
    try {
      facts = await this.api.facts(asked);
    } catch {
      // The page works without; the words stay unknown.
    }
    if (asked !== this.chosen) {
      return; // another one was chosen meanwhile
    }
    this.facts = facts;
    const known = this.words;
    vocabulary.hidden = !known.length;
    vocabularyTitle.textContent = `The ${known.length} words it knows`;
    words.textContent = known.join(", ");
    others.textContent = othersOf(this.knows);
    if (facts?.name) {
      name.textContent = facts.name;
    }
    this.events.onLearned();
  }
}

/**
 * @param {import("./headline.js").Knowledge} knows
 * @returns {string} What becomes of sound that is none of the words.
 */
function othersOf(knows) {
  const quiet = knows.silence ? `Silence and noise it calls “${shownLabel("_silence_")}”. ` : "";
  if (knows.speech) {
    return `${quiet}Other speech it calls “${NONE}”.`;
  }
  return `${quiet}${caveat(knows).trim()}`;
}
