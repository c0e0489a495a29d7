// Tables that are sorted by the column whose title is pressed; those inside of `.sortable`.
"use strict";

/** What a cell is sorted by: its number, if it begins with one, or else its text; a dash comes last. */
function keyOf(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = Number.parseFloat(text.replaceAll(",", ""));
  return { missing: text === "-", number, text };
}

function compare(one, other) {
  if (one.missing || other.missing) return Number(one.missing) - Number(other.missing);
  if (Number.isNaN(one.number) || Number.isNaN(other.number)) return one.text.localeCompare(other.text);
  return one.number - other.number;
}

function sortBy(table, head, column) {
  const direction = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", direction);
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => ({ row, key: keyOf(row, column) }));
  keyed.sort((one, other) => {
    const order = compare(one.key, other.key);
    // What is not known stays below, in both directions.
    return direction === "descending" && !one.key.missing && !other.key.missing ? -order : order;
  });
  body.append(...keyed.map(({ row }) => row));
}

for (const table of document.querySelectorAll(".sortable table")) {
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, head, column));
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
  }
}
