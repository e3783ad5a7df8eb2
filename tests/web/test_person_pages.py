"""One person's further pages: profile, access, roles, sessions, explaining, invited anew."""

from uuid import UUID

import pytest
from flask import Flask

from b2b import worker
from b2b.extensions import db
from b2b.models import GuestAccess, Role, User
from b2b.services import groups, roles
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.factories import SAM
from tests.pages import Browser
from tests.web.test_every_route import csrf_of


@pytest.fixture
def sam(app: Flask, cast: Cast, clock: Clock) -> UUID:
    """Sam has accepted by a mailed code."""
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(
            session, cast, clock.now, display_name="Sam", application_ids=[cast.projects]
        )
        return factories.accept(session, cast, invited, clock.now).id


def held(app: Flask, cast: Cast, user_id: UUID) -> set[Role]:
    with app.app_context():
        found = set(roles.of_user(db.session(), cast.woodgrove, user_id))
        db.session.remove()
        return found


def test_the_profile_is_changed_and_what_is_wrong_is_said_beside_the_field(
    app: Flask, cast: Cast, john: Browser, sam: UUID
) -> None:
    page = john.get(f"/admin/users/{sam}/edit")
    wrong = page.submit("/edit", usage_location="K1", other_mails="sam@oogle.example")
    assert wrong.errors == ["Enter a country as two letters, such as KR."]
    assert wrong.title.startswith("Error: ")
    saved = wrong.submit("/edit", usage_location="KR", company_name="Oogle")
    assert saved.path == f"/admin/users/{sam}"
    for words in ("Oogle", "KR", "sam@oogle.example"):
        assert words in saved.text


def test_groups_and_applications_are_given_and_taken(
    app: Flask, cast: Cast, john: Browser, sam: UUID
) -> None:
    page = john.get(f"/admin/users/{sam}/access")
    assert "Projects" in page.text
    page = page.submit("/groups", group=str(cast.partners))
    assert "Sam is in the group." in page.text
    assert "Partners" in page.text
    page = page.submit("/applications", application=str(cast.deliveries))
    assert "Sam is assigned." in page.text
    page = page.submit("/groups/remove")
    assert "Sam is out of the group." in page.text
    page = page.submit("/applications/remove")
    assert "Sam is no longer assigned." in page.text
    assert len(page.soup.select("main form[action$='/applications/remove']")) == 1


def test_a_member_reads_the_pages_and_is_told_which_role_would_help(
    app: Flask, cast: Cast, adele: Browser, sam: UUID
) -> None:
    """ADM-2: buttons absent, forced posts refused"""
    page = adele.get(f"/admin/users/{sam}")
    assert "Changing people needs the role User Administrator." in page.text
    assert "Reset redemption" not in page.text
    access = adele.get(f"/admin/users/{sam}/access")
    assert not access.soup.select("main form[method=post]")
    rights = adele.get(f"/admin/users/{sam}/roles")
    assert "needs the role Global Administrator." in rights.text
    assert not rights.soup.select("main form[method=post]")
    assert adele.get(f"/admin/users/{sam}/sessions").status == 403
    assert adele.get(f"/admin/users/{cast.adele}/sessions").status == 200
    token = {"csrf_token": csrf_of(adele, "/admin/users/invite")}
    for path, data, role in (
        ("/edit", {"display_name": "X"}, "User Administrator"),
        ("/groups", {"group": str(cast.partners)}, "User Administrator"),
        ("/applications", {"application": str(cast.deliveries)}, "Cloud Application Administrator"),
        ("/roles", {"role": str(Role.GUEST_INVITER)}, "Global Administrator"),
        ("/roles/remove", {"role": str(Role.GUEST_INVITER)}, "Global Administrator"),
        ("/reset", {"address": SAM}, "Helpdesk Administrator"),
        ("/sessions/end-all", {}, "Helpdesk Administrator"),
        ("/delete", {"confirmation": SAM}, "User Administrator"),
        ("/erase", {"confirmation": SAM}, "User Administrator"),
    ):
        forced = adele.post(f"/admin/users/{sam}{path}", token | data)
        assert forced.status == 403, path
        assert role in forced.text, path
    assert held(app, cast, sam) == set()


