// [data-count="#id"] says there, as [data-left="… {n}"], how many characters more it takes; aloud when few are left.
for (const box of document.querySelectorAll("[data-count]")) {
  const said = document.querySelector(box.dataset.count);
  if (!said) continue;
  const tell = () => {
    const n = box.maxLength - box.value.length;
    said.setAttribute("aria-live", n < 100 ? "polite" : "off");
    said.textContent = said.dataset.left.replace("{n}", n.toLocaleString(document.documentElement.lang));
    said.hidden = !box.value;
  };
  box.addEventListener("input", tell);
  addEventListener("pageshow", tell);
}
