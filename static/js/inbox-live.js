// [data-live] is the address of the inbox's socket: at whatever it says, the [data-poll] there looks at once.
// Where sockets are blocked, looking every two seconds goes on as before.
for (const place of document.querySelectorAll("[data-live]")) {
  const url = new URL(place.dataset.live, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  let wait = 1000;
  const connect = () => {
    let socket;
    try { socket = new WebSocket(url); } catch { return; }
    socket.onmessage = () => { wait = 1000; place.dispatchEvent(new Event("look")); };
    socket.onclose = () => { if (wait < 60000) setTimeout(connect, wait *= 2); };
    addEventListener("pagehide", () => { wait = 1e9; socket.close(); }, { once: true });
  };
  connect();
}
