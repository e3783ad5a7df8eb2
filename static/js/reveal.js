// button[data-reveal="#id"] shows and hides that password; it is hidden until this script runs.
for (const button of document.querySelectorAll("[data-reveal]")) {
  const input = document.querySelector(button.dataset.reveal);
  if (!input) continue;
  const turn = open => {
    input.type = open ? "text" : "password";
    button.textContent = open ? button.dataset.hide : button.dataset.show;
    button.setAttribute("aria-label", open ? button.dataset.hideLabel : button.dataset.showLabel);
  };
  button.hidden = false;
  turn(false);
  button.addEventListener("click", () => turn(input.type === "password"));
  // Browsers remember text fields, so the password is one again before it leaves.
  input.form?.addEventListener("submit", () => turn(false));
}
