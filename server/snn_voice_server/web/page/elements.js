// @ts-check

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [_] Its class, for the type checker.
 * @returns {T}
 */
export function byId(id, _) {
  return /** @type {T} */ (document.getElementById(id));
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

/** A button with a lamp, which shows whether the microphone is on. */
export class LampButton {
  /**
   * @param {HTMLElement} button
   * @param {HTMLElement} text The button's text.
   */
  constructor(button, text) {
    this.button = button;
    this.text = text;
  }

  get isRunning() {
    return this.button.classList.contains("running");
  }

  /**
   * @param {string} text
   * @param {"" | "opening" | "running"} state
   */
  show(text, state) {
    this.text.textContent = text;
    this.button.classList.toggle("opening", state === "opening");
    this.button.classList.toggle("running", state === "running");
    this.button.title = state ? "Press again, or Escape, to stop" : "";
  }
}
