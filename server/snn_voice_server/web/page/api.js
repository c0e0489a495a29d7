// @ts-check
/** Talks to the service. Addresses are relative to the page's own, so that it works under a path prefix. */

import { Refusal } from "./refusal.js";
import { get, parsed, pause, post, readServerTiming, unreadable } from "./transport.js";

/** The longest wait that the page takes upon itself before it asks a second time. */
const LONGEST_WAIT_S = 30;

/** A model that is being loaded is asked again for so long, since it will be there. */
const LOADING_S = 60;

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
 * @typedef {object} Window A part of the sound, as long as the network hears at once; they overlap.
 * @property {number} start In seconds.
 * @property {number} end
 * @property {Prediction[]} predictions Best first.
 */

/**
 * @typedef {object} Answer
 * @property {Window[]} windows From the beginning to the end; a short sound is one.
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
 * @property {(share: number) => void} onSent How much of the sound is on its way, up to 1.
 * @property {(why: string, seconds: number, begins: boolean) => void} onWait Is told each second of a wait before
 *   the service is asked again: why, how many are left, and whether this is the first.
 */

/**
 * @typedef {object} ModelEntry
 * @property {string} name
 * @property {boolean} loaded
 * @property {boolean} isDefault
 */

/**
 * @typedef {object} ModelList
 * @property {ModelEntry[]} entries
 * @property {boolean} teaches Whether the service takes new words.
 */

/**
 * @typedef {number | string | null} Figure
 */

/**
 * @typedef {object} TeachJob A training on the service.
 * @property {"running" | "done" | "failed" | "cancelled"} state
 * @property {string[]} words
 * @property {string} step What it does, in a word.
 * @property {string} text The same for people.
 * @property {number} done
 * @property {number} of 0 where nobody knows.
 * @property {number} seconds
 * @property {string[]} lines The newest ones.
 * @property {{message: string, hint: string} | null} error
 * @property {{model: string, figures: Record<string, Figure | Record<string, Figure>>} | null} result
 */

