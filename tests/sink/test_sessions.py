"""Sessions with TLS, with signing in, and what is kept of them beside the mail."""

import base64
import json
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from b2b.certificates import Files
from b2b.sink import faults, refusals
from b2b.sink.faults import BadRule, Rule
from tests.sink.correspondents import Client, RunningSink, StartSink, free_port, until

MAIL = b"Subject: Hello\r\n\r\nGood morning.\r\n"


@pytest.fixture
def trusting(files: Files) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(files.ca))


@pytest.fixture
def secure(start_sink: StartSink, files: Files) -> RunningSink:
    return start_sink(certificate=files.certificate, key=files.key, tls_port=0)


class TestTls:
    def test_starttls_then_signing_in_then_an_international_mail(
        self, secure: RunningSink, trusting: ssl.SSLContext
    ) -> None:
        with smtplib.SMTP("localhost", secure.port, timeout=10) as client:
            client.ehlo()
            assert client.has_extn("starttls")
            assert client.starttls(context=trusting)[0] == 220
            client.ehlo()
            assert not client.has_extn("starttls")
            client.login("tester", "anything")
            client.sendmail(
                "zoë@woodgrove.example",
                ["철수@예시.example"],
                "Subject: 초대장\r\n\r\n안녕하세요\r\n".encode(),
                ["SMTPUTF8", "BODY=8BITMIME"],
            )
        (mail,) = secure.listed()
        assert (mail.subject, mail.username) == ("초대장", "tester")
        assert mail.envelope_recipients == ("철수@예시.example",)

    def test_tls_from_the_first_octet_on_a_port_of_its_own(
        self, start_sink: StartSink, files: Files, trusting: ssl.SSLContext
    ) -> None:
        port = free_port()
        sink = start_sink(certificate=files.certificate, key=files.key, tls_port=port)
        with smtplib.SMTP_SSL("localhost", port, timeout=10, context=trusting) as client:
            client.sendmail("a@b.example", ["c@d.example"], MAIL)
        assert sink.sources() == [MAIL]

    def test_what_follows_starttls_in_the_clear_is_never_taken_for_secured(
        self, secure: RunningSink
    ) -> None:
        """Commands that somebody on the way adds behind STARTTLS (RFC 3207 section 6)."""
        with secure.connect().greet() as client:
            client.send(b"STARTTLS\r\nMAIL FROM:<x@x.example>\r\n")
            assert client.reply().startswith("554 ")
            assert client.reply() == ""

    def test_what_was_said_before_tls_is_forgotten(
        self, secure: RunningSink, trusting: ssl.SSLContext
    ) -> None:
        with secure.connect().greet() as client:
            client.envelope()
            assert client.say("STARTTLS").startswith("220 ")
            with trusting.wrap_socket(client.socket, server_hostname="localhost") as wrapped:
                wrapped.sendall(b"RCPT TO:<late@contoso.example>\r\n")
                assert wrapped.recv(100).startswith(b"503 ")

    def test_a_handshake_that_fails_ends_the_connection_alone(self, secure: RunningSink) -> None:
        with secure.connect().greet() as client, secure.connect().greet() as other:
            assert client.say("STARTTLS").startswith("220 ")
            client.send(b"this is no handshake\r\n" * 20)
            assert client.file.read() is not None
            assert other.mail(MAIL).startswith("250 ")

    def test_without_a_certificate_nothing_is_offered(self, sink: RunningSink) -> None:
        with sink.connect() as client:
            client.reply()
            assert "STARTTLS" not in client.say("EHLO tests")
            assert client.say("STARTTLS")[0] == "5"
            assert client.mail(MAIL).startswith("250 ")


