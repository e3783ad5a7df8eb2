// Menus are <details class="menu">: close on Escape, on a click elsewhere, and when the focus moves on.
for (const kind of ["click", "focusin"])
  addEventListener(kind, event => {
    for (const menu of document.querySelectorAll("details.menu[open]"))
      if (!menu.contains(event.target)) menu.open = false;
  });
addEventListener("keydown", event => {
  if (event.key !== "Escape") return;
  const menu = document.activeElement?.closest("details.menu[open]");
  if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
});
