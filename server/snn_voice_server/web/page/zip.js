// @ts-check
/** Writes zip files whose contents are stored as they are: sound hardly shrinks. */

/** What a year ago or today is of no interest: 1 January 1980, so that the same clips are the same file. */
const DATE = 0x21;
/** Names are UTF-8. */
const FLAGS = 0x0800;
const VERSION = 20;
const LOCAL_BYTES = 30;
const LISTED_BYTES = 46;
const END_BYTES = 22;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) {
    value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  }
  return value;
});

/**
 * @param {{name: string, bytes: Uint8Array}[]} files Up to 65,535 of them, and 4 GB; `/` is between folders and names.
 * @returns {Blob} The zip.
 */
export function zip(files) {
  /** @type {BlobPart[]} */
  const parts = [];
  /** @type {BlobPart[]} */
  const list = [];
  let offset = 0;
  let listed = 0;
  for (const { name, bytes } of files) {
    const path = new TextEncoder().encode(name);
    // Version, flags, method, time, date, checksum, sizes, lengths of name and extra field.
    const fields = [VERSION, FLAGS, 0, 0, DATE, crc32(bytes), bytes.length, bytes.length, path.length, 0];
    const sizes = [2, 2, 2, 2, 2, 4, 4, 4, 2, 2];
    parts.push(record(LOCAL_BYTES, 0x04034b50, fields, sizes), path, bytes);
    // Before them, who made it; behind them, comment, disk, attributes of two kinds, where it is.
    const more = record(LISTED_BYTES, 0x02014b50, [VERSION, ...fields, 0, 0, 0, 0, offset], [2, ...sizes, 2, 2, 2, 4, 4]);
    list.push(more, path);
    offset += LOCAL_BYTES + path.length + bytes.length;
    listed += LISTED_BYTES + path.length;
  }
  const end = [0, 0, files.length, files.length, listed, offset, 0];
  return new Blob([...parts, ...list, record(END_BYTES, 0x06054b50, end, [2, 2, 2, 2, 4, 4, 2])], { type: "application/zip" });
}

/**
 * @param {number} length
 * @param {number} signature
 * @param {number[]} fields
 * @param {number[]} sizes Of each, in bytes.
 * @returns {Uint8Array<ArrayBuffer>}
 */
function record(length, signature, fields, sizes) {
  const view = new DataView(new ArrayBuffer(length));
  view.setUint32(0, signature, true);
  let at = 4;
  fields.forEach((value, index) => {
    if (sizes[index] === 2) {
      view.setUint16(at, value, true);
    } else {
      view.setUint32(at, value, true);
    }
    at += sizes[index];
  });
  return new Uint8Array(view.buffer);
}

/**
 * @param {Uint8Array} bytes
 * @returns {number}
 */
function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value = (value >>> 8) ^ TABLE[(value ^ byte) & 255];
  }
  return (value ^ 0xffffffff) >>> 0;
}
