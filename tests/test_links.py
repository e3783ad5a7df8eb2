"""Links: their form, how they are read back, and where a browser may be sent."""

from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest

from b2b import keys, links
from b2b.errors import Invalid

TENANT = UUID("11111111-2222-4333-8444-555555555555")
INVITATION = UUID("66666666-7777-4888-9999-aaaaaaaaaaaa")
LISTED = ["projects.woodgrove.example"]
SAME = "as it was sent"


@pytest.fixture(autouse=True)
def _own_address() -> None:
    ring = keys.Keyring.from_secrets(["a root key of forty characters for tests"])
    links.configure("http://localhost:5000", ring)


def genuine(**changed: str | None) -> str:
    """The inner link, with some parameters changed or left out."""
    values = {"tenant": str(TENANT), "user": str(INVITATION), "ticket": "t" * 43, "ver": "2.0"}
    kept = {name: value for name, value in (values | changed).items() if value is not None}
    return "http://localhost:5000/redeem/?" + "&".join(f"{k}={v}" for k, v in kept.items())


def test_an_invitation_link_has_the_two_step_form_of_the_real_service() -> None:
    """invitations.md, 5"""
    ring = links.keyring()
    link = links.redeem_url(TENANT, INVITATION, 1, ring.current_id)
    ticket = ring.ticket(ring.current_id, INVITATION, 1)
    assert len(ticket) == 43
    assert link == (
        "http://localhost:5000/redeem?rd=http%3a%2f%2flocalhost%3a5000%2fredeem%2f%3f"
        "tenant%3d11111111-2222-4333-8444-555555555555"
        "%26user%3d66666666-7777-4888-9999-aaaaaaaaaaaa"
        f"%26ticket%3d{ticket}%26ver%3d2.0"
    )


def test_a_link_is_read_back_to_what_it_was_made_from() -> None:
    ring = links.keyring()
    link = links.redeem_url(TENANT, INVITATION, 3, ring.current_id)
    rd = parse_qs(urlsplit(link).query)["rd"][0]
    assert links.parse_redeem(rd) == links.Ticket(
        TENANT, INVITATION, ring.ticket(ring.current_id, INVITATION, 3)
    )


@pytest.mark.parametrize(
    "rd",
    [
        "", "x", "/redeem/", "https://evil.example/",
        genuine().replace("localhost:5000", "evil.example"),
        genuine().replace("localhost:5000", "localhost:5000@evil.example"),
        genuine().replace("localhost:5000", "me@localhost:5000"),
        genuine().replace("localhost:5000", "localhost:5001"),
        genuine().replace("localhost:5000", "LOCALHOST.evil.example:5000"),
        genuine().replace("http:", "https:"),
        genuine().replace("http:", "javascript:"),
        genuine().removeprefix("http:"),
        genuine().replace("/redeem/", "/redeem"),
        genuine().replace("/redeem/", "/redeem/../redeem/"),
        genuine().replace("/redeem/", "/admin/"),
        genuine(tenant=None), genuine(user=None), genuine(ticket=None), genuine(ver=None),
        genuine(ver="1.0"), genuine(tenant="x"), genuine(user="x"),
        genuine(ticket="t" * 42), genuine(ticket="t" * 44), genuine(ticket="t" * 42 + "%00"),
        genuine(ticket="t" * 42 + "+"), genuine() + "&ticket=" + "u" * 43,
        genuine() + "&tenant=" + str(uuid4()), genuine() + "&a=1&b=2&c=3&d=4&e=5",
        genuine(ticket="t" * 42 + "\u00e9"), "http://[localhost:5000/redeem/?" + "x" * 100,
    ],
)  # fmt: skip
def test_whatever_is_not_a_link_of_this_installation_is_nothing(rd: str) -> None:
    """RED-1: read as data, never followed."""
    assert links.parse_redeem(rd) is None


def test_a_link_may_carry_what_a_mail_program_added() -> None:
    assert links.parse_redeem(genuine() + "&utm_source=mail") is not None


