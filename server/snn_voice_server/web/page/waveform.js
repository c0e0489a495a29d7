// @ts-check
/** Draws a clip as a row of bars: what was played in the accent colour, what is still to come pale. */

import { Drawing } from "./drawing.js";

const BAR = 2;
const GAP = 2;

/** Quiet clips are drawn larger, but a silent room is not blown up into a storm. */
const QUIETEST_PEAK = 0.04;

export class Waveform {
  /** @param {HTMLCanvasElement} canvas Its size comes from the style sheet. */
  constructor(canvas) {
    /** @type {Float32Array | null} */
    this.samples = null;
    this.filled = 0;
    this.played = 0;
    /** @type {{columns: number, filled: number, heights: Float32Array} | null} */
    this.cache = null;
    this.drawing = new Drawing(canvas, (context, width, height, style) => this.#draw(context, width, height, style));
  }

  /**
   * @param {Float32Array | null} samples The clip; null draws an empty line.
   * @param {number} [filled] How many of them are there already, while the clip is being recorded.
   */
  show(samples, filled = samples?.length ?? 0) {
    this.samples = samples;
    this.filled = filled;
    this.played = 0;
    this.cache = null;
    this.drawing.redraw();
  }

  /** @param {number} share How much was played, 0 to 1. */
  progress(share) {
    this.played = share;
    this.drawing.redraw();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} width
   * @param {number} height
   * @param {CSSStyleDeclaration} style
   */
  #draw(context, width, height, style) {
    const strong = style.getPropertyValue("--wave-strong");
    const pale = style.getPropertyValue("--wave-pale");
    const idle = style.getPropertyValue("--wave-idle");
    const columns = Math.floor((width + GAP) / (BAR + GAP));
    const heights = this.#heights(columns);
    const known = this.samples ? Math.round((columns * this.filled) / this.samples.length) : 0;
    const played = Math.round(columns * this.played);
    for (let column = 0; column < columns; column += 1) {
      const size = Math.max(BAR, heights[column] * height);
      context.fillStyle = column >= known ? idle : played && column >= played ? pale : strong;
      context.beginPath();
      context.roundRect(column * (BAR + GAP), (height - size) / 2, BAR, size, BAR / 2);
      context.fill();
    }
  }

  /**
   * @param {number} columns
   * @returns {Float32Array} For each, its loudest sample; the loudest of all is 1.
   */
  #heights(columns) {
    if (this.cache?.columns === columns && this.cache.filled === this.filled) {
      return this.cache.heights;
    }
    const heights = new Float32Array(columns);
    const samples = this.samples ?? new Float32Array(0);
    const step = samples.length / columns;
    let peak = QUIETEST_PEAK;
    for (let column = 0; column < columns; column += 1) {
      const end = Math.min(this.filled, Math.ceil((column + 1) * step));
      for (let index = Math.floor(column * step); index < end; index += 1) {
        heights[column] = Math.max(heights[column], Math.abs(samples[index]));
      }
      peak = Math.max(peak, heights[column]);
    }
    const scaled = heights.map((value) => value / peak);
    this.cache = { columns, filled: this.filled, heights: scaled };
    return scaled;
  }
}

/** Enough for a picture, and a long file does not fill the memory. */
const PICTURE_RATE = 16_000;

/**
 * @typedef {object} Picture
 * @property {Float32Array} samples Of the first channel, between -1 and 1.
 * @property {number} seconds How long the clip is.
 */

/**
 * The samples of a sound file.
 *
 * @param {Blob} file
 * @param {number} [sampleRate] Of the samples, in Hz.
 * @returns {Promise<Picture | null>} null where the browser does not know the
 *   format: the service reads some that browsers do not.
 */
export async function decode(file, sampleRate = PICTURE_RATE) {
  try {
    const context = new OfflineAudioContext(1, 1, sampleRate);
    const buffer = await context.decodeAudioData(await file.arrayBuffer());
    const samples = buffer.getChannelData(0);
    return samples.length ? { samples, seconds: buffer.duration } : null;
  } catch {
    return null;
  }
}
