// @ts-check
/** Teach: takes of new words are collected, looked over, and given away as a zip, or to the service. */

import { LampButton } from "./elements.js";
import { Lesson } from "./lesson.js";
import { bringIntoView } from "./notice.js";
import { record } from "./recorder.js";
import { Refusal, sentence } from "./refusal.js";
import { TakeList } from "./take-list.js";
import { judged, RATE } from "./takes.js";
import { pause } from "./transport.js";
import { decode, Waveform } from "./waveform.js";
import { encodeWav } from "./wav.js";
import { zip } from "./zip.js";

const SECONDS = 2;
const WANTED = 10;
/** Whoever was refused so often for one take is not heard at the next try either. */
const TRIES = 5;
/** Between two takes: time to see what became of the last one, and to breathe. */
const BREATH_MS = 700;

/** As folders are called, and as `snn-voice record` takes it. */
const NAME = /^(?!_)[\p{L}\p{N}_][\p{L}\p{N}_' -]*$/u;
const LONGEST_NAME = 60;

/**
 * @typedef {object} TeachElements
 * @property {HTMLInputElement} word
 * @property {HTMLInputElement} speaker
 * @property {HTMLCanvasElement} canvas
 * @property {HTMLElement} sign What to do now.
 * @property {HTMLElement} count
 * @property {HTMLButtonElement} record
 * @property {HTMLElement} recordText
 * @property {HTMLElement} refused Why takes were not kept.
 * @property {HTMLElement} list Of takes.
 * @property {HTMLElement} empty Stands where there are none.
 * @property {HTMLTemplateElement} template Of a take.
 * @property {HTMLButtonElement} download
 * @property {HTMLButtonElement} begin
 * @property {HTMLInputElement} synthetic Whether synthesisers are to say the words, too.
 * @property {HTMLElement} how How to go on without this service.
 * @property {HTMLElement} howHere What this service can do.
 * @property {import("./lesson.js").LessonElements} lesson
 *
 * @typedef {object} TeachParts
 * @property {import("./api.js").Api} api
 * @property {import("./models.js").Models} models
 * @property {(text: string) => void} speak
 * @property {(error: unknown) => void} onProblem
 * @property {() => void} onBegin Old notices are of no interest any more.
 * @property {() => void} onChange Other words are to be learned.
 * @property {(model: string) => void} onListen Somebody wants to try a new model.
 */

export class Teach {
  /**
   * @param {TeachElements} elements
   * @param {TeachParts} parts
   */
  constructor(elements, parts) {
    this.elements = elements;
    this.parts = parts;
    this.button = new LampButton(elements.record, elements.recordText);
    this.waveform = new Waveform(elements.canvas);
    this.list = new TakeList(elements.list, elements.template, () => this.#changed());
    this.lesson = new Lesson(elements.lesson, {
      ...parts,
      onChange: () => this.#offer(),
      onDone: () => void parts.models.list(),
    });
    /** Of takes that are being recorded. @type {AbortController | null} */
    this.recording = null;
    /** Whether takes would be lost with the page. */
    this.unsaved = false;
    elements.record.addEventListener("click", () => (this.recording ? this.stop() : void this.record()));
    elements.download.addEventListener("click", () => void this.#download());
    elements.begin.addEventListener("click", () => void this.#teach());
    elements.word.addEventListener("input", () => this.#offer());
    elements.synthetic.addEventListener("change", () => this.#offer());
    elements.word.addEventListener("keydown", (event) => event.key === "Enter" && elements.record.click());
    addEventListener("beforeunload", (event) => this.unsaved && event.preventDefault());
  }

  /** The words that are to be learned: those of which there are takes, or the one that was typed. */
  get words() {
    const typed = this.#typed;
    return this.list.words.length || !isName(typed) ? this.list.words : [typed];
  }

  /** Somebody looks at it. */
  enter() {
    this.#offer();
    if (this.parts.models.teaches) {
      void this.lesson.follow();
    }
  }

  /** Nobody looks at it any more. */
  leave() {
    this.stop();
    this.lesson.leave();
  }

  /** It may be known only now whether the service teaches. */
  known() {
    this.#offer();
  }

  /** Record no more, and play nothing. */
  stop() {
    this.recording?.abort();
    this.list.stop();
  }

  /** One take after the other, until there are enough of them. */
  async record() {
    const { elements, parts } = this;
    parts.onBegin();
    /** @type {{word: string, speaker: string}} */
    let asked;
    try {
      asked = this.#asked();
    } catch (error) {
      parts.onProblem(error);
      elements.word.focus();
      return;
    }
    this.stop();
    const recording = new AbortController();
    const { signal } = recording;
    this.recording = recording;
    elements.refused.replaceChildren();
    bringIntoView(elements.sign);
    // Whoever has ten takes and asks for more gets ten more.
    const enough = WANTED * (1 + Math.floor(this.list.count(asked.word) / WANTED));
    try {
      let refused = 0;
      while (this.list.count(asked.word) < enough && refused < TRIES) {
        refused = (await this.#takeOne(asked, enough, signal)) ? 0 : refused + 1;
        await pause(BREATH_MS, signal);
      }
      if (refused) {
        throw new Refusal(`${TRIES} takes, and none could be kept`, "What was kept stays. See below what was wrong.");
      }
      this.#sign(`That is enough of “${asked.word}”. Another word?`);
    } catch (error) {
      this.#sign("");
      if (!signal.aborted) {
        parts.onProblem(error);
      }
    } finally {
      if (this.recording === recording) {
        this.recording = null;
      }
      this.waveform.show(null);
      this.#offer();
    }
  }

  /**
   * Take what was recorded elsewhere.
   *
   * @param {File[]} files
   */
  async take(files) {
    const { parts } = this;
    parts.onBegin();
    this.stop();
    this.elements.refused.replaceChildren();
    try {
      const { word, speaker } = this.#asked();
      for (const file of files) {
        const picture = await decode(file, RATE);
        const found = picture && judged(picture.samples);
        if (!found) {
          this.#refuse(file.name, "this browser can't read it", "WAV and FLAC work everywhere");
        } else if (found.problem) {
          this.#refuse(file.name, found.problem, found.hint);
        } else {
          this.list.add(word, speaker, found);
        }
      }
    } catch (error) {
      parts.onProblem(error);
      this.elements.word.focus();
    }
  }

  /**
   * @param {{word: string, speaker: string}} asked
   * @param {number} enough
   * @param {AbortSignal} signal
   * @returns {Promise<boolean>} Whether it was kept.
   */
  async #takeOne({ word, speaker }, enough, signal) {
    const { parts } = this;
    const which = `take ${this.list.count(word) + 1} of ${enough}`;
    this.elements.count.textContent = sentence(which);
    this.button.show("Waiting for the microphone", "opening");
    let begun = false;
    const { samples, sampleRate } = await record({
      seconds: SECONDS,
      signal,
      onProgress: (piece, filled, rate) => {
        this.waveform.show(piece, filled);
        if (!begun) {
          begun = true;
          this.#sign(`Say “${word}”`);
          parts.speak(`Say ${word}`);
        }
        this.button.show(`Stop (${((piece.length - filled) / rate).toFixed(1)} s)`, "running");
      },
    });
    this.button.show("Stop", "opening");
    // The browser's decoder resamples well.
    const picture = await decode(encodeWav(samples, sampleRate), RATE);
    signal.throwIfAborted();
    const found = judged(picture?.samples ?? new Float32Array(0));
    if (found.problem) {
      this.#refuse(`This ${which}`, found.problem, found.hint);
      this.#sign(`${sentence(found.problem)} Once more.`);
      return false;
    }
    this.list.add(word, speaker, found);
    this.#sign("Kept.");
    return true;
  }

  get #typed() {
    return this.elements.word.value.trim().replace(/\s+/g, " ").normalize("NFC");
  }

  /** @returns {{word: string, speaker: string}} What is typed. */
  #asked() {
    const word = this.#typed;
    const speaker = this.elements.speaker.value.trim() || "me";
    const hint = "Letters, digits, spaces, - and ', and a letter or digit first.";
    if (!word) {
      throw new Refusal("Which word is it?", "Type the word or phrase first.");
    }
    if (!isName(word)) {
      throw new Refusal(`A word can't be called “${word}”.`, hint);
    }
    if (!isName(speaker)) {
      throw new Refusal(`A speaker can't be called “${speaker}”.`, hint);
    }
    return { word, speaker };
  }

  /**
   * @param {string} what
   * @param {string} problem
   * @param {string} hint
   */
  #refuse(what, problem, hint) {
    const line = document.createElement("li");
    line.textContent = `${what} was not kept: ${problem} (${hint}).`;
    this.elements.refused.prepend(line);
    this.parts.speak(line.textContent);
  }

  /** @param {string} text */
  #sign(text) {
    this.elements.sign.textContent = text || "The take will stand here";
    this.elements.sign.classList.toggle("now", Boolean(text));
  }

  #changed() {
    this.unsaved = this.list.takes.length > 0;
    this.elements.empty.hidden = this.unsaved;
    this.#offer();
  }

  /** What can be done now. */
  #offer() {
    const { elements, list, lesson, parts } = this;
    const word = this.#typed;
    const count = list.count(word);
    const { teaches } = parts.models;
    if (!this.recording) {
      const left = WANTED - (count % WANTED);
      this.button.show(count % WANTED ? `Record ${left} more` : `Record ${WANTED} takes`, "");
      elements.count.textContent = word && count ? `${count} of “${word}” so far` : "";
    }
    elements.download.disabled = !list.takes.length;
    elements.begin.hidden = !teaches;
    elements.begin.disabled = lesson.runs || !this.words.length || !(list.takes.length || elements.synthetic.checked);
    elements.begin.textContent = list.takes.length ? "Teach it here" : "Teach it here, without takes";
    elements.how.hidden = teaches;
    elements.howHere.hidden = !teaches;
    parts.onChange();
  }

  async #download() {
    const blob = zip(await this.list.files());
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = this.fileName;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    this.unsaved = false;
  }

  /** Of the zip. */
  get fileName() {
    return `${this.words.join("-").replaceAll(" ", "-") || "takes"}.zip`;
  }

  async #teach() {
    this.stop();
    this.parts.onBegin();
    const { words } = this;
    const clips = this.list.takes.length ? zip(await this.list.files()) : new Blob([]);
    await this.lesson.begin(clips, words, this.elements.synthetic.checked);
  }
}

/** @param {string} text */
function isName(text) {
  return NAME.test(text) && text.length <= LONGEST_NAME;
}
