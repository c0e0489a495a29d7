// @ts-check
/** Talks to the service. Addresses are relative to the page's own, so that it works under a path prefix. */

import { Refusal } from "./refusal.js";

/** The longest wait that the page takes upon itself before it asks a second time. */
const LONGEST_WAIT_S = 30;

/** The service gives up much earlier; this is for a network that swallows the answer. */
const PATIENCE_MS = 90_000;

/**
 * @typedef {object} Prediction
 * @property {string} label A word, or a class such as `_silence_`.
 * @property {number} score Between 0 and 1.
 */

/**
 * @typedef {object} Timing All in milliseconds.
 * @property {number} roundTrip From sending to having the answer.
 * @property {Map<string, number>} server What the service says of itself, e.g. decode, queue, compute.
 */

/**
 * @typedef {object} Answer
 * @property {Prediction[]} predictions Best first.
 * @property {Timing} timing
 */

/**
 * @typedef {object} LayerSpikes
 * @property {string} name
 * @property {number} neurons How many it has; some of them are shown.
 * @property {number} rate Spikes a neuron and step.
 * @property {number} dead Neurons that never fire.
 * @property {number | null} first_spike Mean step of the first spike.
 * @property {number[]} rows Which channels are shown.
 * @property {number[]} columns Which positions along the sound.
 * @property {number[][]} spikes For each step the shown neurons that fire.
 */

/**
 * @typedef {object} Energy An estimate, in microjoules.
 * @property {number} synops Operations that are not skipped.
 * @property {number} energy_uj
 * @property {number} energy_once_uj If a layer with the same input at each step runs once.
 * @property {{energy_dense_uj: number, energy_uj?: number, model?: string}} cnn Of the CNN twin.
 * @property {number} pj_a_mac
 * @property {number} pj_an_ac
 */

/**
 * @typedef {object} Spikes
 * @property {string} model
 * @property {number} start Of the window that is shown, in seconds.
 * @property {number} end
 * @property {number} windows How many the sound has.
 * @property {number} num_steps
 * @property {{labels: string[], scores: number[][], settled: number}} decision The answer after each step.
 * @property {LayerSpikes[]} layers From the sound to the answer.
 * @property {Energy} [energy] Where the service can count it.
 */

/**
 * @typedef {object} Asking
 * @property {string} model Which one; "" for the default.
 * @property {AbortSignal} signal What ends it early.
 * @property {(seconds: number) => void} onWait Is told each second of a wait.
 */

/**
 * @typedef {object} ModelEntry
 * @property {string} name
 * @property {boolean} loaded
 * @property {boolean} isDefault
 */

/**
 * @typedef {object} ModelFacts
 * @property {string} name
 * @property {string[]} labels
 * @property {boolean} spikes False where it is known that it has no spiking neurons.
 * @property {number} maxSeconds Infinity where the service does not say.
 * @property {number} maxBodyBytes Infinity where the service does not say.
 */

export class Api {
  constructor() {
    /** Sent as `Authorization: Bearer` where it is not "". */
    this.key = "";
  }

  /**
   * @param {string} path
   * @returns {URL} Where that route is, seen from this page.
   */
  address(path) {
    const url = new URL(path, document.baseURI);
    url.hash = "";
    return url;
  }

  /** @returns {Promise<string>} The default model's name, or "". Refused as long as the service is not ready. */
  async ready() {
    const answer = await this.#json("ready");
    return typeof answer.model === "string" ? answer.model : "";
  }

  /** @returns {Promise<ModelEntry[]>} What can be asked for; empty where the service does not list it. */
  async models() {
    const answer = await this.#json("models");
    /** @type {any[]} */
    const entries = Array.isArray(answer.models) ? answer.models : [];
    return entries
      .filter((entry) => typeof entry?.name === "string")
      .map((entry) => ({ name: entry.name, loaded: entry.loaded !== false, isDefault: entry.default === true }));
  }

  /**
   * @param {string} model A name, or "" for the default.
   * @returns {Promise<ModelFacts>}
   */
  async facts(model) {
    const answer = await this.#json(model ? `model?model=${encodeURIComponent(model)}` : "model");
    /** @type {any[]} */
    const labels = Array.isArray(answer.labels) ? answer.labels : [];
    return {
      name: typeof answer.name === "string" ? answer.name : model,
      labels: labels.filter((label) => typeof label === "string"),
      spikes: answer.config?.network?.num_steps !== undefined || !answer.config?.network,
      maxSeconds: answer.max_seconds > 0 ? answer.max_seconds : Infinity,
      maxBodyBytes: answer.max_body_bytes > 0 ? answer.max_body_bytes : Infinity,
    };
  }

  /**
   * The best words of a sound.
   *
   * @param {Blob} sound A sound file.
   * @param {Asking} asking
   * @returns {Promise<Answer>}
   * @throws {Refusal} It was refused, or nobody answers.
   */
  async classify(sound, asking) {
    const { answer, roundTrip, headers } = await this.#ask("classify", sound, asking);
    if (!Array.isArray(answer)) {
      throw unreadable();
    }
    return { predictions: answer, timing: { roundTrip, server: readServerTiming(headers) } };
  }

  /**
   * What the network's neurons do with a sound.
   *
   * @param {Blob} sound A sound file.
   * @param {Asking} asking
   * @returns {Promise<Spikes>}
   * @throws {Refusal} It was refused, or nobody answers.
   */
  async spikes(sound, asking) {
    const { answer } = await this.#ask("spikes", sound, asking);
    if (!Array.isArray(answer?.layers) || !Array.isArray(answer.decision?.scores) || !(answer.num_steps > 0)) {
      throw unreadable();
    }
    return answer;
  }

