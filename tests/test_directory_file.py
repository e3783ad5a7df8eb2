"""Directory files: loaded through the services, as often as one likes, and told where they err."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from b2b import worker
from b2b.extensions import db
from b2b.models import AuditEvent, Group, Invitation, MailState, OutboxMessage, User
from b2b.services import passwords, roles
from b2b.test_double import directory_export, directory_file
from b2b.test_double.directory_file import Done
from b2b.test_double.yaml_tree import BadFile
from tests.conftest import Clock

EXAMPLE = Path(__file__).parent.parent / "examples" / "directory.yaml"


def load(app: Flask, text: str, clock: Clock) -> Done:
    with app.app_context(), worker.transaction() as session:
        return directory_file.apply(session, directory_file.read(text), now=clock.now)


def exported(app: Flask, clock: Clock) -> dict[str, Any]:
    with app.app_context():
        content = yaml.safe_load(directory_export.export(db.session(), now=clock.now))
        db.session.remove()
    assert isinstance(content, dict)
    return content


def test_the_example_makes_everything_that_it_names(app: Flask, clock: Clock) -> None:
    done = load(app, EXAMPLE.read_text(), clock)
    assert set(done.secrets) == {"fabrikam.example/Plans", "fabrikam.example/Onboarding"}
    told = exported(app, clock)
    contoso, fabrikam = told["tenants"]
    assert contoso["users"] == [
        {"name": "Otto Brandt", "signIn": "otto@contoso-works.example", "language": "de"}
    ]
    assert fabrikam["domains"] == ["labs.fabrikam.example"]
    assert fabrikam["policy"]["blockedDomains"] == ["cheap-parts.example"]
    assert fabrikam["policy"]["invitationDays"] == 14
    assert fabrikam["branding"]["accent"] == "#285943"
    assert {guest["address"]: guest["state"] for guest in fabrikam["guests"]} == {
        "otto@contoso-works.example": "accepted",
        "nancy@proseware.example": "pending",
        "rosa.dane@outlook.com": "declined",
        "late@proseware.example": "expired",
        "gone@proseware.example": "cancelled",
        "eva@nordlicht.example": "blocked",
    }
    groups = {group["name"]: group for group in fabrikam["groups"]}
    assert groups["Site partners"]["members"] == [
        "ines@labs.fabrikam.example", "otto@contoso-works.example",
    ]  # fmt: skip
    assert groups["All guests"]["rule"] == '(user.userType -eq "Guest")'
    applications = {one["name"]: one for one in fabrikam["applications"]}
    assert applications["Plans"]["assignments"] == [
        "ada@fabrikam.example", {"to": "Site partners", "role": "Plan.Contribute"},
    ]  # fmt: skip
    assert applications["Onboarding"]["permissions"] == {
        "application": ["Group.ReadWrite.All", "User.Invite.All", "User.Read.All"]
    }
    with app.app_context():
        session: Session = db.session()
        ada = session.scalars(select(User).where(User.upn_key == "ada@fabrikam.example")).one()
        stored = passwords.stored(session, ada.tenant_id, ada.id)
        assert passwords.matches(stored, "a quiet 9 o'clock bell")
        assert [r.display_name for r in roles.of_user(session, ada.tenant_id, ada.id)] == [
            "Global Administrator"
        ]
        mailed = session.scalars(
            select(OutboxMessage.recipient).where(
                OutboxMessage.state == MailState.QUEUED, OutboxMessage.template == "invitation"
            )
        ).all()
        assert mailed == ["nancy@proseware.example"]
        late = session.scalars(
            select(Invitation).where(Invitation.invited_address == "late@proseware.example")
        ).one()
        assert late.valid_from == clock.now - timedelta(days=14, minutes=1)
        assert session.scalars(select(AuditEvent.activity)).all()
        db.session.remove()


def test_loading_it_again_changes_nothing(app: Flask, clock: Clock) -> None:
    first = load(app, EXAMPLE.read_text(), clock)
    before = exported(app, clock)
    with app.app_context():
        events = db.session.scalar(select(func.count()).select_from(AuditEvent))
        db.session.remove()
    again = load(app, EXAMPLE.read_text(), clock)
    assert again.changes == []
    assert again.secrets == {}
    assert 0 < again.unchanged <= len(first.changes) + first.unchanged
    assert exported(app, clock) == before
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(AuditEvent)) == events
        db.session.remove()


@pytest.mark.long
def test_what_was_exported_makes_the_same_elsewhere(
    app: Flask, clock: Clock, settings: dict[str, Any], sqlite_template: Any, tmp_path: Path
) -> None:
    from b2b import create_app
    from config import Config

    text = EXAMPLE.read_text()
    load(app, text, clock)
    with app.app_context():
        written = directory_export.export(db.session(), now=clock.now)
        db.session.remove()
    (tmp_path / "other").mkdir()
    with sqlite_template.fresh(tmp_path / "other") as url:
        other = create_app(
            Config(**{**settings, "DATABASE_URL": url, "DATA_DIR": tmp_path / "other"})
        )
        accounts = text[text.index("personalAccounts:") : text.index("tenants:")]
        load(other, accounts, clock)
        load(other, written, clock)
        assert exported(other, clock) == exported(app, clock)
        with other.app_context():
            db.engine.dispose()


def test_what_changed_in_the_file_changes_in_the_directory(app: Flask, clock: Clock) -> None:
    load(app, EXAMPLE.read_text(), clock)
    text = EXAMPLE.read_text().replace("IT administrator", "Head of IT")
    text = text.replace("state: declined", "state: accepted")
    text = text.replace("guestsMayLeave: true", "guestsMayLeave: false")
    done = load(app, text, clock)
    assert done.changes == [
        "fabrikam.example: policy",
        "fabrikam.example: user ada@fabrikam.example",
        "fabrikam.example: guest rosa.dane@outlook.com accepted",
    ]


ERRORS = [
    ("", "Line 1: the file is empty"),
    ("tenants: [", "Line 1: "),
    ("tenants:\n  - &a {domain: a.example}\n", "Line 2: anchors and aliases are not taken"),
    ("tenant: []", "Line 1, tenant: not known here; there are tenants, personalAccounts"),
    ("tenants: 7", "Line 1, tenants: a list is expected here"),
    ("tenants:\n  - name: A\n", "Line 2, tenants[0]: domain is missing"),
    (
        "tenants:\n  - name: A\n    domain: a.example\n    users:\n      - name: B\n"
        "        signIn: b@elsewhere.example\n",
        "Line 6, tenants[0].users[0].signIn: elsewhere.example is no domain of a.example",
    ),
    (
        "tenants:\n  - name: A\n    domain: a.example\n    users:\n      - name: B\n"
        "        signIn: b@a.example\n        password: short\n",
        "Line 7, tenants[0].users[0].password: Use at least 12 characters.",
    ),
    (
        "tenants:\n  - name: A\n    domain: a.example\n    guests:\n"
        "      - {address: x@b.example, state: lost}\n",
        "Line 5, tenants[0].guests[0].state: one of pending, accepted, declined, expired, "
        "cancelled, blocked is expected here",
    ),
    (
        "tenants:\n  - name: A\n    domain: a.example\n    groups:\n"
        "      - name: G\n        members:\n          - nobody@a.example\n",
        "Line 7, tenants[0].groups[0].members[0]: There is nobody nobody@a.example in that "
        "organisation.",
    ),
    (
        "tenants:\n  - name: A\n    domain: a.example\n    applications:\n"
        "      - name: P\n        permissions:\n          application: [Moon.Land]\n",
        "Line 7, tenants[0].applications[0].permissions.application: Microsoft Graph has no "
        "permission Moon.Land.",
    ),
    ("x: " + "[" * 20, "Line 1: this is nested too deeply"),
]


def test_an_error_names_its_line_and_path_and_nothing_is_kept(app: Flask, clock: Clock) -> None:
    for text, sentence in ERRORS:
        with pytest.raises(BadFile) as caught:
            load(app, text, clock)
        assert str(caught.value).startswith(sentence), text
        with app.app_context():
            assert db.session.scalars(select(Group.id)).all() == []
            assert db.session.scalars(select(User.id)).all() == []
            db.session.remove()
