// @ts-check
/** Live: sound goes on from the microphone, or from clips in its place, and words come as they are said. */

import { LampButton } from "./elements.js";
import { caveat } from "./headline.js";
import { Heard } from "./heard.js";
import { LiveSpikes } from "./live-spikes.js";
import { Meter } from "./meter.js";
import { openMicrophone } from "./microphone.js";
import { bringIntoView } from "./notice.js";
import { NOTHING } from "./recorder.js";
import { Refusal } from "./refusal.js";
import { Session } from "./session.js";
import { Spectrogram } from "./spectrogram.js";
import { Silence } from "./tape.js";
import { Tuning } from "./tuning.js";
import { VoiceStream } from "./voice-stream.js";
import { decode } from "./waveform.js";

/** A microphone from which nothing came for so long is muted. */
const MUTED_S = 3;

const MUTED = "The microphone gives only silence. Is it muted, or is another one chosen?";

const IDLE = "Press Listen and say a word, or let an example speak.";

/**
 * @typedef {object} LiveElements
 * @property {HTMLButtonElement} listen
 * @property {HTMLElement} listenText
 * @property {HTMLCanvasElement} picture
 * @property {HTMLElement} hint Where there is no picture yet.
 * @property {HTMLElement} level
 * @property {HTMLElement} levelText
 * @property {HTMLElement} examples Around buttons; `data-clip` says where the clip is.
 *
 * @typedef {object} LiveParts
 * @property {import("./api.js").Api} api
 * @property {import("./models.js").Models} models
 * @property {(text: string) => void} speak
 * @property {(error: unknown, again?: () => void) => void} onProblem
 * @property {() => void} onBegin Old notices are of no interest any more.
 */

export class Live {
  /**
   * @param {LiveElements & import("./heard.js").HeardElements & import("./tuning.js").TuningElements &
   *   import("./live-spikes.js").LiveSpikesElements} elements
   * @param {LiveParts} parts
   */
  constructor(elements, parts) {
    this.elements = elements;
    this.parts = parts;
    this.button = new LampButton(elements.listen, elements.listenText);
    this.heard = new Heard(elements);
    this.meter = new Meter(elements.level, elements.levelText);
    this.picture = new Spectrogram(elements.picture);
    this.spikes = new LiveSpikes(elements);
    this.tuning = new Tuning(elements, {
      onChange: () => this.changed(),
      onThreshold: (threshold) => this.heard.mark(threshold),
    });
    /** @type {Session | null} */
    this.session = null;
    /** The hello of the newest stream. */
    this.asked = "";
    /** Changes when it is stopped. */
    this.turn = 0;
    /** Of the microphone that is being opened. @type {AbortController | null} */
    this.opening = null;
    /** Begins once more what was refused. @type {(() => void) | undefined} */
    this.again = undefined;
    /** Of what was heard last, to play it aloud. */
    this.audio = new Audio();
    elements.listen.addEventListener("click", () => (this.isOn ? this.stop() : void this.listen()));
    elements.examples.addEventListener("click", ({ target }) => {
      const button = target instanceof Element ? target.closest("button") : null;
      if (button?.dataset.clip) {
        void this.#playExample(button.dataset.clip);
      }
    });
    this.#rest(IDLE);
  }

  /** Whether it listens, or is about to. */
  get isOn() {
    return Boolean(this.opening || this.#running);
  }

  /** @returns {Session | null} */
  get #running() {
    return this.session && !this.session.stopped ? this.session : null;
  }

  /** By the microphone. */
  async listen() {
    this.stop();
    this.again = () => void this.listen();
    this.parts.onBegin();
    const opening = new AbortController();
    this.opening = opening;
    this.button.show("Waiting for the microphone", "opening");
    this.parts.speak("Opening the microphone");
    try {
      this.#begin(await openMicrophone(opening.signal));
    } catch (error) {
      if (!opening.signal.aborted) {
        this.opening = null;
        this.#rest(IDLE);
        this.parts.onProblem(error);
      }
    }
  }

  /**
   * Hear a clip as if it were spoken: in place of the microphone, where that is on.
   *
   * @param {Blob} sound
   */
  async play(sound) {
    this.opening?.abort();
    this.opening = null;
    const { turn } = this;
    const source = this.#running?.source ?? new Silence();
    const picture = await decode(sound, source.sampleRate);
    if (turn !== this.turn) {
      return; // it was stopped meanwhile
    }
    if (!picture) {
      this.parts.onProblem(new Refusal("This browser can't read the file.", "Heard as a clip, the service may."));
      return;
    }
    if (this.#running && this.#running.source.sampleRate !== source.sampleRate) {
      return void this.play(sound);
    }
    if (!this.#running) {
      this.again = () => void this.play(sound);
      this.parts.onBegin();
      this.#begin(source);
    }
    this.#running?.tape.add(picture.samples, () => this.#aloud(sound));
  }