# (address, taken under "any https", taken under "listed hosts")
LANDING_PAGES: list[tuple[str, str | None, str | None]] = [
    ("https://projects.woodgrove.example/", SAME, SAME),
    ("https://projects.woodgrove.example", SAME, SAME),
    ("https://projects.woodgrove.example:8443/x", SAME, SAME),
    ("https://projects.woodgrove.example/?a=1&b=%2F#part", SAME, SAME),
    ("https://PROJECTS.WoodGrove.example/Path", *["https://projects.woodgrove.example/Path"] * 2),
    ("HTTPS://projects.woodgrove.example/", *["https://projects.woodgrove.example/"] * 2),
    ("https://other.example/", SAME, None),
    ("https://sub.projects.woodgrove.example/", SAME, None),
    ("https://evilprojects.woodgrove.example/", SAME, None),
    ("https://projects.woodgrove.example.evil.example/", SAME, None),
    ("https://xn--bcher-kva.example/", SAME, None),
    ("https://192.0.2.7/", SAME, None),
    ("https://[2001:db8::1]:8443/x", SAME, None),
    ("https://bücher.example/", None, None),
    ("http://other.example/", None, None),
    ("http://projects.woodgrove.example/", None, None),
    ("http://localhost:3000/app", SAME, None),
    ("http://127.0.0.1:3000/", SAME, None),
    ("http://[::1]:3000/", SAME, None),
    ("http://localhost:5000/myapps", SAME, SAME),
    ("http://127.1/", None, None),
    ("http://0x7f000001/", None, None),
    ("http://2130706433/", None, None),
    ("http://localhost.evil.example/", None, None),
    ("https://myapps.microsoft.com", SAME, SAME),
    ("http://myapps.microsoft.com/?tenantid=1", SAME, SAME),
    ("https://myapplications.microsoft.com/", SAME, SAME),
    ("https://portal.azure.com/#home", SAME, SAME),
    ("https://entra.microsoft.com/", SAME, SAME),
    ("https://myapps.microsoft.com.evil.example/", SAME, None),
    ("http://myapps.microsoft.com.evil.example/", None, None),
    ("javascript:alert(1)", None, None),
    ("JavaScript://projects.woodgrove.example/%0aalert(1)", None, None),
    ("data:text/html,<script>alert(1)</script>", None, None),
    ("vbscript:msgbox(1)", None, None),
    ("file:///etc/passwd", None, None),
    ("ftp://projects.woodgrove.example/", None, None),
    ("//evil.example/", None, None),
    ("///evil.example/", None, None),
    ("/myapps", None, None),
    ("https:\\\\evil.example\\", None, None),
    ("https:/\\evil.example", None, None),
    ("https:///evil.example", None, None),
    ("https:evil.example", None, None),
    ("https://", None, None),
    ("https://us@evil.example/", None, None),
    ("https://projects.woodgrove.example@evil.example/", None, None),
    ("https://projects.woodgrove.example:443@evil.example/", None, None),
    ("https://projects.woodgrove.example\\@evil.example/", None, None),
    ("https://evil.example:99999/", None, None),
    ("https://evil.example:x/", None, None),
    ("https://ev%69l.example/", None, None),
    ("https://good.example,evil.example/", None, None),
    ("https://evil_host.example/", None, None),
    ("https://../", None, None),
    ("https://-/", None, None),
    ("https://[evil]/", None, None),
    ("https://projects.woodgrove.example/\r\nSet-Cookie: a=b", None, None),
    ("https://projects.woodgrove.example/a b", None, None),
    ("https://projects.woodgrove.example/\x00", None, None),
    ("https://projects.woodgrove.example/\u2028", None, None),
    (" https://projects.woodgrove.example/", None, None),
    ("https://projects.woodgrove.example/" + "a" * 2048, None, None),
    ("", None, None),
]


@pytest.mark.parametrize(("url", "any_https", "listed"), LANDING_PAGES)
def test_a_landing_page_is_taken_or_refused_under_each_policy(
    url: str, any_https: str | None, listed: str | None
) -> None:
    """INV-2"""
    for expected, hosts in ((any_https, None), (listed, LISTED)):
        if expected is None:
            with pytest.raises(Invalid) as refused:
                links.landing_page(url, listed_hosts=hosts)
            assert refused.value.field == "redirect_url"
        else:
            taken = links.landing_page(url, listed_hosts=hosts)
            assert taken == (url if expected == SAME else expected)


@pytest.mark.parametrize(
    ("url", "goes_to"),
    [
        ("https://myapps.microsoft.com", f"http://localhost:5000/myapps?tenantid={TENANT}"),
        (
            "http://myapplications.microsoft.com/x",
            f"http://localhost:5000/myapps?tenantid={TENANT}",
        ),
        ("https://portal.azure.com/#x", "http://localhost:5000/admin"),
        ("https://entra.microsoft.com/", "http://localhost:5000/admin"),
        ("https://projects.woodgrove.example/", "https://projects.woodgrove.example/"),
    ],
)
def test_the_real_services_portals_lead_to_our_own_pages(url: str, goes_to: str) -> None:
    """INV-2, decisions.md, landing page"""
    assert links.destination(url, TENANT) == goes_to


@pytest.mark.parametrize("target", ["/", "/admin", "/admin/users?q=a&b=%2F", "/myapps#x"])
def test_a_path_of_this_installation_is_a_way_back(target: str) -> None:
    assert links.local_path(target) == target


@pytest.mark.parametrize(
    "target",
    [
        None, "", "admin", "//evil.example", "/\\evil.example", "\\\\evil.example",
        "https://evil.example/", "javascript:alert(1)", "/admin\r\nSet-Cookie: a=b", "/a b",
        "/a\\b", "/\x00", "/é", "/\u2028", "///evil.example", " /admin",
    ],
)  # fmt: skip
def test_anything_else_is_no_way_back(target: str | None) -> None:
    """INV-2, OIDC-1: no open redirect by `next`."""
    assert links.local_path(target) is None


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True),
     ("0.0.0.0", False), ("10.0.0.1", False), ("localhost.example", False), ("", False)],
)  # fmt: skip
def test_loopback_is_told_from_the_rest(host: str, loopback: bool) -> None:
    assert links.is_loopback(host) is loopback
