// [data-poll="url"][data-every="ms"] replaces its content by the fragment found there, when it has changed.
// An ETag, first from [data-etag], spares both sides the rest. [data-title-count] in the fragment is the number
// in front of the page's title. It rests while the tab is hidden and ends when the server answers anything but
// 200 or 304, or the fragment holds [data-done]. <template data-part="id"> in it is for the element of that id,
// wherever on the page it is. What is ticked stays ticked. An event "look" at the place makes it look at once.
for (const place of document.querySelectorAll("[data-poll]")) {
  const every = Math.max(Number(place.dataset.every) || 5000, 1000);
  let last = place.innerHTML.trim();
  let tag = place.dataset.etag;
  let timer;
  let over = false;
  if (!place.hasAttribute("aria-live")) place.setAttribute("aria-live", "polite");
  const ask = async () => {
    let answer;
    const headers = { Accept: "text/html" };
    if (tag) headers["If-None-Match"] = tag;
    try {
      answer = await fetch(place.dataset.poll, { headers, cache: "no-store" });
    } catch { return wait(); /* the network may come back */ }
    if (answer.status === 304) return wait();
    if (answer.status !== 200 || answer.redirected) { over = true; return; }
    const text = (await answer.text()).trim();
    // What somebody is using right now stays; the next answer takes its place.
    if (!place.contains(document.activeElement)) {
      if (text !== last) {
        last = text;
        const ticked = new Set([...place.querySelectorAll("input:checked")].map(box => box.value));
        place.innerHTML = text;
        for (const box of place.querySelectorAll("input[type=checkbox]")) box.checked ||= ticked.has(box.value);
      }
      tag = answer.headers.get("ETag");
      for (const part of place.querySelectorAll("template[data-part]")) {
        const target = document.getElementById(part.dataset.part);
        if (!target || target.innerHTML === part.innerHTML) continue;
        if (target.contains(document.activeElement)) tag = null;
        else target.replaceChildren(part.content.cloneNode(true));
      }
      const count = place.querySelector("[data-title-count]")?.dataset.titleCount;
      if (count !== undefined) document.title = (count && `(${count}) `) + document.title.replace(/^\(\d+\) /, "");
    }
    over = Boolean(place.querySelector("[data-done]"));
    wait();
  };
  const wait = () => {
    clearTimeout(timer);
    if (!over && !document.hidden) timer = setTimeout(ask, every);
  };
  document.addEventListener("visibilitychange", wait);
  place.addEventListener("look", () => { clearTimeout(timer); if (!over && !document.hidden) ask(); });
  wait();
}
