// @ts-check
/** Whether a recording of a word can be learned from, and where in it the word is: by the rules of `snn-voice record`. */

/** Of takes, in Hz. */
export const RATE = 16_000;

/** A word may be so long, in seconds: a model hears no more at once. */
export const LONGEST_S = 1;

/** Samples by which the ends of a word are found. */
const FRAME = 160;
/** Seconds that are kept before and behind it. */
const AROUND_S = 0.1;
/** A quieter word, in dB of full scale, is lost in the noise of a microphone. */
const QUIETEST_DB = -50;
/** So much louder than what is around it, in dB, has it to be. */
const STANDS_OUT_DB = 10;
const FLOOR_DB = -120;
/** So many samples of full scale: the microphone is turned up too far. */
const FULL = 0.999;
const MOST_FULL = 8;
/** Shorter, in seconds, is a knock or a click. */
const SHORTEST_S = 0.12;

/**
 * @typedef {object} Judged
 * @property {Float32Array} samples The word with a little around it; of a refused take, all of it.
 * @property {number} seconds How long the word is.
 * @property {number} level Of the word, in dB of full scale.
 * @property {string} problem Why it can't be learned from; "" where it can.
 * @property {string} hint What would help.
 */

/**
 * @param {Float32Array} samples What was recorded, at `RATE`.
 * @returns {Judged}
 */
export function judged(samples) {
  if (samples.length < RATE * SHORTEST_S || !samples.some((sample) => sample !== 0)) {
    return { samples, seconds: 0, level: FLOOR_DB, problem: "nothing was recorded", hint: "is the microphone muted?" };
  }
  const [begin, end] = extent(samples);
  const level = levelOf([samples.subarray(begin, end)]);
  const seconds = (end - begin) / RATE;
  const [problem, hint] = trouble(samples, begin, end, level);
  const around = problem ? samples.length : Math.round(AROUND_S * RATE);
  const cut = samples.slice(Math.max(0, begin - around), end + around);
  return { samples: cut, seconds, level, problem, hint };
}

/**
 * @param {Float32Array} samples
 * @returns {[number, number]} First sample of the word, and the one after its last.
 */
function extent(samples) {
  const power = new Float64Array(Math.floor(samples.length / FRAME));
  for (let frame = 0; frame < power.length; frame += 1) {
    for (let at = frame * FRAME; at < (frame + 1) * FRAME; at += 1) {
      power[frame] += samples[at] ** 2 / FRAME;
    }
    power[frame] += 1e-12;
  }
  // Within 25 dB of the loudest frame, and well above the background.
  const background = percentile(power, 0.1);
  const floor = Math.max(Math.max(...power) * 10 ** -2.5, 4 * background);
  const first = power.findIndex((value) => value >= floor);
  if (first < 0) {
    return [0, samples.length];
  }
  let last = power.length - 1;
  while (power[last] < floor) {
    last -= 1;
  }
  return [first * FRAME, (last + 1) * FRAME];
}

/**
 * @param {Float64Array} values
 * @param {number} share
 */
function percentile(values, share) {
  const sorted = values.slice().sort();
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

/**
 * @param {Float32Array[]} parts
 * @returns {number} The deviation of all their samples from their mean, in dB of full scale.
 */
function levelOf(parts) {
  let [count, sum, squares] = [0, 0, 0];
  for (const part of parts) {
    for (const sample of part) {
      sum += sample;
      squares += sample ** 2;
    }
    count += part.length;
  }
  const power = count ? squares / count - (sum / count) ** 2 : 0;
  return power > 0 ? Math.max(FLOOR_DB, 10 * Math.log10(power)) : FLOOR_DB;
}

/**
 * @param {Float32Array} samples
 * @param {number} begin Of the word.
 * @param {number} end
 * @param {number} level
 * @returns {[string, string]} Problem and hint; "" for none.
 */
function trouble(samples, begin, end, level) {
  const full = samples.reduce((count, sample) => count + Number(Math.abs(sample) >= FULL), 0);
  const seconds = (end - begin) / RATE;
  const around = [samples.subarray(0, begin), samples.subarray(end)];
  if (full > MOST_FULL) {
    return [`${full} samples are cut off at full scale`, "farther from the microphone, or less gain"];
  }
  if (level < QUIETEST_DB) {
    return [`too quiet (${level.toFixed(0)} dB)`, "nearer to the microphone, or more gain"];
  }
  if (around[0].length + around[1].length < RATE * AROUND_S || level - levelOf(around) < STANDS_OUT_DB) {
    return ["no word stands out", "say it after the sign, with quiet before and after"];
  }
  if (seconds < SHORTEST_S) {
    return [`${seconds.toFixed(2)} s is no word`, "say it after the sign"];
  }
  if (begin === 0 || end > samples.length - RATE / 100) {
    return ["cut off", "say it after the sign, and not later"];
  }
  if (seconds > LONGEST_S) {
    return [`${seconds.toFixed(2)} s are longer than the ${LONGEST_S} s that the model hears`, "say it faster"];
  }
  return ["", ""];
}
