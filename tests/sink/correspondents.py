"""What the sink's tests share: a client that speaks raw SMTP, letters, waiting to a deadline."""

import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from b2b.sink.store import Arrival, Store, Summary

ROOT = Path(__file__).parents[2]
T = TypeVar("T")


def until(question: Callable[[], T], *, seconds: float = 10) -> T:
    """The first true answer to ``question``, asked again and again until the deadline."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {seconds} s")
        time.sleep(0.005)
    return answer


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Client:
    """A raw connection: what is sent is exactly what is written in the test."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def reply(self) -> str:
        """One whole reply, its lines joined; empty when the connection is closed."""
        lines = []
        while line := self.file.readline():
            lines.append(line.decode().rstrip("\r\n"))
            if line[3:4] != b"-":
                break
        return "\n".join(lines)

    def say(self, command: str) -> str:
        self.send(command.encode() + b"\r\n")
        return self.reply()

    def greet(self) -> "Client":
        assert self.reply().startswith("220 ")
        assert self.say("EHLO tests").startswith("250-")
        return self

    def envelope(self, *recipients: str, sender: str = "john@woodgrove.example") -> "Client":
        assert self.say(f"MAIL FROM:<{sender}>") == "250 OK"
        for recipient in recipients or ("sam@contoso.example",):
            assert self.say(f"RCPT TO:<{recipient}>") == "250 OK"
        return self

    def data(self, wire: bytes) -> str:
        """Send ``wire`` (dots stuffed, end mark included) as DATA; the reply to it."""
        assert self.say("DATA").startswith("354 ")
        self.send(wire)
        return self.reply()

    def mail(self, content: bytes, *recipients: str) -> str:
        self.envelope(*recipients)
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        stuffed = b"." + stuffed if stuffed.startswith(b".") else stuffed
        return self.data(stuffed + b".\r\n")

    def readable(self) -> bool:
        return bool(select.select([self.socket], [], [], 0)[0])


@dataclass
class RunningSink:
    port: int
    store: Store
    thread: threading.Thread
    stop: threading.Event

    def connect(self) -> Client:
        return Client(self.port)

    def listed(self) -> tuple[Summary, ...]:
        return self.store.list(limit=1_000).messages

    def sources(self) -> list[bytes]:
        """All sources, oldest first."""
        return [self.store.source(mail.id) or b"" for mail in reversed(self.listed())]


StartSink = Callable[..., RunningSink]


@dataclass
class SinkProcess:
    process: subprocess.Popen[str]
    port: int


def letter(
    subject: str = "Hello",
    text: str = "Good morning.",
    *,
    to: str = "sam@contoso.example",
    sender: str = "John Doe <john@woodgrove.example>",
    envelope: tuple[str, ...] | None = None,
) -> Arrival:
    """A plain mail as it arrives."""
    source = (
        f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    )
    return Arrival("john@woodgrove.example", envelope or (to,), source.encode())


def add(store: Store, *letters: Arrival) -> list[str]:
    """Keep and index mails; their public ids."""
    ids = store.add(letters)
    while store.index():
        pass
    return ids
