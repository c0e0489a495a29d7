// @ts-check
/** Tabs: one of several views is shown. Arrow keys go from one to the next. */

export class Modes {
  /**
   * @param {HTMLElement} list With `role="tablist"`; each tab names its view by `aria-controls`, and has the part
   *   of an address that opens it in `data-name`.
   * @param {(name: string) => void} onChange Another one is shown.
   */
  constructor(list, onChange) {
    /** @type {HTMLElement[]} */
    this.tabs = [...list.querySelectorAll("[role=tab]")].map((tab) => /** @type {HTMLElement} */ (tab));
    this.onChange = onChange;
    this.name = this.tabs[0].dataset.name ?? "";
    this.tabs.forEach((tab, at) => {
      tab.addEventListener("click", () => this.choose(tab.dataset.name ?? ""));
      tab.addEventListener("keydown", (event) => this.#onKey(event, at));
    });
    addEventListener("hashchange", () => this.#follow());
  }

  /** What the page's address names. */
  start() {
    this.#follow();
  }

  /** @param {string} name Another one changes nothing. */
  choose(name) {
    const chosen = this.tabs.find((tab) => tab.dataset.name === name);
    if (!chosen || name === this.name) {
      return;
    }
    this.name = name;
    for (const tab of this.tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      const view = document.getElementById(tab.getAttribute("aria-controls") ?? "");
      view?.toggleAttribute("hidden", tab !== chosen);
    }
    history.replaceState(null, "", chosen === this.tabs[0] ? location.pathname + location.search : `#${name}`);
    this.onChange(name);
  }

  #follow() {
    this.choose(location.hash.slice(1) || (this.tabs[0].dataset.name ?? ""));
  }

  /**
   * @param {KeyboardEvent} event
   * @param {number} at
   */
  #onKey(event, at) {
    const last = this.tabs.length - 1;
    const next = new Map([
      ["ArrowRight", at < last ? at + 1 : 0],
      ["ArrowLeft", at > 0 ? at - 1 : last],
      ["Home", 0],
      ["End", last],
    ]).get(event.key);
    if (next !== undefined) {
      event.preventDefault();
      this.tabs[next].focus();
      this.tabs[next].click();
    }
  }
}
