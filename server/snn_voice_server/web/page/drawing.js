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
    const size = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
    if (this.canvas.width !== size.width || this.canvas.height !== size.height) {
      Object.assign(this.canvas, size); // takes its time: not for each picture
    }
    context.save();
    context.clearRect(0, 0, size.width, size.height);
    context.scale(ratio, ratio);
    this.draw(context, width, height, getComputedStyle(this.canvas));
    context.restore();
  }
}
