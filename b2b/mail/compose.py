"""From an outbox row to a message: derives link or code, picks the language, renders the three
texts.
"""

import functools
import re
import secrets
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from email.utils import formataddr
from gettext import NullTranslations
from typing import Any
from uuid import UUID

from babel import dates
from flask import current_app
from flask_babel import force_locale, get_locale, get_translations, gettext
from jinja2 import Environment, pass_eval_context
from jinja2.nodes import EvalContext
from markupsafe import escape

from b2b import links
from b2b.mail.pictures import Inline, Pictures
from b2b.models.picture import PictureKind

WIDTH = 72
"""Columns of the text part (design brief, 6)."""
_WIDE = re.compile(
    "[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60\U00020000-\U0003fffd]"
)
"""Letters that take two columns: Hangul, Han, kana and full-width forms."""

# Colours of a letter where the tenant has set none: those of the product.
_COLOURS = {
    "accent": "#0b5a69",
    "accent_dark": "#7fcbd8",
    "fill_dark": "#237c8c",
    "soft": "#e1eff1",
    "soft_dark": "#15343a",
}

_INVITING = ("invitation", "welcome_back")
"""Letters in an inviter's name; whoever gets them may block further ones (mail.md, section 5)."""

_NAMES = {"tenant_name", "inviter_name", "guest_name"}
"""Of the directory, where they may be anything: in a letter they stay in one line (MAIL-3)."""

# What rows may lack that were queued before these were known.
_UNKNOWN: dict[str, Any] = {
    "layout": "classic",
    "privacy_url": None,
    "privacy_contact": None,
    "technical_contact": None,
    "copy_to": None,
    "copy_name": None,
}


_EACH_ITS_OWN = ("link", "block_link", "address")
"""What an invitation says that those to other people do not; it is only ever put in, never asked
for, and not part of the subject.
"""
_NOT_SHOWN = {"invitation_id", "version", "key_id", "ends_at"}
"""What links and days are made of."""
_PRIVATE = range(0xE000, 0xF900)
"""Letters without a meaning: escaping leaves them alone, and they are one column wide."""
_MARKS = {name: "".join(chr(secrets.choice(_PRIVATE)) for _ in range(5)) for name in _EACH_ITS_OWN}
"""Stand for them where a letter is rendered for many people; nobody can know them beforehand."""
_PADDING = chr(_PRIVATE[-1])
_MOST_KNOWN = 256

Pieces = tuple[str, ...]
"""A text in pieces. Those at even places recur in the letters to other people."""


@dataclass(frozen=True)
class Rendered:
    """A letter as its reader will see it. The HTML names its *pictures* as `cid:` addresses."""

    subject: str
    sender_name: str
    text_pieces: Pieces
    html_pieces: Pieces
    language: str
    pictures: tuple[Inline, ...] = ()

    @property
    def text(self) -> str:
        """The part that is plain text."""
        return "".join(self.text_pieces)

    @property
    def html(self) -> str:
        """The part that is HTML."""
        return "".join(self.html_pieces)

    @property
    def document(self) -> str:
        """The HTML with its pictures within, for a frame of ours."""
        html = self.html
        for picture in self.pictures:
            html = html.replace(f"cid:{picture.cid}", picture.data_url)
        return html


def render(
    template: str,
    context: dict[str, Any],
    *,
    tenant_id: UUID,
    language: str | None,
    pictures: Pictures | None = None,
) -> Rendered:
    """Render templates/mail/<template>/ in *language*, or the nearest one that is there.

    An invitation has two layouts (mail.md, section 1). Logos and the inviter's photograph come
    from *pictures*; without it, or where it knows none, initials stand in their place. Links and
    codes are derived here and nowhere earlier (threats.md, MAIL-5). Raises KeyError when the key
    that a link was made with is gone.

    Letters of one invitation to many differ in three values alone: all else is rendered once, with
    marks where these belong. The marks are as long as the values, so that lines break alike.
    """
    language = _nearest(language)
    layout = "current" if context.get("layout") == "current" else "classic"
    own = _secrets(template, context, tenant_id)
    shown = _pictures(template, layout, context, tenant_id, pictures)
    values = {name: own.get(name) or context.get(name) or "" for name in _EACH_ITS_OWN}
    if not all(len(it) >= len(_MARKS[name]) and it.isascii() for name, it in values.items()):
        return _rendered(template, layout, {**context, **own}, shown, language)
    kept = {name: it for name, it in context.items() if name not in _NOT_SHOWN | {"address"}}
    marks = {name: _MARKS[name].ljust(len(it), _PADDING) for name, it in values.items()}
    known: dict[Any, Rendered] = current_app.extensions.setdefault("b2b_letters_shared", {})
    # Pictures are told apart by what the letter says of them.
    lengths = tuple(map(len, values.values()))
    day = (context.get("ends_at") or "")[:10]
    key = template, tenant_id, language, lengths, day, repr(kept), repr(shown)
    found = known.get(key)
    if found is None:
        if len(known) >= _MOST_KNOWN:
            known.clear()
        ends = {"ends_at": context.get("ends_at")}
        made = _rendered(template, layout, kept | ends, shown, language, marks)
        found = known[key] = _split(made, marks)
    return replace(
        found,
        text_pieces=_filled(found.text_pieces, values),
        html_pieces=_filled(
            found.html_pieces, {name: str(escape(it)) for name, it in values.items()}
        ),
    )


