#!/usr/bin/env node
/**
 * Lays what a page without a bundler needs into a folder: this package and ONNX Runtime Web, as `FOLDER/lib`.
 * The page names them in an import map; `examples/web_onnx` is one.
 */

import { cpSync, existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const WASM = "ort-wasm-simd-threaded.wasm";

/**
 * @param {string} problem
 * @returns {never}
 */
function refuse(problem) {
  console.error(`snn-voice-web: ${problem}`);
  process.exit(2);
}

const [folder, ...rest] = process.argv.slice(2);
if (!folder || folder.startsWith("-") || rest.length) refuse("usage: snn-voice-web FOLDER");
if (!existsSync(folder) || !statSync(folder).isDirectory()) refuse(`${folder} is no folder`);

let runtime;
try {
  runtime = fileURLToPath(import.meta.resolve("onnxruntime-web/wasm"));
} catch {
  refuse("onnxruntime-web is not installed; npm install");
}

const lib = join(folder, "lib");
rmSync(lib, { recursive: true, force: true }); // nothing of another version stays
mkdirSync(join(lib, "onnxruntime"), { recursive: true });
cpSync(fileURLToPath(new URL("../src", import.meta.url)), join(lib, "snn-voice"), { recursive: true });
// As .js: some hosts serve .mjs as what browsers do not run.
cpSync(runtime, join(lib, "onnxruntime", "ort.js"));
cpSync(join(dirname(runtime), WASM), join(lib, "onnxruntime", WASM));
console.log(`${lib}: snn-voice, onnxruntime`);
