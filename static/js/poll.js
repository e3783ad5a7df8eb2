// [data-poll="url"][data-every="ms"] replaces its content by the fragment found there, when it has changed.
// It rests while the tab is hidden and ends when the server answers anything but 200 or the fragment holds [data-done].
for (const place of document.querySelectorAll("[data-poll]")) {
  const every = Math.max(Number(place.dataset.every) || 5000, 1000);
  let last = place.innerHTML.trim();
  let timer;
  let over = false;
  if (!place.hasAttribute("aria-live")) place.setAttribute("aria-live", "polite");
  const ask = async () => {
    let answer;
    try {
      answer = await fetch(place.dataset.poll, { headers: { Accept: "text/html" }, cache: "no-store" });
    } catch { return wait(); /* the network may come back */ }
    if (answer.status !== 200 || answer.redirected) { over = true; return; }
    const text = (await answer.text()).trim();
    // What somebody is using right now stays; the next answer takes its place.
    if (text !== last && !place.contains(document.activeElement)) { last = text; place.innerHTML = text; }
    over = Boolean(place.querySelector("[data-done]"));
    wait();
  };
  const wait = () => {
    clearTimeout(timer);
    if (!over && !document.hidden) timer = setTimeout(ask, every);
  };
  document.addEventListener("visibilitychange", wait);
  wait();
}
