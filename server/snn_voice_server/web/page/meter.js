// @ts-check
/** How loud it is now. */

const FLOOR_DB = -70;

/** A peak is seen a moment longer than it lasts. */
const FALL_DB_A_SECOND = 40;

/** Numbers that change faster can't be read. */
const TEXT_S = 0.25;

export class Meter {
  /**
   * @param {HTMLElement} bar With `role="meter"`, and a bar inside that has the level's width.
   * @param {HTMLElement} text
   */
  constructor(bar, text) {
    this.bar = bar;
    this.text = text;
    bar.setAttribute("aria-valuemin", String(FLOOR_DB));
    bar.setAttribute("aria-valuemax", "0");
    this.level = FLOOR_DB;
    /** The largest sample so far. */
    this.loudest = 0;
    /** Seconds since the text changed. */
    this.since = 0;
    this.clear();
  }

  clear() {
    this.level = FLOOR_DB;
    this.loudest = 0;
    this.since = Infinity;
    this.#show("");
  }

  /**
   * @param {Float32Array} piece
   * @param {number} sampleRate
   */
  push(piece, sampleRate) {
    if (!piece.length) {
      return;
    }
    this.loudest = piece.reduce((most, sample) => Math.max(most, Math.abs(sample)), this.loudest);
    const seconds = piece.length / sampleRate;
    const power = piece.reduce((sum, sample) => sum + sample * sample, 0) / piece.length;
    const level = Math.min(0, Math.max(FLOOR_DB, 10 * Math.log10(power + 1e-12)));
    this.level = Math.max(level, this.level - FALL_DB_A_SECOND * seconds);
    this.since += seconds;
    this.#show(this.level > FLOOR_DB ? `${Math.round(this.level)} dB`.replace("-", "−") : "silence");
  }

  /** @param {string} said */
  #show(said) {
    const fill = /** @type {HTMLElement} */ (this.bar.firstElementChild);
    fill.style.width = `${100 * (1 - this.level / FLOOR_DB)}%`;
    if (this.since < TEXT_S) {
      return;
    }
    this.since = 0;
    this.text.textContent = said;
    this.bar.setAttribute("aria-valuenow", this.level.toFixed(0));
    this.bar.setAttribute("aria-valuetext", said || "not listening");
  }
}
