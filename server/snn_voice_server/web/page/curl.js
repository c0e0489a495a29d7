// @ts-check
/** The lines for a terminal that ask what the page asks. */

/**
 * @param {URL} url Of /classify.
 * @param {{model: string, windows: boolean, withKey: boolean}} asked The model's name, or "" where there is one
 *   only; whether the sound is longer than one window; whether the service wants a key, which itself is not shown.
 * @returns {string}
 */
export function curlLine(url, { model, windows, withKey }) {
  const asked = new URL(url);
  if (model) {
    asked.searchParams.set("model", model);
  }
  if (windows) {
    asked.searchParams.set("windows", "true");
  }
  const address = asked.href.replaceAll("'", "%27");
  const header = withKey ? ' -H "Authorization: Bearer $KEY"' : "";
  // To a shell, ? and & mean something else.
  return `curl${header} --data-binary @yes.wav ${asked.search ? `'${address}'` : address}`;
}

/**
 * @param {URL} url Of /stream.
 * @param {{model: string, withKey: boolean}} asked As above.
 * @returns {string} For a clone of the project: curl can't speak WebSocket to and fro.
 */
export function streamLine(url, { model, withKey }) {
  const address = url.href.replace(/^http/, "ws").replaceAll("'", "%27");
  const options = `${model ? ` --model ${model}` : ""}${withKey ? ' --key "$KEY"' : ""}`;
  return `python examples/stream_client.py examples/yes.wav --url ${address}${options}`;
}

/**
 * @param {string} file Name of a zip of takes.
 * @param {string[]} words
 * @returns {string} What trains with it.
 */
export function teachLine(file, words) {
  const quoted = (/** @type {string} */ text) => (/^[\w.-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  const named = words.length ? words : ["lumos"];
  return `snn-voice teach ${named.map(quoted).join(" ")} --clips ${quoted(file)} --out runs/mine`;
}

export class CurlLine {
  /**
   * @param {HTMLElement} code
   * @param {HTMLButtonElement} button Copies it.
   * @param {(text: string) => void} speak
   */
  constructor(code, button, speak) {
    this.code = code;
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent ?? "");
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not allowed";
      }
      speak(button.textContent);
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
  }

  /** @param {string} text */
  show(text) {
    this.code.textContent = text;
  }
}
