"""The resource `user`: its properties, and whom a request means (users.md)."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, exists, func, or_, select, union_all
from sqlalchemy import text as text_clause

from b2b.models import (
    Identity,
    LicenseAssignment,
    Provider,
    ProxyAddress,
    Tenant,
    User,
    UserToken,
    fold,
)
from b2b.models.base import LAST, domain_of, lower_ascii
from b2b.models.user import HAS_OTHER_MAILS
from b2b.services import permissions, user_listing, visibility
from b2b.services.permissions import Action
from b2b.services.user_listing import Facts
from b2b.web.graph import resources
from b2b.web.graph.calls import Call, bad, denied, missing
from b2b.web.graph.conditions import Clause, Compiler, ascii_lower, compare_text
from b2b.web.graph.listing import Found, Query, Shape
from b2b.web.graph.listing import Source as RowSource
from b2b.web.graph.odata import Both, Compare, Condition, In, Lambda, Not
from b2b.web.graph.resources import (
    BOOLEAN,
    GUID,
    INSTANT,
    STRING,
    STRINGS,
    Filter,
    Kind,
    Property,
    instant,
    plain,
    text,
)

# What is kept elsewhere --------------------------------------------------------------------------


def _proxies(call: Call, ids: Collection[UUID]) -> Mapping[UUID, list[str]]:
    """`SMTP:` before the primary address, `smtp:` before others (users.md, section 2)."""
    found: dict[UUID, list[str]] = {}
    tenant_id = call.actor.tenant_id
    for row in call.session.execute(
        select(User.id, User.mail).where(User.tenant_id == tenant_id, User.id.in_(list(ids)))
    ):
        found[row.id] = [f"SMTP:{row.mail}"] if row.mail else []
    for row in call.session.execute(
        select(ProxyAddress.user_id, ProxyAddress.address)
        .where(ProxyAddress.tenant_id == tenant_id, ProxyAddress.user_id.in_(list(ids)))
        .order_by(ProxyAddress.address_key)
    ):
        found[row.user_id].append(f"smtp:{row.address}")
    return found


def _identities(call: Call, ids: Collection[UUID]) -> Mapping[UUID, list[dict[str, Any]]]:
    """The sign-in name here, and the account elsewhere that a guest redeemed with (section 4)."""
    tenant_id = call.actor.tenant_id
    domain = call.session.get_one(Tenant, tenant_id).initial_domain
    found: dict[UUID, list[dict[str, Any]]] = {}
    for row in call.session.execute(
        select(User.id, User.user_principal_name).where(
            User.tenant_id == tenant_id, User.id.in_(list(ids))
        )
    ):
        found[row.id] = [_identity("userPrincipalName", domain, row.user_principal_name)]
    for bound in call.session.execute(
        select(Identity.user_id, Identity.provider, Identity.label).where(
            Identity.tenant_id == tenant_id, Identity.user_id.in_(list(ids))
        )
    ):
        found[bound.user_id].append(_identity("federated", str(bound.provider), bound.label))
    return found


def _identity(kind: str, issuer: str, name: str) -> dict[str, Any]:
    return {"signInType": kind, "issuer": issuer, "issuerAssignedId": name}


def _licenses(call: Call, ids: Collection[UUID]) -> Mapping[UUID, list[dict[str, Any]]]:
    found: dict[UUID, list[dict[str, Any]]] = {}
    for row in call.session.execute(
        select(
            LicenseAssignment.user_id, LicenseAssignment.sku_id, LicenseAssignment.disabled_plans
        )
        .where(
            LicenseAssignment.tenant_id == call.actor.tenant_id,
            LicenseAssignment.user_id.in_(list(ids)),
        )
        .order_by(LicenseAssignment.sku_id)
    ):
        found.setdefault(row.user_id, []).append(
            {"skuId": str(row.sku_id), "disabledPlans": row.disabled_plans}
        )
    return found


def _has_address(compiler: Compiler, _: str, tree: Any) -> Clause:
    """`proxyAddresses/any(p:…)`; every value has its prefix."""
    if not isinstance(tree, Lambda):
        return and_(User.mail.is_not(None))
    [(_, operator, first), *rest] = compiler.element(tree, USER.properties["proxyAddresses"])
    values = [first, *[value for _, _, value in rest]]
    clauses: list[Clause] = []
    for value in values:
        both = _meant_by(operator, str(value.value))
        if both is None:
            clauses.append(User.id.is_(None))
            continue
        further, primary = both
        clauses.append(
            or_(
                and_(User.mail_key.is_not(None), primary),
                exists().where(
                    ProxyAddress.tenant_id == User.tenant_id,
                    ProxyAddress.user_id == User.id,
                    further,
                ),
            )
        )
    return or_(*clauses) if operator == "in" else and_(*clauses)


def _meant_by(operator: str, text: str) -> tuple[Clause, Clause] | None:
    """Which further, and which primary addresses are meant; None: no address is written so."""
    prefix, _, address = text.partition(":")
    if prefix.lower() != "smtp":
        return None
    key = fold(address)
    columns: tuple[Any, Any] = (ProxyAddress.address_key, User.mail_key)
    if operator == "startswith":
        further, primary = (and_(one >= key, one < key + LAST) for one in columns)
    else:
        further, primary = (one == key for one in columns)
    return further, primary


def _with_address(compiler: Compiler, tree: Lambda) -> Select[Any] | None:
    """Who can have an address, by both indexes."""
    wanted = compiler.element(tree, USER.properties["proxyAddresses"])
    [(_, operator, value), *others] = wanted
    both = None if others else _meant_by(operator, str(value.value))
    if both is None:
        return None
    further, primary = both
    found = union_all(
        select(User.id).where(User.tenant_id == compiler.tenant_id, primary),
        select(ProxyAddress.user_id).where(ProxyAddress.tenant_id == compiler.tenant_id, further),
    ).subquery()
    return select(found.c[0])


def _has_identity(compiler: Compiler, _: str, tree: Any) -> Clause:
    """`identities/any(i:i/issuer eq '…' and i/issuerAssignedId eq '…')` (section 4)."""
    if not isinstance(tree, Lambda):
        return User.id.is_not(None)
    issuer, name = _identity_asked(compiler, tree)
    here: Clause = exists().where(
        Tenant.id == User.tenant_id, lower_ascii(Tenant.initial_domain) == ascii_lower(issuer)
    )
    if name is not None:
        here = and_(User.upn_key == fold(name), here)
    known = next((one for one in Provider if one.value.lower() == issuer.lower()), None)
    if known is None:
        return here
    elsewhere = [
        Identity.tenant_id == User.tenant_id,
        Identity.user_id == User.id,
        Identity.provider == known,
    ]
    if name is not None:
        elsewhere.append(lower_ascii(Identity.label) == ascii_lower(name))
    return or_(here, exists().where(*elsewhere))


def _with_identity(compiler: Compiler, tree: Lambda) -> Select[Any] | None:
    """Who can have an account of a name, by both indexes."""
    _, name = _identity_asked(compiler, tree)
    if name is None:
        return None
    found = union_all(
        select(User.id).where(*compiler.within, User.upn_key == fold(name)),
        select(Identity.user_id).where(
            Identity.tenant_id == compiler.tenant_id,
            lower_ascii(Identity.label) == ascii_lower(name),
        ),
    ).subquery()
    return select(found.c[0])


def _identity_asked(compiler: Compiler, tree: Lambda) -> tuple[str, str | None]:
    wanted = {
        name: str(value.value)
        for name, _, value in compiler.element(tree, USER.properties["identities"])
    }
    return wanted.get("issuer", ""), wanted.get("issuerAssignedId")


def _with_other_mails(compiler: Compiler, _: Lambda) -> Select[Any]:
    """Who has other addresses at all, by an index of those alone."""
    return select(User.id).where(*compiler.within, text_clause(HAS_OTHER_MAILS[compiler.dialect]))


def _has_other_mail(compiler: Compiler, _: str, tree: Any) -> Clause:
    """`otherMails/any(o:…)`, in ASCII's way."""
    each: Any = (
        func.json_array_elements_text if compiler.dialect == "postgresql" else func.json_each
    )
    held = each(User.other_mails).table_valued("value")
    clauses: list[Clause] = []
    in_any: list[Clause] = []
    if isinstance(tree, Lambda):
        for _, operator, value in compiler.element(tree, USER.properties["otherMails"]):
            said = compare_text(operator, lower_ascii(held.c.value), ascii_lower(str(value.value)))
            (in_any if operator == "in" else clauses).append(said)
    if in_any:
        clauses.append(or_(*in_any))
    return exists(select(held.c.value).where(*clauses).correlate(User))