def test_a_role_is_given_and_taken_on_the_page(app: Flask, cast: Cast, john: Browser) -> None:
    """ADM-2"""
    page = john.get(f"/admin/users/{cast.adele}/roles")
    page = page.submit("/roles", role=str(Role.HELPDESK_ADMINISTRATOR))
    assert "Adele Vance is Helpdesk Administrator now." in page.text
    assert held(app, cast, cast.adele) == {Role.HELPDESK_ADMINISTRATOR}
    page = page.submit("/roles/remove")
    assert "The role of Adele Vance is taken away." in page.text
    assert held(app, cast, cast.adele) == set()


def test_a_guest_gets_a_role_after_a_warning(
    app: Flask, cast: Cast, john: Browser, sam: UUID
) -> None:
    """ADM-2"""
    page = john.get(f"/admin/users/{sam}/roles").submit("/roles", role=str(Role.GUEST_INVITER))
    assert page.h1 == "Make Sam, a guest, Guest Inviter?"
    assert held(app, cast, sam) == set()
    page = page.submit("/roles")
    assert "Sam is Guest Inviter now." in page.text
    assert held(app, cast, sam) == {Role.GUEST_INVITER}


def test_the_last_administrator_keeps_the_role_and_the_other_gives_it_up_signed_in(
    app: Flask, cast: Cast, john: Browser
) -> None:
    """ADM-2, SES-1: a new secret at a change of one's own rights"""
    page = john.get(f"/admin/users/{cast.john}/roles").submit("/roles/remove")
    assert "John Doe is the last Global Administrator; name another one first." in page.text
    john.get(f"/admin/users/{cast.adele}/roles").submit(
        "/roles", role=str(Role.GLOBAL_ADMINISTRATOR)
    )
    before = john.client.get_cookie("b2b_session")
    page = john.get(f"/admin/users/{cast.john}/roles").submit("/roles/remove")
    assert page.path == f"/admin/users/{cast.john}/roles"
    assert "needs the role Global Administrator." in page.text
    after = john.client.get_cookie("b2b_session")
    assert before is not None
    assert after is not None
    assert before.value != after.value


def test_somebody_is_signed_out_of_one_browser_and_of_all(
    app: Flask, cast: Cast, john: Browser, adele: Browser
) -> None:
    """SES-1: the very next request"""
    page = john.get(f"/admin/users/{cast.adele}/sessions")
    page = page.submit("/sessions/end")
    assert "Adele Vance is signed out of that browser." in page.text
    assert adele.get("/admin").path == "/signin"
    adele.sign_in("adele.vance@woodgrove.example", cast.password)
    page = page.submit("/sessions/end-all")
    assert "Adele Vance is signed out everywhere." in page.text
    assert adele.get("/admin").path == "/signin"


def test_a_redemption_is_reset_to_another_address(
    app: Flask, cast: Cast, john: Browser, sam: UUID
) -> None:
    """redemption.md, 6"""
    john.get(f"/admin/users/{sam}/edit").submit("/edit", other_mails="sam@oogle.example")
    page = john.get(f"/admin/users/{sam}").follow("Reset redemption")
    assert page.h1 == "Reset the redemption of Sam?"
    done = page.submit("/reset", address="sam@oogle.example")
    assert "Sam is pending again and invited anew." in done.text
    assert "Pending" in done.text
    assert "sam@oogle.example" in done.text
    again = john.get(f"/admin/users/{sam}/reset").submit("/reset", address="x@y.example")
    assert again.errors == ["Put x@y.example among this person’s other mail addresses first."]


