"""Rooms for app registrations: what each page shows, and what each button comes to."""

from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select

from b2b import worker
from b2b.extensions import db
from b2b.models import Application, AuditEvent, Platform
from b2b.services import app_registrations
from b2b.services.app_registrations import Facts
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.pages import Browser, Page


@pytest.fixture
def surveys(app: Flask, cast: Cast, clock: Clock) -> UUID:
    """The registration of Surveys, which John has made."""
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        facts = Facts(redirect_uris={Platform.WEB: ["https://surveys.woodgrove.example/cb"]})
        return app_registrations.register(session, john, "Surveys", facts).registration.id


def at(registration_id: UUID, page: str = "") -> str:
    """An address of the registration."""
    return f"/admin/app-registrations/{registration_id}{page}"


def rows(page: Page) -> list[str]:
    """First cells of the tables."""
    return [" ".join(cell.get_text(" ").split()) for cell in page.soup.select("main tbody th")]


def stored(app: Flask, cast: Cast, registration_id: UUID) -> Application:
    """The registration as it is in the database, apart from any session."""
    with app.app_context():
        found = db.session.get_one(Application, (cast.woodgrove, registration_id))
        db.session.expunge(found)
        db.session.remove()
    return found


def activities(app: Flask) -> list[str]:
    """What the audit log holds, the oldest first."""
    with app.app_context():
        query = select(AuditEvent.activity).order_by(AuditEvent.sequence)
        found = [str(one) for one in db.session.scalars(query)]
        db.session.remove()
    return found


def test_an_application_is_registered_and_shows_what_a_program_needs(
    app: Flask, cast: Cast, john: Browser
) -> None:
    empty = john.get("/admin/app-registrations")
    assert "No app registrations yet" in empty.text
    form = empty.follow("New registration")
    refused = form.submit(
        display_name=" ", platform="spa", redirect_uri="https://books.example/back"
    )
    assert refused.errors == ["Enter a name."]
    refused = refused.submit(display_name="Books", redirect_uri="http://books.example/back")
    assert refused.errors == ["http://books.example/back cannot be an address to go back to."]
    made = refused.submit(redirect_uri="https://books.example/back")
    assert made.h1 == "Books"
    assert "Books is registered." in made.text
    assert "John Doe" in made.text, "the owner"
    found = stored(app, cast, UUID(made.path.rpartition("/")[2]))
    for text in (str(found.app_id), str(cast.woodgrove), str(found.id)):
        assert text in made.text
    tenant = f"http://localhost:5000/{cast.woodgrove}"
    assert f"{tenant}/v2.0/.well-known/openid-configuration" in made.text
    assert f"{tenant}/oauth2/v2.0/token" in made.text
    assert found.spa_redirect_uris == ["https://books.example/back"]
    assert found.sign_in_audience == "AzureADMyOrg"
    log = john.get("/admin/audit?activity=Add+application")
    assert "Books" in log.text


def test_the_list_is_searched_and_shows_what_one_owns(
    cast: Cast, surveys: UUID, john: Browser, adele: Browser
) -> None:
    assert rows(john.get("/admin/app-registrations")) == ["Surveys"]
    assert rows(john.get("/admin/app-registrations?q=sur")) == ["Surveys"]
    assert "No registration begins like this" in john.get("/admin/app-registrations?q=veys").text
    assert rows(john.get("/admin/app-registrations?view=mine")) == ["Surveys"]
    assert "You own no registration" in adele.get("/admin/app-registrations?view=mine").text
    read = adele.get("/admin/app-registrations")
    assert rows(read) == ["Surveys"]
    assert "New registration" not in read.text
    assert adele.get("/admin/app-registrations/new").status == 403


def test_authentication_is_saved_as_a_whole_or_not_at_all(
    app: Flask, cast: Cast, surveys: UUID, john: Browser
) -> None:
    """OIDC-1: what cannot be an address to go back to is refused beside its field."""
    page = john.get(at(surveys, "/authentication"))
    refused = page.submit(
        web_uris="https://surveys.woodgrove.example/cb\nhttps://two.example/cb",
        spa_uris="https://spa.example/#part",
        is_public="y",
    )
    assert refused.errors == ["https://spa.example/#part cannot be an address to go back to."]
    assert "https://two.example/cb" in refused.text, "what was typed stays"
    error = refused.soup.select_one("#spa_uris-error")
    assert error is not None
    before = stored(app, cast, surveys)
    assert before.redirect_uris == ["https://surveys.woodgrove.example/cb"]
    assert before.is_public is False
    saved = refused.submit(
        spa_uris="https://spa.example/",
        public_uris="myapp://signed-in",
        audience="AzureADMultipleOrgs",
        issues_id_tokens="y",
        is_public="y",
    )
    assert "Saved." in saved.text
    after = stored(app, cast, surveys)
    assert after.redirect_uris == ["https://surveys.woodgrove.example/cb", "https://two.example/cb"]
    assert after.spa_redirect_uris == ["https://spa.example/"]
    assert after.public_redirect_uris == ["myapp://signed-in"]
    assert after.sign_in_audience == "AzureADMultipleOrgs"
    assert (after.issues_id_tokens, after.is_public, after.requires_proof_key) == (
        True,
        True,
        False,
    )
    assert activities(app).count("Update application") >= 1


def test_a_registration_is_renamed_and_deleted_by_its_name(
    app: Flask, cast: Cast, surveys: UUID, john: Browser
) -> None:
    renamed = john.get(at(surveys)).follow("Rename").submit(display_name="Polls")
    assert renamed.h1 == "Polls"
    ask = renamed.follow("Delete")
    assert ask.h1 == "Delete Polls?"
    assert ask.submit(confirmation="Surveys").errors == ["This is not the name shown above."]
    gone = ask.submit(confirmation="polls")
    assert gone.path == "/admin/app-registrations"
    assert "Polls is deleted." in gone.text
    assert john.get(at(surveys)).status == 404
    assert activities(app)[-1] == "Delete application"


def test_who_does_not_own_it_reads_and_changes_nothing(
    app: Flask, cast: Cast, surveys: UUID, adele: Browser
) -> None:
    """APP-2"""
    page = adele.get(at(surveys))
    assert "You can read this." in page.text
    assert "Delete" not in page.text
    form = adele.get(at(surveys, "/authentication"))
    assert form.soup.select_one("fieldset[disabled]")
    assert form.submit(web_uris="https://evil.example/").status == 403
    assert stored(app, cast, surveys).redirect_uris == ["https://surveys.woodgrove.example/cb"]
    for path in ("/name", "/delete"):
        assert adele.get(at(surveys, path)).status == 403


def test_another_tenant_finds_nothing(surveys: UUID, otto: Browser, app: Flask) -> None:
    """ADM-3: a registration of one organisation is not there in another one."""
    stranger = Browser(app).sign_in("otto.brandt@contoso.example", "correct horse 4 WoodGrove")
    assert stranger.get(at(surveys)).status == 404