# The table ---------------------------------------------------------------------------------------

_PROPERTIES = resources.table(
    Property("id", STRING, User.id, default=True,
             filter=Filter(User.id, frozenset({"eq", "in", "ne", "not"}), compares=GUID,
                           indexed=True)),
    Property("businessPhones", STRINGS, User.business_phones, default=True,
             write="business_phones"),
    text("displayName", User.display_name,
         "eq in startswith ge le | ne not null endswith", key=User.name_key, indexed=True,
         default=True, order=User.name_key, search="words", write="display_name"),
    text("givenName", User.given_name, "eq in startswith ge le | ne not null", indexed=True,
         default=True, search="start", write="given_name"),
    text("jobTitle", User.job_title, "eq in startswith ge le | ne not null", indexed=True,
         default=True, search="start", write="job_title"),
    text("mail", User.mail, "eq in startswith ge le | ne not null endswith", key=User.mail_key,
         indexed=True, domain=domain_of(User.mail_key), default=True, search="start",
         write="mail"),
    text("mobilePhone", User.mobile_phone, "eq in startswith ge le | ne not null", default=True,
         write="mobile_phone"),
    text("officeLocation", User.office_location, "eq in startswith ge le | ne not null",
         default=True, write="office_location"),
    text("preferredLanguage", User.preferred_language,
         "| eq in startswith ge le ne not null", indexed=True, default=True,
         write="preferred_language"),
    text("surname", User.surname, "eq in startswith ge le | ne not null", indexed=True,
         default=True, search="start", write="surname"),
    text("userPrincipalName", User.user_principal_name,
         "eq in startswith ge le | ne not endswith", key=User.upn_key, indexed=True, default=True,
         order=User.upn_key, search="start", write="user_principal_name"),
    plain("accountEnabled", BOOLEAN, User.account_enabled, "eq in | ne not",
          write="account_enabled"),
    text("ageGroup", None, read=lambda _: None),
    Property("assignedLicenses", "Collection(graph.assignedLicense)", load=_licenses),
    text("city", User.city, "eq in startswith ge | ne not null le", indexed=True, write="city"),
    text("companyName", User.company_name, "| eq in startswith ge le ne not null", indexed=True,
         write="company_name"),
    text("country", User.country, "eq in startswith ge le | ne not null", indexed=True,
         write="country"),
    plain("createdDateTime", INSTANT, User.created_at, "eq ge le gt lt | ne not in", indexed=True,
          order=User.created_at, order_is_advanced=True),
    text("creationType", User.creation_type, "eq in | ne not null", indexed=True),
    plain("deletedDateTime", INSTANT, User.deleted_at, "eq ge le gt lt | ne not in null"),
    text("department", User.department, "eq in startswith ge le | ne not null", indexed=True,
         write="department"),
    text("employeeId", User.employee_id, "eq in startswith ge le | ne not null",
         write="employee_id"),
    text("externalUserState", User.external_user_state, "eq in ne not null"),
    plain("externalUserStateChangeDateTime", INSTANT, User.external_user_state_changed_at,
          "eq ge le in ne not null", indexed=True),
    Property("identities", "Collection(graph.objectIdentity)", load=_identities,
             filter=Filter(None, frozenset({"eq"}), has=_has_identity, leads=_with_identity)),
    text("mailNickname", User.mail_nickname, "eq in startswith ge le | ne not null", indexed=True,
         write="mail_nickname"),
    text("onPremisesDistinguishedName", None, read=lambda _: None),
    text("onPremisesDomainName", None, read=lambda _: None),
    text("onPremisesImmutableId", None, read=lambda _: None),
    text("onPremisesSamAccountName", None, read=lambda _: None),
    text("onPremisesSecurityIdentifier", None, read=lambda _: None),
    plain("onPremisesLastSyncDateTime", INSTANT, None, read=lambda _: None),
    plain("onPremisesSyncEnabled", BOOLEAN, User.on_premises_sync_enabled,
          "eq in | ne not null"),
    text("onPremisesUserPrincipalName", None, read=lambda _: None),
    Property("otherMails", STRINGS, User.other_mails, write="other_mails",
             filter=Filter(None, frozenset({"eq", "in", "ge", "le", "startswith"}),
                           frozenset({"ne", "endswith", "not"}), has=_has_other_mail,
                           leads=_with_other_mails)),
    text("passwordPolicies", None, read=lambda _: None),
    Property("passwordProfile", "graph.passwordProfile", read=lambda _: None,
             write="password_profile"),
    text("postalCode", User.postal_code, "eq in startswith ge le | ne not null",
         write="postal_code"),
    Property("proxyAddresses", STRINGS, load=_proxies,
             filter=Filter(None, frozenset({"eq", "in", "startswith"}), frozenset({"not"}),
                           has=_has_address, leads=_with_address)),
    plain("refreshTokensValidFromDateTime", INSTANT, None, columns=(User.sessions_valid_from,
          User.created_at), read=lambda row: _valid_from(row)),
    plain("showInAddressList", BOOLEAN, User.show_in_address_list, "| eq in ne not null",
          write="show_in_address_list"),
    Property("signInActivity", "graph.signInActivity", columns=(User.last_sign_in_at,),
             read=lambda row: _activity(row)),
    plain("signInSessionsValidFromDateTime", INSTANT, None, columns=(User.sessions_valid_from,
          User.created_at), read=lambda row: _valid_from(row)),
    text("state", User.state, "eq in startswith ge le | ne not null", indexed=True, write="state"),
    text("streetAddress", User.street_address, "eq in startswith ge le | ne not null",
         write="street_address"),
    text("usageLocation", User.usage_location, "eq in startswith ge le | ne not null", indexed=True,
         write="usage_location"),
    text("userType", User.user_type, "eq in | ne not null", write="user_type"),
    *(Property(name, STRING, read=lambda _: None, single_only=True)
      for name in ("aboutMe", "mySite", "preferredName")),
    *(Property(name, STRINGS, read=lambda _: [], single_only=True)
      for name in ("interests", "pastProjects", "responsibilities", "schools", "skills")),
    *(Property(name, INSTANT, read=lambda _: None, single_only=True)
      for name in ("birthday", "hireDate")),
)  # fmt: skip