def _split(rendered: Rendered, marks: dict[str, str]) -> Rendered:
    """*rendered* cut at its *marks*; the names of these stand at the odd places."""
    names = {mark: name for name, mark in marks.items()}
    cut = re.compile("(" + "|".join(map(re.escape, names)) + ")")

    def pieces(text: str) -> Pieces:
        return tuple(names.get(piece, piece) for piece in cut.split(text))

    return replace(rendered, text_pieces=pieces(rendered.text), html_pieces=pieces(rendered.html))


def _filled(pieces: Pieces, values: Mapping[str, str]) -> Pieces:
    filled = list(pieces)
    filled[1::2] = [values[name] for name in pieces[1::2]]
    return tuple(filled)


def _rendered(
    template: str,
    layout: str,
    context: dict[str, Any],
    shown: dict[str, Inline | None],
    language: str,
    marks: Mapping[str, str] | None = None,
) -> Rendered:
    """The letter that says *context*, and *marks* where the subject is not concerned."""
    with force_locale(language):
        facts = _UNKNOWN | context
        for name in _NAMES & facts.keys():
            facts[name] = _plain(facts[name] or "")
        folder = f"mail/{template}/{layout}" if template == "invitation" else f"mail/{template}"
        facts |= shown
        ends = facts.pop("ends_at", None)
        facts["ends"] = _day(datetime.fromisoformat(ends)) if ends else None
        facts["colours"] = {**_COLOURS, **(context.get("branding") or {})}
        facts["wrapped"] = _wrapped
        facts["quoted"] = _quoted
        facts["one_line"] = one_line
        facts["leads_to"] = _host(context.get("redirect_url"))
        facts["url"] = links.absolute
        environment = _environment()
        subject = _plain(environment.get_template(f"{folder}/subject.txt").render(facts))
        facts |= marks or {}
        text = environment.get_template(f"{folder}/body.txt").render(facts)
        return Rendered(
            subject=subject[:200],
            sender_name=_sender(template, facts),
            text_pieces=(re.sub(r"\n{3,}", "\n\n", text).strip() + "\n",),
            html_pieces=(environment.get_template(f"{folder}/body.html").render(facts),),
            language=str(get_locale()).replace("_", "-"),
            pictures=tuple(picture for picture in shown.values() if picture is not None),
        )


def _environment() -> Environment:
    """The templates' environment for letters in the present language.

    It has the translations at hand: asking for them at every sentence takes as long as all the rest
    of a letter. Pages cannot do so, since each request has a language of its own.
    """
    locale = get_locale()
    assert locale is not None
    language = str(locale)
    known: dict[str, Environment] = current_app.extensions.setdefault("b2b_letters", {})
    if language not in known:
        tag, direction = language.replace("_", "-"), locale.text_direction
        made = current_app.jinja_env.overlay()
        made.globals = made.globals | {
            "_": _sentences(get_translations()),
            "lang": lambda: tag,
            "text_direction": lambda: direction,
        }
        known[language] = made
    return known[language]


def _sentences(translations: NullTranslations) -> Any:
    """`_` of templates: the sentence in the language, with what is put into it escaped where the
    template escapes. The letters of one inviter say the same things over and over.
    """

    @functools.lru_cache(1024)
    def said(is_html: bool, sentence: str, values: tuple[tuple[str, str], ...]) -> str:
        words = translations.gettext(sentence)
        return (escape(words) if is_html else words) % dict(values)

    @pass_eval_context
    def sentence(context: EvalContext, sentence: str, /, **values: str) -> str:
        is_html = context.autoescape
        # Escaped before they are looked up: markup and text with the same letters are equal.
        put_in = ((name, escape(it) if is_html else it) for name, it in values.items())
        return said(is_html, sentence, tuple(put_in))

    return sentence


def _pictures(
    template: str,
    layout: str,
    facts: dict[str, Any],
    tenant_id: UUID,
    pictures: Pictures | None,
) -> dict[str, Inline | None]:
    """At most one logo and one photograph: a letter stays small."""
    shown: dict[str, Inline | None] = {"banner": None, "square": None, "face": None}
    if pictures is None:
        return shown
    branding = facts.get("branding") or {}
    wide = template == "invitation" and layout == "classic" and branding.get("banner")
    if wide:
        shown["banner"] = pictures(tenant_id, tenant_id, PictureKind.BANNER_LOGO, wide)
    if shown["banner"] is None and branding.get("square"):
        shown["square"] = pictures(
            tenant_id, tenant_id, PictureKind.SQUARE_LOGO, branding["square"]
        )
    if facts.get("inviter_id"):
        shown["face"] = pictures(tenant_id, UUID(facts["inviter_id"]), PictureKind.PHOTO, None)
    return shown