class TestSigningIn:
    def plain(self, name: str, password: str) -> str:
        return base64.b64encode(f"\0{name}\0{password}".encode()).decode()

    def test_anybody_may_where_no_users_are_named(self, sink: RunningSink) -> None:
        with sink.connect().greet() as client:
            assert client.say("AUTH LOGIN").startswith("334 ")
            assert client.say(base64.b64encode(b"sam").decode()).startswith("334 ")
            assert client.say(base64.b64encode(b"secret").decode()).startswith("235 ")
            assert client.mail(MAIL).startswith("250 ")
        assert sink.listed()[0].username == "sam"

    def test_only_those_named_may_where_some_are(
        self, start_sink: StartSink, tmp_path: Path
    ) -> None:
        users = tmp_path / "users"
        users.write_text("# who may\nsam:a long phrase\n\n")
        sink = start_sink(users_file=users)
        with sink.connect().greet() as client:
            assert client.say("MAIL FROM:<a@b.example>").startswith("530 ")
            for name, password in (("sam", "wrong"), ("max", "a long phrase"), ("max", "")):
                assert client.say(f"AUTH PLAIN {self.plain(name, password)}").startswith("535 ")
            assert client.say("AUTH PLAIN !!!")[0] == "5"
            assert client.say(f"AUTH PLAIN {self.plain('sam', 'a long phrase')}")[:3] == "235"
            assert client.mail(MAIL).startswith("250 ")
            assert client.say(f"AUTH PLAIN {self.plain('sam', 'x')}").startswith("503 ")

    def test_guessing_ends_the_connection(self, start_sink: StartSink, tmp_path: Path) -> None:
        users = tmp_path / "users"
        users.write_text("sam:a long phrase\n")
        sink = start_sink(users_file=users)
        with sink.connect().greet() as client:
            for _ in range(5):
                assert client.say(f"AUTH PLAIN {self.plain('sam', 'guess')}").startswith("535 ")
            assert client.reply().startswith("421 ")
            assert client.reply() == ""

    def test_no_password_is_kept(self, sink: RunningSink) -> None:
        with sink.connect().greet() as client:
            client.say("AUTH LOGIN")
            client.say(base64.b64encode(b"sam").decode())
            client.say(base64.b64encode(b"hush-hush").decode())
            client.mail(MAIL)
        talk = sink.store.conversation(sink.listed()[0].id) or ""
        assert "AUTH LOGIN" in talk
        assert base64.b64encode(b"hush-hush").decode() not in talk
        assert "hush" not in talk


class TestConversation:
    def test_each_mail_has_its_own_and_how_the_connection_began(self, sink: RunningSink) -> None:
        with sink.connect().greet() as client:
            client.mail(MAIL, "sam@contoso.example")
            client.mail(MAIL, "otto@contoso.example")
        second, first = sink.listed()
        assert sink.store.conversation(first.id) == "\n".join(
            (
                "S: 220 localhost ESMTP",
                "C: EHLO tests",
                "S: 250-localhost\r\n250-SIZE 10485760\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
                "250-PIPELINING\r\n250-AUTH LOGIN PLAIN\r\n250 HELP",
                "C: MAIL FROM:<john@woodgrove.example>",
                "S: 250 OK",
                "C: RCPT TO:<sam@contoso.example>",
                "S: 250 OK",
                "C: DATA",
                "S: 354 End data with <CR><LF>.<CR><LF>",
                "C: (36 octets)",
                f"S: 250 2.0.0 Ok: queued as {first.id}",
            )
        )
        talk = sink.store.conversation(second.id) or ""
        assert "C: EHLO tests" in talk
        assert "otto@" in talk
        assert "sam@" not in talk
        assert sink.store.conversation("missing") is None

    def test_an_endless_conversation_is_cut(self, sink: RunningSink) -> None:
        with sink.connect().greet() as client:
            client.send(b"NOOP " + b"x" * 1_000 + b"\r\n" + b"NOOP\r\n" * 3_000)
            for _ in range(3_001):
                client.reply()
            client.mail(MAIL)
        assert len(sink.store.conversation(sink.listed()[0].id) or "") < 20_000