def _valid_from(row: Any) -> str | None:
    return instant(row.sessions_valid_from or row.created_at)


def _activity(row: Any) -> dict[str, Any] | None:
    if row.last_sign_in_at is None:
        return None
    return {
        "lastSignInDateTime": instant(row.last_sign_in_at),
        "lastSignInRequestId": None,
        "lastNonInteractiveSignInDateTime": None,
        "lastNonInteractiveSignInRequestId": None,
    }


USER = resources.kind(Kind("user", "users", User, _PROPERTIES))

# What is seen ------------------------------------------------------------------------------------

_BASIC = frozenset({"id", "displayName", "givenName", "surname", "mail", "userPrincipalName"})
_FOR_GUESTS = _BASIC | {"userType"} - {"givenName", "surname"}
_OWN = frozenset(_PROPERTIES)
_ALL_SCOPES = frozenset(
    {"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All",
     "Directory.AccessAsUser.All"}
)  # fmt: skip
_LOGS = frozenset({"AuditLog.Read.All"})


def hidden_of_others(call: Call) -> frozenset[str]:
    """Properties of other people that whoever asks is not shown (groups-apps-roles.md, 5)."""
    granted = call.actor.granted or frozenset()
    hidden = frozenset[str]()
    if not granted & _ALL_SCOPES:
        hidden = _OWN - _BASIC
    if not permissions.allows(call.actor, Action.READ_DIRECTORY) and call.actor.is_guest:
        seen = visibility.of(call.session, call.actor)
        if not seen.lists_people:
            hidden |= _OWN - _FOR_GUESTS
    if not granted & _LOGS:
        hidden |= {"signInActivity"}
    return hidden


