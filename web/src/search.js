/** Which windows have to be run by the network, where only events are asked for. */

/**
 * A window that may have to be run: by which place the model knows it (null for silence), and where it ends in seconds.
 *
 * @typedef {{place: number | null, end: number}} SoughtWindow
 * @typedef {{scores: Float32Array, end: number}} Known
 */

/**
 * Finds all events with fewer runs of the network, by the way that Boyer and Moore search text.
 *
 * An event needs K windows in a row in which its word reaches the threshold, and any K windows in a row hold one
 * whose number is a multiple of K. Where that one has no word, none of those around it need be run. Where it has one,
 * those before it are run one by one, back to the first that has none, and those after it as they come. After an event
 * there is none for the refractory time, and only the windows count that may be in one behind it. What is not run
 * counts as 0. Events come out the same, and at the same time.
 */
export class Search {
  /**
   * @param {number} together K, windows in a row that make an event.
   * @param {(scores: Float32Array) => boolean} holds Whether the scores of a window reach the threshold of some word.
   * @param {Float32Array} silence Scores of silence.
   * @param {number} apart From the window of an event to the first that may be the next one.
   */
  constructor(together, holds, silence, apart) {
    this.#together = together;
    this.#holds = holds;
    this.#silence = silence;
    this.#nothing = new Float32Array(silence.length);
    this.#apart = apart;
    this.reset();
  }

  #together;
  #holds;
  #silence;
  #nothing;
  #apart;
  /** @type {SoughtWindow[]} */
  #new = [];
  /** @type {SoughtWindow[]} Since the last window that was run, fewer than K. */
  #skipped = [];
  /** @type {SoughtWindow | null} */
  #asked = null;
  /** @type {Known[]} A window with a word, and those before it. */
  #back = [];
  #follows = false; // whether the last window holds a word
  #left = 0; // windows to the next that has to be run
  #idle = 0; // windows before those, which count for nothing
  /** @type {SoughtWindow[]} */
  #idled = [];
  /** @type {Known[]} */
  #known = [];

  /** Forget all windows. */
  reset() {
    this.#new = [];
    this.#skipped = [];
    this.#asked = null;
    this.#back = [];
    this.#follows = false;
    this.#left = this.#together;
    this.#idle = 0;
    this.#idled = [];
    this.#known = [];
  }

  /** @param {SoughtWindow} window The next one. */
  push(window) {
    this.#new.push(window);
  }

  /** @returns {SoughtWindow | null} The window to run now; it is told before the next is asked for. */
  ask() {
    this.#asked = this.#back.length ? /** @type {SoughtWindow} */ (this.#skipped.at(-1)) : this.#next();
    return this.#asked;
  }

  /** @param {Float32Array} scores Of the window that was asked for. */
  tell(scores) {
    const window = /** @type {SoughtWindow} */ (this.#asked);
    this.#asked = null;
    const holds = this.#holds(scores);
    const known = { scores, end: window.end };
    if (this.#back.length) {
      this.#skipped.pop();
      this.#back.push(known);
      if (!holds || !this.#skipped.length) {
        this.#settle(...this.#back.reverse());
        this.#back = [];
      }
    } else if (holds && this.#skipped.length) {
      this.#back = [known];
      this.#follows = true;
    } else {
      this.#settle(known);
      this.#follows = holds;
      this.#left = this.#together;
    }
  }

  /** Take note that the last window that was run makes an event. */
  event() {
    if (this.#apart >= this.#together) {
      this.#follows = false;
      this.#left = this.#together;
      this.#idle = this.#apart - this.#together;
    }
  }

  /** @returns {Known[]} The windows of which all is known now, in order. */
  known() {
    const known = this.#known;
    this.#known = [];
    return known;
  }

  /** @returns {SoughtWindow | null} */
  #next() {
    for (let window = this.#new.shift(); window; window = this.#new.shift()) {
      if (window.place === null) {
        this.#settle({ scores: this.#silence, end: window.end });
        this.#follows = false;
        this.#left = this.#together;
        this.#idle = Math.max(0, this.#idle - 1);
        continue;
      }
      if (this.#idle) {
        this.#idle -= 1;
        this.#idled.push(window);
        continue;
      }
      this.#left -= 1;
      if (this.#follows || this.#left <= 0) return window;
      this.#skipped.push(window);
    }
    return null;
  }

  /**
   * Nothing more will be known of the windows before `found`.
   *
   * @param {...Known} found
   */
  #settle(...found) {
    const nothing = [...this.#idled, ...this.#skipped].map(({ end }) => ({ scores: this.#nothing, end }));
    this.#known.push(...nothing, ...found);
    this.#idled = [];
    this.#skipped = [];
  }
}
