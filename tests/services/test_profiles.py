"""What the directory says about people, and who changes it."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.errors import Conflict, Denied, Invalid, NotFound
from b2b.models import AuditEvent, User, UserType
from b2b.services import deleted_users, profiles, user_listing
from b2b.services.user_listing import Filters
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.services.test_users import activities


def test_one_corrects_oneself_and_the_old_values_stay_in_the_audit_log(
    session: Session, cast: Cast, clock: Clock
) -> None:
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    profiles.update_profile(
        session, adele, cast.adele, display_name=" Adèle Vance ", job_title="Architect",
        given_name="",
    )  # fmt: skip
    user = session.get_one(User, (cast.woodgrove, cast.adele))
    assert (user.display_name, user.name_key, user.job_title) == (
        "Adèle Vance", "adèle vance", "Architect",
    )  # fmt: skip
    event = session.scalars(
        select(AuditEvent)
        .where(AuditEvent.target_id == cast.adele)
        .order_by(AuditEvent.sequence.desc())
        .limit(1)
    ).one()
    assert event.activity == "Update user"
    assert event.changes == [
        {"property": "DisplayName", "before": "Adele Vance", "after": "Adèle Vance"},
        {"property": "JobTitle", "before": None, "after": "Architect"},
    ]
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    for typed, found in (("adèle", [cast.adele]), ("Vance", [cast.adele])):
        rows = user_listing.listing(session, john, Filters(search=typed)).rows
        assert [row.id for row in rows if row.display_name == "Adèle Vance"] == found, typed


def test_saving_what_is_there_already_is_no_change(
    session: Session, cast: Cast, clock: Clock
) -> None:
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    before = activities(session, cast.adele)
    profiles.update_profile(session, adele, cast.adele, display_name="Adele Vance", surname=None)
    assert activities(session, cast.adele) == before


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        ({"display_name": ""}, "display_name", "Enter a name."),
        ({"display_name": "  "}, "display_name", "Enter a name."),
        ({"display_name": "n" * 257}, "display_name", "At most 256 characters."),
        ({"given_name": "n" * 65}, "given_name", "At most 64 characters."),
        ({"job_title": "n" * 129}, "job_title", "At most 128 characters."),
        ({"surname": "a\nb"}, "surname", "Control characters are not allowed here."),
        ({"company_name": "a\x85b"}, "company_name", "Control characters are not allowed here."),
        ({"mobile_phone": "a\u2028b"}, "mobile_phone", "Control characters are not allowed here."),
        ({"department": "a\x00b"}, "department", "Control characters are not allowed here."),
    ],
)
def test_a_bad_value_of_a_profile_is_refused_by_its_field(
    session: Session, cast: Cast, clock: Clock, values: dict[str, str], field: str, sentence: str
) -> None:
    """INV-1"""
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    with pytest.raises(Invalid) as refused:
        profiles.update_profile(session, adele, cast.adele, **values)
    assert (refused.value.field, str(refused.value)) == (field, sentence)


def test_others_profiles_need_the_permission(session: Session, cast: Cast, clock: Clock) -> None:
    """ADM-2, ADM-3"""
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    with pytest.raises(Denied, match="User Administrator"):
        profiles.update_profile(session, adele, cast.john, display_name="X")
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    with pytest.raises(NotFound):
        profiles.update_profile(session, john, cast.otto, display_name="X")
    assert profiles.update_profile(session, john, cast.adele, display_name="X").display_name == "X"


def changed(session: Session, actor: Any, user_id: Any, **values: Any) -> User:
    """update_user with what is there already, except for *values*."""
    user = session.get_one(User, (actor.tenant_id, user_id))
    wanted: dict[str, Any] = {
        "usage_location": user.usage_location,
        "other_mails": user.other_mails,
        "show_in_address_list": user.show_in_address_list is not False,
        "user_type": user.user_type,
    }
    return profiles.update_user(session, actor, user_id, **(wanted | values))


def test_an_administrator_changes_everything_in_one_event(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """users.md, 2 and 8: the user type changes nothing else"""
    sam = factories.invite(session, cast, clock.now).user_id
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    user = session.get_one(User, (cast.woodgrove, sam))
    upn = user.user_principal_name
    changed(
        session, john, sam, display_name="Sam Oogle", usage_location="kr",
        other_mails=["Sam@Oogle.example", "sam@oogle.example"], show_in_address_list=True,
        user_type=UserType.MEMBER,
    )  # fmt: skip
    session.flush()
    assert (user.usage_location, user.other_mails, user.show_in_address_list) == (
        "KR", ["sam@oogle.example"], True,
    )  # fmt: skip
    assert (user.user_type, user.user_principal_name) == (UserType.MEMBER, upn)
    assert str(user.external_user_state) == "PendingAcceptance"
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.sequence.desc()).limit(1)).one()
    assert event.activity == "Update user"
    assert {change["property"]: change["after"] for change in event.changes} == {
        "DisplayName": "Sam Oogle",
        "UsageLocation": "KR",
        "OtherMails": ["sam@oogle.example"],
        "ShowInAddressList": True,
        "UserType": "Member",
    }
    members = user_listing.listing(session, john, Filters(user_type=UserType.MEMBER)).rows
    assert sam in [row.id for row in members]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"usage_location": "KOR"}, "usage_location"),
        ({"usage_location": "1"}, "usage_location"),
        ({"other_mails": ["no address"]}, "other_mails"),
        ({"other_mails": [f"a{number}@b.example" for number in range(11)]}, "other_mails"),
        ({"display_name": " "}, "display_name"),
    ],
)
def test_a_bad_value_is_refused_by_its_field(
    session: Session, cast: Cast, clock: Clock, values: dict[str, Any], field: str
) -> None:
    """INV-1"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    with pytest.raises(Invalid) as refused:
        changed(session, john, cast.adele, **values)
    assert refused.value.field == field


def test_what_is_synchronised_or_deleted_is_not_changed_here(
    session: Session, cast: Cast, clock: Clock
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    adele = session.get_one(User, (cast.woodgrove, cast.adele))
    adele.on_premises_sync_enabled = True
    with pytest.raises(Conflict, match="on-premises directory"):
        changed(session, john, cast.adele, display_name="X")
    adele.on_premises_sync_enabled = False
    deleted_users.remove(session, john, cast.adele)
    with pytest.raises(Conflict, match="is deleted"):
        changed(session, john, cast.adele, display_name="X")