def hidden_of(call: Call, user_id: UUID) -> frozenset[str]:
    """The same for one person; of oneself nothing is hidden but the logs."""
    if user_id == call.actor.user_id:
        granted = call.actor.granted or frozenset()
        return frozenset() if granted & _LOGS else frozenset({"signInActivity"})
    return hidden_of_others(call)


def require_listing(call: Call) -> None:
    """Raise GraphError (403) for guests who may not list people (API-4)."""
    if call.actor.user_id is not None and not visibility.of(call.session, call.actor).lists_people:
        raise denied("Guests cannot list the people of this organisation.")


def meant(call: Call, name: str = "user", *, deleted: bool = False) -> User:
    """The person of the path, by id or sign-in name; without one, who signed in.

    Raises GraphError (404, 403).
    """
    key = call.params.get(name, "me")
    found = person(call, key)
    if found is None or (found.deleted_at is not None) is not deleted:
        raise missing(key)
    return found


def known(call: Call) -> UUID:
    """The id of whom the path means, who need not be there any more if it is an id.

    Raises GraphError (404, 403).
    """
    key = call.params.get("user", "me")
    try:
        user_id = UUID(key)
    except ValueError:
        return meant(call).id
    require_seen(call, user_id)
    return user_id


def person(call: Call, key: str) -> User | None:
    """Somebody by id or sign-in name, if he is seen at all."""
    if key.lower() == "me":
        if call.actor.user_id is None:
            raise bad("/me is for tokens that a person stands behind.", code="BadRequest")
        return call.session.get(User, (call.actor.tenant_id, call.actor.user_id))
    try:
        found = call.session.get(User, (call.actor.tenant_id, UUID(key)))
    except ValueError:
        found = call.session.scalars(
            select(User).where(
                User.tenant_id == call.actor.tenant_id,
                User.upn_key == fold(key.replace("\0", "")),
                User.deleted_at.is_(None),
            )
        ).one_or_none()
    if found is not None:
        require_seen(call, found.id)
    return found


