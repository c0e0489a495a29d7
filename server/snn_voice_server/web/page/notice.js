// @ts-check
/** One sentence for the person in front of the page; screen readers say it at once. */

export class Notice {
  /** @param {HTMLElement} element An empty one with `role="alert"`. */
  constructor(element) {
    this.element = element;
  }

  /**
   * @param {string} text One sentence, or "" for nothing.
   * @param {{hint?: string, problem?: boolean, again?: () => void}} [options] What to do about it; whether
   *   something went wrong; what a button tries again.
   */
  tell(text, { hint = "", problem = false, again } = {}) {
    this.element.replaceChildren();
    if (!text) {
      return;
    }
    const line = document.createElement("p");
    line.className = problem ? "notice problem" : "notice";
    const strong = document.createElement("strong");
    strong.append(...marked(text));
    line.append(strong, " ", ...marked(hint));
    this.element.append(line);
    if (again) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button small";
      button.textContent = "Try again";
      button.addEventListener("click", again);
      this.element.append(button);
    }
    if (problem) {
      bringIntoView(this.element);
    }
  }
}

/**
 * On a phone the panels are below each other, and what is new may be out of sight.
 *
 * @param {HTMLElement} element
 */
export function bringIntoView(element) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
}

/**
 * @param {string} text With `commands` between backticks, as the service writes them.
 * @returns {(string | HTMLElement)[]} The same for the page.
 */
function marked(text) {
  return text.split("`").map((part, index) => {
    if (index % 2 === 0) {
      return part;
    }
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
}
