/** Runs on the audio thread: hands the microphone's samples over, about fifty times a second. */

const CHUNK = 1024;

class SampleTap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.chunk = new Float32Array(CHUNK);
    this.filled = 0;
  }

  /**
   * @param {Float32Array[][]} inputs Inputs, channels, samples; the node asks for one mixed channel.
   * @returns {boolean} Whether to go on.
   */
  process(inputs) {
    for (const sample of inputs[0][0] ?? []) {
      this.chunk[this.filled] = sample;
      this.filled += 1;
      if (this.filled === CHUNK) {
        this.port.postMessage(this.chunk, [this.chunk.buffer]);
        this.chunk = new Float32Array(CHUNK);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("sample-tap", SampleTap);
