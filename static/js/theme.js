// Theme: remembers light, dark or the system's choice. Loaded in <head>, so that no page flashes.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  let kept = "";
  try { kept = localStorage.getItem("theme") ?? ""; } catch { /* storage may be off */ }
  const show = () => {
    if (kept) root.dataset.theme = kept; else delete root.dataset.theme;
    for (const button of document.querySelectorAll("[data-set-theme]"))
      button.setAttribute("aria-pressed", button.dataset.setTheme === kept);
  };
  show();
  addEventListener("DOMContentLoaded", show);
  addEventListener("click", event => {
    const choice = event.target.closest("[data-set-theme]");
    if (!choice) return;
    kept = choice.dataset.setTheme;
    show();
    try { localStorage.setItem("theme", kept); } catch { /* as above */ }
  });
})();
