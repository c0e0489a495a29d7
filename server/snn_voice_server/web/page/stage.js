// @ts-check
/** The sound: its picture, its name, its length and size. */

import { Waveform } from "./waveform.js";

/**
 * @typedef {object} Clip
 * @property {Blob} sound A sound file, as it is sent.
 * @property {string} name What it is called on the page.
 *
 * @typedef {object} StageElements
 * @property {HTMLCanvasElement} canvas
 * @property {HTMLElement} hint Stands where there is no picture.
 * @property {HTMLElement} name
 * @property {HTMLElement} facts
 */

export class Stage {
  /** @param {StageElements} elements */
  constructor(elements) {
    this.elements = elements;
    this.waveform = new Waveform(elements.canvas);
  }

  /**
   * @param {Clip} clip
   * @param {import("./waveform.js").Picture | null} picture
   * @param {string} otherwise Stands where the picture would.
   */
  show(clip, picture, otherwise) {
    const size = sizeOf(clip.sound.size);
    this.#set(clip.name, picture ? `${picture.seconds.toFixed(2)} s, ${size}` : size, picture ? "" : otherwise);
    this.waveform.show(picture && picture.samples);
    this.elements.canvas.setAttribute("aria-label", picture ? `Waveform of ${clip.name}` : "No waveform");
  }

  /**
   * @param {string} name
   * @param {string} hint
   */
  clear(name, hint) {
    this.#set(name, "", hint);
    this.waveform.show(null);
    this.elements.canvas.setAttribute("aria-label", "No waveform");
  }

  /**
   * @param {string} name
   * @param {string} facts
   * @param {string} hint
   */
  #set(name, facts, hint) {
    this.elements.name.textContent = name;
    this.elements.facts.textContent = facts;
    this.elements.hint.textContent = hint;
  }
}

/**
 * @param {number} bytes
 * @returns {string}
 */
export function sizeOf(bytes) {
  if (bytes < 1000) {
    return `${bytes} bytes`;
  }
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
