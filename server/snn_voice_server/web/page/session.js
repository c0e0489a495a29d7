// @ts-check
/** Listening from start to stop: sound from a microphone or clips, over as many connections as it takes. */

import { Silence, Tape } from "./tape.js";
import { pause } from "./transport.js";

/** So much silence follows the last clip where there is no microphone. */
const TAIL_S = 0.5;

/** Ends that may be none in a moment. */
const PASSING = new Set(["stopping", "model_gone", "lost", "not_ready", "busy", "over_share"]);

/** So long is it tried to get a lost service back. */
const PATIENCE_MS = 60_000;

const FIRST_WAIT_S = 1;
const LONGEST_WAIT_S = 8;

/**
 * @typedef {import("./refusal.js").Refusal} Refusal
 * @typedef {import("./voice-stream.js").Word} Word
 *
 * @typedef {object} Source
 * @property {number} sampleRate
 * @property {(onPiece: (piece: Float32Array) => void, onEnd: (why: Refusal) => void) => void} listen
 * @property {() => void} close
 *
 * @typedef {object} SessionEvents
 * @property {(piece: Float32Array) => void} onPiece What is heard now.
 * @property {(ready: import("./voice-stream.js").Ready) => void} onReady
 * @property {(word: Word) => void} onWord Its times in seconds since the session began.
 * @property {(scores: Record<string, number>) => void} onScores
 * @property {(fired: import("./voice-stream.js").Fired) => void} onSpikes As `onWord`.
 * @property {(why: Refusal, seconds: number, begins: boolean) => void} onWait Is told each second of a wait before
 *   the service is asked again: why, how many are left, and whether this is the first.
 * @property {() => void} onStop No more sound is taken; last words may still come.
 * @property {(why: Refusal | null) => void} onEnd No word comes any more; null: as it was asked to.
 */

export class Session {
  /**
   * @param {Source} source Is closed at the end.
   * @param {(events: import("./voice-stream.js").StreamEvents) => import("./voice-stream.js").VoiceStream} connect
   * @param {SessionEvents} events
   */
  constructor(source, connect, events) {
    this.source = source;
    this.connect = connect;
    this.events = events;
    this.tape = new Tape(source.sampleRate);
    this.samples = 0;
    this.quiet = 0;
    this.wait = FIRST_WAIT_S;
    /** Since when there is no service. */
    this.since = performance.now();
    this.wasReady = false;
    /** Whether there was a service at all. */
    this.known = false;
    this.waiting = new AbortController();
    this.stopped = false;
    /** @type {import("./voice-stream.js").VoiceStream | null} */
    this.stream = null;
    this.#open();
    source.listen((piece) => this.#take(piece), (why) => this.stop(why));
  }

  /** How much was heard. */
  get seconds() {
    return this.samples / this.source.sampleRate;
  }

  /** Something else is asked for: go on with it. */
  again() {
    if (this.stream) {
      this.stream.drop();
      this.#open();
    }
  }

  /**
   * End it: the source is set free, and the last words are asked for.
   *
   * @param {Refusal | null} [why]
   */
  stop(why = null) {
    if (this.stopped) {
      return;
    }
    this.stopped = true;
    this.waiting.abort();
    this.source.close();
    this.events.onStop();
    if (this.stream && !why) {
      this.stream.end();
    } else {
      this.stream?.drop();
      this.events.onEnd(why);
    }
  }

  /** @param {Float32Array} piece */
  #take(piece) {
    if (this.stopped) {
      return;
    }
    if (this.stream?.open) {
      this.quiet = this.tape.runs ? 0 : this.quiet + piece.length;
      this.tape.fill(piece);
      this.stream.send(piece);
    }
    this.samples += piece.length;
    this.events.onPiece(piece);
    if (this.source instanceof Silence && this.quiet > TAIL_S * this.source.sampleRate) {
      this.stop();
    }
  }

  #open() {
    let origin = 0;
    const stream = this.connect({
      onReady: (ready) => {
        origin = this.seconds;
        this.wait = FIRST_WAIT_S;
        this.wasReady = true;
        this.events.onReady(ready);
      },
      onScores: (scores) => this.events.onScores(scores),
      onWord: (word) => this.events.onWord({ ...word, start: origin + word.start, end: origin + word.end }),
      onSpikes: (fired) =>
        this.events.onSpikes({ ...fired, start: origin + fired.start, time: origin + fired.time }),
      onEnd: (why) => {
        if (stream === this.stream) {
          void this.#ended(why);
        }
      },
    });
    this.stream = stream;
  }

  /** @param {Refusal | null} why */
  async #ended(why) {
    this.stream = null;
    if (this.stopped) {
      this.events.onEnd(why);
      return;
    }
    if (!why || !this.#mayPass(why)) {
      this.stop(why);
      return;
    }
    const seconds = Math.max(1, Math.ceil(why.retryAfter ?? this.wait));
    this.wait = Math.min(2 * this.wait, LONGEST_WAIT_S);
    try {
      for (let left = seconds; left > 0; left -= 1) {
        this.events.onWait(why, left, left === seconds);
        await pause(1000, this.waiting.signal);
      }
      this.#open();
    } catch {
      // It was stopped meanwhile.
    }
  }

  /** @param {Refusal} why */
  #mayPass(why) {
    const now = performance.now();
    if (this.wasReady) {
      this.since = now;
      this.wasReady = false;
      this.known = true;
    }
    const passes = PASSING.has(why.code) || (this.known && why.code === "unreachable");
    return passes && now - this.since < PATIENCE_MS;
  }
}