def test_a_privileged_account_offers_no_reset_and_refuses_a_forced_one(
    app: Flask, cast: Cast, clock: Clock, john: Browser, sam: UUID
) -> None:
    """INV-3"""
    with app.app_context(), worker.transaction() as session:
        factories.give_role(session, cast.woodgrove, sam, Role.GUEST_INVITER, clock.now)
    assert "Reset redemption" not in john.get(f"/admin/users/{sam}").text
    token = {"csrf_token": csrf_of(john, "/admin/users/invite")}
    forced = john.post(f"/admin/users/{sam}/reset", token | {"address": SAM})
    assert forced.status == 403
    assert "Take the roles away first" in forced.text


def test_deleting_for_good_asks_for_the_address(
    app: Flask, cast: Cast, john: Browser, sam: UUID
) -> None:
    page = john.get(f"/admin/users/{sam}/delete").submit("/delete", confirmation="sam")
    assert page.errors == ["This is not the address shown above."]
    page = page.submit("/delete", confirmation=SAM.upper())
    assert "Sam is deleted and can be restored for 30 days." in page.text
    page = page.follow("Delete for good").submit("/erase", confirmation=SAM)
    assert "Sam is deleted for good." in page.text
    assert john.get(f"/admin/users/{sam}").status == 404
    with app.app_context():
        assert db.session.get(User, (cast.woodgrove, sam)) is None
        db.session.remove()


def test_a_guest_who_waits_is_explained_with_the_button_that_helps(
    app: Flask, cast: Cast, clock: Clock, john: Browser, adele: Browser
) -> None:
    with app.app_context(), worker.transaction() as session:
        ann = factories.invite(session, cast, clock.now, "ann@gmail.com", display_name="Ann")
    clock.advance(days=31)
    john.sign_in("john.doe@woodgrove.example", cast.password)
    assert "What stops Ann" in john.get(f"/admin/users/{ann.user_id}").text
    page = john.get(f"/admin/users/{ann.user_id}/explain")
    assert page.h1 == "What stops Ann"
    assert "The link has expired." in page.text
    again = page.submit("/resend")
    assert again.path == f"/admin/users/{ann.user_id}"
    assert john.get(f"/admin/users/{ann.user_id}/explain").h1 == "Nothing stops Ann"
    adele.sign_in("adele.vance@woodgrove.example", cast.password)
    reads = adele.get(f"/admin/users/{ann.user_id}/explain")
    assert reads.status == 200
    assert not reads.soup.select("main form[method=post]")


def test_a_restricted_guest_sees_no_group(
    app: Flask, cast: Cast, clock: Clock, otto: Browser
) -> None:
    """groups-apps-roles.md, 5"""
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        guest = (
            session.query(User)
            .filter(User.tenant_id == cast.woodgrove, User.invited_key.is_not(None))
            .one()
        )
        groups.add_member(session, john, cast.partners, guest.id)
    assert "Partners" in otto.get("/myapps").text
    assert "Partners" in otto.get("/myapps/groups").text
    with app.app_context(), worker.transaction() as session:
        factories.set_policy(session, cast.woodgrove, guest_access=GuestAccess.RESTRICTED)
    assert "Partners" not in otto.get("/myapps").text
    refused = otto.get("/myapps/groups")
    assert refused.status == 403
    assert "shows guests only their own profile" in refused.text


def test_a_try_with_another_account_is_explained_and_logged_once(
    app: Flask, cast: Cast, clock: Clock, john: Browser, adele: Browser
) -> None:
    """redemption.md, 9: 50020; RED-2: looking at the link alone leaves no trace"""
    with app.app_context(), worker.transaction() as session:
        ann = factories.invite(session, cast, clock.now, "ann@gmail.com", display_name="Ann")
        link = factories.link_of(session, cast.woodgrove, ann.user_id)
    words = "Tried with adele.vance@woodgrove.example, which is not the account of this invitation."
    adele.get(link)
    assert words not in john.get(f"/admin/users/{ann.user_id}/explain").text
    for _ in range(2):
        refused = adele.get("/redeem/review")
        assert refused.h1 == "This invitation is for another account"
    assert words in john.get(f"/admin/users/{ann.user_id}/explain").text
    log = john.get(f"/admin/sign-ins?user={ann.user_id}&result=failure")
    assert len(log.soup.select("main tbody tr")) == 1
