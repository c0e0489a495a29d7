// @ts-check
/** Puts the page together: a clip comes in, is drawn, is sent, and its words are shown. */

import { Api } from "./api.js";
import { CurlLine, curlLine, streamLine, teachLine } from "./curl.js";
import { acceptDrops } from "./drop.js";
import { byId, LampButton } from "./elements.js";
import { KeyField, rememberedKey } from "./key.js";
import { Live } from "./live.js";
import { Models } from "./models.js";
import { Modes } from "./modes.js";
import { bringIntoView, Notice } from "./notice.js";
import { livePlaces, modelPlaces, resultPlaces, spikePlaces, stagePlaces, teachPlaces } from "./places.js";
import { Player } from "./player.js";
import { record } from "./recorder.js";
import { Refusal } from "./refusal.js";
import { Results } from "./results.js";
import { SpikePanel } from "./spikes.js";
import { sizeOf, Stage } from "./stage.js";
import { Teach } from "./teach.js";
import { stageOf, Waiting } from "./waiting.js";
import { decode } from "./waveform.js";
import { encodeWav } from "./wav.js";

const SECONDS = 2;

/** @typedef {import("./stage.js").Clip} Clip */

const notice = new Notice(byId("notice"));
const status = byId("status");
const recordButton = new LampButton(byId("record"), byId("record-text"));
const fileInput = byId("file", HTMLInputElement);
const takesInput = byId("teach-files", HTMLInputElement);
const answerBox = byId("answer");

/** @param {string} text Is said by a screen reader when it has time. */
const speak = (text) => void (status.textContent = text);

const api = new Api();
const curl = new CurlLine(byId("curl"), byId("copy", HTMLButtonElement), speak);
const stage = new Stage(stagePlaces);
const results = new Results(resultPlaces, speak);
const waiting = new Waiting((text) => results.wait(text), speak);
const player = new Player(byId("play", HTMLButtonElement), byId("play-text"), (share) =>
  stage.waveform.progress(share),
);
const keyField = new KeyField(byId("key-form", HTMLFormElement), byId("key", HTMLInputElement), {
  onKey: useKey,
  onProblem: tellProblem,
});
const models = new Models(api, modelPlaces, {
  onChange: changeModel,
  onKnown: () => (modes.name === "teach" ? teach.enter() : teach.known()),
  onLearned: () => live.learned(),
  onKeyWanted: askForKey,
});

const spikes = new SpikePanel(spikePlaces, { onShow: () => void showSpikes() });

const live = new Live(livePlaces, { api, models, speak, onProblem: tellProblem, onBegin: () => notice.tell("") });
const teach = new Teach(teachPlaces, {
  ...{ api, models, speak, onProblem: tellProblem, onBegin: () => notice.tell("") },
  onChange: () => showCurl(),
  onListen: (model) => void models.choose(model).then(() => modes.choose("live")),
});
const modes = new Modes(byId("modes"), changeMode);

/** @type {Clip | null} */
let lastClip = null;

/** Whether the service wants a key. */
let withKey = false;

/** Whether the last clip was longer than what the network hears at once. */
let isLong = false;

/** What is under way; a new clip takes the place of the old one. */
let current = new AbortController();

/** Of the recording that is under way. @type {AbortSignal | null} */
let recording = null;

/** @returns {AbortSignal} Of what begins now; what was before is over. */
function beginNew() {
  current.abort();
  current = new AbortController();
  waiting.end();
  return current.signal;
}

/**
 * @param {unknown} error
 * @param {() => void} [again] What may help in a moment, without a change.
 */
function tellProblem(error, again) {
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
  const passes = error.status === undefined || error.status === 429 || error.status >= 500;
  notice.tell(error.message, { hint: wantsKey ? "" : error.hint, problem: true, again: passes ? again : undefined });
}

function askForKey() {
  keyField.show(true);
  withKey = true;
  showCurl();
}

/** @param {string} key */
function useKey(key) {
  api.key = key;
  keyField.show(false);
  notice.tell("");
  void models.load();
  if (modes.name === "live") {
    live.again?.();
  } else if (modes.name === "clip") {
    classifyAgain();
  }
}

/** @param {string} mode */
function changeMode(mode) {
  stopRecording();
  player.stop();
  live.stop();
  teach.leave();
  notice.tell("");
  byId(`${mode}-slot`).append(byId("notice"), byId("key-form"));
  for (const head of document.querySelectorAll("[data-of]")) {
    head.toggleAttribute("hidden", !head.getAttribute("data-of")?.split(" ").includes(mode));
  }
  byId("drop-text").textContent = mode === "teach" ? "Let go to add it" : "Let go to hear it";
  showCurl();
  if (mode === "teach") {
    teach.enter();
  }
}

function changeModel() {
  showCurl();
  live.changed();
  if (modes.name === "clip") {
    classifyAgain();
  }
}

function classifyAgain() {
  showCurl();
  if (lastClip) {
    void classify(lastClip, beginNew());
  }
}

