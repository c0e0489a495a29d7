// @ts-check
/** Puts the page together: a clip comes in, is drawn, is sent, and its words are shown. */

import { Api } from "./api.js";
import { acceptDrops } from "./drop.js";
import { KeyField, rememberedKey } from "./key.js";
import { Models } from "./models.js";
import { bringIntoView, Notice } from "./notice.js";
import { Player } from "./player.js";
import { record } from "./recorder.js";
import { Refusal } from "./refusal.js";
import { Results } from "./results.js";
import { SpikePanel } from "./spikes.js";
import { decode, Waveform } from "./waveform.js";
import { encodeWav } from "./wav.js";

const SECONDS = 2;

/**
 * @typedef {object} Clip
 * @property {Blob} sound A sound file, as it is sent.
 * @property {string} name What it is called on the page.
 */

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [_] Its class, for the type checker.
 * @returns {T}
 */
function byId(id, _) {
  return /** @type {T} */ (document.getElementById(id));
}

const notice = new Notice(byId("notice"));
const status = byId("status");
const canvas = byId("waveform", HTMLCanvasElement);
const clipName = byId("clip-name");
const clipFacts = byId("clip-facts");
const stageHint = byId("stage-hint");
const recordButton = byId("record", HTMLButtonElement);
const recordText = byId("record-text");
const fileInput = byId("file", HTMLInputElement);
const copyButton = byId("copy", HTMLButtonElement);
const curl = byId("curl");

const api = new Api();
const waveform = new Waveform(canvas);
const results = new Results({
  word: byId("word"),
  note: byId("word-note"),
  bars: byId("bars"),
  times: byId("times"),
});
const player = new Player(byId("play", HTMLButtonElement), byId("play-text"), (share) => waveform.progress(share));
const keyField = new KeyField(byId("key-form", HTMLFormElement), byId("key", HTMLInputElement), {
  onKey: useKey,
  onProblem: tellProblem,
});
const models = new Models(
  api,
  {
    dot: byId("model-dot"),
    name: byId("model-name"),
    choice: byId("model-choice"),
    select: byId("model-select", HTMLSelectElement),
    vocabulary: byId("vocabulary"),
    vocabularyTitle: byId("vocabulary-title"),
    words: byId("vocabulary-words"),
  },
  { onChange: classifyAgain, onKeyWanted: askForKey },
);

const spikes = new SpikePanel(
  {
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
  },
  { onShow: () => void showSpikes() },
);

/** @type {Clip | null} */
let lastClip = null;

/** What is under way; a new clip takes the place of the old one. */
let current = new AbortController();

/** Of the recording that is under way. @type {AbortSignal | null} */
let recording = null;

/** @returns {AbortSignal} Of what begins now; what was before is over. */
function beginNew() {
  current.abort();
  current = new AbortController();
  return current.signal;
}

/** @param {unknown} error */
function tellProblem(error) {
  if (!(error instanceof Refusal)) {
    notice.tell("Something in this page failed.", { hint: "Loading it again may help.", problem: true });
    console.error(error);
    return;
  }
  const wantsKey = error.status === 401;
  if (wantsKey) {
    askForKey();
  }
  // The service's hint is about headers; the field says it better.
  notice.tell(error.message, { hint: wantsKey ? "" : error.hint, problem: true });
}

function askForKey() {
  keyField.show(true);
  showCurl(true);
}

/** @param {string} key */
function useKey(key) {
  api.key = key;
  keyField.show(false);
  notice.tell("");
  void models.load();
  classifyAgain();
}

function classifyAgain() {
  if (lastClip) {
    void classify(lastClip, beginNew());
  }
}

/** @param {Clip} clip */
async function take(clip) {
  const signal = beginNew();
  lastClip = clip;
  player.load(null);
  showClip(clip, null, "");
  // Side by side: the answer need not wait for the picture, nor the other way round.
  const drawing = decode(clip.sound).then((picture) => {
    if (lastClip === clip) {
      showClip(clip, picture, "No picture of this file");
      player.load(picture && clip.sound);
    }
  });
  await Promise.all([drawing, classify(clip, signal)]);
}

/**
 * @param {Clip} clip
 * @param {import("./waveform.js").Picture | null} picture
 * @param {string} otherwise Stands where the picture would.
 */
function showClip(clip, picture, otherwise) {
  waveform.show(picture && picture.samples);
  clipName.textContent = clip.name;
  const size = sizeOf(clip.sound.size);
  clipFacts.textContent = picture ? `${picture.seconds.toFixed(2)} s, ${size}` : size;
  stageHint.textContent = picture ? "" : otherwise;
  canvas.setAttribute("aria-label", picture ? `Waveform of ${clip.name}` : "No waveform");
}

/**
 * @param {Clip} clip
 * @param {AbortSignal} signal
 */
async function classify(clip, signal) {
  results.clear();
  spikes.clear();
  notice.tell("");
  document.body.classList.add("busy");
  status.textContent = "Listening to the clip";
  try {
    checkSize(clip.sound);
    const answer = await api.classify(clip.sound, {
      model: models.chosen,
      signal,
      onWait: (seconds) => notice.tell(`The service is busy; trying again in ${seconds} s.`),
    });
    signal.throwIfAborted(); // another clip may have come together with the answer
    notice.tell("");
    keyField.show(false);
    status.textContent = results.show(answer);
    bringIntoView(byId("answer"));
    void models.learning.then(() => {
      if (!signal.aborted && models.facts?.spikes !== false) {
        spikes.offer();
      }
    });
  } catch (error) {
    if (!signal.aborted) {
      status.textContent = "";
      tellProblem(error);
      if (!(error instanceof Refusal) || (error.status ?? 500) >= 500) {
        void models.load(); // is the service still there?
      }
    }
  } finally {
    if (current.signal === signal) {
      document.body.classList.remove("busy");
    }
  }
}