/**
 * @typedef {object} ModelFacts
 * @property {string} name
 * @property {string[]} labels
 * @property {number | undefined} threshold Score from which on a word of a stream counts, where the model says.
 * @property {boolean} spikes False where it is known that it has no spiking neurons.
 * @property {boolean} follows Whether the steps of its neurons are those of the sound.
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

  /** @returns {Promise<ModelList>} What can be asked for; no entries where the service does not list it. */
  async models() {
    const answer = await this.#json("models");
    /** @type {any[]} */
    const entries = Array.isArray(answer.models) ? answer.models : [];
    return {
      entries: entries
        .filter((entry) => typeof entry?.name === "string")
        .map((entry) => ({ name: entry.name, loaded: entry.loaded !== false, isDefault: entry.default === true })),
      teaches: answer.teach === true,
    };
  }

  /**
   * Begin a training.
   *
   * @param {Blob} clips A zip; an empty one where only synthesisers are to say the words.
   * @param {string[]} words
   * @param {boolean} synthetic Whether synthesisers say the words, too.
   * @returns {Promise<TeachJob | null>}
   * @throws {Refusal} It was refused, or nobody answers.
   */
  async teach(clips, words, synthetic) {
    const query = new URLSearchParams(words.map((word) => ["words", word]));
    query.set("synthetic", synthetic ? "yes" : "no");
    const { answer } = await this.#askOnce(`teach?${query}`, await read(clips), {
      model: "",
      signal: new AbortController().signal,
      onSent: () => {},
      onWait: () => {},
    });
    return jobOf(answer);
  }

  /** @returns {Promise<TeachJob | null>} The newest training. */
  async teaching() {
    return jobOf(await this.#json("teach"));
  }

  /** @returns {Promise<TeachJob | null>} It was cancelled. */
  async unteach() {
    return jobOf(await this.#json("teach", "DELETE"));
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
      threshold: answer.config?.detection?.threshold,
      spikes: answer.spiking !== false,
      follows: answer.spiking === true && answer.step_seconds > 0,
      maxSeconds: answer.max_seconds > 0 ? answer.max_seconds : Infinity,
      maxBodyBytes: answer.max_body_bytes > 0 ? answer.max_body_bytes : Infinity,
    };
  }

  /**
   * @param {string} path Of a file that is part of this page.
   * @returns {Promise<Blob>}
   */
  async clip(path) {
    const response = await get(this.address(path), new Headers()).catch(() => undefined);
    if (!response?.ok) {
      throw unreachable();
    }
    return response.blob();
  }

  /**
   * The best words of each window of a sound.
   *
   * @param {Blob} sound A sound file.
   * @param {Asking} asking
   * @returns {Promise<Answer>}
   * @throws {Refusal} It was refused, or nobody answers.
   */
  async classify(sound, asking) {
    const { answer, roundTrip, headers } = await this.#ask("classify?top_k=5&windows=true", sound, asking);
    if (!Array.isArray(answer) || !answer.every((window) => Array.isArray(window?.predictions))) {
      throw unreadable();
    }
    return { windows: answer, timing: { roundTrip, server: readServerTiming(headers) } };
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
    const { answer } = await this.#ask("spikes?top_k=5", sound, asking);
    if (!Array.isArray(answer?.layers) || !Array.isArray(answer.decision?.scores) || !(answer.num_steps > 0)) {
      throw unreadable();
    }
    return answer;
  }

  /**
   * Send a sound. A busy service is asked a second time, after the time that it names; one that loads the
   * model is asked until it has.
   *
   * @param {string} route With a query.
   * @param {Blob} sound
   * @param {Asking} asking
   */
  async #ask(route, sound, asking) {
    const { model, signal, onWait } = asking;
    const bytes = await read(sound);
    const path = `${route}${model ? `&model=${encodeURIComponent(model)}` : ""}`;
    let waited = 0;
    for (;;) {
      try {
        return await this.#askOnce(path, bytes, asking);
      } catch (error) {
        const wait = error instanceof Refusal ? error.retryAfter : undefined;
        const loading = error instanceof Refusal && error.code === "not_ready";
        if (wait === undefined || wait > LONGEST_WAIT_S || (waited && !loading) || waited + wait > LOADING_S) {
          throw error;
        }
        const seconds = Math.max(1, Math.ceil(wait));
        for (let left = seconds; left > 0; left -= 1) {
          onWait(/** @type {Refusal} */ (error).message, left, left === seconds);
          await pause(1000, signal);
          waited += 1;
        }
      }
    }
  }

  /**
   * @param {string} path
   * @param {ArrayBuffer} bytes
   * @param {Asking} asking
   * @returns {Promise<{answer: any, roundTrip: number, headers: Headers}>} The JSON, and how long it took.
   */
  async #askOnce(path, bytes, { signal, onSent }) {
    const start = performance.now();
    const headers = this.#headers();
    // Always the same type: the bytes say what they are, and what a browser guesses from a name may mislead.
    headers.set("Content-Type", "application/octet-stream");
    /** @type {Response} */
    let response;
    try {
      response = await post(this.address(path), headers, bytes, signal, onSent);
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof Refusal ? error : await this.#hungUp();
    }
    const answer = await parsed(response);
    return { answer, roundTrip: performance.now() - start, headers: response.headers };
  }

  /**
   * @param {string} path
   * @param {string} [method]
   * @returns {Promise<any>} The JSON of a route that is asked without a body.
   */
  async #json(path, method) {
    /** @type {Response} */
    let response;
    try {
      response = await get(this.address(path), this.#headers(), method);
    } catch (error) {
      throw error instanceof Refusal ? error : unreachable();
    }
    const answer = await parsed(response);
    return answer && typeof answer === "object" ? answer : {};
  }

  /** @returns {Headers} */
  #headers() {
    return new Headers(this.key ? { Authorization: `Bearer ${this.key}` } : {});
  }

  /**
   * A service that hangs up in the middle of an upload looks to a page like one that is not there.
   *
   * @returns {Promise<Refusal>}
   */
  async #hungUp() {
    const alive = await get(this.address("health"), new Headers()).catch(() => undefined);
    return alive?.ok
      ? new Refusal("The service hung up before it had the whole file.", "The file may be too large for it.")
      : unreachable();
  }
}

/**
 * A file that was moved, or a folder that was dropped, would else look like a network that is gone.
 *
 * @param {Blob} sound
 * @returns {Promise<ArrayBuffer>}
 */
async function read(sound) {
  try {
    return await sound.arrayBuffer();
  } catch {
    throw new Refusal("The file can't be read.", "Is it still there, and no folder?");
  }
}

/**
 * @param {any} answer
 * @returns {TeachJob | null}
 */
function jobOf(answer) {
  const job = answer?.job ?? null;
  if (job && !(Array.isArray(job.words) && Array.isArray(job.lines) && typeof job.state === "string")) {
    throw unreadable();
  }
  return job;
}

/** @returns {Refusal} */
function unreachable() {
  return new Refusal("The service does not answer.", "It may have been stopped, or the network is gone.");
}
