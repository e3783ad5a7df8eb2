"""From an outbox row to a message: derives link or code, picks the language, renders the three
texts.
"""

import re
import textwrap
from dataclasses import dataclass
from datetime import datetime
from email.utils import formataddr
from typing import Any, cast
from uuid import UUID

from flask import current_app, render_template
from flask_babel import force_locale, format_date, get_locale, gettext
from flask_mail import Message

from b2b import links

WIDTH = 72
"""Columns of the text part (design brief, 6)."""

# Colours of a letter where the tenant has set none: those of the product.
_COLOURS = {
    "accent": "#0b5a69",
    "accent_dark": "#7fcbd8",
    "fill_dark": "#237c8c",
    "soft": "#e1eff1",
    "soft_dark": "#15343a",
}


@dataclass(frozen=True)
class Rendered:
    """A letter as its reader will see it."""

    subject: str
    sender_name: str
    text: str
    html: str
    language: str


def render(
    template: str, context: dict[str, Any], *, tenant_id: UUID, language: str | None
) -> Rendered:
    """Render templates/mail/<template>/ in *language*, or the nearest one that is there.

    Links and codes are derived here and nowhere earlier (threats.md, MAIL-5). Raises KeyError when
    the key that a link was made with is gone.
    """
    with force_locale(_nearest(language)):
        facts = dict(context)
        facts |= _secrets(template, context, tenant_id)
        colours = {**_COLOURS, **(context.get("branding") or {})}
        ends = context.get("ends_at")
        facts["ends"] = _day(datetime.fromisoformat(ends)) if ends else None
        facts["colours"] = colours
        facts["wrapped"] = _wrapped
        facts["quoted"] = _quoted
        facts["leads_to"] = _host(context.get("redirect_url"))
        facts["url"] = links.absolute
        subject = _plain(render_template(f"mail/{template}/subject.txt", **facts))
        text = render_template(f"mail/{template}/body.txt", **facts)
        return Rendered(
            subject=subject[:200],
            sender_name=_sender(template, context),
            text=re.sub(r"\n{3,}", "\n\n", text).strip() + "\n",
            html=render_template(f"mail/{template}/body.html", **facts),
            language=str(get_locale()).replace("_", "-"),
        )


def _secrets(template: str, context: dict[str, Any], tenant_id: UUID) -> dict[str, Any]:
    if "invitation_id" in context:
        if context.get("sample"):
            return {"link": links.absolute("/redeem?rd=…")}
        return {
            "link": links.redeem_url(
                tenant_id,
                UUID(context["invitation_id"]),
                context["version"],
                context["key_id"],
            )
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
    english = str(get_locale()).startswith("en")
    return cast(str, format_date(at, "d MMMM yyyy" if english else "long"))


def _sender(template: str, context: dict[str, Any]) -> str:
    organisation = one_line(context["tenant_name"])
    if template in ("invitation", "welcome_back") and context.get("inviter_name"):
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


def _wrapped(text: str, indent: str = "") -> str:
    """*text* in WIDTH columns, its own line ends kept; long words such as links stay whole."""
    return "\n".join(
        textwrap.fill(
            line,
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.split("\n")
    )


def _quoted(text: str) -> str:
    return _wrapped(text, "  ")


def message(
    template: str,
    context: dict[str, Any],
    *,
    tenant_id: UUID,
    recipient: str,
    message_id: str,
    language: str | None,
) -> Message:
    """The message of one outbox row, ready for SMTP."""
    rendered = render(template, context, tenant_id=tenant_id, language=language)
    headers = {
        "Auto-Submitted": "auto-generated",
        "Content-Language": rendered.language,
    }
    if "invitation_id" in context:
        headers["X-Invitation-Id"] = context["invitation_id"]
    reply_to = context.get("reply_to")
    made = Message(
        subject=rendered.subject,
        recipients=[recipient],
        body=rendered.text,
        html=rendered.html,
        sender=formataddr((rendered.sender_name, current_app.config["MAIL_FROM"]), "utf-8"),
        reply_to=reply_to,
        extra_headers=headers,
    )
    made.msgId = message_id
    return made
