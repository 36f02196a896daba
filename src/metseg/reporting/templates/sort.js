"use strict";
// Without scripts a table stays as it is written. Figures are sorted by the number they begin with, cells without one
// come last, and equal rows keep their order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      const words = head.classList.contains("words");
      const cell = (row) => row.cells[column].textContent.trim();
      const value = (row) => (words ? cell(row) : Number.parseFloat(cell(row)));
      const missing = (row) => (words ? cell(row) === "" : Number.isNaN(value(row)));
      const order = (one, other) => {
        if (missing(one) || missing(other)) return missing(one) - missing(other);
        const less = words ? value(one).localeCompare(value(other), "en", { numeric: true }) : value(one) - value(other);
        return descending ? -less : less;
      };
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      body.append(...[...body.rows].sort(order));
    });
  });
}
