"""The sink on the wire: what it takes, what it refuses, and that the bytes stay as they were."""

import subprocess
import time
from collections.abc import Callable

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sink.correspondents import Client, RunningSink, SinkProcess, StartSink, until

MAIL = b"Subject: Hello\r\n\r\nGood morning.\r\n"
MIB = 1024 * 1024


def test_an_accepted_mail_is_listed_at_once_with_its_envelope(sink: RunningSink) -> None:
    with sink.connect().greet() as client:
        reply = client.mail(MAIL, "Sam@Contoso.example", "hidden@contoso.example")
    (mail,) = sink.listed()
    assert reply == f"250 2.0.0 Ok: queued as {mail.id}"
    assert mail.subject == "Hello"
    assert mail.envelope_sender == "john@woodgrove.example"
    assert mail.envelope_recipients == ("sam@contoso.example", "hidden@contoso.example")
    assert mail.size == len(MAIL)
    assert not mail.is_read
    assert sink.sources() == [MAIL]


def test_the_sink_announces_what_it_can_do(sink: RunningSink) -> None:
    with sink.connect() as client:
        assert client.reply().startswith("220 localhost")
        lines = {line[4:] for line in client.say("EHLO tests").splitlines()}
    assert {"SIZE 10485760", "8BITMIME", "SMTPUTF8"} <= lines


def test_international_addresses_and_content_are_kept(sink: RunningSink) -> None:
    content = "Subject: 초대장\r\nTo: 김철수 <철수@예시.example>\r\n\r\n안녕하세요\r\n".encode()
    with sink.connect().greet() as client:
        assert client.say("MAIL FROM:<zoë@woodgrove.example> SMTPUTF8 BODY=8BITMIME") == "250 OK"
        assert client.say("RCPT TO:<철수@예시.example>") == "250 OK"
        assert client.data(content + b".\r\n").startswith("250 ")
    (mail,) = sink.listed()
    assert mail.subject == "초대장"
    assert mail.to[0].name == "김철수"
    assert mail.envelope_sender == "zoë@woodgrove.example"
    assert mail.envelope_recipients == ("철수@예시.example",)


def test_a_bounce_has_an_empty_sender_and_needs_a_recipient(sink: RunningSink) -> None:
    with sink.connect().greet() as client:
        assert client.say("MAIL FROM:<>") == "250 OK"
        assert client.say("RCPT TO:<>").startswith("553 ")
        assert client.say("RCPT TO:<sam@contoso.example>") == "250 OK"
        assert client.data(MAIL + b".\r\n").startswith("250 ")
    assert sink.listed()[0].envelope_sender == ""


@pytest.mark.parametrize(
    "command",
    ["MAIL FROM:<a\x01b@c.example>", "MAIL FROM:<", "MAIL FROM:", "MAIL", "RCPT TO:<a@b>"],
)
def test_malformed_commands_are_refused_and_the_connection_lives(
    sink: RunningSink, command: str
) -> None:
    with sink.connect().greet() as client:
        assert client.say(command)[0] == "5"
        assert client.mail(MAIL).startswith("250 ")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lines=st.lists(
        st.one_of(
            st.sampled_from([b"", b".", b"..", b".a", b"...b", b"a.", b"\x00", b"\xff\xfe"]),
            st.binary(max_size=40).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")),
        ),
        max_size=12,
    ),
    cut=st.integers(1, 60),
)
def test_bytes_come_back_exactly_however_they_are_cut(
    sink: RunningSink, lines: list[bytes], cut: int
) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    stuffed = b"".join(b"." * line.startswith(b".") + line + b"\r\n" for line in lines)
    # The NOOP behind the end mark must not be swallowed.
    wire = stuffed + b".\r\nNOOP\r\n"
    with sink.connect().greet() as client:
        assert client.envelope().say("DATA").startswith("354 ")
        client.send(wire[:cut])
        client.send(wire[cut:])
        reply = client.reply()
        assert reply.startswith("250 2.0.0 Ok")
        assert client.reply() == "250 OK"
    assert sink.store.source(reply.rpartition(" ")[2]) == content


def test_commands_sent_all_at_once_are_answered_in_turn(sink: RunningSink) -> None:
    one = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n" + MAIL + b".\r\n"
    with sink.connect().greet() as client:
        client.send(one * 3 + b"QUIT\r\n")
        codes = [client.reply()[:3] for _ in range(13)]
    assert codes == ["250", "250", "354", "250"] * 3 + ["221"]
    assert sink.sources() == [MAIL] * 3


def test_a_client_that_closes_its_side_after_the_dot_still_gets_its_answer(
    sink: RunningSink,
) -> None:
    with sink.connect().greet() as client:
        client.envelope().say("DATA")
        client.send(MAIL + b".\r\n")
        client.socket.shutdown(1)
        assert client.reply().startswith("250 ")
        assert client.reply() == ""


