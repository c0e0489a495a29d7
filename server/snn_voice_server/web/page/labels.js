// @ts-check
/** What the network's answers are called on the page. */

/** What is said where somebody speaks, but says none of the words. */
export const NONE = "none of my words";

/** Classes whose names say little to those who did not train the network. */
const SHOWN = new Map([
  ["_unknown_", NONE],
  ["_silence_", "nobody speaks"],
]);

/**
 * @param {string} label
 * @returns {boolean} Whether it stands for sound that is no word.
 */
export function isClass(label) {
  return /^_.+_$/.test(label);
}

/**
 * @param {string} label
 * @returns {string} A word as it is; what a class stands for, or its name without the underscores.
 */
export function shownLabel(label) {
  return SHOWN.get(label) ?? (isClass(label) ? label.slice(1, -1).replaceAll("_", " ") : label);
}

/**
 * @param {number} score
 * @returns {string}
 */
export function percent(score) {
  return score > 0 && score < 0.0005 ? "< 0.1 %" : `${(100 * score).toFixed(1)} %`;
}

/**
 * @param {{start: number, end: number}} part Of a sound, in seconds.
 * @returns {string} "0.5 to 1.5 s"
 */
export function timesOf({ start, end }) {
  return `${start.toFixed(1)} to ${end.toFixed(1)} s`;
}
