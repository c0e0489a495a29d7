// @ts-check
/** The spikes of a stream: which neurons fire, layer by layer, in a picture that runs from right to left. */

import { drawTag, Drawing, rgb } from "./drawing.js";
import { percent } from "./labels.js";

const SECONDS = 10;

/** A picture that is less wide than this, in pixels, shows half as many. */
const NARROW = 320;

/** Is known ahead of what is shown, so that it does not take the place of the oldest. */
const AHEAD_S = 1.5;

/** Neurons that share a row of pixels. */
const TOGETHER = 4;
const LOWEST = 14;
const HIGHEST = 44;
const GAP = 6;

/** Beside the picture: the layers' names, and how many of their neurons fire. */
const NAMES = 80;
const SHARES = 44;

/** Of the words below. */
const STRIP = 34;

/** So much later than it is heard the sound's place is shown: its spikes are there by then. */
const LATE_S = 0.2;

/** Figures that change faster can't be read. */
const FIGURES_S = 0.5;

/** How much of a pixel one spike covers; several cover more. */
const COVER = 0.45;

/**
 * @typedef {object} LiveSpikesElements
 * @property {HTMLElement} spikes The panel.
 * @property {HTMLElement} spikesNote
 * @property {HTMLCanvasElement} firing
 * @property {HTMLElement} spikesLegend
 *
 * @typedef {object} Strip A layer, as it is drawn.
 * @property {string} name
 * @property {number} neurons
 * @property {number} first The number of its first neuron.
 * @property {number} top
 * @property {number} rows
 */

export class LiveSpikes {
  /** @param {LiveSpikesElements} elements */
  constructor(elements) {
    this.elements = elements;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    /** @type {Strip[]} */
    this.strips = [];
    this.height = 0;
    this.neurons = 0;
    /** Seconds of a step. */
    this.step = 0;
    this.columns = 0;
    /** For each pixel of a ring of columns how many neurons fire. */
    this.counts = new Uint8Array();
    this.image = document.createElement("canvas");
    /** Steps that are in the ring's picture, and in which colour. */
    this.painted = 0;
    this.colour = "";
    this.clear();
    this.drawing = new Drawing(elements.firing, (context, width, _, style) => this.#draw(context, width, style));
  }

  /** What was before is forgotten. */
  clear() {
    /** Steps so far, those between two streams too. */
    this.steps = 0;
    this.seen = 0;
    this.now = 0;
    this.late = LATE_S;
    this.figured = 0;
    /** Of each layer's neurons, how many fire in a step. */
    this.shares = this.strips.map(() => 0);
    /** @type {{label: string, start: number, end: number}[]} */
    this.words = [];
    this.counts.fill(0);
    this.painted = 0;
    this.#tell();
    this.drawing?.redraw();
  }

  /** @param {boolean} shown Whether the model that is asked has such spikes. */
  show(shown) {
    this.elements.spikes.hidden = !shown;
    this.drawing.redraw();
  }

  /**
   * A stream begins.
   *
   * @param {import("./voice-stream.js").Layer[] | undefined} layers
   */
  ready(layers) {
    this.show(Boolean(layers));
    if (!layers || same(layers, this.strips)) {
      return;
    }
    let [first, top] = [0, 0];
    this.strips = layers.map(({ name, neurons }) => {
      const rows = Math.min(HIGHEST, Math.max(LOWEST, Math.ceil(neurons / TOGETHER)));
      const strip = { name, neurons, first, top, rows };
      first += neurons;
      top += rows + GAP;
      return strip;
    });
    this.neurons = first;
    this.height = top;
    this.step = 0;
    this.counts = new Uint8Array();
    this.elements.firing.style.height = `${top + STRIP}px`;
    this.clear();
  }

  /**
   * @param {import("./voice-stream.js").Fired} fired Times since the beginning of all that is heard.
   */
  push({ start, time, steps, bits }) {
    const step = (time - start) / steps;
    if (!this.step) {
      this.step = step;
      this.columns = Math.ceil((SECONDS + AHEAD_S) / step);
      this.counts = new Uint8Array(this.columns * this.height);
      Object.assign(this.image, { width: this.columns, height: this.height });
    }
    const bytes = Uint8Array.from(atob(bits), (character) => character.charCodeAt(0));
    const size = Math.ceil(this.neurons / 8);
    this.#skipTo(Math.round(start / this.step));
    // At the end the service lets silence follow, which nobody has heard.
    const heard = Math.min(steps, Math.ceil((this.now - start) / this.step));
    for (let at = 0; at < heard; at += 1) {
      this.#add(bytes.subarray(at * size, (at + 1) * size));
    }
    if (time >= this.figured + FIGURES_S) {
      this.figured = time;
      this.#figure();
    }
    this.drawing.redraw();
  }

  /** @param {number} seconds How much was heard. */
  tick(seconds) {
    this.now = seconds;
    this.words = this.words.filter(({ end }) => end > this.seen - SECONDS);
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

  /** Nothing more is heard: what is known is shown to its end. */
  rest() {
    this.late = 0;
    this.drawing.redraw();
  }

  /** @param {number} step Between two streams nothing is known of what fires. */
  #skipTo(step) {
    for (let left = Math.min(step - this.steps, this.columns); left > 0; left -= 1) {
      this.counts.fill(0, ...this.#column(step - left));
    }
    this.steps = Math.max(step, this.steps);
  }

  /**
   * @param {number} step
   * @returns {[number, number]} Where its pixels begin and end.
   */
  #column(step) {
    const begin = (step % this.columns) * this.height;
    return [begin, begin + this.height];
  }

  /** @param {Uint8Array} bits Of one step. */
  #add(bits) {
    const [begin, end] = this.#column(this.steps);
    this.counts.fill(0, begin, end);
    for (const { first, neurons, top, rows } of this.strips) {
      for (let neuron = 0; neuron < neurons; neuron += 1) {
        const at = first + neuron;
        if ((bits[at >> 3] >> (at & 7)) & 1) {
          this.counts[begin + top + Math.floor((neuron * rows) / neurons)] += 1;
        }
      }
    }
    this.steps += 1;
  }

