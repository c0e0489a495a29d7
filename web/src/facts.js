/** What a model's file says of it, checked: labels, rate, operating point, and the front end of kind "frames". */

import { SnnVoiceError } from "./errors.js";

/** @import { Detection, Facts, FrameFacts, LogMelFacts } from "../types/index.d.ts" */

const NEWEST = 2;

/**
 * Of a model for which nobody chose an operating point: its scores over speech that holds none of its words are
 * often high, so a word has to be sure, and for a while.
 *
 * @type {Detection}
 */
const UNTUNED = { threshold: 0.9, thresholds: {}, smoothing: 0.3, refractory: 1, hop: 0.1 };

/**
 * @param {Record<string, string>} said The metadata of an ONNX file.
 * @returns {Facts}
 * @throws {SnnVoiceError} They are not those of a model that can be run here.
 */
export function factsOf(said) {
  const lite = "snn_voice_lite" in said;
  if (!lite && !("labels" in said)) {
    throw unusable("the file names no labels", "`snn-voice export` writes files that do");
  }
  if (said.input === "features") {
    throw unusable("the file takes features, not sound", "export it without --features-outside");
  }
  const given = lite ? object("snn_voice_lite", parsed("snn_voice_lite", said.snn_voice_lite)) : ofPlain(said);
  const version = given.format_version;
  if (lite && !(Number.isInteger(version) && Number(version) >= 1 && Number(version) <= NEWEST)) {
    throw unusable(`format_version is ${String(version)}`, `this package reads up to ${NEWEST}`);
  }
  const { kind } = given;
  if (kind !== "windows" && kind !== "frames") {
    throw unusable(`kind is ${String(kind)}`, "known are windows and frames");
  }
  const sampleRate = number("sample_rate", given.sample_rate, 1);
  return {
    kind,
    name: String(given.name ?? ""),
    architecture: String(given.architecture ?? ""),
    license: String(given.license ?? ""),
    labels: labelsOf(given.labels),
    sampleRate,
    numSamples: number("num_samples", given.num_samples, 1),
    temperature: number("temperature", given.temperature, 1e-6),
    detection: given.detection == null ? UNTUNED : detectionOf(object("detection", given.detection)),
    metrics: given.metrics == null ? {} : object("metrics", given.metrics),
    frames: kind === "frames" ? framesOf(object("frames", given.frames), sampleRate) : null,
  };
}

/**
 * The same of a file without the key `snn_voice_lite`, where each fact is a text of its own.
 *
 * @param {Record<string, string>} said
 * @returns {Record<string, unknown>}
 */
function ofPlain(said) {
  const steps = "frames_per_step" in said && "state" in said;
  return {
    ...said,
    kind: steps ? "frames" : "windows",
    labels: parsed("labels", said.labels),
    sample_rate: Number(said.sample_rate),
    num_samples: Number(said.num_samples),
    temperature: Number(said.temperature),
    frames: steps && {
      frames_per_step: Number(said.frames_per_step),
      lead_frames: Number(said.lead_frames),
      num_steps: Number(said.num_steps),
      state_size: sizeOf(object("state", parsed("state", said.state))),
      features: parsed("features", said.features),
    },
  };
}

/**
 * @param {Record<string, unknown>} layout The shape of each part of a state.
 * @returns {number} How many values they are in all.
 */
function sizeOf(layout) {
  const sizes = Object.values(layout).map((shape) =>
    /** @type {number[]} */ (shape).reduce((product, size) => product * size, 1),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/**
 * @param {unknown} given
 * @returns {string[]}
 */
function labelsOf(given) {
  if (!Array.isArray(given) || !given.length || !given.every((label) => typeof label === "string")) {
    throw unusable("labels is no list of words");
  }
  return given;
}

/**
 * @param {Record<string, unknown>} given
 * @returns {Detection}
 */
function detectionOf(given) {
  const thresholds = object("detection.thresholds", given.thresholds ?? {});
  for (const [word, value] of Object.entries(thresholds)) number(`detection.thresholds.${word}`, value, 0);
  return {
    threshold: number("detection.threshold", given.threshold, 0),
    thresholds: /** @type {Record<string, number>} */ (thresholds),
    smoothing: number("detection.smoothing", given.smoothing, 0),
    refractory: number("detection.refractory", given.refractory, 0),
    hop: number("detection.hop", given.hop, 1e-3),
  };
}

/**
 * @param {Record<string, unknown>} given
 * @param {number} sampleRate
 * @returns {FrameFacts}
 */
function framesOf(given, sampleRate) {
  return {
    framesPerStep: number("frames.frames_per_step", given.frames_per_step, 1),
    leadFrames: number("frames.lead_frames", given.lead_frames, 0),
    numSteps: number("frames.num_steps", given.num_steps, 1),
    stateSize: number("frames.state_size", given.state_size, 1),
    atOnce: given.at_once === true,
    features: logMelOf(object("frames.features", given.features), sampleRate),
  };
}

/**
 * @param {Record<string, unknown>} given
 * @param {number} sampleRate
 * @returns {LogMelFacts}
 */
function logMelOf(given, sampleRate) {
  /** @type {[string, unknown][]} */
  const needed = [
    ["kind", "logmel"],
    ["normalization", "fixed"],
    ["feature_rate", sampleRate],
  ];
  for (const [name, legal] of needed) {
    if (name in given && given[name] !== legal) {
      throw unusable(`frames.features.${name} is ${String(given[name])}`, `this package computes ${legal}`);
    }
  }
  /** @param {string} name @param {number} low */
  const value = (name, low = -Infinity) => number(`frames.features.${name}`, given[name], low);
  return {
    melRate: given.mel_rate === undefined ? sampleRate : value("mel_rate", 1),
    fftSize: value("n_fft", 1),
    winLength: value("win_length", 1),
    hopLength: value("hop_length", 1),
    bands: value("n_mels", 1),
    fMin: value("f_min", 0),
    fMax: given.f_max == null ? null : value("f_max", 0),
    logOffset: value("log_offset", 0),
    waveformMean: given.waveform_mean === undefined ? 0 : value("waveform_mean"),
    waveformStd: given.waveform_std === undefined ? 1 : value("waveform_std", 0),
    featureMean: value("feature_mean"),
    featureStd: value("feature_std", 0),
    zeroBelow: given.zero_below == null ? null : value("zero_below"),
  };
}

/**
 * @param {string} name
 * @param {string} text
 * @returns {unknown}
 */
function parsed(name, text) {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SnnVoiceError(`this model can't be used: ${name} is no JSON`, { code: "bad_model", cause });
  }
}

/**
 * @param {string} name
 * @param {unknown} given
 * @returns {Record<string, unknown>}
 */
function object(name, given) {
  if (typeof given === "object" && given !== null && !Array.isArray(given)) {
    return /** @type {Record<string, unknown>} */ (given);
  }
  throw unusable(`${name} is no object`);
}

/**
 * @param {string} name
 * @param {unknown} given
 * @param {number} low
 * @returns {number}
 */
function number(name, given, low) {
  if (typeof given === "number" && Number.isFinite(given) && given >= low) return given;
  throw unusable(`${name} is ${String(given)}`);
}

/**
 * @param {string} what
 * @param {string} [hint]
 */
function unusable(what, hint) {
  return new SnnVoiceError(`this model can't be used: ${what}`, { code: "bad_model", hint });
}
