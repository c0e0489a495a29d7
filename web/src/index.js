export { decode } from "./decoding.js";
export { SnnVoiceError } from "./errors.js";
export { isWord } from "./labels.js";
export { Voice } from "./voice.js";
