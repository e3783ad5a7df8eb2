"""E-mail addresses: one parser for pages, API and files."""

import re
from dataclasses import dataclass

import idna
from email_validator import EmailNotValidError, validate_email

from b2b.errors import N_, Invalid
from b2b.models import fold

# invitations.md, section 3.
_REFUSED = set("~!#$%^&*()+=[]{}\\/|;:'\"<>?,`")
_FORBIDDEN = re.compile(
    r"[\x00-\x1f\x7f-\xa0\u2028\u2029\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)

# A domain that needs no library: letters, digits, inner hyphens, two labels at least, no A-label.
_PLAIN = re.compile(
    r"(?:(?!xn--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?!xn--)[a-z](?:[a-z0-9-]{0,61}[a-z0-9])",
    re.IGNORECASE,
)

# Providers where people keep personal addresses. Source: the providers' own sign-up pages; an
# installation adds its own by CONSUMER_DOMAINS (decisions.md, consumer domains).
CONSUMER_DOMAINS = frozenset(
    """
    aol.com daum.net fastmail.com gmail.com gmx.de gmx.net googlemail.com hanmail.net
    hotmail.com icloud.com kakao.com live.com mac.com mail.com me.com msn.com nate.com
    naver.com outlook.com outlook.kr pm.me proton.me protonmail.com qq.com t-online.de
    web.de yahoo.co.jp yahoo.com yahoo.co.uk yandex.com ymail.com zoho.com 126.com 163.com
    """.split()  # noqa: SIM905 - a list to read
)


@dataclass(frozen=True)
class Address:
    """One mailbox. `text` as people read it, `wire` as SMTP carries it, `key` for comparing."""

    local: str
    domain: str
    """A-labels, lower case."""

    @property
    def text(self) -> str:
        """With the domain in Unicode."""
        return in_unicode(self.wire)

    @property
    def wire(self) -> str:
        """With the domain in A-labels."""
        return f"{self.local}@{self.domain}"

    @property
    def key(self) -> str:
        """Folded: two addresses are the same mailbox when their keys are equal."""
        return f"{fold(self.local)}@{self.domain}"

    @property
    def masked(self) -> str:
        """For pages before sign-in: first and last letter of the local part, the domain's
        initial.
        """
        ends = self.local if len(self.local) < 3 else f"{self.local[0]}•••{self.local[-1]}"
        if len(self.local) < 3:
            ends = f"{self.local[0]}•••"
        name, _, rest = self.text.rpartition("@")[2].partition(".")
        return f"{ends}@{name[0]}•••.{rest.rpartition('.')[2]}"


def in_unicode(wire: str) -> str:
    """An address with its domain as people read it."""
    if "xn--" not in wire:
        return wire
    local, _, domain = wire.rpartition("@")
    try:
        return f"{local}@{idna.decode(domain)}"
    except idna.IDNAError:
        return wire


def parse(text: str, *, field: str = "address", rules: str = "reference") -> Address:
    """Read exactly one address (invitations.md, section 3; threats.md, INV-1).

    *rules*: `reference` refuses the characters that the real service refuses, naming the first one;
    `rfc` takes what RFC 5321 takes. Domains may be written in Unicode. Raises Invalid(field).
    """
    text = text.strip(" \t\r\n")
    one = Invalid(field, N_("Enter one e-mail address, such as name@example.com."))
    if not text or len(text) > 320 or _FORBIDDEN.search(text) or " " in text:
        raise one
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain or (rules == "reference" and "@" in local):
        raise one
    if not local.isascii():
        raise Invalid(
            field,
            N_("The part before the @ may hold only Latin letters, digits, “.”, “-” and “_”."),
        )
    if rules == "reference":
        for character in local:
            if character in _REFUSED:
                raise Invalid(
                    field,
                    N_("“%(character)s” is not allowed before the @."),
                    character=character,
                )
        if local[0] in ".-" or local[-1] in ".-":
            raise Invalid(field, N_("The part before the @ may not begin or end with “.” or “-”."))
    plain = _PLAIN.fullmatch(domain)
    if plain and rules == "reference" and len(text) <= 254 and len(local) <= 64:
        if ".." in local:
            raise one
        return Address(local, domain.lower())
    try:
        checked = validate_email(
            text,
            check_deliverability=False,
            allow_smtputf8=False,
            allow_quoted_local=rules == "rfc",
            globally_deliverable=False,
        )
        ascii_domain = (checked.ascii_domain or "").lower()
    except EmailNotValidError as error:
        raise one from error
    # A domain of one label, four numbers, and what RFC 5321, 4.5.3.1.1, has no room for.
    if not re.search(r"\.[a-z0-9-]*[a-z][a-z0-9-]*$", ascii_domain) or len(local) > 64:
        raise one
    return Address(local, ascii_domain)


def parse_domain(text: str, *, field: str = "domain") -> str:
    """A domain name as A-labels, lower case, without a trailing dot. Raises Invalid(field)."""
    try:
        name = idna.encode(text.strip().rstrip("."), uts46=True).decode().lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise Invalid(field, N_("Enter a domain name, such as example.com.")) from error
    if "." not in name or len(name) > 253:
        raise Invalid(field, N_("Enter a domain name, such as example.com."))
    return name


def split_many(text: str) -> list[str]:
    """Addresses typed or pasted together: commas, semicolons, spaces and line ends separate
    them.
    """
    return [part for part in re.split(r"[\s,;]+", text) if part]


def user_principal_name(address: Address, initial_domain: str) -> str:
    """A guest's UPN: `local_domain#EXT#@initialdomain` (users.md, section 2)."""
    return f"{address.local}_{address.domain}#EXT#@{initial_domain}"