_OTHERS = _ALL_SCOPES | {"User.ReadBasic.All", "User.DeleteRestore.All", "User.Invite.All",
                         "User.RevokeSessions.All", "User.EnableDisableAccount.All"}  # fmt: skip


def require_seen(call: Call, user_id: UUID) -> None:
    """Raise GraphError (403) when the token, or the guest behind it, sees nobody but himself."""
    if user_id == call.actor.user_id:
        return
    granted = call.actor.granted or frozenset()
    memberships = {"GroupMember.Read.All", "Group.Read.All", "GroupMember.ReadWrite.All",
                   "Group.ReadWrite.All", "Application.Read.All", "Application.ReadWrite.All",
                   "AppRoleAssignment.ReadWrite.All"}  # fmt: skip
    if not granted & (_OTHERS | memberships):
        raise denied("The token shows nobody but the person who signed in.")
    if call.actor.user_id is not None and call.actor.is_guest:
        seen = visibility.of(call.session, call.actor)
        if not (seen.lists_people or seen.reads_groups):
            raise denied("This organisation shows guests only their own profile.")


# Lists -------------------------------------------------------------------------------------------


def everybody(call: Call, *, deleted: bool = False) -> RowSource:
    """The people of the directory; or those who were deleted."""
    return _everybody(call.actor.tenant_id, deleted)


