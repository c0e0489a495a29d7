// @ts-check
/** Writes WAV files, because what browsers record by themselves (WebM, MP4) the service does not read. */

const HEADER_BYTES = 44;

/**
 * A 16-bit PCM WAV file of one channel.
 *
 * @param {Float32Array} samples Between -1 and 1; what is beyond is cut off.
 * @param {number} sampleRate In Hz.
 * @returns {Blob} The file.
 */
export function encodeWav(samples, sampleRate) {
  const rate = Math.round(sampleRate);
  const dataBytes = samples.length * 2;
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + dataBytes));
  writeText(view, 0, "RIFF");
  view.setUint32(4, HEADER_BYTES - 8 + dataBytes, true);
  writeText(view, 8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of what follows up to "data"
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * 2, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a frame
  view.setUint16(34, 16, true); // bits a sample
  writeText(view, 36, "data");
  view.setUint32(40, dataBytes, true);
  samples.forEach((sample, index) => {
    const value = Math.max(-1, Math.min(1, sample));
    view.setInt16(HEADER_BYTES + index * 2, Math.round(value * 0x7fff), true);
  });
  return new Blob([view.buffer], { type: "audio/wav" });
}

/**
 * @param {DataView} view
 * @param {number} offset
 * @param {string} text ASCII.
 */
function writeText(view, offset, text) {
  for (let index = 0; index < text.length; index += 1) {
    view.setUint8(offset + index, text.charCodeAt(index));
  }
}
