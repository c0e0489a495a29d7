// @ts-check
/** The panel of the spikes: offered after an answer, played step by step, with the answer so far beside it. */

import { element } from "./elements.js";
import { percent, shownLabel } from "./labels.js";
import { Raster } from "./raster.js";
import { Refusal } from "./refusal.js";
import { bar, setScore } from "./results.js";

/** A network of many steps is played faster. */
const STEP_MS = 700;
const SHORTEST_MS = 150;
const WHOLE_MS = 4200;

/**
 * @typedef {object} SpikeElements
 * @property {HTMLElement} panel
 * @property {HTMLElement} note
 * @property {HTMLButtonElement} show
 * @property {HTMLElement} body What there is to see.
 * @property {HTMLCanvasElement} canvas
 * @property {HTMLElement} bars An `<ol>`.
 * @property {HTMLElement} remark
 * @property {HTMLButtonElement} play
 * @property {HTMLElement} playText
 * @property {HTMLInputElement} step A slider.
 * @property {HTMLElement} stepLabel
 * @property {HTMLElement} figures A `<tbody>`.
 * @property {HTMLElement} energy Around the estimate.
 * @property {HTMLElement} energyFigures A `<dl>`.
 * @property {HTMLElement} energyNote
 */

export class SpikePanel {
  /**
   * @param {SpikeElements} elements
   * @param {{onShow: () => void}} events When somebody wants to see them.
   */
  constructor(elements, events) {
    this.elements = elements;
    this.raster = new Raster(elements.canvas);
    /** @type {import("./api.js").Spikes | null} */
    this.found = null;
    this.timer = 0;
    this.asking = false;
    // Not disabled meanwhile: the keyboard's place would be lost.
    elements.show.addEventListener("click", () => this.asking || events.onShow());
    elements.step.addEventListener("input", () => {
      this.#stop();
      this.#goTo(Number(elements.step.value));
    });
    elements.play.addEventListener("click", () => (this.timer ? this.#stop() : this.#play()));
  }

  /** Nothing old may be taken for the present clip's. */
  clear() {
    this.#stop();
    this.found = null;
    this.elements.panel.hidden = true;
    this.elements.body.hidden = true;
  }

  /** There is an answer, and its spikes can be asked for. */
  offer() {
    const { panel, show } = this.elements;
    panel.hidden = false;
    show.hidden = false;
    this.asking = false;
    this.#tell("Which neurons fired for this sound?");
  }

  /** @param {string} [why] */
  wait(why = "Recording the spikes") {
    this.asking = true;
    return this.#tell(why);
  }

  /** @param {unknown} error */
  refuse(error) {
    this.asking = false;
    const known = error instanceof Refusal;
    return this.#tell(known ? `${error.message} ${error.hint}`.trim() : "The spikes can't be shown.");
  }

  /**
   * @param {import("./api.js").Spikes} found
   * @returns {string} The same in one sentence, for those who hear the page.
   */
  showAll(found) {
    const { show, body, step, play, figures, bars, remark } = this.elements;
    const { num_steps: steps, layers, decision } = found;
    this.found = found;
    const chosen = document.activeElement === show;
    show.hidden = true;
    body.hidden = false;
    const neurons = layers.reduce((sum, layer) => sum + layer.neurons, 0);
    const window = found.windows > 1 ? `, ${found.start.toFixed(1)} to ${found.end.toFixed(1)} s of the sound` : "";
    this.#tell(`${count(layers.length, "layer")}, ${neurons.toLocaleString("en")} neurons, ${count(steps, "step")}${window}.`);
    figures.replaceChildren(...layers.map((layer) => row(layer)));
    bars.replaceChildren(...decision.labels.map((label) => bar({ label, score: 0 })));
    const best = shownLabel(decision.labels[0] ?? "");
    remark.textContent = `“${best}” is the best from step ${decision.settled} on.`;
    this.#showEnergy(found.energy);
    this.raster.load(layers, steps);
    step.max = String(steps);
    step.disabled = play.disabled = steps < 2;
    this.#goTo(steps);
    if (chosen) {
      step.focus({ preventScroll: true });
    }
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (!calm && steps > 1) {
      this.#play();
    }
    return `The spikes of ${count(steps, "step")} are shown. ${remark.textContent}`;
  }

  /**
   * @param {string} text
   * @returns {string} The same, for those who hear the page.
   */
  #tell(text) {
    this.elements.note.textContent = text;
    return text;
  }

  /** @param {number} at From 1. */
  #goTo(at) {
    const { step, stepLabel, canvas, bars } = this.elements;
    if (!this.found) {
      return;
    }
    const { num_steps: steps, decision, layers } = this.found;
    const scores = decision.scores[at - 1];
    const lead = scores.indexOf(Math.max(...scores));
    [...bars.children].forEach((one, index) => {
      setScore(/** @type {HTMLElement} */ (one), scores[index]);
      one.classList.toggle("lead", index === lead);
    });
    this.raster.show(at);
    step.value = String(at);
    stepLabel.textContent = `Step ${at} of ${steps}`;
    const fires = `${percent(this.raster.share)} of the shown neurons fire`;
    const answer = `${shownLabel(decision.labels[lead])}, ${percent(scores[lead])}`;
    step.setAttribute("aria-valuetext", `Step ${at} of ${steps}: ${answer}; ${fires}`);
    canvas.setAttribute("aria-label", `Spikes of step ${at} of ${steps} in ${count(layers.length, "layer")}: ${fires}`);
  }

