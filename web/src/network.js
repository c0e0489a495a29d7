/** The network of a model in ONNX Runtime Web. */

import { SnnVoiceError } from "./errors.js";

/** @import { Facts } from "../types/index.d.ts" */
/** @typedef {typeof import("onnxruntime-web")} Runtime */

/**
 * The runtime of all models of a page can do one thing at a time.
 *
 * @type {Promise<unknown>}
 */
let turn = Promise.resolve();

/**
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
function inTurn(work) {
  const result = turn.then(work);
  turn = result.catch(() => {});
  return result;
}

/** @returns {Promise<Runtime>} */
async function imported() {
  try {
    const ort = await import("onnxruntime-web/wasm");
    // Networks are small, and more threads need a page that is isolated from others (COOP and COEP headers).
    ort.env.wasm.numThreads ||= 1;
    return ort;
  } catch (cause) {
    throw new SnnVoiceError("ONNX Runtime Web can't be loaded", {
      code: "no_runtime",
      hint: 'install onnxruntime-web, name "onnxruntime-web/wasm" in the page\'s import map, or hand it in as { ort }',
      cause,
    });
  }
}

export class Network {
  /**
   * @param {Runtime} ort
   * @param {import("onnxruntime-web").InferenceSession} session
   * @param {Facts} facts
   */
  constructor(ort, session, facts) {
    this.#ort = ort;
    this.#session = session;
    this.#facts = facts;
  }

  #ort;
  #session;
  #facts;
  #open = true;

  /**
   * @param {Uint8Array} bytes An ONNX file.
   * @param {Facts} facts What it says of itself.
   * @param {Runtime} [ort] By default the one that is installed.
   * @returns {Promise<Network>}
   */
  static async create(bytes, facts, ort) {
    const runtime = ort ?? (await imported());
    try {
      return new Network(runtime, await inTurn(() => runtime.InferenceSession.create(bytes)), facts);
    } catch (cause) {
      throw new SnnVoiceError("the runtime can't take this model", {
        code: "bad_model",
        hint: cause instanceof Error ? cause.message : "",
        cause,
      });
    }
  }

  /**
   * @param {Float32Array} window Samples of kind "windows".
   * @returns {Promise<Float32Array>} Logits `[C]`.
   */
  async hear(window) {
    const waveforms = new this.#ort.Tensor("float32", window, [1, window.length]);
    return finite((await this.#run({ waveforms })).logits.data);
  }

  /**
   * Steps of kind "frames", in one run where the graph takes several.
   *
   * @param {Float32Array[]} steps Of each the frames `[bands, framesPerStep]`, row by row.
   * @param {Float32Array} state
   * @returns {Promise<{logits: Float32Array[], state: Float32Array}>} Of each step the logits, and the state after all.
   */
  async advance(steps, state) {
    const { features, framesPerStep, atOnce } = /** @type {NonNullable<Facts["frames"]>} */ (this.#facts.frames);
    const { Tensor } = this.#ort;
    const logits = [];
    for (const run of atOnce ? [steps] : steps.map((step) => [step])) {
      const frames = new Float32Array(run.length * run[0].length);
      run.forEach((step, i) => frames.set(step, i * step.length));
      const sizes = [1, 1, features.bands, framesPerStep];
      const given = {
        frames: new Tensor("float32", frames, atOnce ? [run.length, ...sizes] : sizes),
        state: new Tensor("float32", state, [1, state.length]),
      };
      const found = await this.#run(given);
      state = /** @type {Float32Array} */ (found.next_state.data);
      const all = finite(found.logits.data);
      const classes = all.length / run.length;
      for (let i = 0; i < run.length; i++) logits.push(all.slice(i * classes, (i + 1) * classes));
    }
    return { logits, state };
  }

  /** Free its memory; it can't be used any more. */
  async close() {
    this.#open = false;
    await inTurn(() => this.#session.release());
  }

  /** @param {Record<string, import("onnxruntime-web").Tensor>} feeds */
  async #run(feeds) {
    return inTurn(async () => {
      if (!this.#open) throw new SnnVoiceError("the model is closed", { code: "closed", hint: "load it again" });
      try {
        return await this.#session.run(feeds);
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new SnnVoiceError("the network failed", { code: "network_failed", hint: why, cause });
      }
    });
  }
}

/**
 * @param {unknown} data Of a tensor.
 * @returns {Float32Array}
 */
function finite(data) {
  const logits = /** @type {Float32Array} */ (data);
  if (logits.every(Number.isFinite)) return logits;
  throw new SnnVoiceError("the sound is so loud that its scores are not finite", {
    code: "not_finite",
    hint: "full scale is 1.0",
  });
}
