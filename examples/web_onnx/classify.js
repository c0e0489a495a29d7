// A model exported by `snn-voice export --to onnx`, run by ONNX Runtime Web. Sound never leaves the browser.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1; // more need a page that is isolated from others (COOP and COEP headers)

/** Load a model; what it says of itself is in `facts`. */
export async function load(url) {
  const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
  const said = metadata(bytes);
  return {
    session: await ort.InferenceSession.create(bytes),
    labels: JSON.parse(said.labels),
    rate: Number(said.sample_rate),
    samples: Number(said.num_samples),
    facts: said,
  };
}

/** Words with their scores, best first, of mono samples at the model's rate; padded or cut to its window. */
export async function classify(model, samples) {
  const window = new Float32Array(model.samples);
  window.set(samples.subarray(0, model.samples));
  const waveforms = new ort.Tensor("float32", window, [1, model.samples]);
  const { scores } = await model.session.run({ waveforms });
  return model.labels
    .map((label, i) => ({ label, score: scores.data[i] }))
    .sort((a, b) => b.score - a.score);
}

/** The samples of a sound file, mono, at a rate; the browser decodes and resamples. */
export async function decode(file, rate) {
  const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
  const mono = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    sound.getChannelData(channel).forEach((value, i) => (mono[i] += value / sound.numberOfChannels));
  }
  return mono;
}

/** The metadata of an ONNX file, which the runtime does not hand out: field 14 of the protobuf message. */
function metadata(bytes) {
  const found = {};
  for (const [field, entry] of fields(bytes)) {
    if (field !== 14) continue;
    const pair = Object.fromEntries([...fields(entry)].map(([n, text]) => [n, new TextDecoder().decode(text)]));
    found[pair[1]] = pair[2] ?? "";
  }
  return found;
}

/** Number and content of each field of a protobuf message; numbers are passed over. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = bytes[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else {
      const size = varint();
      yield [Math.floor(tag / 8), bytes.subarray(at, at + size)];
      at += size;
    }
  }
}
