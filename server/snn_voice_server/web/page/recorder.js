// @ts-check
/** Takes a clip from the microphone, as plain samples. */

import { openMicrophone, untilAborted } from "./microphone.js";
import { Refusal } from "./refusal.js";

// A microphone that is there delivers within milliseconds; waking one up may take a second or two.
const SILENT_MS = 6000;

/** Below this a clip is no quiet room, but a microphone that is switched off. */
export const NOTHING = 1e-4;

/**
 * @typedef {object} Recording
 * @property {Float32Array} samples One channel, between -1 and 1.
 * @property {number} sampleRate In Hz; the sound hardware decides.
 */

/**
 * @typedef {object} RecordOptions
 * @property {number} seconds How long.
 * @property {(samples: Float32Array, filled: number, sampleRate: number) => void} onProgress Called for each
 *   piece that came; the array has its final length, and is filled up to `filled`.
 * @property {AbortSignal} signal Ends it early, with nothing.
 */

/**
 * Record from the microphone.
 *
 * @param {RecordOptions} options
 * @returns {Promise<Recording>}
 * @throws {Refusal} There is no microphone, or the page may not use it; the message says which.
 */
export async function record(options) {
  const microphone = await openMicrophone(options.signal);
  try {
    const samples = await collect(microphone, options);
    if (!samples.some((sample) => Math.abs(sample) > NOTHING)) {
      throw new Refusal("The microphone gave only silence.", "Is it muted, or is another one chosen?");
    }
    return { samples, sampleRate: microphone.sampleRate };
  } finally {
    microphone.close();
  }
}

/**
 * @param {import("./microphone.js").Microphone} microphone
 * @param {RecordOptions} options
 * @returns {Promise<Float32Array>}
 */
async function collect(microphone, { seconds, onProgress, signal }) {
  const samples = new Float32Array(Math.round(seconds * microphone.sampleRate));
  let filled = 0;
  let patience = 0;
  const full = new Promise((resolve, reject) => {
    const fail = () => reject(new Refusal("The microphone stopped.", "Was it unplugged?"));
    patience = window.setTimeout(fail, seconds * 1000 + SILENT_MS);
    microphone.listen((data) => {
      const piece = data.subarray(0, samples.length - filled);
      samples.set(piece, filled);
      filled += piece.length;
      onProgress(samples, filled, microphone.sampleRate);
      if (filled === samples.length) {
        resolve(samples);
      }
    }, reject);
  });
  try {
    return await Promise.race([full, untilAborted(signal)]);
  } finally {
    clearTimeout(patience);
  }
}
