// @ts-check
/** Clips that are heard as if they were spoken: in real time, one after the other. */

/** Of clips where there is no microphone, in Hz. */
const RATE = 16_000;

const TICK_MS = 20;

/** Who speaks word by word pauses so long after each. */
const PAUSE_S = 0.7;

export class Tape {
  /** @param {number} sampleRate Of clips and pieces. */
  constructor(sampleRate) {
    this.pause = Math.round(PAUSE_S * sampleRate);
    /** @type {{samples: Float32Array, onBegin: () => void}[]} */
    this.clips = [];
    this.at = 0;
  }

  /** Whether something is still to be heard. */
  get runs() {
    return this.clips.length > 0;
  }

  /**
   * @param {Float32Array} samples
   * @param {() => void} onBegin When its turn has come.
   */
  add(samples, onBegin) {
    const spoken = new Float32Array(samples.length + this.pause);
    spoken.set(samples);
    this.clips.push({ samples: spoken, onBegin });
  }

  /**
   * @param {Float32Array} piece What the microphone heard; while a clip is played, the clip takes its place.
   */
  fill(piece) {
    if (!this.runs) {
      return;
    }
    piece.fill(0);
    for (let filled = 0; this.runs && filled < piece.length; ) {
      const [{ samples, onBegin }] = this.clips;
      if (this.at === 0) {
        onBegin();
      }
      const part = samples.subarray(this.at, this.at + piece.length - filled);
      piece.set(part, filled);
      filled += part.length;
      this.at += part.length;
      if (this.at >= samples.length) {
        this.clips.shift();
        this.at = 0;
      }
    }
  }
}

/** Stands for a microphone where only clips are heard: silence, as fast as time goes. */
export class Silence {
  constructor() {
    this.sampleRate = RATE;
    this.timer = 0;
  }

  /** @param {(piece: Float32Array) => void} onPiece */
  listen(onPiece) {
    const begin = performance.now();
    let given = 0;
    this.timer = window.setInterval(() => {
      // By the clock: browsers let timers come late.
      const due = Math.floor(((performance.now() - begin) / 1000) * RATE);
      onPiece(new Float32Array(due - given));
      given = due;
    }, TICK_MS);
  }

  close() {
    clearInterval(this.timer);
  }
}