  /** How many fire, in the mean of the newest second. */
  #figure() {
    const steps = Math.min(this.steps, Math.round(1 / this.step));
    this.shares = this.strips.map(({ neurons, top, rows }) => {
      let sum = 0;
      for (let step = this.steps - steps; step < this.steps; step += 1) {
        const [begin] = this.#column(step);
        for (let row = begin + top; row < begin + top + rows; row += 1) {
          sum += this.counts[row];
        }
      }
      return sum / (neurons * steps || 1);
    });
    this.#tell();
  }

  #tell() {
    const { firing, spikesNote, spikesLegend } = this.elements;
    const shares = this.strips.map(({ name }, at) => `${name} ${percent(this.shares[at])}`).join(", ");
    const label = this.figured ? `Neurons that fire in a step, of each layer in the last second: ${shares}` : "No spikes yet";
    firing.setAttribute("aria-label", label);
    firing.hidden = spikesLegend.hidden = !this.strips.length;
    const rate = this.step ? `, ${Math.round(1 / this.step)} steps a second` : "";
    spikesNote.textContent = this.strips.length
      ? `${this.neurons.toLocaleString("en")} neurons in ${this.strips.length} layers${rate}.`
      : "Which neurons fire will run by here.";
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} width
   * @param {CSSStyleDeclaration} style
   */
  #draw(context, width, style) {
    const size = width - NAMES - SHARES;
    const accent = style.getPropertyValue("--spike-now");
    context.textBaseline = "middle";
    context.font = `11px ${style.getPropertyValue("--mono")}`;
    this.strips.forEach(({ name, top, rows }, at) => {
      context.fillStyle = style.getPropertyValue("--spike-none");
      context.fillRect(NAMES, top, size, rows);
      context.fillStyle = style.color;
      context.textAlign = "left";
      context.fillText(name, 0, top + rows / 2, NAMES - 8);
      context.textAlign = "right";
      context.fillText(this.figured ? `${(100 * this.shares[at]).toFixed(0)} %` : "", width, top + rows / 2);
    });
    if (!this.step) {
      return;
    }
    const newest = this.steps * this.step;
    this.seen = Math.max(this.seen, Math.min(this.now - this.late, newest));
    context.save();
    context.beginPath();
    context.rect(NAMES, 0, size, this.height + STRIP);
    context.clip();
    context.translate(NAMES, 0);
    this.#drawWords(context, size, style);
    this.#paint(accent);
    // Who wants nothing to move sees the newest overwrite the oldest, from left to right.
    const scale = size / this.#span(size);
    const whole = this.columns * this.step * scale;
    const column = whole / this.columns;
    const left = this.calm.matches ? 0 : ((size - this.seen * scale) % whole) - whole;
    for (let at = left; at < size; at += whole) {
      context.drawImage(this.image, at, 0, whole, this.height);
    }
    if (this.calm.matches) {
      context.fillStyle = accent;
      context.fillRect((this.steps % this.columns) * column, 0, 1, this.height);
    }
    context.restore();
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} width
   * @param {CSSStyleDeclaration} style
   */
  #drawWords(context, width, style) {
    const span = this.#span(width);
    for (const { label, start, end } of this.words) {
      const from = this.calm.matches ? start % span : start - this.seen + span;
      const scale = width / span;
      const middle = (from + (end - start) / 2) * scale;
      context.fillStyle = style.getPropertyValue("--spike-word");
      context.fillRect(from * scale, 0, (end - start) * scale, this.height);
      drawTag(context, label, middle, this.height + STRIP, (end - start) * scale, style);
    }
  }

  /**
   * @param {number} width In pixels.
   * @returns {number} How many seconds are shown in it.
   */
  #span(width) {
    return this.calm.matches ? this.columns * this.step : width < NARROW ? SECONDS / 2 : SECONDS;
  }

  /** @param {string} colour Of the spikes. */
  #paint(colour) {
    const context = this.image.getContext("2d");
    if (!context) {
      return;
    }
    if (colour !== this.colour) {
      this.colour = colour;
      this.painted = 0;
    }
    const [red, green, blue] = rgb(colour);
    const pixels = new ImageData(1, this.height);
    for (let step = Math.max(this.painted, this.steps - this.columns); step < this.steps; step += 1) {
      const [begin] = this.#column(step);
      for (let row = 0; row < this.height; row += 1) {
        pixels.data.set([red, green, blue, 255 * (1 - (1 - COVER) ** this.counts[begin + row])], 4 * row);
      }
      context.putImageData(pixels, step % this.columns, 0);
    }
    this.painted = this.steps;
  }
}

/**
 * @param {import("./voice-stream.js").Layer[]} layers
 * @param {Strip[]} strips
 * @returns {boolean} Whether they are the same.
 */
function same(layers, strips) {
  return (
    layers.length === strips.length &&
    layers.every(({ name, neurons }, at) => name === strips[at].name && neurons === strips[at].neurons)
  );
}