  #play() {
    const steps = this.found?.num_steps ?? 0;
    let at = Number(this.elements.step.value);
    if (at >= steps) {
      at = 0; // once more from the beginning
    }
    const pause = Math.max(SHORTEST_MS, Math.min(STEP_MS, WHOLE_MS / steps));
    const next = () => {
      at += 1;
      this.#goTo(at);
      this.timer = at < steps ? window.setTimeout(next, pause) : 0;
      this.#label();
    };
    next();
  }

  #stop() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.#label();
  }

  #label() {
    this.elements.play.classList.toggle("playing", this.timer > 0);
    this.elements.playText.textContent = this.timer ? "Stop" : "Play the steps";
  }

  /** @param {import("./api.js").Energy | undefined} found The estimate, where the service has one. */
  #showEnergy(found) {
    const { energy, energyFigures, energyNote } = this.elements;
    energy.hidden = !found;
    if (!found) {
      return;
    }
    const { cnn } = found;
    /** @type {[string, number, string][]} */
    const rows = [["This clip, spiking", found.energy_uj, "spiking"]];
    if (found.energy_once_uj < found.energy_uj) {
      rows.push(["with the input layer run once", found.energy_once_uj, "spiking"]);
    }
    rows.push(["A CNN of the same layers", cnn.energy_dense_uj, "plain"]);
    if (cnn.energy_uj && cnn.model) {
      rows.push([`${cnn.model}, which skips zeros`, cnn.energy_uj, "plain"]);
    }
    const most = Math.max(...rows.map((one) => one[1]));
    energyFigures.replaceChildren(...rows.flatMap(([name, value, kind]) => energyRow(name, value, kind, most)));
    const twin = cnn.energy_uj ? ", the twin's a mean of its test clips" : "";
    energyNote.textContent =
      `Estimated from ${found.synops.toLocaleString("en")} synaptic operations${twin}; ` +
      `${found.pj_a_mac} pJ a MAC, ${found.pj_an_ac} pJ an AC (Horowitz 2014). Memory traffic, which often costs more, is left out.`;
  }
}

/**
 * @param {number} number
 * @param {string} what
 * @returns {string} "1 step", "4 steps"
 */
function count(number, what) {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/**
 * @param {import("./api.js").LayerSpikes} layer
 * @returns {HTMLElement}
 */
function row({ name, neurons, rate, dead, first_spike: first }) {
  const made = document.createElement("tr");
  const head = element("th", "", name);
  head.setAttribute("scope", "row");
  const cells = [neurons.toLocaleString("en"), percent(rate), dead.toLocaleString("en"), first ? `step ${first.toFixed(1)}` : "none"];
  made.append(head, ...cells.map((text) => element("td", "", text)));
  return made;
}

/**
 * @param {string} name
 * @param {number} microjoules
 * @param {string} kind "spiking" or "plain"
 * @param {number} most Of all rows.
 * @returns {HTMLElement[]}
 */
function energyRow(name, microjoules, kind, most) {
  const digits = { minimumSignificantDigits: 3, maximumSignificantDigits: 3 };
  const value = element("dd", kind, `${microjoules.toLocaleString("en", digits)} \u00b5J`);
  value.style.setProperty("--share", `${most > 0 ? (100 * microjoules) / most : 0}%`);
  return [element("dt", "", name), value];
}
