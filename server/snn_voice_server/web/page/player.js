// @ts-check
/** Plays the clip, and tells how far it is. */

export class Player {
  /**
   * @param {HTMLButtonElement} button Plays and stops.
   * @param {HTMLElement} text The button's text.
   * @param {(share: number) => void} onProgress From 0 to 1; 0 also when it has ended.
   * @param {string} [name] What the button says while nothing is played.
   */
  constructor(button, text, onProgress, name = "Play the clip") {
    this.button = button;
    this.text = text;
    this.onProgress = onProgress;
    this.name = name;
    this.audio = new Audio();
    this.audio.addEventListener("ended", () => this.stop());
    button.addEventListener("click", () => (this.audio.paused ? this.play() : this.stop()));
  }

  /** @param {Blob | null} clip What to play; null takes the last one away. */
  load(clip) {
    this.stop();
    const old = this.audio.src;
    if (clip) {
      this.audio.src = URL.createObjectURL(clip);
    } else {
      this.audio.removeAttribute("src");
    }
    if (old) {
      URL.revokeObjectURL(old);
    }
    this.button.disabled = !clip;
  }

  async play() {
    try {
      await this.audio.play();
    } catch (error) {
      // Stopping before it has begun ends here too, and is no fault of the clip.
      if (error instanceof DOMException && error.name === "NotSupportedError") {
        this.button.disabled = true;
      }
      return;
    }
    this.#label(true);
    this.#follow();
  }

  stop() {
    this.audio.pause();
    if (this.audio.src) {
      this.audio.currentTime = 0;
    }
    this.#label(false);
    this.onProgress(0);
  }

  #follow() {
    if (!this.audio.paused) {
      this.onProgress(this.audio.currentTime / this.audio.duration || 0);
      requestAnimationFrame(() => this.#follow());
    }
  }

  /** @param {boolean} playing */
  #label(playing) {
    this.button.classList.toggle("playing", playing);
    this.text.textContent = playing ? "Stop" : this.name;
  }
}
