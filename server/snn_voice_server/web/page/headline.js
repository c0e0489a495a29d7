// @ts-check
/** What is said of a sound in large letters and in a sentence: no more than the network can know. */

import { isClass, NONE, percent, shownLabel, timesOf } from "./labels.js";
import { clearest, noWord, SURE } from "./segments.js";

/** From here on the best answer is right in at least nine of ten cases, if it is of what the network learned. */
const CLEAR = 0.9;

/** So many words are written smaller. */
const CROWD = 13;

/**
 * @typedef {object} Knowledge What a model tells apart.
 * @property {number} words How many it knows; 0 if that is not known.
 * @property {boolean} silence Whether it knows when nobody speaks.
 * @property {boolean} speech Whether it knows speech that holds none of its words.
 *
 * @typedef {object} Headline
 * @property {string} name
 * @property {"" | "many" | "many crowd" | "none"} kind
 * @property {string} remark
 */

/**
 * @param {import("./segments.js").Segment[]} words Those in the sound.
 * @param {import("./api.js").Window[]} windows At least one.
 * @param {Knowledge} knows
 * @returns {Headline}
 */
export function headline(words, windows, knows) {
  const all = knows.words ? `the ${knows.words} words it knows` : "the words it knows";
  const seconds = windows[windows.length - 1].end;
  const names = words.map(({ window }) => shownLabel(window?.predictions[0].label ?? ""));
  if (names.length > 1) {
    const remark = `${names.length} words in ${seconds.toFixed(1)} s of sound, each the likeliest of ${all}.`;
    const kind = names.length < CROWD ? "many" : "many crowd";
    return { name: names.join("\u00a0· "), kind, remark: remark + caveat(knows) };
  }
  const { label, score } = clearest(windows).predictions[0];
  if (names.length) {
    const where = windows.length > 1 ? `, at ${timesOf(words[0])}` : "";
    const remark = score < CLEAR ? `The likeliest of ${all}, but not a clear one` : `Clearly the likeliest of ${all}`;
    return { name: names[0], kind: "", remark: `${remark}${where}.${caveat(knows)}` };
  }
  if (windows.every((window) => noWord(window) >= SURE)) {
    return withoutWord(windows, all);
  }
  // A network without a class for other speech has never heard any: that it hesitates is a sign, and no more.
  const name = knows.speech ? "not sure" : `maybe ${NONE}`;
  const nearest = `“${shownLabel(label)}” comes nearest, with ${percent(score)}`;
  const none = isClass(label) ? "Nothing is clear" : `None of ${all} is ${knows.speech ? "clear" : "likely"}`;
  return { name, kind: "none", remark: `${none}: ${nearest}.` };
}

/**
 * @param {import("./api.js").Window[]} windows In none of them is a word.
 * @param {string} all The words, in words.
 * @returns {Headline}
 */
function withoutWord(windows, all) {
  const labels = windows.map(({ predictions }) => predictions.find((found) => isClass(found.label))?.label ?? "");
  if (labels.includes("_unknown_")) {
    return { name: NONE, kind: "none", remark: `It hears somebody speak, but none of ${all}.` };
  }
  const quiet = labels.includes("_silence_");
  const remark = quiet ? "No word was heard: silence, or noise." : "No word was heard.";
  return { name: shownLabel(quiet ? "_silence_" : labels[0]), kind: "none", remark };
}

/**
 * @param {Knowledge} knows
 * @returns {string} What has to be known about the words that such a network names.
 */
export function caveat({ words, silence, speech }) {
  if (!words || speech) {
    return "";
  }
  return ` It takes other ${silence ? "speech" : "speech and noise"} for one of them, too.`;
}
