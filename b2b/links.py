"""Every absolute address that leaves this program, built from BASE_URL and from nothing a request
says.
"""

import functools
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit
from uuid import UUID

from b2b.errors import N_, Invalid
from b2b.keys import Keyring

_OWN_PAGES = {
    "myapps.microsoft.com": "/myapps",
    "myapplications.microsoft.com": "/myapps",
    "portal.azure.com": "/admin",
    "entra.microsoft.com": "/admin",
}
"""Portal hosts of the real service, which lead to this installation's own pages (decisions.md)."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_IPV6 = re.compile(r"[0-9a-f:.]*:[0-9a-f:.]*")

_base_url = "http://localhost:5000"
_keyring: Keyring | None = None


def configure(base_url: str, keyring: Keyring) -> None:
    """Set the address of this installation and the keys that links are derived from."""
    global _base_url, _keyring
    _base_url = base_url.rstrip("/")
    _keyring = keyring


def keyring() -> Keyring:
    """The configured keys."""
    assert _keyring is not None, "links.configure() comes first"
    return _keyring


def absolute(path: str) -> str:
    """*path* on this installation."""
    return _base_url + path


@dataclass(frozen=True)
class Ticket:
    """What an invitation link says: which invitation, and the secret."""

    tenant_id: UUID
    invitation_id: UUID
    secret: str


def redeem_url(tenant_id: UUID, invitation_id: UUID, version: int, key_id: str) -> str:
    """The invitation link in the two-step form of invitations.md, section 5.

    The `user` parameter is the invitation's id, never the user's. Raises KeyError when the key is
    gone.
    """
    ticket = keyring().ticket(key_id, invitation_id, version)
    # Ids and tickets need no escaping themselves.
    return (
        f"{_base_url}/redeem?rd={_escaped(f'{_base_url}/redeem/?tenant=')}{tenant_id}"
        f"%26user%3d{invitation_id}%26ticket%3d{ticket}%26ver%3d2.0"
    )


@functools.lru_cache(16)
def _escaped(text: str) -> str:
    """*text* as a value in a query, in the small hexadecimal digits that the real links have."""
    return re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), quote(text, safe=""))


def block_url(tenant_id: UUID, invitation_id: UUID, *, at_once: bool = False) -> str:
    """Where the invited person blocks future invitations of a tenant (mail.md, section 5).

    *at_once* is the address for mail programs, whose POST alone does it (RFC 8058).
    """
    token = keyring().refusal(tenant_id, invitation_id)
    return (
        f"{_base_url}/invitations/block{'/at-once' if at_once else ''}"
        f"?tenant={tenant_id}&invitation={invitation_id}&token={token}"
    )


def parse_redeem(rd: str) -> Ticket | None:
    """Read the `rd` parameter as data; None for anything that is not a link of this installation.

    It is never followed (decisions.md, link form).
    """
    try:
        inner = urlsplit(rd)
        own = urlsplit(_base_url)
        if (inner.scheme, inner.netloc) != (own.scheme, own.netloc) or inner.path != "/redeem/":
            return None
        values = parse_qs(inner.query, strict_parsing=True, max_num_fields=8)
        (tenant,), (user,), (secret,) = values["tenant"], values["user"], values["ticket"]
        if values.get("ver") != ["2.0"] or not re.fullmatch(r"[A-Za-z0-9_-]{43}", secret):
            return None
        return Ticket(UUID(tenant), UUID(user), secret)
    except (ValueError, KeyError):
        return None


def landing_page(url: str, *, listed_hosts: list[str] | None = None) -> str:
    """Check a landing page and return it re-serialised (threats.md, INV-2).

    https only, http on loopback and for the portal hosts of the real service; no user info, control
    characters or backslashes. With *listed_hosts* only those hosts, and this installation itself.
    Raises Invalid("redirect_url").
    """
    refused = Invalid("redirect_url", N_("This address is not allowed as a landing page."))
    if not url or len(url) > 2048 or re.search(r"[\x00-\x20\x7f-\xa0\u2028\u2029\\]", url):
        raise refused
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise refused from error
    if not host or "@" in parts.netloc or not (_NAME.fullmatch(host) or _IPV6.fullmatch(host)):
        raise refused
    known = host in _OWN_PAGES or _is_own(parts.scheme, parts.netloc)
    if parts.scheme == "http":
        if not (known or is_loopback(host)):
            raise refused
    elif parts.scheme != "https":
        raise refused
    if listed_hosts is not None and not known and host not in listed_hosts:
        raise Invalid(
            "redirect_url", N_("%(host)s is not among the allowed landing pages."), host=host
        )
    netloc = f"[{host}]" if ":" in host else host
    if port is not None:
        netloc += f":{port}"
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, parts.fragment))


def is_loopback(host: str) -> bool:
    """Whether *host* names this machine: localhost or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_own(scheme: str, netloc: str) -> bool:
    own = urlsplit(_base_url)
    return (scheme, netloc) == (own.scheme, own.netloc)


def destination(url: str, tenant_id: UUID) -> str:
    """Where a browser really goes for a checked landing page: our own page for known portal
    hosts.
    """
    parts = urlsplit(url)
    own = _OWN_PAGES.get(parts.hostname or "")
    if own is not None:
        return absolute(f"{own}?tenantid={tenant_id}" if own == "/myapps" else own)
    return url


def local_path(target: str | None) -> str | None:
    """*target* if it is a plain path of this installation, else None: no open redirect from
    `next`.
    """
    if not target or not re.fullmatch(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*", target):
        return None
    return target
