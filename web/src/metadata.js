/**
 * The metadata of an ONNX file, which ONNX Runtime Web does not hand out: field 14 of the protobuf message
 * `ModelProto`, pairs of key (1) and value (2). Everything else is passed over.
 */

import { SnnVoiceError } from "./errors.js";

const METADATA = 14;

/**
 * @param {Uint8Array} bytes An ONNX file.
 * @returns {Record<string, string>} Its metadata; of a key that is there twice, the last.
 * @throws {SnnVoiceError} The bytes are no protobuf message.
 */
export function metadata(bytes) {
  const decoder = new TextDecoder();
  /** @type {Record<string, string>} */
  const found = Object.create(null);
  for (const [field, entry] of fields(bytes)) {
    if (field !== METADATA) continue;
    let [key, value] = ["", ""];
    for (const [part, text] of fields(entry)) {
      if (part === 1) key = decoder.decode(text);
      if (part === 2) value = decoder.decode(text);
    }
    found[key] = value;
  }
  return found;
}

/**
 * Number and content of each field of a message that is bytes; numbers are passed over.
 *
 * @param {Uint8Array} bytes
 * @returns {Generator<[number, Uint8Array]>}
 */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    // Factors, not shifts: lengths may need more than 31 bits.
    for (let factor = 1; factor < 2 ** 64; factor *= 128) {
      if (at >= bytes.length) throw damaged();
      const byte = bytes[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw damaged();
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const size = varint();
      if (size > bytes.length - at) throw damaged();
      yield [Math.floor(tag / 8), bytes.subarray(at, at + size)];
      at += size;
    } else throw damaged();
  }
  if (at > bytes.length) throw damaged();
}

function damaged() {
  return new SnnVoiceError("this is no ONNX file, or not a whole one", {
    code: "bad_model",
    hint: "`snn-voice export` writes one",
  });
}
