"""Directories declared in a YAML file: loaded through the services, as often as one likes.

What the file names is made, or changed until it is so; what it does not name stays as it is. People
are known by sign-in name, guests by address, groups and applications by name.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import Refused
from b2b.models import (
    DEFAULT_ACCESS,
    EVERYBODY,
    AllowInvitesFrom,
    Application,
    AppRole,
    AppRoleAssignment,
    Domain,
    DomainList,
    Group,
    GuestAccess,
    Invitation,
    InvitationLayout,
    LandingPages,
    Membership,
    PrincipalType,
    Role,
    ServicePrincipal,
    Tenant,
    User,
    UserType,
    fold,
    new_id,
)
from b2b.services import (
    addresses,
    app_credentials,
    app_registrations,
    applications,
    branding,
    consent,
    graph_permissions,
    groups,
    human_steps,
    invitation_handling,
    invitations,
    offered_permissions,
    owners,
    passwords,
    policies,
    profiles,
    redemption,
    roles,
    sign_in,
    tenants,
    users,
)
from b2b.services.app_registrations import Facts, Registered
from b2b.test_double import directory_terms
from b2b.test_double.yaml_tree import At, BadFile, parse, words

LARGEST = 4 * 1024 * 1024


@dataclass
class Done:
    """What loading came to."""

    changes: list[str] = field(default_factory=list)
    """One plain line for each thing that was made or changed."""
    unchanged: int = 0
    """How many things were as the file has them."""
    secrets: dict[str, str] = field(default_factory=dict)
    """Client secrets that were made just now, by `domain/application`."""

    def note(self, *, changed: bool, line: str) -> None:
        """Count one thing."""
        if changed:
            self.changes.append(line)
        else:
            self.unchanged += 1


def read(text: str) -> At:
    """The file's tree. Raises BadFile for what is no YAML."""
    return parse(text, largest=LARGEST)


def apply(session: Session, tree: At, *, now: datetime) -> Done:
    """Bring the directories to what *tree* says, in this transaction. Raises BadFile: then nothing
    is to be committed.
    """
    done = Done()
    top = tree.mapping("tenants", "personalAccounts")
    tenants.ensure_consumer_directory(session, now)
    if "personalAccounts" in top:
        for at in top["personalAccounts"].items():
            _personal_account(session, at, done, now)
    loaders = []
    for at in top["tenants"].items() if "tenants" in top else ():
        loaders.append(_Loader(session, at, done, now))
    # All organisations first: guests of one may have their home in another.
    for loader in loaders:
        loader.people()
    for loader in loaders:
        loader.things()
    return done


@contextmanager
def _naming(at: At) -> Iterator[None]:
    """A refusal of a service is told with the place in the file."""
    try:
        yield
    except BadFile:
        raise
    except Refused as error:
        raise at.refused(error) from None


def _required(values: Mapping[str, At], name: str, at: At) -> At:
    if name not in values:
        raise at.bad(f"{name} is missing")
    return values[name]


def _personal_account(session: Session, at: At, done: Done, now: datetime) -> None:
    values = at.mapping("address", "name", "password")
    named = _required(values, "address", at)
    with _naming(named):
        address = addresses.parse(named.text(), rules="rfc")
        line = f"personal account {address.text}"
        if sign_in.personal_account_of(session, address) is not None:
            return done.note(changed=False, line=line)
        password = _required(values, "password", at).text()
        given, _, surname = _required(values, "name", at).text().partition(" ")
        sign_in.make_account(
            session,
            sign_in.identity_by_code(address),
            given_name=given,
            surname=surname,
            password_hash=passwords.hashed(password),
            preferred_language=None,
            now=now,
            correlation_id=new_id(),
        )
    return done.note(changed=True, line=f"{line}: made")


