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


@dataclass(frozen=True)
class Mention:
    """An address as it was typed or pasted, and the name that stood before it."""

    address: str
    name: str | None = None


NAME_LONGEST = 256
"""Characters of a display name (users.md, 2)."""
_ANGLED = re.compile(r"<([^<>]*)>")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def split_many(text: str) -> list[str]:
    """Addresses typed or pasted together, without the names that mail programs put before them."""
    return [mention.address for mention in mentions(text)]


def mentions(text: str) -> list[Mention]:
    """Read addresses typed or pasted together.

    Commas, semicolons, spaces and line ends separate them; `Name <address>` and
    `"Surname, Name" <address>`, as mail programs copy them, give the name too. Nothing is judged
    here: `parse` says what is wrong with an address.
    """
    found: list[Mention] = []
    for part in _parts(text):
        start = 0
        for angled in _ANGLED.finditer(part):
            found += _named(part[start : angled.start()].strip(), angled)
            start = angled.end()
        found += [Mention(word) for word in part[start:].split()]
    return found


def _parts(text: str) -> list[str]:
    """*text* cut at commas, semicolons and line ends, but not within a quoted name."""
    parts, start, position, blank = [], 0, 0, True
    while position < len(text):
        sign = text[position]
        if sign == '"' and blank:
            closing = text.find('"', position + 1)
            if closing >= 0 and "\n" not in text[position:closing]:
                position = closing
        if sign in ",;\r\n":
            parts.append(text[start:position])
            start, blank = position + 1, True
        elif not sign.isspace():
            blank = False
        position += 1
    return [*parts, text[start:]]


def _named(before: str, angled: re.Match[str]) -> list[Mention]:
    """What stands before an address in angle brackets: bare addresses, then its name."""
    address = angled[1].strip() or angled[0]
    lead: list[str] = []
    if before.endswith('"') and before.count('"') >= 2:
        opening = before.index('"')
        lead, name = before[:opening].split(), before[opening + 1 : -1]
    else:
        words = before.split()
        last = max((n for n, word in enumerate(words) if "@" in word), default=-1)
        lead, name = words[: last + 1], " ".join(words[last + 1 :])
    name = " ".join(name.replace('"', " ").split())
    bare = [Mention(word) for word in lead if fold(word.strip("'")) != fold(address)]
    if _CONTROLS.search(name) or len(name) > NAME_LONGEST:
        # Not a name: the whole is refused as an address (threats.md, INV-1).
        return [*bare, Mention(f"{name} {angled[0]}")]
    return [*bare, Mention(address, name if name and "@" not in name else None)]


def user_principal_name(address: Address, initial_domain: str) -> str:
    """A guest's UPN: `local_domain#EXT#@initialdomain` (users.md, section 2)."""
    return f"{address.local}_{address.domain}#EXT#@{initial_domain}"