class TestRefused:
    def refused(self, sink: RunningSink, count: int = 1) -> list[refusals.Refusal]:
        return until(lambda: found if len(found := refusals.newest(sink.store)) >= count else [])

    def test_a_mail_with_a_bare_line_end_is_kept_apart_with_its_reason(
        self, sink: RunningSink
    ) -> None:
        with sink.connect().greet() as client:
            client.envelope("sam@contoso.example")
            reply = client.data(b"Subject: bare\r\n\r\none\ntwo\r\n.\r\n")
        assert reply.startswith("554 5.6.0")
        (kept,) = self.refused(sink)
        assert (kept.stage, kept.reply, kept.subject) == ("content", reply, "bare")
        assert (kept.sender, kept.recipients) == ("john@woodgrove.example", ["sam@contoso.example"])
        whole = refusals.get(sink.store, kept.id)
        assert whole is not None
        assert whole.source == b"Subject: bare\r\n\r\none\ntwo\r\n"
        assert whole.conversation.endswith(f"S: {reply}")
        assert sink.listed() == ()
        assert sink.store.counters().refused_ever == 1
        assert refusals.get(sink.store, kept.id + 1) is None
        refusals.clear(sink.store)
        assert refusals.newest(sink.store) == []

    def test_a_mail_that_is_too_large_is_cut(self, start_sink: StartSink) -> None:
        sink = start_sink(max_message_bytes=200_000)
        with sink.connect().greet() as client:
            assert client.mail(b"x" * 998 + b"\r\n" + b"y" * 201_000 + b"\r\n")[:3] == "552"
            assert client.say("MAIL FROM:<a@b.example> SIZE=200001")[:3] == "552"
            assert client.mail(MAIL).startswith("250 ")
        early, late = self.refused(sink, 2)
        assert (early.stage, early.size) == ("mail", 0)
        whole = refusals.get(sink.store, late.id)
        assert whole is not None
        assert whole.source is not None
        assert len(whole.source) == 64 * 1024
        assert whole.size == 202_005

    def test_a_flood_of_refusals_stays_small(self, sink: RunningSink) -> None:
        """SMTP-2: they are counted, and the newest kept."""
        with sink.connect().greet() as client:
            for _ in range(300):
                client.envelope()
                client.data(b"bare\n\r\n.\r\n")
        until(lambda: sink.store.counters().refused_ever == 300)
        assert 1 <= len(refusals.newest(sink.store, limit=1_000)) <= refusals.KEPT


