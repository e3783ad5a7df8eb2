// The inbox by keyboard; /mail/keys says what each key does. Nothing happens while somebody types.
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]")) return;
  const rows = [...document.querySelectorAll(".mails [data-mail]")];
  const here = document.activeElement?.closest?.(".mails > li")?.querySelector("[data-mail]");
  const at = rows.indexOf(here ?? rows.find(row => row.hasAttribute("aria-current")));
  const reading = document.querySelector("[rel=next][href], [rel=prev][href], .who");
  const move = by => {
    const link = !here && reading && document.querySelector(by > 0 ? "a[rel=next][href]:not(.pager a)" : "a[rel=prev][href]");
    if (link) return link.click();
    const row = rows[Math.min(Math.max(at + by, 0), rows.length - 1)];
    row?.focus();
    row?.scrollIntoView({ block: "nearest" });
  };
  const press = selector => document.querySelector(selector)?.click();
  const tick = row => row?.closest("li").querySelector("input[type=checkbox]");
  const keys = {
    j: () => move(1),
    k: () => move(-1),
    x: () => tick(here)?.click(),
    d: () => {
      if (!document.querySelector(".mails input:checked") && here) tick(here).checked = true;
      if (document.querySelector(".mails input:checked")) press("#picked .btn--danger");
      else press(".pane .btn--danger");
    },
    z: () => press("[data-key=z]"),
    u: () => press(".pane .back"),
    c: () => press("[data-copy='#code-1']"),
    l: () => press("[data-copy='#link-1']"),
    "?": () => press("[data-keys-sheet]"),
  };
  if (!Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
});
