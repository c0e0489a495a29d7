// @ts-check
/** A canvas that is sharp on any screen, and drawn again where its size or the colours change. */

export class Drawing {
  /**
   * @param {HTMLCanvasElement} canvas Its size comes from its style.
   * @param {(context: CanvasRenderingContext2D, width: number, height: number, style: CSSStyleDeclaration) => void} draw
   *   Draws on an empty canvas, in the style sheet's pixels.
   */
  constructor(canvas, draw) {
    this.canvas = canvas;
    this.draw = draw;
    this.waiting = false;
    new ResizeObserver(() => this.redraw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  /** Once, with the browser's next picture, however often this is called before. */
  redraw() {
    if (!this.waiting) {
      this.waiting = true;
      requestAnimationFrame(() => {
        this.waiting = false;
        this.#now();
      });
    }
  }

  #now() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const context = this.canvas.getContext("2d");
    if (!context || !width || !height) {
      return;
    }
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    context.scale(ratio, ratio);
    this.draw(context, width, height, getComputedStyle(this.canvas));
  }
}
