// @ts-check
/** The takes of each word: to be looked at, played, and dropped where they are bad. */

import { element } from "./elements.js";
import { Player } from "./player.js";
import { RATE } from "./takes.js";
import { Waveform } from "./waveform.js";
import { encodeWav } from "./wav.js";

/**
 * @typedef {object} Take
 * @property {string} word
 * @property {string} speaker
 * @property {number} number Of this speaker's takes of this word.
 * @property {Blob} sound A WAV file.
 * @property {number} seconds
 */

export class TakeList {
  /**
   * @param {HTMLElement} list
   * @param {HTMLTemplateElement} template Of a take.
   * @param {() => void} onChange
   */
  constructor(list, template, onChange) {
    this.list = list;
    this.template = template;
    this.onChange = onChange;
    /** @type {Take[]} */
    this.takes = [];
    /** By word. @type {Map<string, {box: HTMLElement, title: HTMLElement, takes: HTMLElement}>} */
    this.groups = new Map();
    /** What is played now. @type {Player | null} */
    this.player = null;
  }

  /** The words of which there are takes, in the order of the first ones. */
  get words() {
    return [...new Set(this.takes.map((take) => take.word))];
  }

  /** @param {string} word */
  count(word) {
    return this.takes.filter((take) => take.word === word).length;
  }

  /**
   * @param {string} word
   * @param {string} speaker
   * @param {import("./takes.js").Judged} judged One without a problem.
   */
  add(word, speaker, { samples, seconds, level }) {
    const before = this.takes.filter((take) => take.word === word && take.speaker === speaker);
    const number = 1 + Math.max(0, ...before.map((take) => take.number));
    const take = { word, speaker, number, sound: encodeWav(samples, RATE), seconds };
    this.takes.push(take);
    this.#show(take, samples, `${seconds.toFixed(2)} s, ${level.toFixed(0)} dB`);
    this.onChange();
  }

  /** Nothing is played any more. */
  stop() {
    this.player?.stop();
  }

  /** @returns {Promise<{name: string, bytes: Uint8Array}[]>} All takes as files: `word/speaker_nohash_1.wav`. */
  files() {
    return Promise.all(
      this.takes.map(async ({ word, speaker, number, sound }) => ({
        name: `${word}/${speaker}_nohash_${number}.wav`,
        bytes: new Uint8Array(await sound.arrayBuffer()),
      })),
    );
  }

  /**
   * @param {Take} take
   * @param {Float32Array} samples
   * @param {string} facts
   */
  #show(take, samples, facts) {
    const row = /** @type {HTMLElement} */ (this.template.content.firstElementChild?.cloneNode(true));
    const find = (/** @type {string} */ part) => /** @type {HTMLElement} */ (row.querySelector(part));
    const name = `Take ${take.number} of ${take.word}${take.speaker === "me" ? "" : ` by ${take.speaker}`}`;
    const canvas = /** @type {HTMLCanvasElement} */ (find("canvas"));
    const button = /** @type {HTMLButtonElement} */ (find(".play"));
    const waveform = new Waveform(canvas);
    canvas.setAttribute("aria-label", `Waveform of ${name}`);
    waveform.show(samples);
    const player = new Player(button, find(".unseen"), (share) => waveform.progress(share), `Play ${name}`);
    player.load(take.sound);
    button.addEventListener("click", () => {
      if (this.player !== player) {
        this.player?.stop();
      }
      this.player = player;
    });
    find(".take-facts").textContent = facts;
    const drop = find(".drop");
    drop.setAttribute("aria-label", `Drop ${name}`);
    drop.addEventListener("click", () => {
      player.load(null);
      this.takes = this.takes.filter((other) => other !== take);
      const next = /** @type {HTMLElement | null} */ (row.nextElementSibling ?? row.previousElementSibling);
      row.remove();
      /** @type {HTMLElement | null | undefined} */ (next?.querySelector(".drop"))?.focus();
      this.#retitle();
      this.onChange();
    });
    this.#group(take.word).takes.append(row);
    this.#retitle();
  }

  /** @param {string} word */
  #group(word) {
    const known = this.groups.get(word);
    if (known) {
      return known;
    }
    const group = { box: element("section", "takes-of"), title: element("h3", ""), takes: element("ul", "takes") };
    group.box.append(group.title, group.takes);
    this.list.append(group.box);
    this.groups.set(word, group);
    return group;
  }

  #retitle() {
    for (const [word, { box, title }] of this.groups) {
      const count = this.count(word);
      title.replaceChildren(element("b", "", word), ` ${count === 1 ? "1 take" : `${count} takes`}`);
      if (!count) {
        box.remove();
        this.groups.delete(word);
      }
    }
  }
}