  /**
   * Send a sound. A busy service is asked a second time, after the time that it names.
   *
   * @param {string} route
   * @param {Blob} sound
   * @param {Asking} asking
   */
  async #ask(route, sound, { model, signal, onWait }) {
    const path = `${route}?top_k=5${model ? `&model=${encodeURIComponent(model)}` : ""}`;
    try {
      return await this.#askOnce(path, sound, signal);
    } catch (error) {
      const wait = error instanceof Refusal ? error.retryAfter : undefined;
      if (wait === undefined || wait > LONGEST_WAIT_S) {
        throw error;
      }
      for (let left = Math.max(1, Math.ceil(wait)); left > 0; left -= 1) {
        onWait(left);
        await pause(1000, signal);
      }
      return this.#askOnce(path, sound, signal);
    }
  }

  /**
   * @param {string} path
   * @param {Blob} sound
   * @param {AbortSignal} signal
   * @returns {Promise<{answer: any, roundTrip: number, headers: Headers}>} The JSON, and how long it took.
   */
  async #askOnce(path, sound, signal) {
    const start = performance.now();
    // Always the same type: the bytes say what they are, and what a browser guesses from a name may mislead.
    const headers = { "Content-Type": "application/octet-stream" };
    const response = await this.#send(path, { method: "POST", body: sound, headers, signal });
    const answer = await parsed(response);
    return { answer, roundTrip: performance.now() - start, headers: response.headers };
  }

  /**
   * @param {string} path
   * @returns {Promise<any>} The JSON of a route that is asked by GET.
   */
  async #json(path) {
    const answer = await parsed(await this.#send(path, {}));
    return answer && typeof answer === "object" ? answer : {};
  }

  /**
   * @param {string} path
   * @param {RequestInit} init
   * @returns {Promise<Response>} A success.
   * @throws {Refusal} Anything else.
   */
  async #send(path, init) {
    const headers = new Headers(init.headers);
    if (this.key) {
      headers.set("Authorization", `Bearer ${this.key}`);
    }
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), PATIENCE_MS);
    const giveUp = () => patience.abort();
    init.signal?.addEventListener("abort", giveUp);
    /** @type {Response} */
    let response;
    try {
      init.signal?.throwIfAborted();
      response = await fetch(this.address(path), { ...init, headers, cache: "no-store", signal: patience.signal });
    } catch {
      init.signal?.throwIfAborted();
      if (patience.signal.aborted) {
        throw new Refusal("The service took too long to answer.", "Try again in a moment.");
      }
      throw await this.#unreachable(init.body instanceof Blob);
    } finally {
      clearTimeout(timer);
      init.signal?.removeEventListener("abort", giveUp);
    }
    if (!response.ok) {
      throw await refusalOf(response);
    }
    return response;
  }

  /**
   * A service that hangs up in the middle of an upload looks to a page like one that is not there.
   *
   * @param {boolean} wasUpload
   * @returns {Promise<Refusal>}
   */
  async #unreachable(wasUpload) {
    if (wasUpload) {
      const alive = await fetch(this.address("health"), { cache: "no-store" }).catch(() => undefined);
      if (alive?.ok) {
        return new Refusal("The service hung up before it had the whole file.", "The file may be too large for it.");
      }
    }
    return new Refusal("The service does not answer.", "It may have been stopped, or the network is gone.");
  }
}

/**
 * @param {Response} response
 * @returns {Promise<any>}
 */
async function parsed(response) {
  try {
    return await response.json();
  } catch {
    throw unreadable();
  }
}

/** @returns {Refusal} */
function unreadable() {
  return new Refusal("The service gave an answer that this page can't read.");
}

/**
 * @param {Response} response Not a success.
 * @returns {Promise<Refusal>} In the service's own words, where it has some.
 */
async function refusalOf(response) {
  const { status } = response;
  const retryAfter = [429, 503].includes(status) ? readRetryAfter(response.headers) : undefined;
  const details = { status, retryAfter };
  const error = await response.json().then(
    (body) => body?.error,
    () => undefined,
  );
  if (typeof error?.message === "string" && error.message) {
    return new Refusal(error.message, typeof error.hint === "string" ? error.hint : "", details);
  }
  // Not the service itself, but something before it: a proxy, say.
  const messages = new Map([
    [401, "This service asks for an API key."],
    [413, "The file is too large."],
    [429, "The service is busy."],
    [502, "The service does not answer."],
    [503, "The service is busy."],
    [504, "The service took too long to answer."],
  ]);
  const message = messages.get(status) ?? `The service answered with status ${status}.`;
  return new Refusal(message, status >= 500 ? "Try again in a moment." : "", details);
}

/**
 * @param {Headers} headers
 * @returns {number | undefined} Seconds; undefined where the header is missing or not legal.
 */
export function readRetryAfter(headers) {
  const value = headers.get("Retry-After");
  if (!value) {
    return undefined;
  }
  const seconds = /^\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}

/**
 * @param {Headers} headers
 * @returns {Map<string, number>} Names and milliseconds, as in `decode;dur=0.4, queue;dur=1.2`.
 */
export function readServerTiming(headers) {
  const found = new Map();
  for (const entry of (headers.get("Server-Timing") ?? "").split(",")) {
    const [name, ...parameters] = entry.split(";").map((part) => part.trim());
    const duration = parameters.find((parameter) => /^dur=/i.test(parameter));
    const milliseconds = Number(duration?.slice(4).replaceAll('"', ""));
    if (name && duration && Number.isFinite(milliseconds)) {
      found.set(name, milliseconds);
    }
  }
  return found;
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}
