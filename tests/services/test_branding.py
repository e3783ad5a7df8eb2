"""Branding: what is set, refused and audited, and a draft that changes nothing."""

import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import Denied, Invalid
from b2b.models import AuditEvent, InvitationLayout, Picture, PictureKind, Tenant, TenantPolicy
from b2b.services import branding, pictures
from b2b.services.branding import Settings
from tests.cast import Cast, acting
from tests.conftest import Clock


def logo(colour: str = "green") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (200, 40), colour).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def as_john(session: Session, cast: Cast, clock: Clock) -> Actor:
    return acting(session, cast.woodgrove, cast.john, clock.now)


def events(session: Session, cast: Cast) -> list[AuditEvent]:
    return list(
        session.scalars(
            select(AuditEvent)
            .where(AuditEvent.tenant_id == cast.woodgrove, AuditEvent.target_type == "Tenant")
            .order_by(AuditEvent.sequence)
        )
    )[1:]  # the first one made the tenant


def test_everything_is_set_and_audited_before_and_after(
    session: Session, cast: Cast, as_john: Actor
) -> None:
    """audit-reporting.md: Set Company Information"""
    saved = branding.save(
        session,
        as_john,
        Settings(
            accent="#285943", privacy_url="https://woodgrove.example/privacy",
            privacy_contact="privacy@woodgrove.example", technical_contact="it@woodgrove.example",
            notification_language="ko", layout=InvitationLayout.CURRENT, invitation_days=None,
            drop_unsigned_messages=True, uploads={"banner": logo(), "square": logo("red")},
        ),
    )  # fmt: skip
    assert saved == branding.Saved(True, "#285943", False)
    tenant = session.get_one(Tenant, cast.woodgrove, populate_existing=True)
    policy = session.get_one(TenantPolicy, cast.woodgrove, populate_existing=True)
    assert tenant.branding["accent"] == "#285943"
    assert tenant.privacy_url == "https://woodgrove.example/privacy"
    assert tenant.notification_language == "ko"
    assert tenant.invitation_layout is InvitationLayout.CURRENT
    assert policy.invitation_days is None
    assert policy.drop_unsigned_messages is True
    for name, kind in branding.LOGOS.items():
        found = pictures.find(session, cast.woodgrove, cast.woodgrove, kind)
        assert found is not None
        assert found.digest == tenant.branding[name]
    face, facts = events(session, cast)
    assert (face.activity, face.category) == ("Set company branding", "DirectoryManagement")
    assert (facts.activity, facts.category) == ("Set Company Information", "DirectoryManagement")
    assert [change["property"] for change in face.changes] == [
        "AccentColor", "BannerLogo", "SquareLogo",
    ]  # fmt: skip
    assert {"property": "InvitationDays", "before": 30, "after": None} in facts.changes
    assert {
        "property": "InvitationLayout", "before": "classic", "after": "current",
    } in facts.changes  # fmt: skip
    assert facts.actor_name == "John Doe"


def test_saving_what_is_there_already_changes_and_audits_nothing(
    session: Session, cast: Cast, as_john: Actor
) -> None:
    branding.save(session, as_john, Settings(accent="#ffcc00", uploads={"banner": logo()}))
    before = dict(session.get_one(Tenant, cast.woodgrove).branding)
    count = len(events(session, cast))
    now = branding.now_set(
        session.get_one(Tenant, cast.woodgrove), session.get_one(TenantPolicy, cast.woodgrove)
    )
    assert branding.save(session, as_john, now).changed is False
    assert session.get_one(Tenant, cast.woodgrove).branding == before
    assert len(events(session, cast)) == count


def test_a_pale_colour_is_adjusted_and_that_is_said(
    session: Session, cast: Cast, as_john: Actor
) -> None:
    saved = branding.save(session, as_john, Settings(accent="#ffff00"))
    assert saved.adjusted
    assert saved.accent == "#707000"


def test_a_logo_is_replaced_and_removed(session: Session, cast: Cast, as_john: Actor) -> None:
    branding.save(session, as_john, Settings(uploads={"banner": logo(), "square": logo()}))
    first = session.get_one(Tenant, cast.woodgrove).branding["banner"]
    branding.save(session, as_john, Settings(uploads={"banner": logo("blue")}))
    now = session.get_one(Tenant, cast.woodgrove).branding
    assert now["banner"] != first
    assert "square" in now, "what is not mentioned stays"
    assert pictures.logo(session, cast.woodgrove, first) is None
    branding.save(session, as_john, Settings(removed=frozenset({"banner", "square"})))
    assert session.get_one(Tenant, cast.woodgrove).branding == {}
    assert session.scalars(select(Picture)).all() == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"accent": "green"}, "accent"),
        ({"privacy_url": "http://woodgrove.example/"}, "privacy_url"),
        ({"privacy_url": "javascript:alert(1)"}, "privacy_url"),
        ({"privacy_contact": "a@b.example\r\nBcc: x@y.example"}, "privacy_contact"),
        ({"technical_contact": "nobody"}, "technical_contact"),
        ({"notification_language": "../../x"}, "notification_language"),
        ({"invitation_days": 0}, "invitation_days"),
        ({"invitation_days": 3651}, "invitation_days"),
        ({"uploads": {"banner": b"<svg/>"}}, "banner"),
        ({"uploads": {"square": b"<svg/>"}}, "square"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_is_changed(
    session: Session, cast: Cast, as_john: Actor, change: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        branding.save(session, as_john, replace(Settings(accent="#285943"), **change))
    assert refused.value.field == field
    assert session.get_one(Tenant, cast.woodgrove).branding == {}
    assert events(session, cast) == []


def test_only_a_global_administrator_may(session: Session, cast: Cast, clock: Clock) -> None:
    """ADM-2"""
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    with pytest.raises(Denied, match="Global Administrator"):
        branding.save(session, adele, Settings(accent="#285943"))


def test_a_draft_changes_nothing(session: Session, cast: Cast, as_john: Actor) -> None:
    row, drafts = branding.draft(
        session,
        as_john,
        Settings(
            accent="#285943", layout=InvitationLayout.CURRENT, technical_contact="it@a.example",
            uploads={"square": logo()},
        ),
        message="Hello",
    )  # fmt: skip
    session.flush()
    assert row["context"]["layout"] == "current"
    assert row["context"]["branding"]["accent"] == "#285943"
    assert row["context"]["branding"]["square"] == drafts["square"].digest
    assert drafts["square"].kind is PictureKind.SQUARE_LOGO
    session.expire_all()
    tenant = session.get_one(Tenant, cast.woodgrove)
    assert tenant.branding == {}
    assert tenant.technical_contact is None
    assert tenant.invitation_layout is InvitationLayout.CLASSIC
    assert session.scalars(select(Picture)).all() == []


def test_a_photograph_is_never_served_as_a_logo(
    session: Session, cast: Cast, as_john: Actor
) -> None:
    made = pictures.make("photo", PictureKind.PHOTO, logo())
    pictures.put(session, cast.woodgrove, cast.woodgrove, made, as_john.now)
    assert pictures.logo(session, cast.woodgrove, made.digest) is None
