"""A mail server that misbehaves on request: refuses, hangs or hangs up at any stage."""

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage

DROP = "hang up"
HANG = "say nothing"


class FaultServer:
    """Speaks just enough SMTP. `faults` maps a stage to what is answered there instead.

    Stages: banner, EHLO, HELO, STARTTLS, AUTH, MAIL, RCPT, `RCPT <address>`, DATA, `.` (the final
    dot), QUIT. Commands that come in groups are answered one by one.
    """

    def __init__(self) -> None:
        self.faults: dict[str, str] = {}
        self.extensions: list[str] = ["8BITMIME"]
        self.accepted: list[tuple[str, bytes]] = []
        self.connections = 0
        self.slowness = 0.0
        self.meanwhile: Callable[[str], None] = lambda recipient: None
        """Called with the recipient when a mail is taken, before that is said."""
        self.on_connection: Callable[[int], None] = lambda number: None
        self.stopped = threading.Event()
        owner = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, EOFError):
                    owner.serve(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 50

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def start(self) -> "FaultServer":
        self._thread.start()
        return self

    def stop(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def messages(self) -> list[EmailMessage]:
        """What was taken, parsed."""
        return [
            message_from_bytes(source, policy=policy.default)  # type: ignore[misc]
            for _, source in self.accepted
        ]

    def serve(self, peer: socketserver.StreamRequestHandler) -> None:
        """One connection."""
        self.connections += 1
        self.on_connection(self.connections)

        def say(default: str, *stages: str) -> bool:
            """Answer; whether it was the good answer."""
            answer = next((self.faults[stage] for stage in stages if stage in self.faults), default)
            if answer == HANG:
                self.stopped.wait(30)
            if answer in (DROP, HANG):
                raise EOFError
            peer.wfile.write(answer.encode() + b"\r\n")
            return answer[0] in "23"

        if not say("220 fault.example", "banner"):
            return
        recipient, is_welcome = "", True
        while line := peer.rfile.readline():
            words = line.decode("latin-1").strip()
            verb = words.split()[0].upper() if words else ""
            if verb == "EHLO":
                lines = ["fault.example", *self.extensions]
                say(
                    "\r\n".join(
                        f"250{' ' if number == len(lines) - 1 else '-'}{text}"
                        for number, text in enumerate(lines)
                    ),
                    "EHLO",
                )
            elif verb == "MAIL":
                is_welcome = say("250 ok", "MAIL")
            elif verb == "RCPT":
                recipient = words.partition("<")[2].partition(">")[0]
                good = "250 ok" if is_welcome else "503 5.5.1 no sender"
                is_welcome = say(good, f"RCPT {recipient}", "RCPT")
            elif verb == "DATA":
                if say("354 go on" if is_welcome else "503 5.5.1 no recipient", "DATA"):
                    source = b"".join(self._content(peer))
                    self.stopped.wait(self.slowness)
                    taken = self.faults.get(".", "250").startswith("2") or (
                        self.faults.get(".") == DROP
                    )
                    if taken:
                        self.accepted.append((recipient, source))
                        self.meanwhile(recipient)
                    say("250 taken", ".")
            elif verb == "QUIT":
                say("221 bye", "QUIT")
                return
            else:
                say("250 ok", verb)

    @staticmethod
    def _content(peer: socketserver.StreamRequestHandler) -> Iterator[bytes]:
        while (line := peer.rfile.readline()) != b".\r\n":
            if not line:
                raise EOFError  # without its end it is no mail (RFC 5321, 4.1.1.4)
            yield line[1:] if line.startswith(b"..") else line
