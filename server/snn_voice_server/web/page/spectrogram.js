// @ts-check
/** The sound of the last seconds as a picture that runs from right to left, with the words under it. */

import { drawTag, Drawing } from "./drawing.js";
import { LogMel } from "./logmel.js";

const BANDS = 48;
const HOP_S = 0.02;
const SECONDS = 6;
const COLUMNS = SECONDS / HOP_S;

/** Of the strip of words, in pixels. */
const STRIP = 30;

export class Spectrogram {
  /** @param {HTMLCanvasElement} canvas Its size comes from the style sheet. */
  constructor(canvas) {
    this.levels = new Uint8ClampedArray(COLUMNS * BANDS); // a ring of columns
    this.image = document.createElement("canvas");
    this.image.width = COLUMNS;
    this.image.height = BANDS;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    /** How many came so far. */
    this.columns = 0;
    /** @type {{label: string, start: number, end: number}[]} */
    this.words = [];
    /** @type {LogMel | null} */
    this.mel = null;
    this.drawing = new Drawing(canvas, (context, width, height, style) => this.#draw(context, width, height, style));
  }

  /** @param {number} sampleRate Of the sound that comes now; what was before is forgotten. */
  begin(sampleRate) {
    this.mel = new LogMel(sampleRate, BANDS, HOP_S);
    this.columns = 0;
    this.levels.fill(0);
    this.words = [];
    this.drawing.redraw();
  }

  /** @param {Float32Array} piece */
  push(piece) {
    this.mel?.push(piece, (frame) => {
      frame.forEach((level, band) => {
        this.levels[(this.columns % COLUMNS) * BANDS + band] = 255 * level;
      });
      this.columns += 1;
    });
    this.words = this.words.filter(({ end }) => end > this.columns * HOP_S - SECONDS);
    this.drawing.redraw();
  }

  /**
   * @param {string} label
   * @param {number} start In seconds since the beginning.
   * @param {number} end
   */
  mark(label, start, end) {
    this.words.push({ label, start, end });
    this.drawing.redraw();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} width
   * @param {number} height
   * @param {CSSStyleDeclaration} style
   */
  #draw(context, width, height, style) {
    const accent = style.getPropertyValue("--accent");
    const picture = height - STRIP;
    // Who wants nothing to move sees the newest sound overwrite the oldest, from left to right.
    const head = this.columns % COLUMNS;
    const column = width / COLUMNS;
    this.#paint(accent, this.calm.matches ? 0 : head);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.image, 0, 0, width, picture);
    if (!this.columns) {
      return;
    }
    context.fillStyle = style.getPropertyValue("--line");
    context.fillRect(0, picture, width, 1);
    if (this.calm.matches) {
      context.fillStyle = accent;
      context.fillRect(head * column, 0, 1, picture);
    }
    for (const { label, start, end } of this.words) {
      const middle = (start + end) / 2 / HOP_S;
      const at = (this.calm.matches ? middle % COLUMNS : COLUMNS - (this.columns - middle)) * column;
      drawTag(context, label, at, height, ((end - start) / HOP_S) * column, style);
    }
  }

  /**
   * @param {string} colour
   * @param {number} first Which column of the ring stands at the left.
   */
  #paint(colour, first) {
    const context = this.image.getContext("2d");
    if (!context) {
      return;
    }
    const pixels = new ImageData(COLUMNS, BANDS);
    for (let column = 0; column < COLUMNS; column += 1) {
      const begin = ((first + column) % COLUMNS) * BANDS;
      for (let band = 0; band < BANDS; band += 1) {
        pixels.data[4 * ((BANDS - 1 - band) * COLUMNS + column) + 3] = this.levels[begin + band];
      }
    }
    // How strong a band is, is how much it covers: so one colour serves, and it may change.
    context.globalCompositeOperation = "source-over";
    context.putImageData(pixels, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = colour;
    context.fillRect(0, 0, COLUMNS, BANDS);
  }
}
