// [data-copy="#id"] copies that element's text; data-copied holds the word said afterwards.
(() => {
  // Without HTTPS there is no clipboard object; selecting a hidden textarea still works there.
  const byHand = text => {
    const area = document.createElement("textarea");
    area.className = "sr";
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };
  const put = async text => {
    try { await navigator.clipboard.writeText(text); return true; } catch { return byHand(text); }
  };
  addEventListener("click", async event => {
    const button = event.target.closest("[data-copy]");
    const from = button && document.querySelector(button.dataset.copy);
    if (!from || button.dataset.before) return;
    const done = await put(from.textContent.trim());
    button.focus();
    const word = button.querySelector("[data-word]");
    if (!done || !word) return;
    button.dataset.before = word.textContent;
    word.textContent = button.dataset.copied;
    setTimeout(() => { word.textContent = button.dataset.before; delete button.dataset.before; }, 2000);
  });
})();
