// @ts-check
/** A WebSocket to the service's `/stream`: sound in pieces goes in, words come out, and every end has a reason. */

import { Refusal } from "./refusal.js";
import { unreadable } from "./transport.js";

/** Seconds of sound in a message: fewer of them cost less, and nobody hears so short a wait. */
const MESSAGE_S = 0.04;

/** When so much waits to be sent, what comes back is of no use any more. */
const BEHIND_S = 10;

/** A service that was told to close does so at once; a network may swallow that. */
const CLOSE_MS = 3000;

/** By which code a WebSocket says an error of the service: this and its HTTP status. */
const APPLICATION = 4000;

/** Ends that are no error of anybody, by code. @type {Map<number, [string, string, string]>} */
const ENDS = new Map([
  [1001, ["The service is stopping.", "", "stopping"]],
  [1011, ["The connection was lost.", "", "lost"]],
  [1012, ["The model was exchanged.", "", "model_gone"]],
]);

/**
 * @typedef {object} Hello What is asked for; see docs/service.md.
 * @property {number} sample_rate
 * @property {string} [model]
 * @property {string[] | null} words null for all.
 * @property {number | null} threshold null for the model's own.
 * @property {boolean} [spikes] Whether it is to be told which neurons fire.
 * @property {string} [key]
 *
 * @typedef {object} Ready What is in force.
 * @property {string} model
 * @property {string[]} words
 * @property {Record<string, number>} threshold
 * @property {Layer[]} [layers] Where spikes were asked for.
 *
 * @typedef {object} Layer
 * @property {string} name
 * @property {number} neurons
 *
 * @typedef {object} Fired Which neurons fired in the steps of a stretch of time, in seconds since the stream began.
 * @property {number} start
 * @property {number} time Where it ends.
 * @property {number} steps
 * @property {string} bits In base64; those of a step begin with a new byte, the lowest of a byte first.
 *
 * @typedef {object} Word One that was heard; times in seconds since the stream began.
 * @property {string} label
 * @property {number} score
 * @property {number} start
 * @property {number} end
 *
 * @typedef {object} StreamEvents
 * @property {(ready: Ready) => void} onReady From now on what is sent is heard.
 * @property {(word: Word) => void} onWord
 * @property {(scores: Record<string, number>) => void} onScores Of the newest window.
 * @property {(fired: Fired) => void} onSpikes
 * @property {(why: Refusal | null) => void} onEnd It is over; null: as it was asked to.
 */

export class VoiceStream {
  /**
   * @param {URL} url Of /stream, as http.
   * @param {Hello} hello
   * @param {StreamEvents} events
   */
  constructor(url, hello, events) {
    this.rate = hello.sample_rate;
    this.events = events;
    /** Whether what is sent is heard. */
    this.open = false;
    this.asked = false;
    /** @type {Refusal | null} */
    this.refusal = null;
    /** @type {Float32Array[]} */
    this.pieces = [];
    this.filled = 0;
    const address = new URL(url);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.socket.send(JSON.stringify({ ...hello, encoding: "pcm16", scores: true }));
    this.socket.onmessage = ({ data }) => this.#take(data);
    this.socket.onclose = ({ code }) => this.#ended(code);
    this.reached = false;
  }

  /** @param {Float32Array} piece Samples between -1 and 1; what is beyond is cut off. */
  send(piece) {
    if (!this.open) {
      return;
    }
    this.pieces.push(piece);
    this.filled += piece.length;
    if (this.filled >= MESSAGE_S * this.rate) {
      this.#send();
    }
  }

  /** Ask for the last words and the end. */
  end() {
    if (this.asked) {
      return;
    }
    this.asked = true;
    if (!this.open) {
      this.#close();
      return;
    }
    this.#send();
    this.open = false;
    this.#say(JSON.stringify({ type: "close" }));
    setTimeout(() => this.#close(), CLOSE_MS);
  }

  /** Leave at once; nothing is told any more. */
  drop() {
    this.socket.onclose = this.socket.onmessage = null;
    this.open = false;
    this.#close();
  }

  #close() {
    if (this.socket.readyState === WebSocket.CONNECTING) {
      this.socket.onopen = () => this.socket.close(); // sooner, browsers complain
    } else {
      this.socket.close();
    }
  }

  /** The service may be closing while sound comes; `onclose` tells of it later. */
  #say(message) {
    if (this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(message);
    }
  }

  #send() {
    const message = new Int16Array(this.filled);
    let at = 0;
    for (const piece of this.pieces) {
      for (const sample of piece) {
        message[at] = Math.round(Math.max(-1, Math.min(1, sample)) * 0x7fff);
        at += 1;
      }
    }
    this.pieces = [];
    this.filled = 0;
    this.#say(message);
    if (this.socket.bufferedAmount > BEHIND_S * this.rate * message.BYTES_PER_ELEMENT) {
      this.#refuse(new Refusal("The sound piles up here.", "The network, or the service, is too slow for it."));
    }
  }

  /** @param {unknown} data */
  #take(data) {
    this.reached = true;
    /** @type {any} */
    let message;
    try {
      message = JSON.parse(String(data));
    } catch {
      this.#refuse(unreadable());
      return;
    }
    switch (message?.type) {
      case "ready":
        this.open = !this.asked;
        this.events.onReady(message);
        break;
      case "keyword":
        this.events.onWord(message);
        break;
      case "scores":
        this.events.onScores(message.scores);
        break;
      case "spikes":
        this.events.onSpikes(message);
        break;
      case "error":
        this.refusal = new Refusal(String(message.message), String(message.hint ?? ""), {
          code: String(message.code),
          retryAfter: message.retry_after,
        });
        break;
    }
  }

  /** @param {Refusal} why */
  #refuse(why) {
    this.drop();
    this.events.onEnd(why);
  }

  /** @param {number} code */
  #ended(code) {
    this.open = false;
    this.events.onEnd(this.#reason(code));
  }

  /**
   * @param {number} code
   * @returns {Refusal | null}
   */
  #reason(code) {
    if (this.refusal) {
      const { message, hint, code: name, retryAfter } = this.refusal;
      const status = code > APPLICATION ? code - APPLICATION : undefined;
      return new Refusal(message, hint, { status, retryAfter, code: name });
    }
    if (this.asked) {
      return null;
    }
    if (!this.reached) {
      return new Refusal("The service does not answer.", "It, or a proxy before it, may not let WebSockets through.", {
        code: "unreachable",
      });
    }
    const [text, hint, name] = ENDS.get(code) ?? ["The connection was lost.", "", "lost"];
    return new Refusal(text, hint, { code: name });
  }
}
