/** Figures that the Python library has computed; `pytest tests/web_package` makes them and runs these tests. */

import { existsSync, readFileSync } from "node:fs";
import test from "node:test";

const folder = process.env.SNN_VOICE_CASES;

/**
 * A test that runs once for each case of a file; skipped where nobody has made it.
 *
 * @param {string} name Of the file.
 * @param {string} title
 * @param {(found: any) => void} check
 */
export function eachCase(name, title, check) {
  const path = `${folder}/${name}.json`;
  if (!folder || !existsSync(path)) {
    test(title, { skip: "pytest makes its cases" }, () => {});
    return;
  }
  JSON.parse(readFileSync(path, "utf8")).forEach((found, i) => test(`${title} ${i}`, () => check(found)));
}

/**
 * @param {string} name
 * @returns {Uint8Array | null} A file beside the cases.
 */
export function caseBytes(name) {
  return folder && existsSync(`${folder}/${name}`) ? new Uint8Array(readFileSync(`${folder}/${name}`)) : null;
}

/**
 * @param {ArrayLike<number>} found
 * @param {ArrayLike<number>} expected
 * @returns {number} Their largest difference.
 */
export function apart(found, expected) {
  if (found.length !== expected.length) throw new Error(`${found.length} values, not ${expected.length}`);
  return Array.prototype.reduce.call(found, (top, value, i) => Math.max(top, Math.abs(value - expected[i])), 0);
}