def _secrets(template: str, context: dict[str, Any], tenant_id: UUID) -> dict[str, Any]:
    if "invitation_id" in context:
        if context.get("sample"):
            return {
                "link": links.absolute("/redeem?rd=…"),
                "block_link": links.absolute("/invitations/block"),
            }
        invitation_id = UUID(context["invitation_id"])
        return {
            "link": links.redeem_url(
                tenant_id, invitation_id, context["version"], context["key_id"]
            ),
            "block_link": links.block_url(tenant_id, invitation_id),
        }
    if template == "passcode":
        code = links.keyring().passcode(
            context["key_id"],
            bytes.fromhex(context["nonce"]),
            context["address_key"],
            context["purpose"],
        )
        return {"code": f"{code[:4]} {code[4:]}"}
    return {}


def _nearest(language: str | None) -> str:
    """The shipped language for a tag such as ko-KR; English when there is none."""
    shipped: list[str] = current_app.config["LANGUAGES"]
    short = (language or "en").split("-")[0].lower()
    return short if short in shipped else "en"


def _day(at: datetime) -> str:
    """21 November 2026; in other languages as they write it."""
    return _written(at.date(), str(get_locale()))


@functools.lru_cache(1024)
def _written(day: date, locale: str) -> str:
    form = "d MMMM yyyy" if locale.startswith("en") else "long"
    return dates.format_date(day, form, locale)


def _sender(template: str, context: dict[str, Any]) -> str:
    organisation = one_line(context["tenant_name"])
    if template in (*_INVITING, "invitation_copy") and context["layout"] == "current":
        return gettext("Invitations on behalf of %(organisation)s", organisation=organisation)
    if template in (*_INVITING, "invitation_copy") and context.get("inviter_name"):
        return gettext(
            "%(inviter)s from %(organisation)s",
            inviter=one_line(context["inviter_name"]),
            organisation=organisation,
        )
    return organisation


def one_line(name: str, longest: int = 64) -> str:
    """A display name fit for an address header: one line without controls, direction tricks and
    what separates or encloses addresses, capped.

    Quoting would not do: folding a long line drops the quotes, and then readers see an address of
    the name's choice (threats.md, MAIL-3).
    """
    return _plain(re.sub(r"[()<>\[\]:;@\\,\"]", " ", name))[:longest].strip()


def _plain(text: str) -> str:
    """*text* in one line without controls and direction tricks; nothing in it is decoded again."""
    cleaned = re.sub(
        r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]", " ", text
    )
    return " ".join(cleaned.replace("=?", "= ?").split())


def _host(url: str | None) -> str | None:
    """The host a landing page lies on, when that is not this installation."""
    if not url or url.startswith(links.absolute("/")):
        return None
    return re.sub(r"^https?://([^/?#]+).*$", r"\1", url)


@functools.lru_cache(1024)
def _wrapped(text: str, indent: str = "") -> str:
    """*text* in WIDTH columns, its own line ends kept; long words such as links stay whole."""
    # What follows a wide letter is counted as its second column, and taken out again.
    filled = "\n".join(
        textwrap.fill(
            _WIDE.sub("\\g<0>\0", line),
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.split("\n")
    )
    return filled.replace("\0", "")


def _quoted(text: str) -> str:
    return _wrapped(text, "  ")


@dataclass
class Letter:
    """What `source.of` makes the bytes of.

    Not Flask-Mail's message: that asks the name service who we are at every one, and knows no
    pictures but as attachments, which readers list.
    """

    subject: str
    sender: str
    recipients: list[str]
    reply_to: str | None
    body: Pieces
    html: Pieces
    message_id: str
    extra_headers: dict[str, str]
    inline: tuple[Inline, ...] = ()


def message(
    template: str,
    context: dict[str, Any],
    *,
    tenant_id: UUID,
    recipient: str,
    message_id: str,
    language: str | None,
    pictures: Pictures | None = None,
) -> Letter:
    """The message of one outbox row, ready for SMTP.

    A cc person is shown to the guest and is no recipient: delivery speaks of the first of
    `recipients` alone (threats.md, MAIL-6).
    """
    rendered = render(template, context, tenant_id=tenant_id, language=language, pictures=pictures)
    headers = {
        "Auto-Submitted": "auto-generated",
        "Content-Language": rendered.language,
    }
    if "invitation_id" in context:
        headers["X-Invitation-Id"] = context["invitation_id"]
        if template in _INVITING and not context.get("sample"):
            url = links.block_url(tenant_id, UUID(context["invitation_id"]), at_once=True)
            headers["List-Unsubscribe"] = f"<{url}>"
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    copy_to = context.get("copy_to")
    if copy_to and template == "invitation":
        headers["Cc"] = formataddr((one_line(context.get("copy_name") or ""), copy_to), "utf-8")
    return Letter(
        subject=rendered.subject,
        sender=formataddr((rendered.sender_name, current_app.config["MAIL_FROM"]), "utf-8"),
        recipients=[recipient],
        reply_to=context.get("reply_to"),
        body=rendered.text_pieces,
        html=rendered.html_pieces,
        message_id=message_id,
        extra_headers=headers,
        inline=rendered.pictures,
    )
