/** Runs in the browser's audio thread: hands the microphone's samples over, mono, in pieces of about 20 ms. */

const PIECE = 1024;

class Listening extends AudioWorkletProcessor {
  #piece = new Float32Array(PIECE);
  #filled = 0;

  /**
   * @param {Float32Array[][]} inputs
   * @returns {boolean} Whether to go on.
   */
  process([channels]) {
    for (let i = 0; channels.length && i < channels[0].length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.#piece[this.#filled++] = sum / channels.length;
      if (this.#filled === PIECE) {
        this.port.postMessage(this.#piece, [this.#piece.buffer]);
        this.#piece = new Float32Array(PIECE);
        this.#filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("snn-voice-listening", Listening);
