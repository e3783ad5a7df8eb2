// The inbox by keyboard; /mail/keys says what each key does. Nothing happens while somebody types.
// Back at the list, the row that was in hand is in hand again, or the one that took its place.
(() => {
  const PLACE = "inbox-place";
  const listed = () => [...document.querySelectorAll(".mails [data-mail]")];
  const tick = row => row?.closest("li").querySelector("input[type=checkbox]");
  const ticked = () => document.querySelector(".mails input:checked");
  const press = selector => selector && document.querySelector(selector)?.click();
  const take = row => { row?.focus(); row?.scrollIntoView({ block: "nearest" }); };

  const place = document.querySelector(".split--list") && sessionStorage.getItem(PLACE);
  if (place) {
    sessionStorage.removeItem(PLACE);
    const [id, at] = place.split(" ");
    const rows = listed();
    take(rows.find(row => row.dataset.mail === id) ?? rows[Math.min(at, rows.length - 1)]);
  }

  addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]")) return;
    const rows = listed();
    const here = document.activeElement?.closest?.(".mails > li")?.querySelector("[data-mail]");
    const row = here ?? rows.find(one => one.hasAttribute("aria-current"));
    const at = rows.indexOf(row);
    const move = by => {
      const link = !here && document.querySelector(by > 0 ? "a[rel=next][href]:not(.pager a)" : "a[rel=prev][href]");
      if (link) link.click();
      else take(rows[Math.min(Math.max(at + by, 0), rows.length - 1)]);
    };
    const leave = (selector, gone = 0) => {
      if (row) sessionStorage.setItem(PLACE, `${row.dataset.mail} ${at - gone}`);
      press(selector);
    };
    // With what is ticked, else with the row in hand, else with the message that is open.
    const act = (many, one, gone = 0) => {
      if (!ticked() && here) tick(here).checked = true;
      if (!ticked()) leave(one);
      else leave(many, gone && rows.slice(0, at).filter(above => tick(above).checked).length);
    };
    const keys = {
      j: () => move(1),
      k: () => move(-1),
      x: () => tick(here)?.click(),
      r: () => act("#picked [formaction*='/read']"),
      n: () => act("#picked [formaction*='/unread']", ".pane form[action*='/unread'] button"),
      d: () => act("#picked .btn--danger", ".pane .btn--danger", 1),
      z: () => leave("[data-key=z]"),
      u: () => leave(".pane .back"),
      c: () => press("[data-copy='#code-1']"),
      l: () => press("[data-copy='#link-1']"),
      "?": () => leave("[data-keys-sheet]"),
    };
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
})();
