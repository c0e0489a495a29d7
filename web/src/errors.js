/** The one kind of error that users see: what was wrong, and a way out. */
export class SnnVoiceError extends Error {
  /**
   * @param {string} message What was wrong.
   * @param {{code?: string, hint?: string, cause?: unknown}} [options] `code` is for programs, `hint` says
   *   what would be right.
   */
  constructor(message, { code = "error", hint = "", cause } = {}) {
    super(hint ? `${message} (${hint})` : message, cause === undefined ? undefined : { cause });
    this.name = "SnnVoiceError";
    this.code = code;
    this.hint = hint;
  }
}

/**
 * @param {string} name For the message.
 * @param {unknown} value What was given.
 * @param {{low?: number, above?: number, high?: number}} range Legal are `low` or more, or what is more than `above`.
 * @returns {number} The value.
 * @throws {SnnVoiceError} It is no number of that range.
 */
export function checkNumber(name, value, { low = -Infinity, above = -Infinity, high = Infinity } = {}) {
  if (typeof value === "number" && Number.isFinite(value) && value >= low && value > above && value <= high) {
    return value;
  }
  const begin = above > -Infinity ? `above ${above}` : low > -Infinity ? `${low} or more` : "any number";
  const hint = high < Infinity ? `${begin}, at most ${high}` : begin;
  throw new SnnVoiceError(`${name}=${String(value)} is not legal`, { code: "bad_option", hint });
}

/**
 * @param {object} options What was given.
 * @param {readonly string[]} legal The names that there are.
 * @throws {SnnVoiceError} One of the names is none of them: a slip would else go unnoticed.
 */
export function checkNames(options, legal) {
  for (const name of Object.keys(options)) {
    if (!legal.includes(name)) {
      throw new SnnVoiceError(`there is no option ${name}`, {
        code: "bad_option",
        hint: `legal are ${legal.join(", ")}`,
      });
    }
  }
}
