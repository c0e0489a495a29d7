// Drop a file or press Listen, and the words appear. The sound never leaves the browser.

import { Voice, decode } from "@snn-voice/web";

const MOST_LINES = 12;
const MEANINGS = { _silence_: "(nobody speaks)", _unknown_: "(none of the words)" };
const [listen, file, level, state, heard, answer, about, words] = [
  ...["listen", "file", "level", "state", "heard", "answer", "about", "words"],
].map((id) => document.getElementById(id));

/** @type {Voice} */
let voice;
/** What ends the listening; null where nobody listens. @type {(() => Promise<void>) | null} */
let stop = null;

/** Run what a person asked for, and say what goes wrong. */
async function tried(work) {
  listen.disabled = file.disabled = true;
  try {
    say("");
    await work();
  } catch (error) {
    say(error.message, true);
  }
  listen.disabled = file.disabled = !voice;
}

function say(text, problem = false) {
  state.textContent = text;
  state.classList.toggle("problem", problem);
}

async function load(source) {
  say("Loading the model …");
  const before = voice;
  voice = await Voice.load(source);
  await before?.close();
  const { name, architecture } = voice.facts;
  about.hidden = false;
  about.firstElementChild.textContent = `${name || architecture} knows ${voice.words.length} words`;
  words.textContent = voice.words.join(", ");
  say("Press Listen and say one of the words below, or drop a sound file here.");
}

function show({ label, score, start }) {
  const line = document.createElement("li");
  const parts = { word: label, score: `${(100 * score).toFixed(0)} %`, when: `at ${start.toFixed(1)} s` };
  for (const [kind, text] of Object.entries(parts)) {
    const part = line.appendChild(document.createElement("span"));
    part.className = kind;
    part.textContent = text;
  }
  heard.prepend(line);
  heard.children[MOST_LINES]?.remove();
}

async function start() {
  heard.replaceChildren();
  answer.replaceChildren();
  stop = await voice.listen({
    onKeyword: show,
    onScores: (_, loudness) => (level.value = loudness),
    onError: (error) => {
      stop = null;
      quiet();
      say(error.message, true);
    },
  });
  listen.textContent = "Stop";
  listen.classList.add("on");
  level.hidden = false;
  say("Listening …");
}

function quiet() {
  listen.textContent = "Listen";
  listen.classList.remove("on");
  level.hidden = true;
}

async function finish() {
  const stopping = stop;
  stop = null;
  quiet();
  await stopping?.();
}

async function hear(sound) {
  await finish();
  if (sound.name.endsWith(".onnx")) return load(await sound.arrayBuffer());
  heard.replaceChildren();
  answer.replaceChildren();
  const samples = await decode(sound, voice.sampleRate);
  for (const { label, score } of await voice.classify(samples)) {
    const row = answer.insertRow();
    row.insertCell().textContent = MEANINGS[label] ?? label;
    row.insertCell().textContent = `${(100 * score).toFixed(1)} %`;
    const bar = document.createElement("meter");
    bar.value = score;
    row.insertCell().append(bar);
  }
  const seconds = samples.length / voice.sampleRate;
  say(`${sound.name}, ${seconds.toFixed(1)} s`);
  if (seconds < 1.5) return;
  const stream = voice.stream({ scores: false }); // in a longer one: which word comes when
  for (const event of [...(await stream.feed(samples)), ...(await stream.flush())]) show(event);
}

listen.addEventListener("click", () => tried(stop ? finish : start));
file.addEventListener("change", () => {
  const [chosen] = file.files;
  if (chosen) tried(() => hear(chosen));
  file.value = "";
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) document.body.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const [dropped] = event.dataTransfer.files;
  if (dropped && !listen.disabled) tried(() => hear(dropped));
});

await tried(() => load("model.onnx"));
