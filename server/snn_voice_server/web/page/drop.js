// @ts-check
/** Files may be dropped anywhere on the page. */

/**
 * @param {HTMLElement} veil Shown while files hang over the page.
 * @param {(files: FileList) => void} onFiles
 */
export function acceptDrops(veil, onFiles) {
  document.addEventListener("dragover", (event) => {
    if (event.dataTransfer?.types.includes("Files")) {
      event.preventDefault();
      veil.hidden = false;
    }
  });
  document.addEventListener("dragleave", (event) => {
    // Going from one element of the page to another fires too; then there is a next one.
    if (!event.relatedTarget) {
      veil.hidden = true;
    }
  });
  document.addEventListener("drop", (event) => {
    veil.hidden = true;
    if (event.dataTransfer?.types.includes("Files")) {
      event.preventDefault(); // or the browser would open the file in place of the page
      onFiles(event.dataTransfer.files);
    }
  });
}
