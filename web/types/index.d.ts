/** A word or another label, and its score. */
export interface Prediction {
  /** A word, or a class such as `_silence_`. */
  label: string;
  /** 0 to 1. */
  score: number;
}

/** The answer for one window of a longer clip; times in seconds. */
export interface WindowAnswer {
  start: number;
  end: number;
  /** Best first. */
  predictions: Prediction[];
}

/** A word that was said in sound that goes on; times in seconds from the first sample. */
export interface KeywordEvent {
  label: string;
  /** Its lowest share over the smoothing time, 0 to 1. */
  score: number;
  /** Where about the word begins. */
  start: number;
  /** Where about it ends. */
  end: number;
  /** When it was known: how much sound had to come. */
  time: number;
}

/** From which score on a word is taken for said. */
export interface Detection {
  threshold: number;
  thresholds: Record<string, number>;
  smoothing: number;
  refractory: number;
  hop: number;
}

/** What a model says of itself. */
export interface Facts {
  /** Whether the graph hears windows of sound, or one step of frames after the other. */
  kind: "windows" | "frames";
  name: string;
  architecture: string;
  license: string;
  labels: string[];
  /** In Hz. */
  sampleRate: number;
  /** Of a window. */
  numSamples: number;
  temperature: number;
  /** The model's operating point, or a careful one where it brings none. */
  detection: Detection;
  /** What was measured, by name. */
  metrics: Record<string, unknown>;
  /** Of kind "frames" alone. */
  frames: FrameFacts | null;
}

export interface FrameFacts {
  framesPerStep: number;
  leadFrames: number;
  numSteps: number;
  stateSize: number;
  /** Whether a run of the network takes several steps. */
  atOnce: boolean;
  features: LogMelFacts;
}

/** A log-mel front end. */
export interface LogMelFacts {
  melRate: number;
  fftSize: number;
  winLength: number;
  hopLength: number;
  bands: number;
  fMin: number;
  fMax: number | null;
  logOffset: number;
  waveformMean: number;
  waveformStd: number;
  featureMean: number;
  featureStd: number;
  zeroBelow: number | null;
}

/**
 * Sound: mono samples (full scale is 1.0), what the browser has decoded, or a file that it can decode.
 * Several channels are averaged.
 */
export type Sound = Float32Array | AudioBuffer | Blob | ArrayBuffer;

export interface ClassifyOptions {
  /** At most so many, of those that the next two leave; 5 by default. */
  topK?: number;
  /** Words of at least this score only; by default every label. */
  minScore?: number | null;
  /** Labels that are words only; scores stay as they are. */
  wordsOnly?: boolean;
  /** Rate of a `Float32Array` in Hz; by default the model's. */
  sampleRate?: number;
}

export interface WindowOptions extends ClassifyOptions {
  /** Seconds between windows; 0.5 by default. */
  hop?: number;
}

export interface StreamOptions {
  /** Rate of the chunks in Hz; by default the model's. */
  sampleRate?: number;
  /** Words to listen for; by default all. */
  words?: Iterable<string> | null;
  /** Share from which on a word counts, above 0 to 1; an object has one for each of some words. */
  threshold?: number | Record<string, number> | null;
  /** Seconds between windows. */
  hop?: number | null;
  /** Seconds over which the share stays high. */
  smoothing?: number | null;
  /** Seconds after an event without another. */
  refractory?: number | null;
  /** Windows in which nothing is louder are silence, in dB of full scale; null for none. -70 by default. */
  gate?: number | null;
  /** Whether `scores` is to be told of every window; without, those are left out that can be in no event. */
  scores?: boolean;
}

export interface ListenOptions extends Omit<StreamOptions, "sampleRate" | "scores"> {
  /** Is called with each word. */
  onKeyword: (event: KeywordEvent) => void;
  /** Is called with the newest scores and the level in dB of full scale, for meters. */
  onScores?: (scores: Record<string, number>, level: number) => void;
  /** Is called where listening has ended by itself: the microphone was unplugged, the network failed. */
  onError?: (error: Error) => void;
  /** Listen to this instead of the microphone; its tracks stay open when listening stops. */
  stream?: MediaStream;
}

/** Listens to one stream of sound. How long the chunks are changes neither events nor scores. */
export interface VoiceStream {
  readonly sampleRate: number;
  /** Seconds between windows. */
  readonly hop: number;
  /** Of each word that is listened for. */
  readonly thresholds: Readonly<Record<string, number>>;
  /** The newest score of each label; all 0 before the first window is complete. */
  readonly scores: Record<string, number>;
  /** Of the newest sound, in dB of full scale; -120 for digital silence. */
  readonly level: number;
  /** How much sound has come, in seconds. */
  readonly seconds: number;
  /** Take the next chunk, of any length; the words that are known to be said now. */
  feed(samples: Float32Array | Int16Array): Promise<KeywordEvent[]>;
  /** End the stream as if silence followed; the last words. */
  flush(): Promise<KeywordEvent[]>;
  /** Begin anew. */
  reset(): Promise<void>;
}

export interface LoadOptions {
  /** ONNX Runtime Web, where it is not to be imported as `onnxruntime-web/wasm`. */
  ort?: typeof import("onnxruntime-web");
}

export declare class Voice {
  private constructor();
  /** Load a model that `snn-voice export` has written: where it is, or its bytes. */
  static load(source: string | URL | ArrayBuffer | Uint8Array, options?: LoadOptions): Promise<Voice>;
  readonly facts: Facts;
  readonly labels: string[];
  /** Those of the labels that are words. */
  readonly words: string[];
  /** In Hz. */
  readonly sampleRate: number;
  /** Best labels of a clip of any length, best first. */
  classify(sound: Sound, options?: ClassifyOptions): Promise<Prediction[]>;
  /** The answer for each window of a clip. */
  classifyWindows(sound: Sound, options?: WindowOptions): Promise<WindowAnswer[]>;
  /** Begin to listen to a stream of samples. */
  stream(options?: StreamOptions): VoiceStream;
  /** Listen to the microphone; gives the function that stops it. */
  listen(options: ListenOptions): Promise<() => Promise<void>>;
  /** Free the memory of the network. */
  close(): Promise<void>;
}

/** Every error that this package raises on purpose. */
export declare class SnnVoiceError extends Error {
  constructor(message: string, options?: { code?: string; hint?: string; cause?: unknown });
  /** Short and stable, for programs. */
  readonly code: string;
  /** What to do about it; empty where the message says it all. */
  readonly hint: string;
}

/** Mono samples at a rate, of what the browser has decoded or can decode. */
export declare function decode(sound: AudioBuffer | Blob | ArrayBuffer, sampleRate: number): Promise<Float32Array>;

/** Whether a label is a word, not a class such as `_silence_`. */
export declare function isWord(label: string): boolean;
