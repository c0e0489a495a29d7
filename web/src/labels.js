/** Which labels are words: those that begin and end with an underscore stand for "no word". */

export const SILENCE = "_silence_";
export const UNKNOWN = "_unknown_";

/**
 * @param {string} label
 * @returns {boolean}
 */
export function isWord(label) {
  return !(label.startsWith("_") && label.endsWith("_"));
}
