// A click on a heading sorts the table by that column, a second one the other way; cells without a number go last.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th"), body = heading.closest("table").tBodies[0];
    const down = heading.getAttribute("aria-sort") === "ascending", column = heading.cellIndex;
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => row.cells[column].dataset.v ?? "";
    const compare = (a, b) => a === "" || b === "" ? (a === "") - (b === "")
      : (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b) * (down ? -1 : 1);
    body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
  });
}
