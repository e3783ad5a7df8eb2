"""How a project tests its invitations: the program runs beside it, nothing is mocked."""

from collections.abc import Iterator
from urllib.parse import urljoin

import httpx
import pytest

from b2b.testing import Clock, Faults, Mailbox, Program, Refused, Snapshots

NANCY = "nancy@proseware.example"


@pytest.fixture
def visitor(directory: Program) -> Iterator[httpx.Client]:
    """A browser without scripts, more or less."""
    with httpx.Client(base_url=directory.base_url, follow_redirects=True, trust_env=False) as made:
        yield made


def invite(directory: Program, address: str) -> None:
    """Invite somebody to WoodGrove, with a mail."""
    directory.load(
        f"""
        tenants:
          - domain: woodgrove.example
            guests:
              - {{address: {address}, inviter: john.doe@woodgrove.example, send: true}}
        """
    )


def test_the_program_starts_in_a_moment(b2b_program: Program) -> None:
    assert b2b_program.started_in < 10


def test_the_mail_leads_to_the_invitation(
    directory: Program, mailbox: Mailbox, visitor: httpx.Client
) -> None:
    invite(directory, NANCY)
    mail = mailbox.wait(to=NANCY)
    assert "WoodGrove" in mail.subject
    page = visitor.get(mail.link("Get Started"))
    assert "WoodGrove" in page.text


def test_somebody_accepts(directory: Program, mailbox: Mailbox) -> None:
    invite(directory, NANCY)
    told = directory.redeem(mailbox.wait(to=NANCY).link("Get Started"))
    assert told["externalUserState"] == "Accepted"
    with pytest.raises(Refused) as caught:
        directory.redeem(NANCY, tenant="WoodGrove")
    assert caught.value.status == 409


def test_an_invitation_expires(
    directory: Program, mailbox: Mailbox, visitor: httpx.Client, clock: Clock
) -> None:
    invite(directory, NANCY)
    link = mailbox.wait(to=NANCY).link("Get Started")
    clock.advance(days=31)
    assert "expired" in visitor.get(link).text
    clock.reset()
    assert "expired" not in visitor.get(link).text


def test_a_client_waits_when_it_is_told_to(directory: Program, faults: Faults) -> None:
    rule = faults.add("*/oauth2/v2.0/token", status=429, retry_after=1, times=1)
    daemon = directory.application("daemon")
    url = urljoin(directory.base_url, f"/{daemon['tenantId']}/oauth2/v2.0/token")
    form = {
        "grant_type": "client_credentials",
        "client_id": daemon["clientId"],
        "client_secret": daemon["clientSecret"],
        "scope": "https://graph.microsoft.com/.default",
    }
    first = httpx.post(url, data=form, trust_env=False)
    assert (first.status_code, first.headers["Retry-After"]) == (429, "1")
    assert httpx.post(url, data=form, trust_env=False).status_code == 200
    assert faults.hits(rule) == 1


def test_everything_is_back_after_a_snapshot(
    directory: Program, mailbox: Mailbox, snapshot: Snapshots
) -> None:
    snapshot.take("nobody")
    invite(directory, NANCY)
    mailbox.wait(to=NANCY)
    snapshot.restore("nobody")
    with pytest.raises(Refused):
        directory.redeem(NANCY, tenant="WoodGrove")


def test_each_test_begins_anew(directory: Program, mailbox: Mailbox) -> None:
    assert directory.settle()
    assert mailbox.all() == []
    with pytest.raises(Refused):
        directory.redeem(NANCY, tenant="WoodGrove")


def test_somebody_is_signed_in_without_a_password(
    directory: Program, visitor: httpx.Client
) -> None:
    cookie = directory.session_cookie("john.doe@woodgrove.example")
    visitor.cookies.set(cookie["name"], cookie["value"])
    assert "WoodGrove" in visitor.get("/admin").text
