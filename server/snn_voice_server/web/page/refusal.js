// @ts-check

/** Something did not work, and the message is a sentence for the person in front of the page. */
export class Refusal extends Error {
  /**
   * @param {string} message What was wrong.
   * @param {string} [hint] What would be right.
   * @param {{status?: number, retryAfter?: number, code?: string}} [details] The HTTP status, if it came from
   *   the service, after how many seconds it wants to be asked again, and its short name of what was wrong.
   */
  constructor(message, hint = "", { status, retryAfter, code = "" } = {}) {
    super(sentence(message));
    this.name = "Refusal";
    this.hint = sentence(hint);
    this.status = status;
    this.retryAfter = retryAfter;
    this.code = code;
  }
}

/**
 * The service writes its messages for a terminal line; here they are sentences.
 *
 * @param {string} text
 * @returns {string} With a capital letter and a full stop; "" stays.
 */
export function sentence(text) {
  const trimmed = text.trim();
  if (!trimmed) {
    return "";
  }
  const capital = trimmed[0].toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}
