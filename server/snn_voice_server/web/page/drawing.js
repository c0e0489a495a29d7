// @ts-check
/** A canvas that is sharp on any screen, and drawn again where its size or the colours change. */

/** Of a tag, in pixels. */
const TAG = 22;

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

/**
 * A word on a coloured ground.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} middle
 * @param {number} bottom
 * @param {number} width At least; a longer word takes more.
 * @param {CSSStyleDeclaration} style
 */
export function drawTag(context, text, middle, bottom, width, style) {
  context.font = `600 13px ${style.fontFamily}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const size = Math.max(context.measureText(text).width + 14, width);
  context.fillStyle = style.getPropertyValue("--accent");
  context.beginPath();
  context.roundRect(middle - size / 2, bottom - TAG, size, TAG, 6);
  context.fill();
  context.fillStyle = style.getPropertyValue("--accent-ink");
  context.fillText(text, middle, bottom - TAG / 2 + 0.5);
}

/**
 * @param {string} colour As it stands in the style sheet: #rrggbb.
 * @returns {number[]} With full opacity.
 */
export function rgb(colour) {
  const value = Number.parseInt(colour.trim().slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255, 255];
}
