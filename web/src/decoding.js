/** Sound as the browser hands it over -> mono samples. */

import { SnnVoiceError } from "./errors.js";
import { resampled } from "./resampling.js";
import { checkSound } from "./session.js";
import { readWav } from "./wav.js";

// Of the rates that a context may have, those that every browser takes.
const [LOWEST, HIGHEST] = [8_000, 96_000];

/**
 * @param {AudioBuffer | Blob | ArrayBuffer} sound Decoded sound, or a file that the browser can decode.
 * @param {number} sampleRate Of the result, in Hz.
 * @returns {Promise<Float32Array>} Its channels' mean.
 * @throws {SnnVoiceError} It can't be decoded.
 */
export async function decode(sound, sampleRate) {
  if ("getChannelData" in sound) return resampled(mixed(sound), sound.sampleRate, sampleRate);
  const bytes = sound instanceof Blob ? await sound.arrayBuffer() : sound.slice(0); // decoding takes the bytes away
  const wav = readWav(bytes);
  if (wav?.mono) return resampled(wav.mono, wav.rate, sampleRate);
  const known = wav && wav.rate >= LOWEST && wav.rate <= HIGHEST;
  const buffer = await decoded(bytes, known ? wav.rate : sampleRate);
  return resampled(mixed(buffer), buffer.sampleRate, sampleRate);
}

/**
 * @param {AudioBuffer} buffer
 * @returns {Float32Array} The mean of its channels.
 */
function mixed(buffer) {
  const mono = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    buffer.getChannelData(channel).forEach((value, i) => (mono[i] += value / buffer.numberOfChannels));
  }
  return mono;
}

/**
 * @param {ArrayBuffer} bytes
 * @param {number} rate To which the browser resamples.
 * @returns {Promise<AudioBuffer>}
 */
async function decoded(bytes, rate) {
  try {
    return await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  } catch (cause) {
    throw new SnnVoiceError("this is no sound that the browser can decode", {
      code: "bad_audio",
      hint: "WAV, MP3, Ogg or FLAC",
      cause,
    });
  }
}

/**
 * @param {unknown} sound What a caller hands in.
 * @param {number} given Rate of bare samples, in Hz.
 * @param {number} target The model's rate.
 * @returns {Promise<Float32Array>} Mono samples at the model's rate, at least one.
 */
export async function samplesOf(sound, given, target) {
  let samples;
  if (sound instanceof Float32Array) {
    checkSound(sound);
    samples = resampled(sound, given, target);
  } else if (isSound(sound)) {
    samples = await decode(sound, target);
  } else {
    throw new SnnVoiceError("sound can't be taken from that", {
      code: "bad_type",
      hint: "a Float32Array, an AudioBuffer, a file or its bytes",
    });
  }
  if (!samples.length) throw new SnnVoiceError("the clip is empty", { code: "empty" });
  return samples;
}

/**
 * @param {unknown} sound
 * @returns {sound is AudioBuffer | Blob | ArrayBuffer}
 */
function isSound(sound) {
  if (sound instanceof ArrayBuffer || sound instanceof Blob) return true;
  return typeof sound === "object" && sound !== null && "getChannelData" in sound;
}