class _Loader:
    """One organisation of the file."""

    def __init__(self, session: Session, at: At, done: Done, now: datetime) -> None:
        self._session, self._done, self._now, self._at = session, done, now, at
        self._values = at.mapping(
            "name", "domain", "domains", "policy", "branding", "users", "groups", "applications",
            "guests",
        )  # fmt: skip
        named = _required(self._values, "domain", at)
        with _naming(named):
            domain = addresses.parse_domain(named.text())
            self._domain = domain
            self._actor = self._tenant(domain)
            if "domains" in self._values:
                for one in self._values["domains"].items():
                    with _naming(one):
                        self._verified(one.text())

    def _tenant(self, domain: str) -> Actor:
        """The organisation, made if need be, and somebody who may do everything there."""
        found = self._named(domain)
        self._note(found is None, "organisation made" if found is None else "organisation")
        if found is None:
            name = _required(self._values, "name", self._at).text()
            tenants.create(self._session, display_name=name, domain=domain, now=self._now)
            found = self._named(domain)
            assert found is not None
        actor = human_steps.as_system(found, self._now)
        return replace(
            actor, display_name="Directory file", roles=frozenset({Role.GLOBAL_ADMINISTRATOR})
        )

    def _named(self, domain: str) -> Tenant | None:
        return self._session.scalars(
            select(Tenant)
            .join(Domain, Domain.tenant_id == Tenant.id)
            .where(Domain.name == domain, Domain.verified_at.is_not(None))
        ).one_or_none()

    def _verified(self, domain: str) -> None:
        name = addresses.parse_domain(domain)
        known = self._session.get(Domain, (self._actor.tenant_id, name))
        is_new = known is None or known.verified_at is None
        tenants.verify_domain(self._session, self._actor, name)
        self._note(is_new, f"domain {name}")

    def _note(self, changed: bool, line: str) -> None:
        self._done.note(changed=changed, line=f"{self._domain}: {line}")

    def _each(self, name: str, load: Callable[[At], None]) -> None:
        if name in self._values:
            for at in self._values[name].items():
                with _naming(at):
                    load(at)

    def people(self) -> None:
        """Policies, face and the people whose home this is."""
        for name, load in (("policy", self._policy), ("branding", self._branding)):
            if name in self._values:
                with _naming(self._values[name]):
                    load(self._values[name])
        self._each("users", self._user)

    def things(self) -> None:
        """Groups, applications and guests, and then who has what."""
        self._each("groups", self._group)
        self._each("applications", self._application)
        self._each("guests", self._guest)
        self._each("groups", self._members)
        self._each("applications", self._assignments)
        self._each("guests", self._standing)

    # Settings ------------------------------------------------------------------------------------

    def _policy(self, at: At) -> None:
        values = at.mapping(
            "allowInvitesFrom", "guestAccess", "allowedDomains", "blockedDomains", "landingHosts",
            "invitationDays", *directory_terms.POLICY_FLAGS, *directory_terms.SIGN_IN_FLAGS,
        )  # fmt: skip
        policy = policies.of(self._session, self._actor)
        wanted: dict[str, Any] = {
            name: getattr(policy, name) for name in policies.Settings.__dataclass_fields__
        }
        if "allowInvitesFrom" in values:
            found = values["allowInvitesFrom"].choice(words(AllowInvitesFrom))
            wanted["allow_invites_from"] = found
        if "guestAccess" in values:
            wanted["guest_access"] = values["guestAccess"].choice(words(GuestAccess))
        if "allowedDomains" in values and "blockedDomains" in values:
            raise values["blockedDomains"].bad("either allowedDomains or blockedDomains")
        for name, kind in (
            ("allowedDomains", DomainList.ALLOW),
            ("blockedDomains", DomainList.BLOCK),
        ):
            if name in values:
                wanted["domains"] = values[name].texts()
                wanted["domain_list"] = kind if wanted["domains"] else DomainList.OFF
        if "landingHosts" in values:
            wanted["landing_hosts"] = values["landingHosts"].texts()
            wanted["landing_pages"] = (
                LandingPages.LISTED if wanted["landing_hosts"] else LandingPages.ANY_HTTPS
            )
        if "invitationDays" in values:
            never = values["invitationDays"].text() == "never"
            wanted["invitation_days"] = None if never else values["invitationDays"].whole()
        for name, column in directory_terms.POLICY_FLAGS.items():
            if name in values:
                wanted[column] = values[name].flag()
        before = _columns(policy)
        policies.change(self._session, self._actor, policies.Settings(**wanted))
        for name, column in directory_terms.SIGN_IN_FLAGS.items():
            if name in values:
                setattr(policy, column, values[name].flag())
        self._session.flush()
        self._note(_columns(policy) != before, "policy")

    def _branding(self, at: At) -> None:
        values = at.mapping(
            "accent", "privacyUrl", "privacyContact", "technicalContact", "layout", "mailLanguage"
        )
        tenant = self._session.get_one(Tenant, self._actor.tenant_id)
        now_set = branding.now_set(tenant, policies.of(self._session, self._actor))
        names = {
            "accent": "accent",
            "privacyUrl": "privacy_url",
            "privacyContact": "privacy_contact",
            "technicalContact": "technical_contact",
            "mailLanguage": "notification_language",
        }
        wanted: dict[str, Any] = {
            names[name]: value.text() for name, value in values.items() if name in names
        }
        if "layout" in values:
            wanted["layout"] = values["layout"].choice(words(InvitationLayout))
        saved = branding.save(self._session, self._actor, replace(now_set, **wanted))
        self._note(saved.changed, "branding")

    # People --------------------------------------------------------------------------------------

    def _user(self, at: At) -> None:
        values = at.mapping(
            "name",
            "signIn",
            "mail",
            "password",
            "roles",
            "type",
            "enabled",
            *directory_terms.PROFILE,
        )
        name = _required(values, "name", at).text()
        sign_in_name = _required(values, "signIn", at).text()
        address = addresses.parse(sign_in_name, rules="rfc")
        if not self._is_ours(address.domain):
            raise values["signIn"].bad(f"{address.domain} is no domain of {self._domain}")
        profile: dict[str, Any] = {
            column: values[key].text()
            for key, column in directory_terms.PROFILE.items()
            if key in values
        }
        kind = values["type"].choice(words(UserType)) if "type" in values else UserType.MEMBER
        user = self._session.scalars(
            select(User).where(
                User.tenant_id == self._actor.tenant_id,
                User.upn_key == fold(sign_in_name),
                User.deleted_at.is_(None),
            )
        ).one_or_none()
        line = f"user {sign_in_name}"
        changed = False
        if user is None:
            line, changed = f"{line} made", True
            mail = values["mail"].text() if "mail" in values else sign_in_name
            user = tenants.add_person(
                self._session,
                self._actor,
                user_principal_name=sign_in_name,
                display_name=name,
                mail=mail,
                user_type=kind,
                **profile,
            )
        else:
            before = _columns(user)
            profiles.update_profile(
                self._session, self._actor, user.id, display_name=name, **profile
            )
            changed = _columns(user) != before
        if "password" in values:
            changed |= self._password(user, values["password"])
        for one in values["roles"].items() if "roles" in values else ():
            changed |= self._role(user, one)
        if "enabled" in values and values["enabled"].flag() != user.account_enabled:
            change = users.unblock if values["enabled"].flag() else users.block
            change(self._session, self._actor, user.id)
            changed = True
        self._note(changed, line)

    def _is_ours(self, domain: str) -> bool:
        found = self._session.get(Domain, (self._actor.tenant_id, domain))
        return found is not None and found.verified_at is not None

    def _password(self, user: User, at: At) -> bool:
        with _naming(at):
            password = at.text()
            kept = passwords.stored(self._session, user.tenant_id, user.id)
            if kept is not None and passwords.matches(kept, password):
                return False
            passwords.check_rules(password, near=user.user_principal_name)
            passwords.put(self._session, self._actor, user, passwords.hashed(password))
        return True

    def _role(self, user: User, at: At) -> bool:
        role = at.choice(directory_terms.ROLES)
        if role in roles.of_user(self._session, user.tenant_id, user.id):
            return False
        with _naming(at):
            roles.grant(self._session, self._actor, user.id, role, guest_is_meant=True)
        return True

    def _person(self, at: At) -> User:
        with _naming(at):
            tenant = self._session.get_one(Tenant, self._actor.tenant_id)
            return human_steps.user_named(self._session, tenant, at.text(), self._now)

    # Groups --------------------------------------------------------------------------------------

    _GROUP = ("name", "description", "owners", "members", "rule")

    def _group(self, at: At) -> None:
        values = at.mapping(*self._GROUP)
        name = _required(values, "name", at).text()
        about = values["description"].text() if "description" in values else None
        group = self._group_named(name)
        if group is None:
            group = groups.create(self._session, self._actor, display_name=name, description=about)
            if "rule" in values:
                group.membership_rule = values["rule"].text()
                self._session.flush()
            return self._note(True, f"group {name} made")
        changed = about is not None and about != group.description
        if changed:
            groups.update(
                self._session, self._actor, group.id, display_name=name, description=about
            )
        return self._note(changed, f"group {name}")

    def _group_named(self, name: str) -> Group | None:
        return self._session.scalars(
            select(Group)
            .where(Group.tenant_id == self._actor.tenant_id, Group.name_key == fold(name))
            .order_by(Group.id)
            .limit(1)
        ).one_or_none()

    def _members(self, at: At) -> None:
        values = at.mapping(*self._GROUP)
        group = self._group_named(values["name"].text())
        assert group is not None  # made before
        held = set(
            self._session.scalars(
                select(Membership.user_id).where(
                    Membership.tenant_id == group.tenant_id, Membership.group_id == group.id
                )
            )
        )
        for one in values["members"].items() if "members" in values else ():
            person = self._person(one)
            if person.id not in held:
                with _naming(one):
                    groups.add_member(self._session, self._actor, group.id, person.id)
                held.add(person.id)
                self._note(True, f"group {group.display_name}: member {one.text()}")
        self._owners(values, groups.owned(group), f"group {group.display_name}")

    def _owners(self, values: Mapping[str, At], owned: owners.Owned, line: str) -> None:
        for one in values["owners"].items() if "owners" in values else ():
            person = self._person(one)
            if not owners.held_by(self._session, self._actor, owned, [person.id]):
                with _naming(one):
                    owners.add(self._session, self._actor, owned, person.id)
                self._note(True, f"{line}: owner {one.text()}")

    # Applications --------------------------------------------------------------------------------

    _APPLICATION = (
        "name", "description", "url", "redirectUris", "public", "secret", "membersOnly",
        "assignmentRequired", "scopes", "roles", "permissions", "owners", "assignments",
    )  # fmt: skip

    def _application_named(self, name: str) -> ServicePrincipal | None:
        return self._session.scalars(
            select(ServicePrincipal)
            .where(
                ServicePrincipal.tenant_id == self._actor.tenant_id,
                ServicePrincipal.name_key == fold(name),
                ServicePrincipal.app_id != graph_permissions.APP_ID,
            )
            .order_by(ServicePrincipal.id)
            .limit(1)
        ).one_or_none()

    def _application(self, at: At) -> None:
        values = at.mapping(*self._APPLICATION)
        name = _required(values, "name", at).text()
        redirects = {}
        if "redirectUris" in values:
            told = values["redirectUris"].mapping(*directory_terms.PLATFORMS)
            redirects = {
                directory_terms.PLATFORMS[key]: value.texts() for key, value in told.items()
            }
        texts: dict[str, Any] = {
            column: values[key].text()
            for key, column in (("description", "description"), ("url", "sign_in_url"))
            if key in values
        }
        public = values["public"].flag() if "public" in values else None
        principal = self._application_named(name)
        line = f"application {name}"
        if principal is None:
            facts = Facts(redirect_uris=redirects, is_public=bool(public), **texts)
            found = app_registrations.register(self._session, self._actor, name, facts)
            principal = found.principal
            changed, line = True, f"{line} made"
        else:
            before = _columns(principal)
            for column, value in texts.items():
                setattr(principal, column, value)
            registered = self._registered(principal)
            changed = False
            if registered is not None:
                kept = _columns(registered.registration)
                registration_id = registered.registration.id
                app_registrations.set_redirects(
                    self._session, self._actor, registration_id, redirects
                )
                app_registrations.set_authentication(
                    self._session, self._actor, registration_id, is_public=public
                )
                changed = _columns(registered.registration) != kept
            changed |= _columns(principal) != before
        for key, column in (
            ("membersOnly", "members_only"), ("assignmentRequired", "assignment_required")
        ):  # fmt: skip
            if key in values and getattr(principal, column) != values[key].flag():
                setattr(principal, column, values[key].flag())
                changed = True
        self._session.flush()
        self._note(changed, line)
        offered = self._registered(principal)
        if offered is not None:
            self._offer(values, offered)
            self._permissions(values, offered)
            self._secret(values, offered)

    def _registered(self, principal: ServicePrincipal) -> Registered | None:
        registration = self._session.scalars(
            select(Application).where(
                Application.tenant_id == principal.tenant_id,
                Application.app_id == principal.app_id,
            )
        ).one_or_none()
        return None if registration is None else Registered(registration, principal)

    def _offer(self, values: Mapping[str, At], found: Registered) -> None:
        name = found.principal.display_name
        known = {one.value for one in offered_permissions.scopes_of(self._session, found)}
        for at in values["scopes"].items() if "scopes" in values else ():
            told = at.mapping("value", "name", "adminsOnly")
            value = _required(told, "value", at).text()
            if value not in known:
                with _naming(at):
                    offered_permissions.expose_scope(
                        self._session,
                        self._actor,
                        found.registration.id,
                        value,
                        display_name=told["name"].text() if "name" in told else value,
                        admins_only="adminsOnly" in told and told["adminsOnly"].flag(),
                    )
                self._note(True, f"application {name}: scope {value}")
        known = {str(one.value) for one in offered_permissions.roles_of(self._session, found)}
        for at in values["roles"].items() if "roles" in values else ():
            told = at.mapping("value", "name", "for")
            value = _required(told, "value", at).text()
            for_whom = told["for"].texts() if "for" in told else ["users"]
            if not set(for_whom) <= {"users", "applications"}:
                raise told["for"].bad("users, applications or both are expected here")
            if value not in known:
                with _naming(at):
                    offered_permissions.define_role(
                        self._session,
                        self._actor,
                        found.registration.id,
                        value,
                        display_name=told["name"].text() if "name" in told else value,
                        for_users="users" in for_whom,
                        for_applications="applications" in for_whom,
                    )
                self._note(True, f"application {name}: role {value}")

    def _permissions(self, values: Mapping[str, At], found: Registered) -> None:
        """What the application may do at Graph, granted for everybody."""
        if "permissions" not in values:
            return
        told = values["permissions"].mapping("application", "delegated")
        graph = consent.graph_principal(self._session, self._actor)
        name = found.principal.display_name
        if "application" in told:
            with _naming(told["application"]):
                fresh = consent.give_roles(
                    self._session, self._actor, found.principal, graph, told["application"].texts()
                )
            for value in fresh:
                self._note(True, f"application {name}: permission {value}")
        if "delegated" in told:
            wanted = told["delegated"].texts()
            held = consent.granted(self._session, found.principal, graph, EVERYBODY)
            if not held.issuperset(wanted):
                with _naming(told["delegated"]):
                    consent.grant(self._session, self._actor, found.principal, graph, wanted)
                self._note(True, f"application {name}: delegated permissions")

    def _secret(self, values: Mapping[str, At], found: Registered) -> None:
        if "secret" not in values or not values["secret"].flag():
            return
        if app_credentials.credentials_of(self._session, found):
            return
        _, secret = app_credentials.add_secret(
            self._session, self._actor, found.registration.id, display_name="directory file"
        )
        name = found.principal.display_name
        self._done.secrets[f"{self._domain}/{name}"] = secret
        self._note(True, f"application {name}: secret")

    def _assignments(self, at: At) -> None:
        values = at.mapping(*self._APPLICATION)
        principal = self._application_named(values["name"].text())
        assert principal is not None  # made before
        for one in values["assignments"].items() if "assignments" in values else ():
            told = None if one.is_text else one.mapping("to", "role")
            whom = one if told is None else _required(told, "to", one)
            role_at = None if told is None else told.get("role")
            group = self._group_named(whom.text())
            kind = PrincipalType.USER if group is None else PrincipalType.GROUP
            principal_id = self._person(whom).id if group is None else group.id
            role_id = DEFAULT_ACCESS if role_at is None else self._role_id(principal, role_at)
            if self._holds(principal, principal_id, role_id):
                continue
            with _naming(one):
                self._assign(principal, principal_id, kind, role_id)
            self._note(True, f"application {principal.display_name}: assigned to {whom.text()}")
        self._owners(values, applications.owned(principal), f"application {principal.display_name}")

    def _role_id(self, principal: ServicePrincipal, at: At) -> UUID:
        found = self._session.scalars(
            select(AppRole.id).where(
                AppRole.tenant_id == principal.tenant_id,
                AppRole.service_principal_id == principal.id,
                AppRole.value == at.text(),
            )
        ).one_or_none()
        if found is None:
            raise at.bad(f"{principal.display_name} has no role {at.text()}")
        return found

    def _holds(self, principal: ServicePrincipal, principal_id: UUID, role_id: UUID) -> bool:
        held = self._session.scalars(
            select(AppRoleAssignment.app_role_id).where(
                AppRoleAssignment.tenant_id == principal.tenant_id,
                AppRoleAssignment.service_principal_id == principal.id,
                AppRoleAssignment.principal_id == principal_id,
            )
        ).all()
        return role_id in held if role_id != DEFAULT_ACCESS else bool(held)

    def _assign(
        self, principal: ServicePrincipal, principal_id: UUID, kind: PrincipalType, role_id: UUID
    ) -> None:
        """By the service, whose assignment is of default access, and then with the role."""
        held = self._holds(principal, principal_id, DEFAULT_ACCESS)
        if not held:
            applications.add_assignment(
                self._session, self._actor, principal.id, principal_id, kind
            )
        if role_id == DEFAULT_ACCESS:
            return
        if held:
            self._session.add(
                AppRoleAssignment(
                    tenant_id=principal.tenant_id,
                    id=new_id(),
                    service_principal_id=principal.id,
                    principal_id=principal_id,
                    principal_type=kind,
                    app_role_id=role_id,
                    created_at=self._now,
                )
            )
        else:
            row = self._session.scalars(
                select(AppRoleAssignment).where(
                    AppRoleAssignment.tenant_id == principal.tenant_id,
                    AppRoleAssignment.service_principal_id == principal.id,
                    AppRoleAssignment.principal_id == principal_id,
                )
            ).one()
            row.app_role_id = role_id
        self._session.flush()

    # Guests --------------------------------------------------------------------------------------

    _GUEST = (
        "address", "name", "state", "as", "inviter", "message", "language", "landingPage", "send",
        "type", *(key for key in directory_terms.PROFILE if key != "language"),
    )  # fmt: skip

    def _guest(self, at: At) -> None:
        values = at.mapping(*self._GUEST)
        named = _required(values, "address", at)
        with _naming(named):
            address = addresses.parse(named.text(), rules="rfc")
        state = self._state(values)
        user = self._invited(address.key)
        line = f"guest {address.text}"
        if user is not None:
            return self._profile(user, values, line)
        days = policies.of(self._session, self._actor).invitation_days
        actor = self._inviter(values.get("inviter"))
        if state == "expired":
            if days is None:
                raise values["state"].bad("invitations of this organisation do not expire")
            actor = replace(actor, now=self._now - timedelta(days=days, minutes=1))
        texts = {
            name: values[key].text()
            for key, name in (
                ("name", "display_name"), ("message", "message"), ("language", "language"),
                ("landingPage", "redirect_url"),
            )
            if key in values
        }  # fmt: skip
        made = invitations.invite(
            self._session,
            actor,
            address=address.text,
            send_message="send" in values and values["send"].flag(),
            user_type=(
                values["type"].choice(words(UserType)) if "type" in values else UserType.GUEST
            ),
            **texts,
        )
        user = self._session.get_one(User, (actor.tenant_id, made.user_id))
        self._note(True, f"{line} invited")
        self._profile(user, values, None)
        return None

    def _profile(self, user: User, values: Mapping[str, At], line: str | None) -> None:
        texts = {
            column: values[key].text()
            for key, column in directory_terms.PROFILE.items()
            if key in values and key != "language"
        }
        before = _columns(user)
        if texts:
            profiles.update_profile(self._session, self._actor, user.id, **texts)
        if line is not None:
            self._note(_columns(user) != before, line)

    @staticmethod
    def _state(values: Mapping[str, At]) -> str:
        if "state" not in values:
            return "pending"
        return values["state"].choice({state: state for state in directory_terms.STATES})

    def _invited(self, key: str) -> User | None:
        return self._session.scalars(
            select(User).where(
                User.tenant_id == self._actor.tenant_id,
                User.invited_key == key,
                User.deleted_at.is_(None),
            )
        ).one_or_none()

    def _inviter(self, at: At | None) -> Actor:
        if at is None:
            return self._actor
        user = self._person(at)
        return replace(
            self._actor,
            kind=type(self._actor.kind).USER,
            user_id=user.id,
            display_name=user.display_name,
            user_principal_name=user.user_principal_name,
            mail=user.mail,
            is_guest=user.is_guest,
            roles=roles.of_user(self._session, user.tenant_id, user.id),
        )

    def _standing(self, at: At) -> None:
        """From pending to the state that the file wants; an accepted guest stays accepted."""
        values = at.mapping(*self._GUEST)
        state = self._state(values)
        address = addresses.parse(values["address"].text(), rules="rfc")
        user = self._invited(address.key)
        assert user is not None  # invited before
        invitation = self._session.scalars(
            select(Invitation)
            .where(Invitation.tenant_id == user.tenant_id, Invitation.user_id == user.id)
            .execution_options(populate_existing=True)
        ).one()
        present = directory_terms.state_of(
            user, invitation, policies.of(self._session, self._actor), self._now
        )
        if present == state:
            return
        if "state" not in values:
            return
        if present in ("accepted", "blocked") and state not in ("accepted", "blocked"):
            raise values["state"].bad(f"is {present} by now, which a file does not take back")
        if state in ("pending", "expired"):
            raise values["state"].bad(f"is {present} by now, which a file does not take back")
        with _naming(values["state"]):
            if state == "cancelled":
                invitation_handling.cancel(self._session, self._actor, user.id)
            elif state == "declined" or user.is_pending:
                self._answer(user, invitation, values, state)
            if state == "blocked":
                users.block(self._session, self._actor, user.id)
            elif present == "blocked":
                users.unblock(self._session, self._actor, user.id)
        self._note(True, f"guest {address.text} {state}")

    def _answer(
        self, user: User, invitation: Invitation, values: Mapping[str, At], state: str
    ) -> None:
        opened = redemption.open_link(
            self._session,
            user.tenant_id,
            invitation.id,
            invitation.ticket_hash,
            now=self._now,
            lock=True,
        )
        if opened is None:
            raise values["address"].bad("this invitation cannot be answered any more")
        answering = values["as"].text() if "as" in values else opened.address.text
        identity = human_steps.proven_as(self._session, answering, guest=user)
        if state == "declined":
            guest = redemption.acting(opened, now=self._now)
            redemption.note_opened(self._session, guest, opened)
            redemption.note_signed_in(self._session, guest, opened)
            redemption.decline(self._session, guest, opened, identity)
            self._session.flush()
        else:
            human_steps.redeem(self._session, opened, identity, now=self._now)


def _columns(row: Any) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}