/** @param {Clip} clip */
async function take(clip) {
  const signal = beginNew();
  lastClip = clip;
  isLong = false;
  player.load(null);
  stage.show(clip, null, "");
  // Side by side: the answer need not wait for the picture, nor the other way round.
  const drawing = decode(clip.sound).then((picture) => {
    if (lastClip === clip) {
      stage.show(clip, picture, "No picture of this file");
      player.load(picture && clip.sound);
    }
  });
  await Promise.all([drawing, classify(clip, signal)]);
}

/**
 * @param {Clip} clip
 * @param {AbortSignal} signal
 */
async function classify(clip, signal) {
  results.clear("");
  spikes.clear();
  notice.tell("");
  document.body.classList.add("busy");
  speak("Listening to the clip");
  try {
    checkSize(clip.sound);
    const { away, name } = models;
    waiting.say(stageOf(1, away ? name : ""));
    const answer = await api.classify(clip.sound, {
      model: models.chosen,
      signal,
      onSent: (share) => !signal.aborted && waiting.say(stageOf(share, away ? name : "")),
      onWait: (why, seconds, begins) =>
        waiting.say(`${why} Trying again in ${seconds} s.`, { aloud: begins, timed: false }),
    });
    signal.throwIfAborted(); // another clip may have come together with the answer
    keyField.show(false);
    waiting.end();
    speak(results.show(answer, models.knows));
    isLong = answer.windows.length > 1;
    showCurl();
    bringIntoView(answerBox);
    if (away) {
      void models.list(); // by now it is loaded
    }
    void models.learning.then(() => {
      if (!signal.aborted && models.facts?.spikes !== false) {
        spikes.offer();
      }
    });
  } catch (error) {
    if (!signal.aborted) {
      waiting.end();
      results.clear();
      speak("");
      tellProblem(error, tryAgain);
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

function tryAgain() {
  answerBox.focus({ preventScroll: true }); // the button goes away, and the keyboard's place with it
  classifyAgain();
}

async function showSpikes() {
  const clip = lastClip;
  const { signal } = current; // a new clip takes this one's spikes with it
  if (!clip) {
    return;
  }
  speak(spikes.wait());
  try {
    const found = await api.spikes(clip.sound, {
      model: models.chosen,
      signal,
      onSent: () => {},
      onWait: (why, seconds) => void spikes.wait(`${why} Trying again in ${seconds} s.`),
    });
    signal.throwIfAborted();
    speak(spikes.showAll(found));
  } catch (error) {
    if (!signal.aborted) {
      speak(spikes.refuse(error));
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
    throw new Refusal(sizes, "Cut the sound, or save it as FLAC.", { status: 413 });
  }
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
  stage.clear("Your recording", "");
  recordButton.show("Waiting for the microphone", "opening");
  speak("Opening the microphone");
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
      speak("");
      stage.clear("No sound yet", "Drop a sound file here");
    }
    return;
  } finally {
    if (recording === signal) {
      recording = null;
      recordButton.show("Record two seconds", "");
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
  stage.waveform.show(samples, filled);
  // Once, not with every piece: a screen reader would say nothing else.
  if (!recordButton.isRunning) {
    speak("Speak now");
  }
  recordButton.show(`Speak now: ${((samples.length - filled) / sampleRate).toFixed(1)} s`, "running");
}

/** @param {FileList | null} files */
function takeFiles(files) {
  const file = files?.[0];
  if (files?.length && modes.name === "teach") {
    void teach.take([...files]);
  } else if (file && modes.name === "live") {
    void live.play(file);
  } else if (file) {
    stopRecording();
    void take({ sound: file, name: file.name });
  }
}

function stopRecording() {
  if (recording) {
    current.abort();
  }
}

function stopAll() {
  stopRecording();
  live.stop();
  teach.stop();
}

function showCurl() {
  const { name: model } = models;
  if (modes.name === "teach") {
    curl.show(teachLine(teach.fileName, teach.words));
    return;
  }
  if (modes.name === "live") {
    curl.show(streamLine(api.address("stream"), { model, withKey }));
    return;
  }
  curl.show(curlLine(api.address("classify"), { model, windows: isLong, withKey }));
}

recordButton.button.addEventListener("click", () => (recording ? stopRecording() : void startRecording()));
document.addEventListener("keydown", (event) => event.key === "Escape" && stopAll());
addEventListener("pagehide", () => stopAll());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    live.stop("It stopped when this page went out of sight.");
    teach.stop();
  }
});
byId("choose").addEventListener("click", () => fileInput.click());
byId("live-choose").addEventListener("click", () => fileInput.click());
byId("teach-choose").addEventListener("click", () => takesInput.click());
for (const input of [fileInput, takesInput]) {
  input.addEventListener("change", () => {
    takeFiles(input.files);
    input.value = ""; // so that the same file can be chosen again
  });
}
acceptDrops(byId("drop-veil"), takeFiles);

api.key = rememberedKey();
withKey = Boolean(api.key);
showCurl();
results.clear();
modes.start();
void models.load();
