"""The sink spoken to by swaks, the tool that many mail servers are tried with."""

import subprocess

import pytest

from b2b.certificates import Files
from tests.sink.correspondents import RunningSink, StartSink, free_port

pytestmark = pytest.mark.long


class Swaks:
    """Sends one mail at a time; the server must prove itself by our authority."""

    def __init__(self, sink: RunningSink, tls_port: int, files: Files) -> None:
        self.sink = sink
        self.tls_port = tls_port
        self._trusted = str(files.ca)

    def __call__(self, *options: str, port: int | None = None) -> str:
        """What client and server said. Raises CalledProcessError if the mail was not taken."""
        done = subprocess.run(
            [
                "swaks", "--server", "localhost", "--port", str(port or self.sink.port),
                "--ehlo", "tests", "--tls-verify", "--tls-ca-path", self._trusted,
                "--from", "john@woodgrove.example", "--to", "sam@contoso.example", *options,
            ],
            capture_output=True, text=True, encoding="utf-8", timeout=30, check=True,
        )  # fmt: skip
        return done.stdout


@pytest.fixture
def swaks(start_sink: StartSink, files: Files) -> Swaks:
    port = free_port()
    sink = start_sink(certificate=files.certificate, key=files.key, tls_port=port)
    return Swaks(sink, port, files)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_starttls_and_signing_in(swaks: Swaks, mechanism: str) -> None:
    said = swaks(
        "--tls", "--auth", mechanism, "--auth-user", "tester", "--auth-password", "hush-hush"
    )
    assert "TLS started" in said
    assert "235 2.7.0" in said
    (mail,) = swaks.sink.listed()
    assert (mail.username, mail.envelope_sender) == ("tester", "john@woodgrove.example")
    assert mail.envelope_recipients == ("sam@contoso.example",)


def test_tls_from_the_first_octet(swaks: Swaks) -> None:
    said = swaks("--tls-on-connect", "--header", "Subject: at once", port=swaks.tls_port)
    assert "STARTTLS" not in said
    assert [mail.subject for mail in swaks.sink.listed()] == ["at once"]


def test_international_addresses_and_words_in_a_group_of_commands(swaks: Swaks) -> None:
    """It writes the addresses of RFC 6531 as they are."""
    said = swaks(
        "--tls", "--pipeline",
        "--from", "zoë@woodgrove.example", "--to", "철수@예시.example",
        "--header", "Subject: 초대장", "--body", "안녕하세요\n.\n..끝",
    )  # fmt: skip
    assert "250-SMTPUTF8" in said
    (mail,) = swaks.sink.listed()
    assert mail.subject == "초대장"
    assert mail.envelope_sender == "zoë@woodgrove.example"
    assert mail.envelope_recipients == ("철수@예시.example",)
    source = swaks.sink.sources()[0].decode()
    assert "\r\n\r\n안녕하세요\r\n.\r\n..끝\r\n" in source


def test_an_authority_that_is_not_trusted_ends_the_attempt(
    swaks: Swaks, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = tmp_path_factory.mktemp("nobody")
    with pytest.raises(subprocess.CalledProcessError):
        swaks("--tls", "--tls-ca-path", str(empty))
    assert swaks.sink.listed() == ()