  /** @param {string} [why] What is said then. */
  stop(why = "") {
    this.turn += 1;
    this.again = undefined;
    if (!this.isOn) {
      return;
    }
    this.opening?.abort();
    this.opening = null;
    this.session?.stop();
    this.audio.pause();
    this.#rest(why || IDLE);
  }

  /** Something else may be asked for: another model, other words. */
  changed() {
    const running = this.#running;
    if (running && JSON.stringify(this.#hello(running.source.sampleRate)) !== this.asked) {
      running.again();
    }
  }

  /** The model's words are known. */
  learned() {
    const { facts } = this.parts.models;
    const words = this.parts.models.words;
    this.spikes.show(Boolean(facts?.follows));
    this.tuning.offer(words);
    this.tuning.showOwn(facts?.threshold ? [facts.threshold] : []);
    for (const button of this.elements.examples.querySelectorAll("button")) {
      const word = button.dataset.clip && button.textContent;
      button.hidden = Boolean(word && words.length && !words.includes(word));
    }
    this.changed(); // it may have spikes to tell of
  }

  /** @param {string} address */
  async #playExample(address) {
    try {
      await this.play(await this.parts.api.clip(address));
    } catch (error) {
      this.parts.onProblem(error);
    }
  }

  /** @param {Blob} sound */
  #aloud(sound) {
    URL.revokeObjectURL(this.audio.src);
    this.audio.src = URL.createObjectURL(sound);
    this.audio.play().catch(() => {}); // it is heard by the network all the same
  }

  /** @param {import("./session.js").Source} source */
  #begin(source) {
    const { sampleRate } = source;
    const { models, speak, onProblem } = this.parts;
    this.opening = null;
    this.heard.clear();
    this.picture.begin(sampleRate);
    this.spikes.clear();
    this.elements.hint.textContent = "";
    this.heard.note("Connecting.");
    this.button.show("Stop listening", "opening");
    let muted = false;
    let listening = "";
    const session = new Session(source, (events) => this.#connect(sampleRate, events), {
      onPiece: (piece) => {
        this.meter.push(piece, sampleRate);
        this.picture.push(piece);
        this.spikes.tick(session.seconds);
        const isMuted = session.seconds > MUTED_S && this.meter.loudest < NOTHING;
        if (isMuted && !muted) {
          this.heard.note(MUTED);
          speak(MUTED);
        } else if (muted && !isMuted) {
          this.heard.note(listening);
        }
        muted = isMuted;
      },
      onReady: ({ words, threshold, layers }) => {
        this.spikes.ready(layers);
        this.button.show("Stop listening", "running");
        this.tuning.showOwn(Object.values(threshold));
        const all = words.length === 1 ? `“${words[0]}”` : `one of ${words.length} words`;
        if (!listening) {
          speak("Listening");
          bringIntoView(this.elements.nearest); // once: later it would take a slider from under a finger
        }
        listening = `Listening for ${all}.${caveat(models.knows)}`;
        this.heard.note(listening);
      },
      onWord: ({ label, score, start, end }) => {
        if (session === this.session) {
          this.heard.show(label, score, start);
          this.picture.mark(label, start, end);
          this.spikes.mark(label, start, end);
        }
      },
      onScores: (scores) => session === this.#running && this.heard.resembles(scores),
      onSpikes: (fired) => session === this.session && this.spikes.push(fired),
      onWait: (why, seconds, begins) => {
        const text = `${why.message} Trying again in ${seconds} s.`;
        this.button.show("Stop listening", "opening");
        this.heard.note(text);
        this.heard.rest();
        if (begins) {
          speak(text);
        }
      },
      onStop: () => {
        if (session === this.session) {
          this.#rest(IDLE);
          speak("Stopped listening");
        }
      },
      onEnd: (why) => {
        if (session === this.session) {
          this.session = null;
          if (why) {
            onProblem(why, this.again);
          } else {
            this.again = undefined;
          }
        }
      },
    });
    this.session = session;
  }

  /**
   * @param {number} sampleRate
   * @param {import("./voice-stream.js").StreamEvents} events
   */
  #connect(sampleRate, events) {
    const hello = this.#hello(sampleRate);
    this.asked = JSON.stringify(hello);
    return new VoiceStream(this.parts.api.address("stream"), hello, events);
  }

  /**
   * @param {number} sampleRate
   * @returns {import("./voice-stream.js").Hello}
   */
  #hello(sampleRate) {
    const { api, models } = this.parts;
    return {
      sample_rate: Math.round(sampleRate),
      words: this.tuning.words,
      threshold: this.tuning.threshold,
      ...(models.chosen && { model: models.chosen }),
      ...(models.facts?.follows && { spikes: true }),
      ...(api.key && { key: api.key }),
    };
  }

  /** @param {string} note Stands where words would. */
  #rest(note) {
    this.button.show("Listen", "");
    this.meter.clear();
    this.heard.rest();
    this.spikes.rest();
    this.heard.note(note);
  }
}
