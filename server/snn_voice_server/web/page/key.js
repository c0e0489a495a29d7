// @ts-check
/** The API key: asked for when the service wants one, kept for this tab only. */

import { Refusal } from "./refusal.js";

const NAME = "snn-voice-key";

export class KeyField {
  /**
   * @param {HTMLFormElement} form
   * @param {HTMLInputElement} input
   * @param {{onKey: (key: string) => void, onProblem: (error: Refusal) => void}} events
   */
  constructor(form, input, { onKey, onProblem }) {
    this.form = form;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const key = input.value.trim();
      if (!/^[\x21-\x7e]+$/.test(key)) {
        onProblem(new Refusal("That is no API key.", "A key is one word of plain letters, digits and signs."));
        return;
      }
      input.value = "";
      remember(key);
      onKey(key);
    });
  }

  /** @param {boolean} wanted Whether the service asks for a key. */
  show(wanted) {
    this.form.hidden = !wanted;
  }
}

/** @returns {string} The key of this tab, or "". */
export function rememberedKey() {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return ""; // a browser that keeps nothing
  }
}

/** @param {string} key */
function remember(key) {
  try {
    sessionStorage.setItem(NAME, key);
  } catch {
    // A browser that keeps nothing: the key lasts as long as the page.
  }
}
