// @ts-check
/** Takes a clip from the microphone, as plain samples. */

import { Refusal } from "./refusal.js";

const FILE_INSTEAD = "Choose a sound file instead.";

// A microphone that is there delivers within milliseconds; waking one up may take a second or two.
const SILENT_MS = 6000;

/** Below this a clip is no quiet room, but a microphone that is switched off. */
const NOTHING = 1e-4;

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
export async function record({ seconds, onProgress, signal }) {
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
    throw new Refusal(
      "Browsers lend the microphone only to pages opened over https or on localhost.",
      "Open it that way, or choose a sound file instead.",
    );
  }
  if (!window.AudioWorkletNode) {
    throw new Refusal("This browser is too old to record.", FILE_INSTEAD);
  }
  // Made before the first wait: some browsers start one only while the click is still fresh.
  const context = new AudioContext();
  /** @type {MediaStream | undefined} */
  let stream;
  try {
    stream = await openMicrophone(signal);
    await context.audioWorklet.addModule(new URL("recorder-worklet.js", import.meta.url));
    await context.resume();
    signal.throwIfAborted();
    const samples = await collect(context, stream, { seconds, onProgress, signal });
    if (!samples.some((sample) => Math.abs(sample) > NOTHING)) {
      throw new Refusal("The microphone gave only silence.", "Is it muted, or is another one chosen?");
    }
    return { samples, sampleRate: context.sampleRate };
  } finally {
    stopTracks(stream);
    void context.close();
  }
}

/**
 * @param {AbortSignal} signal
 * @returns {Promise<MediaStream>}
 */
async function openMicrophone(signal) {
  // The network was trained on sound as it is: filters made for calls take away the ends of words.
  const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false };
  const opening = navigator.mediaDevices.getUserMedia({ audio });
  try {
    return await Promise.race([opening, untilAborted(signal)]);
  } catch (error) {
    // Whoever allows it after having cancelled finds the microphone off again.
    opening.then(stopTracks, () => {});
    throw signal.aborted ? error : explained(error);
  }
}

/**
 * @param {unknown} error What `getUserMedia` threw.
 * @returns {Refusal}
 */
function explained(error) {
  switch (error instanceof DOMException ? error.name : "") {
    case "NotAllowedError":
    case "SecurityError":
      return new Refusal(
        "The microphone was refused.",
        "Allow it beside the page's address, or choose a sound file instead.",
      );
    case "NotFoundError":
    case "OverconstrainedError":
      return new Refusal("No microphone was found.", "Plug one in, or choose a sound file instead.");
    case "NotReadableError":
    case "AbortError":
      return new Refusal("The microphone can't be opened.", "Another program may be using it.");
    default:
      return new Refusal("The microphone can't be used.", FILE_INSTEAD);
  }
}

/**
 * @param {AudioContext} context
 * @param {MediaStream} stream
 * @param {RecordOptions} options
 * @returns {Promise<Float32Array>}
 */
async function collect(context, stream, { seconds, onProgress, signal }) {
  const samples = new Float32Array(Math.round(seconds * context.sampleRate));
  const tap = new AudioWorkletNode(context, "sample-tap", { channelCount: 1, channelCountMode: "explicit" });
  let filled = 0;
  let patience = 0;
  const full = new Promise((resolve, reject) => {
    const fail = () => reject(new Refusal("The microphone stopped.", "Was it unplugged?"));
    patience = window.setTimeout(fail, seconds * 1000 + SILENT_MS);
    stream.getAudioTracks().forEach((track) => track.addEventListener("ended", fail));
    tap.port.onmessage = ({ data }) => {
      const piece = data.subarray(0, samples.length - filled);
      samples.set(piece, filled);
      filled += piece.length;
      onProgress(samples, filled, context.sampleRate);
      if (filled === samples.length) {
        resolve(samples);
      }
    };
  });
  context.createMediaStreamSource(stream).connect(tap);
  // The tap plays nothing; but only what leads to the loudspeaker is sure to be run.
  tap.connect(context.destination);
  try {
    return await Promise.race([full, untilAborted(signal)]);
  } finally {
    // Pieces that are still on their way are not wanted any more.
    tap.port.onmessage = null;
    clearTimeout(patience);
  }
}

/**
 * @param {AbortSignal} signal
 * @returns {Promise<never>} Rejects when the signal does.
 */
function untilAborted(signal) {
  return new Promise((_, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
    }
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** @param {MediaStream} [stream] */
function stopTracks(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}
