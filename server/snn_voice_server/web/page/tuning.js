// @ts-check
/** What a stream listens for: from which score on a word counts, and which words. */

/** A hand that moves is waited for. */
const SETTLE_MS = 300;

/** What a checkpoint that names none has, until the service says. */
const USUAL = 0.9;

/**
 * @typedef {object} TuningElements
 * @property {HTMLInputElement} threshold A slider.
 * @property {HTMLElement} thresholdText
 * @property {HTMLButtonElement} own Goes back to the model's own.
 * @property {HTMLElement} words Where the words are.
 * @property {HTMLElement} wordsTitle
 * @property {HTMLButtonElement} all Chooses all words again.
 */

export class Tuning {
  /**
   * @param {TuningElements} elements
   * @param {{onChange: () => void, onThreshold: (threshold: number) => void}} events When something else is to be
   *   listened for, a moment after the last change; while the threshold moves.
   */
  constructor(elements, events) {
    this.elements = elements;
    this.events = events;
    /** The model's own thresholds, the lowest and the highest. */
    this.usual = [USUAL, USUAL];
    /** Whether the slider was moved. */
    this.moved = false;
    this.timer = 0;
    elements.threshold.addEventListener("input", () => {
      this.moved = true;
      this.#showThreshold();
      this.#settle();
    });
    elements.own.addEventListener("click", () => {
      this.moved = false;
      this.#showThreshold();
      this.#settle();
      elements.threshold.focus(); // the button goes away
    });
    elements.words.addEventListener("change", () => {
      this.#showWords();
      this.#settle();
    });
    elements.all.addEventListener("click", () => {
      this.#boxes().forEach((box) => (box.checked = false));
      this.#showWords();
      this.#settle();
      this.#boxes()[0]?.focus();
    });
    this.#showThreshold();
    this.#showWords();
  }

  /** Score from which on a word counts; null for the model's own. */
  get threshold() {
    return this.moved ? Number(this.elements.threshold.value) / 100 : null;
  }

  /** Those that are listened for; null for all. */
  get words() {
    const chosen = this.#boxes().filter((box) => box.checked);
    return chosen.length ? chosen.map((box) => box.value) : null;
  }

  /** @param {number[]} thresholds The model's own: one, or one for each word. */
  showOwn(thresholds) {
    if (thresholds.length && this.threshold === null) {
      this.usual = [Math.min(...thresholds), Math.max(...thresholds)];
      this.#showThreshold();
    }
  }

  /** @param {string[]} words Those that there are. What was chosen stays so, if it is among them. */
  offer(words) {
    const chosen = this.words ?? [];
    this.elements.words.replaceChildren(
      ...words.map((word) => {
        const label = document.createElement("label");
        label.className = "chip";
        const box = document.createElement("input");
        box.type = "checkbox";
        box.value = word;
        box.checked = chosen.includes(word);
        label.append(box, word);
        return label;
      }),
    );
    this.#showWords();
  }

  #boxes() {
    return [...this.elements.words.querySelectorAll("input")];
  }

  #settle() {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(this.events.onChange, SETTLE_MS);
  }

  #showThreshold() {
    const { threshold, thresholdText, own } = this.elements;
    const [low, high] = this.usual.map((value) => Math.round(100 * value));
    if (!this.moved) {
      threshold.value = String(high);
    }
    const shown = this.moved || low === high ? `${threshold.value} %` : `${low} to ${high} %`;
    thresholdText.textContent = this.moved ? shown : `${shown}, the model's own`;
    threshold.setAttribute("aria-valuetext", thresholdText.textContent);
    own.hidden = !this.moved;
    this.events.onThreshold(Number(threshold.value) / 100);
  }

  #showWords() {
    const { wordsTitle, all } = this.elements;
    const { words } = this;
    const count = this.#boxes().length;
    wordsTitle.textContent = words ? `Listens for ${words.join(", ")}` : `Listens for all ${count || ""} words`;
    all.hidden = !words;
  }
}
