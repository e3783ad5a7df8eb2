// input[data-narrow="#list"] hides the rows of that list that do not hold what is typed; ticked ones stay. Its
// hidden parent is shown, and "#list-none" says so when nothing is left.
for (const box of document.querySelectorAll("[data-narrow]")) {
  const list = document.querySelector(box.dataset.narrow);
  const none = document.querySelector(`${box.dataset.narrow}-none`);
  if (!list) continue;
  const plain = text => text.normalize("NFKC").toLocaleLowerCase();
  box.parentElement.hidden = false;
  box.addEventListener("input", () => {
    const typed = plain(box.value.trim());
    let left = 0;
    for (const row of list.querySelectorAll(".check")) {
      row.hidden = !plain(row.textContent).includes(typed) && !row.querySelector(":checked");
      left += row.hidden ? 0 : 1;
    }
    if (none) none.textContent = left ? "" : none.dataset.none;
  });
  // Enter looks, it does not send the form around it.
  box.addEventListener("keydown", event => { if (event.key === "Enter") event.preventDefault(); });
}
