/** Numbers as Python has them: single precision where NumPy computes in it, and its rounding. */

export const f32 = Math.fround;

/**
 * To the nearest whole number; halves to the even one, as Python's `round`.
 *
 * @param {number} value
 * @returns {number}
 */
export function roundEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

/**
 * @param {number} value Seconds.
 * @returns {number} To the microsecond.
 */
export function roundTime(value) {
  return Number(value.toFixed(6));
}

/**
 * @param {number} a
 * @param {number} b
 * @returns {number} Their largest common divisor.
 */
export function gcd(a, b) {
  while (b) [a, b] = [b, a % b];
  return a;
}
