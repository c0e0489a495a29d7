// @ts-check
/** Opens the microphone, says in words why it can't, and hands its samples over piece by piece. */

import { Refusal } from "./refusal.js";

const FILE_INSTEAD = "Choose a sound file instead.";

export class Microphone {
  /**
   * @param {AudioContext} context
   * @param {MediaStream} stream
   */
  constructor(context, stream) {
    this.context = context;
    this.stream = stream;
    this.tap = new AudioWorkletNode(context, "sample-tap", { channelCount: 1, channelCountMode: "explicit" });
  }

  /** In Hz; the sound hardware decides. */
  get sampleRate() {
    return this.context.sampleRate;
  }

  /**
   * @param {(piece: Float32Array) => void} onPiece Of one channel, between -1 and 1, about fifty times a second.
   * @param {(why: Refusal) => void} onEnd It is gone.
   */
  listen(onPiece, onEnd) {
    this.tap.port.onmessage = ({ data }) => onPiece(data);
    const end = () => onEnd(new Refusal("The microphone stopped.", "Was it unplugged?"));
    this.stream.getAudioTracks().forEach((track) => track.addEventListener("ended", end));
    this.context.createMediaStreamSource(this.stream).connect(this.tap);
    // The tap plays nothing; but only what leads to the loudspeaker is sure to be run.
    this.tap.connect(this.context.destination);
  }

  /** Set it free. Pieces that are still on their way are not wanted any more. */
  close() {
    this.tap.port.onmessage = null;
    stopTracks(this.stream);
    void this.context.close();
  }
}

/**
 * @param {AbortSignal} signal Ends it early.
 * @returns {Promise<Microphone>} It is on; whoever has it closes it.
 * @throws {Refusal} There is none, or the page may not use it; the message says which.
 */
export async function openMicrophone(signal) {
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
    stream = await lent(signal);
    await context.audioWorklet.addModule(new URL("recorder-worklet.js", import.meta.url));
    await context.resume();
    signal.throwIfAborted();
    return new Microphone(context, stream);
  } catch (error) {
    stopTracks(stream);
    void context.close();
    throw error;
  }
}

/**
 * @param {AbortSignal} signal
 * @returns {Promise<MediaStream>}
 */
async function lent(signal) {
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
 * @param {AbortSignal} signal
 * @returns {Promise<never>} Rejects when the signal does.
 */
export function untilAborted(signal) {
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