@lru_cache(maxsize=256)
def _everybody(tenant_id: UUID, deleted: bool) -> RowSource:
    gone = User.deleted_at.is_not(None) if deleted else User.deleted_at.is_(None)
    return RowSource(
        USER,
        [User.tenant_id == tenant_id, gone],
        ordered=partial(_by_name, deleted=deleted),
        counted=partial(_counted, deleted=deleted),
        words=_words,
    )


def _by_name(
    call: Call, query: Query, conditions: Sequence[Any], shape: Shape, *, deleted: bool
) -> Found | None:
    after = None if query.after is None else (str(query.after[0]), UUID(str(query.after[1])))
    tenant_id, limit = call.actor.tenant_id, query.top + 1
    if not conditions and not deleted:
        stored = shape.is_stored
        names = tuple(key for key in shape.plan.keys if key != "id") if stored else ()
        rows = user_listing.first_by_name(
            call.session, tenant_id, names, after=after, limit=limit, as_json=stored
        )
        return Found(rows, is_json=stored)
    said = _said(call, query.tree, deleted)
    numbers = [number for number, one in said.items() if one is not False]
    # Without a facet that is left out, one walk in order is shorter: nobody is looked for in vain
    # among those whom the condition hardly meets.
    if not numbers or (not deleted and len(numbers) == len(said)):
        return None
    narrowed = user_listing.by_name(tenant_id, numbers, *conditions, after=after, limit=limit)
    return Found(call.session.execute(narrowed).all())


def _counted(call: Call, tree: Condition | None, *, deleted: bool) -> Sequence[Any] | None:
    said = _said(call, tree, deleted)
    if None in said.values():
        return None
    numbers = [number for number, one in said.items() if one]
    return [User.tenant_id == call.actor.tenant_id, User.facet.in_(numbers)]


def _said(call: Call, tree: Condition | None, deleted: bool) -> dict[int, bool | None]:
    """What a condition comes to for everybody of each facet that occurs."""
    return {
        number: True if tree is None else _decided(tree, user_listing.facts_of(number))
        for number in user_listing.facets_in(call.session, call.actor.tenant_id)
        if user_listing.is_deleted(number) is deleted
    }


def _decided(tree: Condition, facts: Facts) -> bool | None:
    """What a condition comes to for everybody of a facet; None: it depends on the person."""
    match tree:
        case Not():
            inner = _decided(tree.inner, facts)
            return None if inner is None else not inner
        case Both():
            parts = [_decided(part, facts) for part in tree.parts]
            if tree.operator == "and":
                return False if False in parts else (True if set(parts) == {True} else None)
            return True if True in parts else (False if set(parts) == {False} else None)
        case Compare(operator="eq" | "ne") | In():
            return _facet_says(tree, facts)
    return None


def _facet_says(tree: Compare | In, facts: Facts) -> bool | None:
    name = tree.path.text.lower()
    known: dict[str, Any] = {
        "usertype": str(facts.user_type).lower(),
        "accountenabled": facts.enabled,
        "externaluserstate": None if facts.state is None else str(facts.state).lower(),
    }
    if facts.synced:
        known["onpremisessyncenabled"] = True
    if name not in known:
        return None
    literals = tree.values if isinstance(tree, In) else (tree.value,)
    values = [one.value.lower() if isinstance(one.value, str) else one.value for one in literals]
    said = known[name] in values
    return not said if isinstance(tree, Compare) and tree.operator == "ne" else said


def _words(call: Call, found: Property, typed: str) -> tuple[Clause, Select[Any] | None]:
    """Whether, for each word that was typed, the name has one that begins with it."""
    tenant_id = call.actor.tenant_id
    clauses: list[Clause] = []
    longest: Select[Any] | None = None
    words = sorted(user_listing.search_words(typed), key=len, reverse=True)
    for word in words:
        begins = and_(
            UserToken.tenant_id == tenant_id,
            UserToken.token >= word[:64],
            UserToken.token < word[:64] + LAST,
            UserToken.in_name,
        )
        clauses.append(exists().where(begins, UserToken.user_id == User.id))
        if longest is None:
            longest = select(UserToken.user_id).where(begins)
    if not clauses:
        return User.id.is_(None), None
    return and_(*clauses), longest
