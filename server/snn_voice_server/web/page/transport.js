// @ts-check
/** How questions get to the service and back: sent with their progress told, and failures as sentences. */

import { Refusal } from "./refusal.js";

/** The service gives up much earlier; this is for a network that swallows what is sent, or the answer. */
const PATIENCE_MS = 90_000;

/**
 * A GET, or another question without a body.
 *
 * @param {URL} url
 * @param {Headers} headers
 * @param {string} [method]
 * @returns {Promise<Response>} Whatever its status.
 * @throws {Refusal | Error} It took too long; or the network failed.
 */
export async function get(url, headers, method = "GET") {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), PATIENCE_MS);
  try {
    return await fetch(url, { method, headers, cache: "no-store", signal: patience.signal });
  } catch (error) {
    throw patience.signal.aborted ? tooLong() : error;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * A POST of a sound. Not by `fetch`, which does not say how much has been sent.
 *
 * @param {URL} url
 * @param {Headers} headers
 * @param {ArrayBuffer} body
 * @param {AbortSignal} signal Ends it early.
 * @param {(share: number) => void} onSent How much is on its way, up to 1: then the service has it.
 * @returns {Promise<Response>} Whatever its status.
 * @throws {Refusal | Error} It took too long, counted from when something last moved; or the network failed.
 */
export function post(url, headers, body, signal, onSent) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    let timer = 0;
    const wait = () => {
      clearTimeout(timer);
      timer = window.setTimeout(() => {
        reject(tooLong());
        request.abort();
      }, PATIENCE_MS);
    };
    const abort = () => {
      reject(signal.reason);
      request.abort();
    };
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      wait();
      onSent(total ? loaded / total : 1);
    });
    request.upload.addEventListener("load", () => onSent(1));
    request.addEventListener("load", () => resolve(asResponse(request)));
    request.addEventListener("error", () => reject(new Error("the network failed")));
    request.addEventListener("loadend", () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    });
    signal.addEventListener("abort", abort);
    request.open("POST", url);
    headers.forEach((value, name) => request.setRequestHeader(name, value));
    request.responseType = "blob";
    wait();
    request.send(body);
  });
}

/**
 * @param {XMLHttpRequest} request One that has been answered.
 * @returns {Response}
 */
function asResponse(request) {
  const headers = new Headers();
  for (const line of request.getAllResponseHeaders().trim().split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon > 0) {
      headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
    }
  }
  return new Response(request.status === 204 ? null : request.response, { status: request.status, headers });
}

/** @returns {Refusal} */
function tooLong() {
  return new Refusal("The service took too long to answer.", "Try again in a moment.");
}

/**
 * @param {Response} response
 * @returns {Promise<any>} Its JSON.
 * @throws {Refusal} It is no success, or nothing that can be read.
 */
export async function parsed(response) {
  if (!response.ok) {
    throw await refusalOf(response);
  }
  try {
    return await response.json();
  } catch {
    throw unreadable();
  }
}

/** @returns {Refusal} */
export function unreadable() {
  return new Refusal("The service gave an answer that this page can't read.");
}

/**
 * @param {Response} response Not a success.
 * @returns {Promise<Refusal>} In the service's own words, where it has some.
 */
async function refusalOf(response) {
  const { status } = response;
  const retryAfter = [429, 503].includes(status) ? readRetryAfter(response.headers) : undefined;
  const error = await response.json().then(
    (body) => body?.error,
    () => undefined,
  );
  const details = { status, retryAfter, code: typeof error?.code === "string" ? error.code : "" };
  if (typeof error?.message === "string" && error.message) {
    return new Refusal(error.message, typeof error.hint === "string" ? error.hint : "", details);
  }
  // Not the service itself, but something before it: a proxy, say.
  const messages = new Map([
    [401, "This service asks for an API key."],
    [413, "The file is too large."],
    [429, "The service is busy."],
    [502, "The service does not answer."],
    [503, "The service is busy."],
    [504, "The service took too long to answer."],
  ]);
  const message = messages.get(status) ?? `The service answered with status ${status}.`;
  return new Refusal(message, status >= 500 ? "Try again in a moment." : "", details);
}

/**
 * @param {Headers} headers
 * @returns {number | undefined} Seconds; undefined where the header is missing or not legal.
 */
function readRetryAfter(headers) {
  const value = headers.get("Retry-After");
  if (!value) {
    return undefined;
  }
  const seconds = /^\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}

/**
 * @param {Headers} headers
 * @returns {Map<string, number>} Names and milliseconds, as in `decode;dur=0.4, queue;dur=1.2`.
 */
export function readServerTiming(headers) {
  const found = new Map();
  for (const entry of (headers.get("Server-Timing") ?? "").split(",")) {
    const [name, ...parameters] = entry.split(";").map((part) => part.trim());
    const duration = parameters.find((parameter) => /^dur=/i.test(parameter));
    const milliseconds = Number(duration?.slice(4).replaceAll('"', ""));
    if (name && duration && Number.isFinite(milliseconds)) {
      found.set(name, milliseconds);
    }
  }
  return found;
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}
