// select[data-autosubmit] sends its form when changed; the form's own button is for pages without scripts.
for (const select of document.querySelectorAll("select[data-autosubmit]")) {
  const button = select.form?.querySelector("[data-autosubmit-button], button:not([type=button])");
  if (button) button.hidden = true;
  select.addEventListener("change", () => select.form.requestSubmit());
}
