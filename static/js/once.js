// form[data-once]: while the first submit runs, a second is ignored and its button says that it is busy.
(() => {
  addEventListener("submit", event => {
    const form = event.target;
    const button = event.submitter;
    // A button with another target, such as a preview, leaves this page where it is.
    if (!form.matches("[data-once]") || button?.formTarget || event.defaultPrevented) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    if (!button) return;
    button.setAttribute("aria-busy", "true");
    if (!button.dataset.busy) return;
    const said = document.createElement("p");
    said.className = "sr";
    said.role = "status";
    form.append(said);
    said.textContent = button.dataset.busy;
  });
  // The Back button may bring the page as it was left.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("[data-sent]")) {
      delete form.dataset.sent;
      for (const busy of form.querySelectorAll("[aria-busy]")) busy.removeAttribute("aria-busy");
      form.querySelector(":scope > .sr[role=status]")?.remove();
    }
  });
})();
