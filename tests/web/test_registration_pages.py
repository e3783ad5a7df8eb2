"""Rooms for app registrations: what each page shows, and what each button comes to."""

import io
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from flask import Flask
from sqlalchemy import func, select

from b2b import worker
from b2b.extensions import db
from b2b.models import Application, AuditEvent, Platform, RefreshToken, SignInGrant
from b2b.services import app_registrations, graph_permissions, owners
from b2b.services.app_registrations import Facts
from b2b.web.admin.registration_tokens import CLAIMS
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.pages import Browser, Page
from tests.web.test_every_route import csrf_of


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


def certificate() -> tuple[bytes, str]:
    """A certificate as PEM, and its thumbprint."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "surveys")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime.now(UTC) + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    return pem, made.fingerprint(hashes.SHA1()).hex().upper()


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


# Certificates and secrets ------------------------------------------------------------------------


def test_a_secret_is_shown_once_and_works(
    app: Flask, cast: Cast, clock: Clock, surveys: UUID, john: Browser
) -> None:
    """OIDC-9: kept as a hash, in an answer that nobody keeps."""
    page = john.get(at(surveys, "/credentials"))
    assert "No secrets" in page.text
    made = page.submit("/secrets", description="Night run", days="90")
    found = made.soup.select_one("#new-secret")
    assert found is not None
    secret = found.get_text()
    assert len(secret) == 40
    assert made.response.headers["Cache-Control"] == "no-store"
    assert secret not in made.url
    assert "Copy the secret now." in made.text
    again = john.get(at(surveys, "/credentials"))
    assert secret not in again.text
    assert rows(again) == ["Night run"]
    assert f"{secret[:3]}…" in again.text
    one = stored(app, cast, surveys)
    form = {
        "client_id": str(one.app_id),
        "client_secret": secret,
        "grant_type": "client_credentials",
        "scope": "https://graph.microsoft.com/.default",
    }
    token = f"/{cast.woodgrove}/oauth2/v2.0/token"
    client = app.test_client()
    assert client.post(token, data=form, base_url="http://localhost:5000").status_code == 200
    ask = again.follow("Remove")
    assert ask.h1 == f"Remove the secret that begins with {secret[:3]}?"
    gone = ask.submit()
    assert gone.path == at(surveys, "/credentials")
    assert "No secrets" in gone.text
    assert client.post(token, data=form, base_url="http://localhost:5000").status_code == 401
    assert activities(app)[-1] == "Update application – Certificates and secrets management"


def test_a_certificate_is_taken_and_anything_else_refused(
    app: Flask, cast: Cast, surveys: UUID, john: Browser
) -> None:
    page = john.get(at(surveys, "/credentials"))
    assert page.submit("/certificates", certificate=None).errors == ["Choose a file."]
    refused = page.submit("/certificates", certificate=(io.BytesIO(b"no"), "it.pem"))
    assert refused.errors == [
        "This is not a certificate with an RSA key of at least 2048 bits, as PEM or DER."
    ]
    pem, thumbprint = certificate()
    taken = page.submit("/certificates", certificate=(io.BytesIO(pem), "it.pem"), called="Night")
    assert "The certificate Night is taken." in taken.text
    assert thumbprint in taken.text
    again = page.submit("/certificates", certificate=(io.BytesIO(pem), "it.pem"))
    assert again.errors == ["This certificate is there already."]


# Permissions -------------------------------------------------------------------------------------


def states(page: Page) -> dict[str, str]:
    """State of each permission by its value."""
    found = {}
    for row in page.soup.select("main tbody tr"):
        value, state = row.select_one("code"), row.select_one(".badge")
        assert value is not None
        assert state is not None
        found[value.get_text()] = " ".join(state.get_text().split())
    return found


READ = str(graph_permissions.SCOPES["User.Read"].scope)
READ_ALL = str(graph_permissions.SCOPES["User.Read.All"].scope)
INVITE = str(graph_permissions.ROLES["User.Invite.All"].role)


def test_permissions_are_asked_for_in_words_and_granted_by_an_administrator(
    app: Flask, cast: Cast, surveys: UUID, john: Browser
) -> None:
    """OIDC-8: each permission in words, and consent for all by an administrator."""
    page = john.get(at(surveys, "/permissions"))
    assert "No permissions yet" in page.text
    choose = page.follow("Add a permission")
    assert rows(choose) == ["Microsoft Graph"]
    form = choose.follow("Microsoft Graph")
    assert "Invite guests to the organisation" in form.text
    asked = form.submit(delegated=[READ, READ_ALL], own=[INVITE])
    assert states(asked) == {
        "User.Read": "Asked at sign-in",
        "User.Read.All": "Needs consent",
        "User.Invite.All": "Needs consent",
    }
    granted = asked.submit("/permissions/consent")
    assert "Granted to Surveys for the organisation." in granted.text
    assert set(states(granted).values()) == {"Granted"}
    assert "Consent to application" in activities(app)
    assert "Add app role assignment to service principal" in activities(app)
    fewer = granted.submit("/permissions/remove")
    assert "User.Read" not in states(fewer)
    form = fewer.follow("Add a permission").follow("Microsoft Graph")
    ticked = [str(box["value"]) for box in form.soup.select("input[checked]")]
    assert ticked == [READ_ALL, INVITE]


def test_an_owner_asks_but_does_not_consent(
    app: Flask, cast: Cast, clock: Clock, surveys: UUID, adele: Browser
) -> None:
    """OIDC-8"""
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        found = app_registrations.get(session, john, surveys)
        owners.add(session, john, found.owned, cast.adele)
    form = adele.get(f"{at(surveys, '/permissions/add')}?api={graph_permissions.APP_ID}")
    asked = form.submit(delegated=[READ_ALL])
    assert states(asked) == {"User.Read.All": "Needs consent"}
    assert "An administrator grants consent for the organisation." in asked.text
    token = csrf_of(adele, "/admin/users/invite")
    refused = adele.post(at(surveys, "/permissions/consent"), {"csrf_token": token})
    assert refused.status == 403
    assert "Consent to application" not in activities(app)
    tampered = adele.post(
        f"{at(surveys, '/permissions/add')}?api={graph_permissions.APP_ID}",
        {"csrf_token": token, "delegated": INVITE},
    )
    assert tampered.status == 200
    assert tampered.errors


# What it offers, and its tokens ------------------------------------------------------------------


def test_an_app_role_is_made_changed_disabled_and_deleted(
    app: Flask, cast: Cast, surveys: UUID, john: Browser
) -> None:
    form = john.get(at(surveys, "/roles")).follow("New app role")
    refused = form.submit(display_name="Readers", value="two words")
    assert refused.errors == ["Use letters, digits and signs without spaces, such as Files.Read."]
    refused = refused.submit(value="Readers", for_users=None)
    assert refused.errors == ["Say whom the role is for: people, programs or both."]
    made = refused.submit(for_applications="y")
    assert rows(made) == ["Readers"]
    assert "Programs" in made.text
    assert made.follow("New app role").submit(display_name="Two", value="Readers").errors == [
        "There is a role Readers already."
    ]
    changed = made.follow("Change").submit(display_name="Surveyors", is_enabled=None)
    assert rows(changed) == ["Surveyors"]
    assert "Disabled" in changed.text
    ask = changed.follow("Change").follow("Delete")
    assert ask.h1 == "Delete Surveyors?"
    gone = ask.submit()
    assert "No app roles yet" in gone.text
    assert activities(app)[-1] == "Update application"


def test_an_exposed_scope_can_be_asked_for_by_another_application(
    app: Flask, cast: Cast, clock: Clock, surveys: UUID, john: Browser
) -> None:
    page = john.get(at(surveys, "/api"))
    refused = page.submit(identifier_uris="https://elsewhere.example/api")
    assert refused.errors == [
        "Use api:// with the client id, or https with a domain of the organisation."
    ]
    named = refused.submit(identifier_uris="https://surveys.woodgrove.example/api")
    form = named.follow("Add a scope")
    made = form.submit(value="Answers.Read", display_name="Read answers")
    assert "https://surveys.woodgrove.example/api/Answers.Read" in made.text
    with app.app_context(), worker.transaction() as session:
        boss = acting(session, cast.woodgrove, cast.john, clock.now)
        other = app_registrations.register(session, boss, "Books").registration.id
    choose = john.get(at(other, "/permissions/add"))
    assert rows(choose) == ["Microsoft Graph", "Surveys"]
    choice = choose.follow("Surveys")
    box = choice.soup.select_one("input[name=delegated]")
    assert box is not None
    asked = choice.submit(delegated=[str(box["value"])])
    assert states(asked) == {"Answers.Read": "Asked at sign-in"}
    gone = made.follow("Change").follow("Delete").submit()
    assert "No scopes yet" in gone.text
    assert "No permissions yet" in john.get(at(other, "/permissions")).text


def test_tokens_are_configured(app: Flask, cast: Cast, surveys: UUID, john: Browser) -> None:
    page = john.get(at(surveys, "/tokens"))
    for wrong, words in (
        ("5", "Between ten minutes and a day."),
        ("soon", "Enter a number of minutes from 10 to 1440."),
    ):
        assert page.submit(minutes=wrong).errors == [words]
    saved = page.submit(
        minutes="30", id_claims=["acct", "upn"], group_claims="SecurityGroup", version="2"
    )
    assert "Saved." in saved.text
    found = stored(app, cast, surveys)
    assert (found.token_seconds, found.access_token_version) == (1800, 2)
    assert found.group_claims == "SecurityGroup"
    assert [one["name"] for one in found.optional_claims["idToken"]] == ["acct", "upn"]
    assert found.optional_claims["accessToken"] == []


def test_every_optional_claim_is_explained() -> None:
    assert set(CLAIMS) == app_registrations.CLAIMS


# The application that came of it -----------------------------------------------------------------


def test_what_was_granted_is_shown_and_revoked_on_the_application(
    app: Flask, cast: Cast, surveys: UUID, john: Browser, adele: Browser
) -> None:
    """OIDC-8: administrators take back what people and they themselves have granted."""
    form = john.get(f"{at(surveys, '/permissions/add')}?api={graph_permissions.APP_ID}")
    form.submit(delegated=[READ], own=[INVITE]).submit("/permissions/consent")
    page = john.get(at(surveys)).follow("Open the application")
    assert page.h1 == "Surveys"
    assert rows(page) == ["User.Read", "User.Invite.All Invite guests to the organisation"]
    assert "Everybody" in page.text
    read = adele.get(page.path)
    assert rows(read) == rows(page)
    assert "Revoke" not in read.text
    token = csrf_of(adele, "/admin/users/invite")
    for button in page.soup.select("form[action*=revoke]"):
        fields = {str(i["name"]): str(i["value"]) for i in button.select("input")}
        refused = adele.post(str(button["action"]), {**fields, "csrf_token": token})
        assert refused.status == 403
    fewer = page.submit("/grants/revoke")
    assert "Revoked. Surveys has lost it at once." in fewer.text
    none = fewer.submit("/permissions/revoke")
    assert "User.Invite.All is revoked." in none.text
    assert "Nothing is granted" in none.text
    assert activities(app)[-2:] == [
        "Remove delegated permission grant",
        "Remove app role assignment from service principal",
    ]
    assert none.follow("Its app registration").path == at(surveys)
    assert none.follow("Sign-ins to it").h1 == "Sign-ins"


# Trying it ---------------------------------------------------------------------------------------


def test_a_sign_in_is_tried_and_its_tokens_are_explained_and_end(
    app: Flask, cast: Cast, surveys: UUID, john: Browser
) -> None:
    """OIDC-2, OIDC-3: a code with PKCE, once; nothing of it stays."""
    page = john.get(at(surveys, "/try"))
    ready = page.submit("/try/prepare")
    assert "Surveys can be tried now." in ready.text
    shown = ready.submit("/try", scope="openid profile email offline_access")
    assert shown.path == at(surveys, "/try/answer")
    values = {
        name.get_text(): next(iter(value.stripped_strings))
        for name, value in zip(
            shown.soup.select("main dt"), shown.soup.select("main dd"), strict=True
        )
    }
    assert values["alg"] == "RS256"
    assert values["name"] == "John Doe"
    assert values["tid"] == str(cast.woodgrove)
    assert "Whom the token is for; nobody else may take it" in shown.text
    with app.app_context():
        for table in (SignInGrant, RefreshToken):
            assert db.session.scalar(select(func.count()).select_from(table)) == 0
        db.session.remove()
    again = john.get(shown.url)
    assert "This is no answer to a sign-in that was begun here." in again.text
    assert not again.soup.select("main dt")
    cleared = again.submit("/try/clear")
    assert "First, the address" in cleared.text
    assert stored(app, cast, surveys).public_redirect_uris == []


def test_what_goes_wrong_in_a_trial_is_said(surveys: UUID, john: Browser) -> None:
    john.get(at(surveys, "/try")).submit("/try/prepare")
    page = john.get(at(surveys, "/try"))
    assert page.submit("/try", scope=" ").errors == ["Enter a scope, such as openid."]
    failed = page.submit("/try", scope="openid Nothing.Of.This")
    assert "The sign-in came to nothing." in failed.text
    assert "AADSTS70011" in failed.text
    forged = john.get(at(surveys, "/try/answer?code=stolen&state=forged"))
    assert "This is no answer to a sign-in that was begun here." in forged.text


def test_no_button_works_for_somebody_who_does_not_own_it(
    app: Flask, cast: Cast, surveys: UUID, adele: Browser
) -> None:
    """APP-2"""
    token = csrf_of(adele, "/admin/users/invite")
    nobody = "00000000-0000-0000-0000-000000000001"
    before = activities(app)
    for path, values in {
        "/credentials/secrets": {"days": "30"},
        f"/credentials/{nobody}/remove": {},
        "/permissions/remove": {"api": str(graph_permissions.APP_ID), "permission": READ},
        "/permissions/consent": {},
        "/api": {"identifier_uris": ""},
        "/api/scopes/new": {"value": "A", "display_name": "A"},
        "/tokens": {"group_claims": "None", "version": "1"},
        "/roles/new": {"value": "A", "display_name": "A", "for_users": "y"},
        "/try": {"scope": "openid"},
        "/try/prepare": {},
        "/try/clear": {},
    }.items():
        refused = adele.post(at(surveys, path), {"csrf_token": token, **values})
        assert refused.status == 403, path
    pem, _ = certificate()
    sent = {"csrf_token": token, "certificate": (io.BytesIO(pem), "it.pem")}
    assert adele.post(at(surveys, "/credentials/certificates"), sent).status == 403
    assert activities(app) == before


@pytest.mark.parametrize("junk", ["a\x00b", "\u202ea", "<script>", "%s%n", "A" * 5000])
def test_whatever_is_typed_is_answered_in_words(surveys: UUID, john: Browser, junk: str) -> None:
    for path, form, fields in (
        ("/credentials", "/secrets", {"description": junk}),
        ("/authentication", None, {"web_uris": junk}),
        ("/tokens", None, {"minutes": junk}),
        ("/api", None, {"identifier_uris": junk}),
        ("/api/scopes/new", None, {"value": junk, "display_name": junk, "description": junk}),
        ("/roles/new", None, {"value": "Read", "display_name": junk, "description": junk}),
        ("/name", None, {"display_name": junk}),
        ("/delete", None, {"confirmation": f"{junk}!"}),
    ):
        answer = john.get(at(surveys, path)).submit(form, **fields)
        assert answer.status in (200, 400), (path, answer.text[:200])
    assert john.get(f"/admin/app-registrations?q={quote(junk[:50])}").status == 200
    assert john.get(at(surveys, f"/try/answer?code={quote(junk)}&state=x")).status == 200
    assert john.get(at(surveys, f"/permissions/add?api={quote(junk[:50])}")).status == 404


def test_claims_are_mapped_on_the_page_of_the_application(
    app: Flask, cast: Cast, john: Browser, surveys: UUID
) -> None:
    page = john.get(at(surveys)).follow("Open the application").follow("Claims in its tokens")
    assert "No claim is mapped" in page.text
    refused = page.submit("/claims", claim="sub", source="user.department")
    assert refused.errors == ["sub cannot be mapped."]
    refused = refused.submit("/claims", claim="colour", source="value", value="")
    assert refused.errors == ["Enter a value of at most 1024 characters."]
    saved = refused.submit("/claims", claim="colour", source="value", value="blue")
    saved = saved.submit("/claims", claim="dept", source="user.department", value="")
    assert rows(saved) == ["colour", "dept"]
    assert "Person: department" in saved.text
    less = saved.submit("/claims/remove", claim="colour")
    assert "colour is mapped no longer." in less.text
    assert rows(less) == ["dept"]
    out = less.submit("/claims/basic")
    assert "Names, sign-in name and e-mail address are left out of tokens." in out.text
    again = out.submit("/claims/basic")
    assert "Tokens hold the basic claims again." in again.text
    assert activities(app).count("Update service principal") == 5


def test_owners_are_looked_after_on_the_page_of_the_registration(
    john: Browser, surveys: UUID
) -> None:
    page = john.get(at(surveys)).follow("Add an owner")
    assert page.path == at(surveys, "/owners/add")
    found = john.get(f"{page.path}?q=Adele")
    assert "App registrations" in found.text
    back = found.submit("/owners")
    assert back.path == at(surveys)
    assert "Adele Vance owns this now." in back.text
    gone = back.submit("/owners/remove")
    assert gone.path == at(surveys)
    assert "owns this no longer." in gone.text


def test_a_logout_address_is_checked_like_a_redirect_uri(
    app: Flask, cast: Cast, john: Browser, surveys: UUID
) -> None:
    """OIDC-10"""
    page = john.get(at(surveys, "/authentication"))
    refused = page.submit(logout_url="javascript:alert(1)")
    assert refused.errors == ["javascript:alert(1) cannot be an address to go back to."]
    url = "https://surveys.woodgrove.example/signed-out"
    saved = refused.submit(logout_url=url)
    assert "Saved." in saved.text
    assert stored(app, cast, surveys).logout_url == url
    saved.submit(logout_url="")
    assert stored(app, cast, surveys).logout_url is None
