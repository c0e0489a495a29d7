/** Listening to the microphone, or to any other stream of the browser. */

import { SnnVoiceError } from "./errors.js";

/**
 * @import { ListenOptions, VoiceStream } from "../types/index.d.ts"
 * @typedef {Pick<ListenOptions, "onKeyword" | "onScores" | "onError">} Told Who is told.
 * @typedef {Told & {media?: MediaStream, begin: (sampleRate: number) => VoiceStream}} Asked
 */

// Where the network is slower than the sound, what waits would grow without end.
const MOST_WAITING = 10;
// How long a context may take to start before the browser is taken to wait for a click.
const PATIENCE = 2_000;

/**
 * @param {Asked} asked What to listen to (by default the microphone), what begins a stream at its rate, and who is told.
 * @returns {Promise<() => Promise<void>>} Stops it.
 * @throws {SnnVoiceError} There is no microphone, or the page may not use it.
 */
export async function openMicrophone({ media, begin, ...told }) {
  if (!media) checkPage();
  // Made before the first wait: some browsers start one only while the click is still fresh. It has the rate that the
  // browser likes best: not all take a microphone in at another one, and each resamples by another filter.
  const context = new AudioContext();
  let own;
  try {
    own = media ? null : await lent();
    await context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
    await started(context);
    return new Listening(context, own, begin(context.sampleRate), told).over(media ?? /** @type {MediaStream} */ (own));
  } catch (error) {
    stopTracks(own);
    await context.close();
    throw error;
  }
}

class Listening {
  /**
   * @param {AudioContext} context
   * @param {MediaStream | null | undefined} own What was opened here, and is closed here.
   * @param {VoiceStream} stream
   * @param {Told} told
   */
  constructor(context, own, stream, told) {
    this.#context = context;
    this.#own = own;
    this.#stream = stream;
    this.#told = told;
  }

  #context;
  #own;
  #stream;
  #told;
  #waiting = 0; // seconds of sound that the network has not heard yet
  /** @type {Promise<void> | null} */
  #end = null;

  /**
   * @param {MediaStream} media
   * @returns {() => Promise<void>}
   */
  over(media) {
    const source = new MediaStreamAudioSourceNode(this.#context, { mediaStream: media });
    const node = new AudioWorkletNode(this.#context, "snn-voice-listening", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => void this.#hear(data);
    source.connect(node);
    for (const track of media.getAudioTracks()) {
      track.addEventListener("ended", () => {
        if (this.#end) return;
        const hint = "was it unplugged, or taken back by the browser?";
        this.#fail(new SnnVoiceError("the microphone has ended", { code: "microphone_ended", hint }));
      });
    }
    return () => this.#stop();
  }

  /** @param {Float32Array} samples */
  async #hear(samples) {
    if (this.#end) return;
    const seconds = samples.length / this.#context.sampleRate;
    this.#waiting += seconds;
    if (this.#waiting > MOST_WAITING) {
      const hint = "a larger hop, or a smaller model";
      this.#fail(new SnnVoiceError("the network is slower than the sound", { code: "too_slow", hint }));
      return;
    }
    try {
      const events = await this.#stream.feed(samples);
      this.#waiting -= seconds;
      events.forEach((event) => this.#told.onKeyword(event));
      if (!this.#end) this.#told.onScores?.(this.#stream.scores, this.#stream.level);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** @returns {Promise<void>} */
  #stop() {
    this.#end ??= this.#closed().then(async () => {
      (await this.#stream.flush()).forEach((event) => this.#told.onKeyword(event));
    });
    return this.#end;
  }

  /** @param {Error} error */
  #fail(error) {
    if (this.#end) return;
    this.#end = this.#closed();
    this.#told.onError?.(error);
  }

  async #closed() {
    stopTracks(this.#own);
    await this.#context.close();
  }
}

function checkPage() {
  if (!globalThis.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
    throw new SnnVoiceError("browsers lend the microphone only to pages opened over https or on localhost", {
      code: "insecure_page",
      hint: "open the page that way",
    });
  }
}

/** @returns {Promise<MediaStream>} */
async function lent() {
  // The network was trained on sound as it is: filters made for calls take away the ends of words.
  const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw explained(error);
  }
}

/**
 * @param {unknown} cause What `getUserMedia` threw.
 * @returns {SnnVoiceError}
 */
function explained(cause) {
  switch (cause instanceof DOMException ? cause.name : "") {
    case "NotAllowedError":
    case "SecurityError":
      return new SnnVoiceError("the microphone was refused", {
        code: "microphone_refused",
        hint: "allow it beside the page's address",
        cause,
      });
    case "NotFoundError":
    case "OverconstrainedError":
      return new SnnVoiceError("no microphone was found", { code: "no_microphone", hint: "plug one in", cause });
    default:
      return new SnnVoiceError("the microphone can't be opened", {
        code: "no_microphone",
        hint: "another program may be using it",
        cause,
      });
  }
}

/**
 * @param {AudioContext} context
 * @returns {Promise<void>}
 */
async function started(context) {
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE));
  await Promise.race([context.resume(), late]);
  if (context.state !== "running") {
    throw new SnnVoiceError("the browser does not start to listen by itself", {
      code: "needs_click",
      hint: "call listen() where somebody has clicked",
    });
  }
}

/** @param {MediaStream | null | undefined} media */
function stopTracks(media) {
  media?.getTracks().forEach((track) => track.stop());
}
