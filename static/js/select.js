// table[data-select="#bar"]: the header checkbox selects the page. The bar is shown with a selection only, and its
// [data-selected="Selected: {n}"] says how many.
for (const table of document.querySelectorAll("[data-select]")) {
  const all = table.querySelector("thead input[type=checkbox]");
  const rows = [...table.querySelectorAll("tbody input[type=checkbox]")];
  const bar = document.querySelector(table.dataset.select);
  const said = bar?.querySelector("[data-selected]");
  const tell = () => {
    const n = rows.filter(row => row.checked).length;
    if (all) { all.checked = n > 0 && n === rows.length; all.indeterminate = n > 0 && n < rows.length; }
    if (bar) bar.hidden = n === 0;
    if (said) said.textContent = said.dataset.selected.replace("{n}", n.toLocaleString(document.documentElement.lang));
  };
  table.addEventListener("change", event => {
    if (event.target === all) for (const row of rows) row.checked = all.checked;
    tell();
  });
  // Going back restores the ticks after this script has run.
  addEventListener("pageshow", tell);
}
