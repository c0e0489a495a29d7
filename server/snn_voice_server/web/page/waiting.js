// @ts-check
/** What is being waited for, and since when: for the eye each second, for the ear now and then. */

/** Nobody wants to read the time of a short wait. */
const SHORT_S = 3;
const SPEAK_EVERY_S = 10;

export class Waiting {
  /**
   * @param {(text: string) => void} show
   * @param {(text: string) => void} speak
   */
  constructor(show, speak) {
    this.show = show;
    this.speak = speak;
    this.text = "";
    this.timed = true;
    this.since = 0;
    this.timer = 0;
  }

  /**
   * @param {string} text What is waited for now; the first one starts the clock.
   * @param {{aloud?: boolean, timed?: boolean}} [options] Whether it is said at once; whether the time is told.
   */
  say(text, { aloud = false, timed = true } = {}) {
    this.timed = timed;
    if (aloud) {
      this.speak(text);
    }
    if (!this.timer) {
      this.since = performance.now();
      this.timer = window.setInterval(() => this.#tick(), 1000);
    }
    this.text = text;
    this.show(this.#line());
  }

  end() {
    clearInterval(this.timer);
    this.timer = 0;
  }

  get #seconds() {
    return Math.round((performance.now() - this.since) / 1000);
  }

  #line() {
    return !this.timed || this.#seconds < SHORT_S ? this.text : `${this.text} ${this.#seconds} s so far.`;
  }

  #tick() {
    this.show(this.#line());
    if (this.timed && this.#seconds % SPEAK_EVERY_S === SHORT_S) {
      this.speak(this.#line());
    }
  }
}

/**
 * @param {number} share How much of the sound is on its way.
 * @param {string} away The model that has to be loaded first, or "".
 * @returns {string} What is waited for.
 */
export function stageOf(share, away) {
  if (share < 1) {
    return `Sending the sound: ${Math.floor(100 * share)} %.`;
  }
  return away ? `${away} is being loaded, then it listens.` : "The network is listening.";
}