ENDS = {
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CRLF.LF": b"\r\n.\n",
    "CR.CR": b"\r.\r",
    "CR.CRLF": b"\r.\r\n",
    "CRLF.CR": b"\r\n.\r",
    "LF.CR": b"\n.\r",
    "CR.LF": b"\r.\n",
    "CRLF NUL . CRLF": b"\r\n\x00.\r\n",
    "CRLF . NUL CRLF": b"\r\n.\x00\r\n",
    "CRCRLF.CRLF": b"\r\r\n.\r\n",
    "CRLF.CRCRLF": b"\r\n.\r\r\n",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_no_other_end_of_data_smuggles_a_second_mail(sink: RunningSink, end: bytes) -> None:
    """SMTP-1: with bare CR or LF nothing is kept; without, the second mail is text of the first."""
    second = b"MAIL FROM:<x@x.example>\r\nRCPT TO:<y@y.example>\r\nDATA\r\nSubject: two\r\n\r\n"
    with sink.connect().greet() as client:
        client.envelope().say("DATA")
        client.send(b"Subject: one\r\n\r\nfirst" + end + second + b"second\r\n.\r\nQUIT\r\n")
        replies = list(iter(client.reply, ""))
    assert len(sink.listed()) <= 1
    if end in (b"\r\n\x00.\r\n", b"\r\n.\x00\r\n"):
        assert [reply[:3] for reply in replies] == ["250", "221"]
    else:
        # A CR in front of the true end mark ends the first mail, which is refused for that CR.
        assert replies[0].startswith("554 5.6.0")
        assert not [mail for mail in sink.listed() if mail.subject == "one"]


def test_a_mail_over_the_limit_is_refused_and_the_connection_lives(start_sink: StartSink) -> None:
    """SMTP-2"""
    sink = start_sink(max_message_bytes=MIB)
    with sink.connect().greet() as client:
        assert client.say(f"MAIL FROM:<a@b.example> SIZE={MIB + 1}").startswith("552 ")
        assert client.mail(b"x" * (MIB - 1) + b"\r\n").startswith("552 ")
        assert client.mail(b"x" * (MIB - 2) + b"\r\n").startswith("250 ")
    assert [mail.size for mail in sink.listed()] == [MIB]


def push_endless_line(port: int, start: bytes, octets: int, look: Callable[[], None]) -> int:
    """Send ``octets`` without a line end, or until the sink hangs up; how many went out.

    ``look`` is called after each MiB.
    """
    sent = 0
    with Client(port).greet() as client:
        client.send(start)
        try:
            while sent < octets:
                client.send(b"x" * 65_536)
                sent += 65_536
                if sent % MIB == 0:
                    look()
        except ConnectionError:
            pass
    return sent


class Growth:
    """How much memory a process has taken since this was made, at most."""

    def __init__(self, sink: SinkProcess) -> None:
        self._process = psutil.Process(sink.process.pid)
        self._before = self._highest = self._process.memory_info().rss

    def look(self) -> None:
        self._highest = max(self._highest, self._process.memory_info().rss)

    @property
    def octets(self) -> int:
        self.look()
        return self._highest - self._before


IN_DATA = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"


def test_an_endless_line_is_cut_off_and_costs_no_memory(
    start_process: Callable[[str], SinkProcess], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SMTP-2: 256 MiB without a line end, in DATA and as a command."""
    url = f"sqlite:///{tmp_path_factory.mktemp('line')}/mail.sqlite3"
    sink = start_process(url)
    with Client(sink.port).greet() as client:
        assert client.mail(MAIL).startswith("250 ")
    growth = Growth(sink)
    for start in (IN_DATA, b"NOOP "):
        sent = push_endless_line(sink.port, start, 256 * MIB, growth.look)
        assert sent < 32 * MIB, "the sink went on reading"
    assert growth.octets < 32 * MIB
    with Client(sink.port).greet() as client:
        assert client.mail(MAIL).startswith("250 ")


@pytest.mark.long
def test_a_client_that_insists_on_its_endless_line_costs_no_memory_either(
    start_process: Callable[[str], SinkProcess], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SMTP-2: hung up on, it comes back with the rest until all 256 MiB have gone out."""
    url = f"sqlite:///{tmp_path_factory.mktemp('line')}/mail.sqlite3"
    sink = start_process(url)
    with Client(sink.port).greet() as client:
        assert client.mail(MAIL).startswith("250 ")
    growth = Growth(sink)
    left = 256 * MIB
    while left > 0:
        left -= push_endless_line(sink.port, IN_DATA, left, growth.look)
    assert growth.octets < 32 * MIB
    with Client(sink.port).greet() as client:
        assert client.mail(MAIL).startswith("250 ")


def test_mail_beyond_the_room_for_unfinished_mails_is_to_be_sent_again(
    start_sink: StartSink,
) -> None:
    """SMTP-2: many large mails at once."""
    sink = start_sink(max_held_bytes=MIB)
    with sink.connect().greet() as slow, sink.connect().greet() as other:
        slow.envelope().say("DATA")
        slow.send((b"x" * 998 + b"\r\n") * 900)

        def refused() -> bool:
            return other.mail((b"y" * 998 + b"\r\n") * 300).startswith("452 4.3.1")

        until(refused)
        slow.send(b".\r\n")
        assert slow.reply().startswith("250 ")
        assert other.mail((b"y" * 998 + b"\r\n") * 300).startswith("250 ")


def test_the_hundred_and_first_recipient_is_put_off(sink: RunningSink) -> None:
    people = [f"guest{number}@contoso.example" for number in range(100)]
    with sink.connect().greet() as client:
        client.envelope(*people)
        assert client.say("RCPT TO:<late@contoso.example>").startswith("452 ")
        assert client.data(MAIL + b".\r\n").startswith("250 ")
    assert sink.listed()[0].envelope_recipients == tuple(people)


def test_two_hundred_idle_connections_do_not_hold_up_a_mail(sink: RunningSink) -> None:
    """SMTP-3: at the cap the oldest connection without a transaction makes room."""
    idle = [sink.connect() for _ in range(200)]
    took = []
    for _ in range(3):  # the quickest counts: a busy machine may hold up one
        started = time.monotonic()
        with sink.connect().greet() as client:
            assert client.mail(MAIL).startswith("250 ")
        took.append(time.monotonic() - started)
    assert min(took) < 1
    assert len(sink.listed()) == 3
    assert idle[0].reply().startswith("220 ")
    assert idle[0].reply().startswith("421 ")
    assert idle[-1].reply().startswith("220 ")
    assert idle[-1].say("NOOP") == "250 OK"
    for connection in idle:
        connection.__exit__()


def test_a_transaction_is_not_pushed_out_by_newcomers(start_sink: StartSink) -> None:
    """SMTP-3"""
    sink = start_sink(max_connections=2)
    with sink.connect().greet() as first, sink.connect().greet() as second:
        first.envelope()
        second.envelope()
        with sink.connect() as third:
            assert third.reply().startswith("421 ")
        assert first.data(MAIL + b".\r\n").startswith("250 ")
        assert second.data(MAIL + b".\r\n").startswith("250 ")


def test_silence_ends_a_connection_and_a_drip_of_octets_ends_a_transaction(
    start_sink: StartSink,
) -> None:
    """SMTP-3: the idle limit counts octets within DATA, the limit of a transaction does not."""
    sink = start_sink(idle_timeout=0.5, transaction_timeout=1.5)
    with sink.connect().greet() as silent, sink.connect().greet() as dripping:
        dripping.envelope().say("DATA")
        started = time.monotonic()

        def closed() -> bool:
            if dripping.readable():
                return True
            dripping.send(b"x")
            return False

        until(closed)
        assert dripping.reply().startswith("421 4.4.2 Transaction")
        assert time.monotonic() - started > 1
        assert silent.reply().startswith("421 4.4.2 Idle")
    assert sink.listed() == ()


def test_a_second_sink_on_the_same_port_says_so_and_ends(
    sink: RunningSink,
    start_process: Callable[..., SinkProcess],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('second')}/mail.sqlite3"
    second = start_process(url, sink.port).process
    _, errors = second.communicate(timeout=20)
    assert second.returncode == 1
    assert f"Port {sink.port} on 127.0.0.1 is in use." in errors
    with sink.connect().greet() as client:
        assert client.mail(MAIL).startswith("250 ")


def test_stopping_finishes_the_mail_under_way_and_closes_the_rest(sink: RunningSink) -> None:
    """REL-10"""
    with sink.connect().greet() as busy, sink.connect().greet() as idle:
        busy.envelope().say("DATA")
        busy.send(MAIL)
        sink.stop.set()
        assert idle.reply().startswith("421 ")
        busy.send(b".\r\n")
        assert busy.reply().startswith("250 ")
        assert busy.reply().startswith("421 ")
    sink.thread.join(10)
    assert not sink.thread.is_alive()
    assert sink.sources() == [MAIL]


def test_sigterm_ends_the_program_without_an_error(
    start_process: Callable[[str], SinkProcess], tmp_path_factory: pytest.TempPathFactory
) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('term')}/mail.sqlite3"
    sink = start_process(url)
    sink.process.terminate()
    try:
        _, errors = sink.process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        pytest.fail("the sink did not end")
    assert sink.process.returncode == 0
    assert "Traceback" not in errors
