// @ts-check
/** Where things stand in index.html. */

import { byId } from "./elements.js";

export const stagePlaces = {
  canvas: byId("waveform", HTMLCanvasElement),
  hint: byId("stage-hint"),
  name: byId("clip-name"),
  facts: byId("clip-facts"),
};

export const resultPlaces = {
  word: byId("word"),
  note: byId("word-note"),
  barsTitle: byId("bars-title"),
  bars: byId("bars"),
  times: byId("times"),
  strip: byId("strip"),
  heard: byId("heard"),
};

export const modelPlaces = {
  dot: byId("model-dot"),
  name: byId("model-name"),
  choice: byId("model-choice"),
  select: byId("model-select", HTMLSelectElement),
  vocabulary: byId("vocabulary"),
  vocabularyTitle: byId("vocabulary-title"),
  words: byId("vocabulary-words"),
  others: byId("vocabulary-others"),
};

export const spikePlaces = {
  panel: byId("spikes"),
  note: byId("spikes-note"),
  show: byId("spikes-show", HTMLButtonElement),
  body: byId("spikes-body"),
  canvas: byId("raster", HTMLCanvasElement),
  bars: byId("running-bars"),
  remark: byId("running-note"),
  play: byId("steps-play", HTMLButtonElement),
  playText: byId("steps-play-text"),
  step: byId("step", HTMLInputElement),
  stepLabel: byId("step-label"),
  figures: byId("layer-figures"),
  energy: byId("energy"),
  energyFigures: byId("energy-figures"),
  energyNote: byId("energy-note"),
};

export const livePlaces = {
  listen: byId("listen", HTMLButtonElement),
  listenText: byId("listen-text"),
  picture: byId("picture", HTMLCanvasElement),
  hint: byId("picture-hint"),
  level: byId("level"),
  levelText: byId("level-text"),
  examples: byId("examples"),
  word: byId("live-word"),
  note: byId("live-note"),
  nearest: byId("nearest"),
  mark: byId("nearest-mark"),
  list: byId("live-list"),
  count: byId("live-count"),
  threshold: byId("threshold", HTMLInputElement),
  thresholdText: byId("threshold-text"),
  own: byId("threshold-own", HTMLButtonElement),
  words: byId("live-words"),
  wordsTitle: byId("live-words-title"),
  all: byId("live-words-all", HTMLButtonElement),
  spikes: byId("live-spikes"),
  spikesNote: byId("live-spikes-note"),
  firing: byId("firing", HTMLCanvasElement),
  spikesLegend: byId("live-spikes-legend"),
};

export const teachPlaces = {
  word: byId("teach-word", HTMLInputElement),
  speaker: byId("teach-speaker", HTMLInputElement),
  canvas: byId("teach-waveform", HTMLCanvasElement),
  sign: byId("teach-sign"),
  count: byId("teach-count"),
  record: byId("teach-record", HTMLButtonElement),
  recordText: byId("teach-record-text"),
  refused: byId("teach-refused"),
  list: byId("take-list"),
  empty: byId("takes-empty"),
  template: byId("take", HTMLTemplateElement),
  download: byId("teach-download", HTMLButtonElement),
  begin: byId("teach-begin", HTMLButtonElement),
  synthetic: byId("teach-synthetic", HTMLInputElement),
  how: byId("teach-how"),
  howHere: byId("teach-how-here"),
  lesson: {
    box: byId("lesson"),
    title: byId("lesson-title"),
    bar: byId("lesson-bar", HTMLProgressElement),
    note: byId("lesson-note"),
    lines: byId("lesson-lines"),
    figures: byId("lesson-figures"),
    cancel: byId("lesson-cancel", HTMLButtonElement),
    listen: byId("lesson-listen", HTMLButtonElement),
  },
};
