/**
 * WAV files, as far as browsers differ on them: Chromium divides positive 16-bit samples by 32,767 and negative ones by
 * 32,768, others both by 32,768, and each resamples by a filter of its own. That is little, but enough for a spike.
 */

// "RIFF", "WAVE", "fmt " and "data" as numbers.
const [RIFF, WAVE, FMT, DATA] = [0x52494646, 0x57415645, 0x666d7420, 0x64617461];
const PCM = 1;

/**
 * @param {ArrayBuffer} bytes Of any file.
 * @returns {{rate: number, mono: Float32Array | null} | null} Rate in Hz, and of plain 16-bit samples the mean of the
 *   channels; null for what is no WAV file.
 */
export function readWav(bytes) {
  const view = new DataView(bytes);
  if (bytes.byteLength < 12 || view.getUint32(0) !== RIFF || view.getUint32(8) !== WAVE) return null;
  let format = null;
  for (let at = 12; at + 8 <= bytes.byteLength; ) {
    const [name, size, body] = [view.getUint32(at), view.getUint32(at + 4, true), at + 8];
    if (name === FMT && body + 16 <= bytes.byteLength) {
      format = {
        kind: view.getUint16(body, true),
        channels: view.getUint16(body + 2, true),
        rate: view.getUint32(body + 4, true),
        bits: view.getUint16(body + 14, true),
      };
    }
    if (name === DATA && format) {
      const { kind, channels, rate, bits } = format;
      if (kind !== PCM || bits !== 16 || !channels) return { rate, mono: null };
      // Who writes to a pipe does not know the size in advance.
      const count = Math.floor(Math.min(size, bytes.byteLength - body) / (2 * channels));
      return { rate, mono: mixed(view, body, count, channels) };
    }
    at = body + size + (size % 2);
  }
  return null;
}

/**
 * @param {DataView} view
 * @param {number} begin
 * @param {number} count Of samples of each channel.
 * @param {number} channels
 * @returns {Float32Array}
 */
function mixed(view, begin, count, channels) {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++) sum += view.getInt16(begin + 2 * (i * channels + channel), true);
    out[i] = sum / channels / 32_768;
  }
  return out;
}