async function showSpikes() {
  const clip = lastClip;
  const { signal } = current; // a new clip takes this one's spikes with it
  if (!clip) {
    return;
  }
  status.textContent = spikes.wait();
  try {
    const found = await api.spikes(clip.sound, {
      model: models.chosen,
      signal,
      onWait: (seconds) => void spikes.wait(`The service is busy; trying again in ${seconds} s.`),
    });
    signal.throwIfAborted();
    status.textContent = spikes.showAll(found);
  } catch (error) {
    if (!signal.aborted) {
      status.textContent = spikes.refuse(error);
      if (!(error instanceof Refusal) || error.status === 401) {
        tellProblem(error);
      }
    }
  }
}

/**
 * A service may hang up on a body that is too large, and a page then sees nothing but a broken network.
 *
 * @param {Blob} sound
 */
function checkSize(sound) {
  const limit = models.facts?.maxBodyBytes ?? Infinity;
  if (sound.size > limit) {
    const sizes = `The file has ${sizeOf(sound.size)}; this service takes up to ${sizeOf(limit)}.`;
    throw new Refusal(sizes, "Cut the sound, or save it as FLAC.");
  }
}

/**
 * @param {number} bytes
 * @returns {string}
 */
function sizeOf(bytes) {
  if (bytes < 1000) {
    return `${bytes} bytes`;
  }
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

async function startRecording() {
  const signal = beginNew();
  recording = signal;
  lastClip = null;
  document.body.classList.remove("busy");
  notice.tell("");
  results.clear();
  spikes.clear();
  player.load(null);
  showStage("Your recording", "");
  showRecordButton("Waiting for the microphone", "opening");
  status.textContent = "Opening the microphone";
  /** @type {Clip} */
  let clip;
  try {
    const { samples, sampleRate } = await record({ seconds: SECONDS, onProgress: showRecording, signal });
    clip = { sound: encodeWav(samples, sampleRate), name: "Your recording" };
  } catch (error) {
    if (!signal.aborted) {
      tellProblem(error);
    }
    if (current.signal === signal) {
      status.textContent = "";
      showStage("No sound yet", "Drop a sound file here");
    }
    return;
  } finally {
    if (recording === signal) {
      recording = null;
      showRecordButton("Record two seconds", "");
    }
  }
  await take(clip);
}

/**
 * @param {Float32Array} samples
 * @param {number} filled
 * @param {number} sampleRate
 */
function showRecording(samples, filled, sampleRate) {
  waveform.show(samples, filled);
  // Once, not with every piece: a screen reader would say nothing else.
  if (!recordButton.classList.contains("running")) {
    status.textContent = "Speak now";
  }
  showRecordButton(`Speak now: ${((samples.length - filled) / sampleRate).toFixed(1)} s`, "running");
}

/**
 * @param {string} text
 * @param {"" | "opening" | "running"} state
 */
function showRecordButton(text, state) {
  recordText.textContent = text;
  recordButton.classList.toggle("opening", state === "opening");
  recordButton.classList.toggle("running", state === "running");
  recordButton.title = state ? "Press again, or Escape, to stop" : "";
}

/**
 * @param {string} name
 * @param {string} hint
 */
function showStage(name, hint) {
  waveform.show(null);
  clipName.textContent = name;
  clipFacts.textContent = "";
  stageHint.textContent = hint;
  canvas.setAttribute("aria-label", "No waveform");
}

/** @param {FileList | null} files */
function takeFiles(files) {
  const file = files?.[0];
  if (file) {
    stopRecording();
    void take({ sound: file, name: file.name });
  }
}

function stopRecording() {
  if (recording) {
    current.abort();
  }
}

/** @param {boolean} withKey */
function showCurl(withKey) {
  const header = withKey ? ' -H "Authorization: Bearer $KEY"' : "";
  curl.textContent = `curl${header} --data-binary @yes.wav ${api.address("classify")}`;
}

async function copyCurl() {
  try {
    await navigator.clipboard.writeText(curl.textContent ?? "");
    copyButton.textContent = "Copied";
  } catch {
    copyButton.textContent = "Not allowed";
  }
  setTimeout(() => (copyButton.textContent = "Copy"), 2000);
}

recordButton.addEventListener("click", () => (recording ? stopRecording() : void startRecording()));
document.addEventListener("keydown", (event) => event.key === "Escape" && stopRecording());
byId("choose").addEventListener("click", () => fileInput.click());
fileInput.addEventListener("change", () => {
  takeFiles(fileInput.files);
  fileInput.value = ""; // so that the same file can be chosen again
});
acceptDrops(byId("drop-veil"), takeFiles);
copyButton.hidden = !navigator.clipboard;
copyButton.addEventListener("click", () => void copyCurl());

api.key = rememberedKey();
showCurl(Boolean(api.key));
results.clear();
void models.load();
