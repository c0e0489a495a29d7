// @ts-check
/** Draws the spikes of all layers below each other: rows are channels, columns go along the sound. */

import { Drawing, rgb } from "./drawing.js";

const LABEL_WIDTH = 84;
const GAP = 7;
const LOWEST = 22;
const HIGHEST = 44;

/**
 * @typedef {object} Strip One layer, ready to be drawn.
 * @property {string} name
 * @property {number} rows
 * @property {number} columns
 * @property {Uint8Array[]} fires For each step, 1 where a neuron fires; rows in the order in which they are drawn.
 */

export class Raster {
  /** @param {HTMLCanvasElement} canvas Its width comes from the style sheet, its height from the layers. */
  constructor(canvas) {
    this.canvas = canvas;
    /** @type {Strip[]} */
    this.strips = [];
    this.step = 0;
    this.drawing = new Drawing(canvas, (context, width, _, style) => this.#draw(context, width, style));
  }

  /**
   * @param {import("./api.js").LayerSpikes[]} layers
   * @param {number} steps
   */
  load(layers, steps) {
    this.strips = layers.map((layer) => strip(layer, steps));
    const height = this.strips.reduce((sum, { rows }) => sum + heightOf(rows) + GAP, -GAP);
    this.canvas.style.height = `${Math.max(0, height)}px`;
    this.drawing.redraw();
  }

  /** @param {number} step From 1. */
  show(step) {
    this.step = step - 1;
    this.drawing.redraw();
  }

  /** @returns {number} Share of the neurons that are drawn which fire in this step. */
  get share() {
    let fires = 0;
    let all = 0;
    for (const one of this.strips) {
      const now = one.fires[this.step];
      fires += now.reduce((sum, value) => sum + value, 0);
      all += now.length;
    }
    return all ? fires / all : 0;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} width
   * @param {CSSStyleDeclaration} style
   */
  #draw(context, width, style) {
    context.imageSmoothingEnabled = false;
    const colours = ["--spike-none", "--spike-before", "--spike-now"].map((name) => rgb(style.getPropertyValue(name)));
    context.font = `12px ${style.getPropertyValue("--mono")}`;
    context.textBaseline = "middle";
    let top = 0;
    for (const one of this.strips) {
      const size = heightOf(one.rows);
      context.fillStyle = style.color;
      context.fillText(shortened(one.name), 0, top + size / 2, LABEL_WIDTH - 10);
      context.drawImage(picture(one, this.step, colours), LABEL_WIDTH, top, width - LABEL_WIDTH, size);
      top += size + GAP;
    }
  }
}

/**
 * @param {number} rows
 * @returns {number} Pixels.
 */
function heightOf(rows) {
  return Math.min(HIGHEST, Math.max(LOWEST, rows));
}

/**
 * @param {string} name
 * @returns {string} Long names lose their beginning, which they have in common.
 */
function shortened(name) {
  return name.length > 12 ? `…${name.slice(-11)}` : name;
}

/**
 * Rows are sorted by where along the sound they fire on average; those that never do come last.
 *
 * @param {import("./api.js").LayerSpikes} layer
 * @param {number} steps
 * @returns {Strip}
 */
function strip({ name, rows: { length: rows }, columns: { length: columns }, spikes }, steps) {
  const sums = new Float64Array(rows);
  const counts = new Float64Array(rows);
  for (const place of spikes.flat()) {
    counts[Math.floor(place / columns)] += 1;
    sums[Math.floor(place / columns)] += place % columns;
  }
  const middle = Array.from(sums, (sum, row) => (counts[row] ? sum / counts[row] : Infinity));
  const order = Array.from(sums, (_, row) => row).sort((a, b) => (middle[a] === middle[b] ? a - b : middle[a] - middle[b]));
  const drawn = new Uint32Array(rows);
  order.forEach((row, at) => (drawn[row] = at));
  const fires = Array.from({ length: steps }, () => new Uint8Array(rows * columns));
  spikes.slice(0, steps).forEach((places, step) => {
    for (const place of places) {
      fires[step][drawn[Math.floor(place / columns)] * columns + (place % columns)] = 1;
    }
  });
  return { name, rows, columns, fires };
}

/**
 * @param {Strip} strip
 * @param {number} step From 0.
 * @param {number[][]} colours Of what has not fired, has fired before, and fires now.
 * @returns {OffscreenCanvas} A pixel a neuron.
 */
function picture({ rows, columns, fires }, step, colours) {
  const canvas = new OffscreenCanvas(columns, rows);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(columns, rows);
  for (let place = 0; place < rows * columns; place += 1) {
    let state = 0;
    for (let t = 0; t <= step; t += 1) {
      if (fires[t][place]) {
        state = t === step ? 2 : 1;
      }
    }
    image.data.set(colours[state], 4 * place);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