class TestFaults:
    """Each rule is set as the page and the API set it, and met by the next mail."""

    @pytest.fixture
    def commit(self, sink: RunningSink) -> Callable[..., None]:
        def commit(*rules: Rule) -> None:
            # On a busy machine half a second may be too short; then the same is said once more.
            until(lambda: faults.replace(sink.store, "api", rules))

        return commit

    def test_without_rules_nothing_happens(self, sink: RunningSink) -> None:
        with sink.connect().greet() as client:
            assert client.mail(MAIL).startswith("250 ")

    def test_a_recipient_is_refused_and_the_others_are_not(
        self, sink: RunningSink, commit: Callable[..., None]
    ) -> None:
        commit(Rule("rcpt", "reject", recipient="*@full.example", code=452, words="4.2.2 Full"))
        with sink.connect().greet() as client:
            client.envelope("sam@contoso.example")
            assert client.say("RCPT TO:<Sam@FULL.example>") == "452 4.2.2 Full"
            assert client.say('RCPT TO:<"odd,one"@full.example>') == "452 4.2.2 Full"
            assert client.data(MAIL + b".\r\n").startswith("250 ")
        assert sink.listed()[0].envelope_recipients == ("sam@contoso.example",)
        commit()
        with sink.connect().greet() as client:
            assert client.mail(MAIL, "sam@full.example").startswith("250 ")

    @pytest.mark.parametrize(
        ("stage", "command"),
        [
            ("helo", "EHLO again"),
            ("auth", "AUTH PLAIN AGEAYg=="),
            ("mail", "MAIL FROM:<a@b.example>"),
            ("mail", 'MAIL FROM:<"a,b"@b.example>'),
            ("data", "DATA"),
        ],
    )
    def test_a_stage_is_refused(
        self, sink: RunningSink, commit: Callable[..., None], stage: str, command: str
    ) -> None:
        commit(Rule(stage, "reject", code=554))
        with sink.connect() as client:
            client.reply()
            client.say("HELO tests" if stage == "helo" else "EHLO tests")
            if stage == "data":
                client.envelope()
            assert client.say(command) == "554 5.0.0 Refused on purpose"

    def test_the_greeting_is_refused(self, sink: RunningSink, commit: Callable[..., None]) -> None:
        commit(Rule("connect", "reject", code=421, words="4.3.2 Not now"))
        with sink.connect() as client:
            assert client.reply() == "421 4.3.2 Not now"
            assert client.reply() == ""

    def test_a_content_is_refused_and_kept_apart(
        self, sink: RunningSink, commit: Callable[..., None]
    ) -> None:
        commit(Rule("content", "reject", sender="john@*", code=550, words="5.7.1 Spam"))
        with sink.connect().greet() as client:
            assert client.mail(MAIL) == "550 5.7.1 Spam"
            assert client.envelope(sender="adele@woodgrove.example").data(MAIL + b".\r\n")[0] == "2"
        (kept,) = until(lambda: refusals.newest(sink.store))
        assert kept.reply == "550 5.7.1 Spam"

    def test_a_delay_and_a_dropped_connection(
        self, sink: RunningSink, commit: Callable[..., None]
    ) -> None:
        commit(
            Rule("content", "delay", sender="john@*", milliseconds=300),
            Rule("content", "drop", sender="adele@*"),
        )
        with sink.connect().greet() as client:
            begun = time.monotonic()
            assert client.mail(MAIL).startswith("250 ")
            assert time.monotonic() - begun >= 0.3
            client.envelope(sender="adele@woodgrove.example")
            with pytest.raises((ConnectionError, AssertionError)):
                assert client.data(MAIL + b".\r\n")
        assert len(sink.listed()) == 1

    @staticmethod
    def steps(client: Client) -> Iterator[tuple[str, str]]:
        """Each stage of one mail with the reply to it; empty once the connection is closed."""
        commands = {
            "connect": "",
            "helo": "EHLO tests\r\n",
            "auth": "AUTH PLAIN AGEAYg==\r\n",
            "mail": "MAIL FROM:<a@b.example>\r\n",
            "rcpt": "RCPT TO:<c@d.example>\r\n",
            "data": "DATA\r\n",
            "content": "Subject: Hello\r\n\r\n.\r\n",
        }
        for stage, command in commands.items():
            try:
                client.send(command.encode())
                yield stage, client.reply()
            except ConnectionError:
                yield stage, ""

    @pytest.mark.long
    @pytest.mark.parametrize("stage", faults.STAGES)
    def test_a_connection_is_dropped_without_a_word_at_each_stage(
        self, sink: RunningSink, commit: Callable[..., None], stage: str
    ) -> None:
        commit(Rule(stage, "drop"))
        with sink.connect() as client:
            for at, reply in self.steps(client):
                if at == stage:
                    assert reply == ""
                    break
                assert reply[0] in "23"
        assert sink.listed() == ()
        commit()
        with sink.connect().greet() as client:
            assert client.mail(MAIL).startswith("250 ")

    @pytest.mark.long
    @pytest.mark.parametrize("stage", faults.STAGES)
    def test_each_stage_is_delayed_and_the_mail_comes_all_the_same(
        self, sink: RunningSink, commit: Callable[..., None], stage: str
    ) -> None:
        commit(Rule(stage, "delay", milliseconds=400))
        begun = time.monotonic()
        with sink.connect() as client:
            for at, reply in self.steps(client):
                assert reply[0] in "23"
                if at == stage:
                    assert time.monotonic() - begun >= 0.4
                begun = time.monotonic()
        assert [mail.subject for mail in sink.listed()] == ["Hello"]

    @pytest.mark.long
    @pytest.mark.parametrize("code", [421, 451, 550])
    @pytest.mark.parametrize("stage", faults.STAGES)
    def test_each_stage_is_refused_for_now_and_for_good(
        self, sink: RunningSink, commit: Callable[..., None], stage: str, code: int
    ) -> None:
        """421 ends the connection as well."""
        commit(Rule(stage, "reject", code=code, words=f"{code // 100}.3.0 On purpose"))
        with sink.connect() as client:
            for at, reply in self.steps(client):
                if at == stage:
                    assert reply == f"{code} {code // 100}.3.0 On purpose"
                    break
                assert reply[0] in "23"
            if code == 421:
                assert client.reply() == ""
        assert sink.listed() == ()

    def test_a_slow_link(self, sink: RunningSink, commit: Callable[..., None]) -> None:
        commit(Rule("data", "slow", bytes_per_second=20_000))
        with sink.connect().greet() as client:
            begun = time.monotonic()
            assert client.mail((b"x" * 98 + b"\r\n") * 100).startswith("250 ")
            assert 0.4 <= time.monotonic() - begun < 5

    def test_greylisting_lets_the_second_attempt_pass(
        self, sink: RunningSink, commit: Callable[..., None]
    ) -> None:
        commit(Rule("rcpt", "greylist", milliseconds=200))
        with sink.connect().greet() as client:
            client.say("MAIL FROM:<a@b.example>")
            assert client.say("RCPT TO:<sam@contoso.example>").startswith("451 4.7.1")
            until(lambda: client.say("RCPT TO:<sam@contoso.example>") == "250 OK")
            assert client.say("RCPT TO:<otto@contoso.example>").startswith("451 ")

    def test_a_share_hits_some(self, sink: RunningSink, commit: Callable[..., None]) -> None:
        commit(Rule("rcpt", "reject", percent=50))
        with sink.connect().greet() as client:
            client.say("MAIL FROM:<a@b.example>")
            hits = [client.say("RCPT TO:<c@d.example>")[0] == "4" for _ in range(100)]
        assert 15 < sum(hits) < 85
        commit(Rule("rcpt", "reject", percent=0))
        with sink.connect().greet() as client:
            client.envelope(*["c@d.example"] * 20)

    def test_rules_of_a_file_are_obeyed_from_the_start_and_others_stay(
        self, start_sink: StartSink, tmp_path: Path
    ) -> None:
        file = tmp_path / "faults.json"
        file.write_text(json.dumps([{"stage": "mail", "action": "reject", "code": 450}]))
        sink = start_sink(faults_file=file)
        with sink.connect().greet() as client:
            assert client.say("MAIL FROM:<a@b.example>").startswith("450 ")
        assert faults.replace(sink.store, "file", [])
        assert faults.rules(sink.store) == []

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"stage": "rcpt"}, "action"),
            ({"stage": "later", "action": "drop"}, "stage"),
            ({"stage": "mail", "action": "explode"}, "action"),
            ({"stage": "mail", "action": "reject", "code": 250}, "code"),
            ({"stage": "mail", "action": "reject", "code": True}, "code"),
            ({"stage": "mail", "action": "reject", "percent": 101}, "percent"),
            ({"stage": "mail", "action": "reject", "words": "two\r\nlines"}, "words"),
            ({"stage": "mail", "action": "reject", "recipient": "*"}, "recipient"),
            ({"stage": "auth", "action": "reject", "sender": "*"}, "sender"),
            ({"stage": "mail", "action": "delay"}, "milliseconds"),
            ({"stage": "data", "action": "slow"}, "bytes_per_second"),
            ({"stage": "data", "action": "greylist", "milliseconds": 5}, "stage"),
            ({"stage": "data", "action": "drop", "how": "hard"}, "how"),
            ({"stage": "data", "action": "drop", "sender": "a" * 321}, "sender"),
        ],
    )
    def test_a_rule_that_cannot_be_obeyed_is_named(
        self, given: dict[str, object], field: str
    ) -> None:
        with pytest.raises(BadRule) as refused:
            faults.checked(given)
        assert refused.value.field == field

    def test_a_hundred_rules_are_enough(self, sink: RunningSink) -> None:
        rule = Rule("mail", "drop", sender="nobody@nowhere.example")
        with pytest.raises(BadRule, match="at most 100"):
            faults.replace(sink.store, "api", [rule] * 101)
        assert faults.replace(sink.store, "page", [replace(rule, origin="page")] * 100)


def test_a_client_that_never_reads_costs_no_memory_and_is_let_go(start_sink: StartSink) -> None:
    """SMTP-3: answers that nobody reads stop the questions from being read."""
    sink = start_sink(idle_timeout=0.3)
    with Client(sink.port) as client:
        client.socket.settimeout(15)
        # A reset, a broken pipe or a time-out: it depends on the system.
        with pytest.raises(OSError):  # noqa: PT011
            client.socket.sendall(b"NOOP\r\n" * 3_000_000)
    with sink.connect().greet() as other:
        assert other.mail(MAIL).startswith("250 ")


def test_a_mail_dripping_in_by_single_octets_is_whole(sink: RunningSink) -> None:
    with sink.connect().greet() as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.envelope().say("DATA")
        for octet in b"Subject: drip\r\n\r\n..dot\r\n" + b"z" * 600 + b"\r\n.\r\n":
            client.send(bytes([octet]))
        assert client.reply().startswith("250 ")
    assert sink.sources() == [b"Subject: drip\r\n\r\n.dot\r\n" + b"z" * 600 + b"\r\n"]
