"""$filter, $search, $orderby, $select, $top, pages: against an evaluator that shares no code with
the compiler, and against what is malformed (users.md, section 6).
"""

import re
import unicodedata
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from b2b.extensions import db
from b2b.models import ExternalUserState, Source, User, UserToken, UserType, fold, new_id
from b2b.services import user_listing, users
from b2b.web.graph import listing
from tests.cast import Cast
from tests.web.graph.conftest import EVENTUAL, Graph, World

PEOPLE: list[dict[str, Any]] = [
    {
        "displayName": "Anna Ahlberg",
        "givenName": "Anna",
        "city": "Oslo",
        "mail": "anna@contoso.example",
    },
    {"displayName": "anna b", "city": "oslo", "department": "Sales", "userType": "Guest"},
    {"displayName": "Bo O'Neil", "surname": "O'Neil", "mail": "bo.oneil@fabrikam.example"},
    {
        "displayName": "Bo-Anna Lee",
        "department": "sales",
        "accountEnabled": False,
        "mail": '"bo@home.example"@contoso.example',
    },
    {
        "displayName": "Çelik Ünal",
        "city": "İzmir",
        "otherMails": ["celik@one.example", "c@Two.example"],
    },
    {"displayName": "김민준", "country": "KR", "otherMails": ["minjun@kr.example"]},
    {
        "displayName": "Lee",
        "externalUserState": "Accepted",
        "userType": "Guest",
        "companyName": "Contoso",
    },
    {"displayName": "lee 2", "externalUserState": "PendingAcceptance", "userType": "Guest"},
    {
        "displayName": "Zoë",
        "employeeId": "00012",
        "companyName": "contoso",
        "showInAddressList": False,
    },
    {
        "displayName": "100% Anna_x",
        "jobTitle": "Ops",
        "mail": "ops@contoso.example",
        "city": "Os%o",
    },
]
COLUMNS = {
    "displayName": "display_name", "givenName": "given_name", "surname": "surname", "city": "city",
    "mail": "mail", "department": "department", "country": "country", "companyName": "company_name",
    "employeeId": "employee_id", "jobTitle": "job_title", "otherMails": "other_mails",
    "showInAddressList": "show_in_address_list",
}  # fmt: skip
TEXTS = ("displayName", "givenName", "surname", "city", "mail", "department", "companyName",
         "jobTitle", "employeeId", "userPrincipalName")  # fmt: skip


@pytest.fixture
def directory(world: World, cast: Cast) -> Graph:
    """A program, and a directory with people of every kind."""

    def filled(session: Any, _: Any) -> None:
        for number, facts in enumerate(PEOPLE):
            user = users.create_member(
                session, cast.woodgrove, user_id=new_id(), now=world.clock.now,
                user_principal_name=f"p{number}@woodgrove.example",
                display_name=facts["displayName"],
                user_type=UserType(facts.get("userType", "Member")), source=Source.THIS_DIRECTORY,
                account_enabled=facts.get("accountEnabled", True), mail=facts.get("mail"),
                external_user_state=(
                    ExternalUserState(facts["externalUserState"])
                    if "externalUserState" in facts else None
                ),
                **{column: facts[name] for name, column in COLUMNS.items()
                   if name in facts and name not in ("displayName", "mail")},
            )  # fmt: skip
            assert user.facet is not None

    world.run(filled)
    return world.program()


# The evaluator -----------------------------------------------------------------------------------

EVERYBODY = [
    {"accountEnabled": True, "userType": "Member", "externalUserState": None, "otherMails": [],
     "userPrincipalName": f"p{number}@woodgrove.example", **dict.fromkeys(
         ("givenName", "surname", "city", "mail", "department", "companyName", "jobTitle",
          "employeeId")), **facts}
    for number, facts in enumerate(PEOPLE)
] + [
    {"displayName": name, "mail": mail, "userPrincipalName": mail, "accountEnabled": True,
     "userType": "Member", "externalUserState": None, "otherMails": [], **dict.fromkeys(
         ("givenName", "surname", "city", "department", "companyName", "jobTitle", "employeeId"))}
    for name, mail in (("Adele Vance", "adele.vance@woodgrove.example"),
                       ("John Doe", "john.doe@woodgrove.example"))
]  # fmt: skip
WHOLE = {"displayName", "mail", "userPrincipalName"}


def low(name: str, text: str) -> str:
    """How two texts are compared: whole scripts for names and addresses, ASCII elsewhere."""
    if name in WHOLE:
        return " ".join(
            unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split()
        )
    return re.sub("[A-Z]", lambda found: found[0].lower(), text)


def holds(tree: Any, one: dict[str, Any]) -> bool:
    """Whether a person meets a tree of ("and", a, b), ("not", a), (operator, name, value)."""
    operator = tree[0]
    if operator in ("and", "or"):
        left, right = holds(tree[1], one), holds(tree[2], one)
        return (left and right) if operator == "and" else (left or right)
    if operator == "not":
        return not holds(tree[1], one)
    _, name, value = tree
    if name == "otherMails":
        held = [low(name, text) for text in one[name]]
        wanted = low(name, value)
        return wanted in held if operator == "eq" else any(text.startswith(wanted) for text in held)
    mine = one[name]
    if operator == "null":
        return mine is None
    if isinstance(mine, str) and isinstance(value, str):
        mine, value = low(name, mine), low(name, value)
    if operator == "in":
        return mine is not None and low(name, mine) in [low(name, text) for text in value]
    if operator == "eq":
        return mine == value
    if operator == "ne":
        return mine != value
    if mine is None:
        return False
    if operator == "startswith":
        return bool(mine.startswith(value))
    if operator == "endswith":
        return bool(mine.endswith(value))
    return bool({"ge": mine >= value, "le": mine <= value}[operator])


def written(tree: Any) -> str:
    """The same tree as a client writes it."""
    operator = tree[0]
    if operator in ("and", "or"):
        return f"({written(tree[1])}) {operator} ({written(tree[2])})"
    if operator == "not":
        return f"not({written(tree[1])})"
    _, name, value = tree
    if operator == "null":
        return f"{name} eq null"
    if operator == "in":
        return f"{name} in ({', '.join(constant(one) for one in value)})"
    if name == "otherMails":
        inner = (
            f"o eq {constant(value)}" if operator == "eq" else f"startswith(o,{constant(value)})"
        )
        return f"otherMails/any(o:{inner})"
    if operator in ("startswith", "endswith"):
        return f"{operator}({name},{constant(value)})"
    return f"{name} {operator} {constant(value)}"


def constant(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "'" + value.replace("'", "''") + "'"


WORDS = st.sampled_from(
    [
        "a",
        "an",
        "Anna",
        "anna b",
        "bo",
        "O'Neil",
        "oslo",
        "OSLO",
        "os%",
        "Os%o",
        "_",
        "sales",
        "lee",
        "LEE",
        "z",
        "ç",
        "Ü",
        "김",
        "김민준",
        "contoso",
        "ops@contoso.example",
        "",
        "p1",
        "p1@woodgrove.example",
        "000",
        "İzmir",
        "contoso.example",
        "@contoso.example",
        "@CONTOSO.example",
        "@home.example",
        '"@contoso.example',
        '@home.example"@contoso.example',
        "@woodgrove.example",
        "c@two.example",
        "minjun",
    ]
)
ATOMS = st.one_of(
    st.tuples(st.sampled_from(["eq", "ne", "startswith"]), st.sampled_from(TEXTS), WORDS),
    st.tuples(
        st.sampled_from(["ge", "le"]), st.sampled_from(["displayName", "surname", "mail"]), WORDS
    ),
    st.tuples(st.just("in"), st.sampled_from(TEXTS), st.lists(WORDS, min_size=1, max_size=3)),
    st.tuples(
        st.just("endswith"), st.sampled_from(["mail", "userPrincipalName", "displayName"]), WORDS
    ),
    st.tuples(
        st.just("null"),
        st.sampled_from(["mail", "city", "companyName", "externalUserState"]),
        st.none(),
    ),
    st.tuples(st.sampled_from(["eq", "ne"]), st.just("accountEnabled"), st.booleans()),
    st.tuples(
        st.sampled_from(["eq", "ne"]),
        st.just("userType"),
        st.sampled_from(["Guest", "member", "x"]),
    ),
    st.tuples(
        st.sampled_from(["eq", "ne"]),
        st.just("externalUserState"),
        st.sampled_from(["Accepted", "pendingacceptance"]),
    ),
    st.tuples(st.sampled_from(["eq", "startswith"]), st.just("otherMails"), WORDS),
)
TREES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), inner, inner), st.tuples(st.just("not"), inner)
    ),
    max_leaves=5,
)
ORDERS = st.sampled_from(
    [
        "",
        "displayName",
        "displayName desc",
        "userPrincipalName desc",
        "createdDateTime desc,displayName",
    ]
)


def compare(graph: Graph, tree: Any, order: str, top: int) -> None:
    """Send *tree* and look at every page of the answer."""
    query = f"users?$count=true&$select=userPrincipalName,displayName&$top={top}"
    query += f"&$filter={quote(written(tree))}"
    if order:
        query += f"&$orderby={quote(order)}"
    pages = list(graph.pages(query, headers=EVENTUAL))
    found = [one for page in pages for one in page["value"]]
    wanted = [one for one in EVERYBODY if holds(tree, one)]
    assert sorted(one["userPrincipalName"] for one in found) == sorted(
        one["userPrincipalName"] for one in wanted
    ), written(tree)
    assert pages[0]["@odata.count"] == len(wanted)
    assert all("@odata.count" not in page for page in pages[1:])
    assert all(page["value"] for page in pages if "@odata.nextLink" in page)
    name = "userPrincipalName" if order.startswith("user") else "displayName"
    keys = [low("displayName", one[name]) for one in found]
    assert keys == sorted(keys, reverse="desc" in order and "," not in order)


RUN = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=40, derandomize=True, **RUN)  # type: ignore[arg-type]
@given(tree=TREES, order=ORDERS, top=st.sampled_from([2, 5, 100]))
def _queries(graph: Graph, tree: Any, order: str, top: int) -> None:
    compare(graph, tree, order, top)


@settings(max_examples=200, **RUN)  # type: ignore[arg-type]
@given(tree=TREES, order=ORDERS, top=st.sampled_from([1, 3, 100]))
def _many_queries(graph: Graph, tree: Any, order: str, top: int) -> None:
    compare(graph, tree, order, top)


def test_filters_find_what_an_independent_evaluator_finds(directory: Graph) -> None:
    _queries(directory)


@pytest.mark.long
@pytest.mark.parametrize(("few", "walked"), [(0, 2000), (0, 3), (2000, 2000)])
def test_many_filters_find_what_an_independent_evaluator_finds(
    directory: Graph, monkeypatch: pytest.MonkeyPatch, few: int, walked: int
) -> None:
    """Each way of finding: by walking in order, by candidates of an index after a short walk, and
    by candidates at once.
    """
    monkeypatch.setattr(listing, "FEW", few)
    monkeypatch.setattr(listing, "WALKED", walked)
    _many_queries(directory)


def begins(name: str, typed: str) -> bool:
    """Whether each word that was typed begins a word of the name."""
    words = re.findall(r"[^\W_]+", low("displayName", name))
    wanted = re.findall(r"[^\W_]+", low("displayName", typed)) or [low("displayName", typed)]
    return all(any(word.startswith(one) for word in words) for one in wanted)


def test_searches_find_words_of_names_and_beginnings_of_the_rest(directory: Graph) -> None:
    """users.md, section 6: tokenised, and never *contains*"""
    for typed in (
        "anna",
        "ANNA",
        "ahl",
        "bo-anna",
        "o'neil",
        "neil",
        "ünal",
        "김",
        "x",
        "2",
        "nna",
        "lee 2",
    ):
        query = quote(f'"displayName:{typed}"')
        found = directory.names(f"users?$search={query}", headers=EVENTUAL)
        wanted = sorted(
            (one["displayName"] for one in EVERYBODY if begins(one["displayName"], typed)), key=fold
        )
        assert found == wanted, typed
    both = quote('"mail:ops" OR ("displayName:anna" AND "userPrincipalName:p1")')
    assert directory.names(f"users?$search={both}", headers=EVENTUAL) == ["100% Anna_x", "anna b"]
    narrowed = (
        f"users?$search={quote(chr(34) + 'displayName:anna' + chr(34))}&$filter=city eq 'oslo'"
    )
    assert directory.names(narrowed, headers=EVENTUAL) == ["Anna Ahlberg", "anna b"]
    assert directory.names('users?$search="mail:woodgrove"', headers=EVENTUAL) == []
    refused = directory.get('users?$search="displayName:a"', status=400)["error"]
    assert refused["code"] == "Request_UnsupportedQuery"
    assert "ConsistencyLevel" in refused["message"]


MALFORMED = [
    ("$filter=", 0), ("$filter=displayName", 11), ("$filter=displayName eq", 14),
    ("$filter=displayName eq 'x", 15), ("$filter=displayName eq x", 15),
    ("$filter=displayName is 'x'", 12), ("$filter=(displayName eq 'x'", 19),
    ("$filter=displayName eq 'x')", 18), ("$filter=startswith(displayName)", 22),
    ("$filter=length(displayName) eq 3", 0), ("$filter=displayName eq 'x' and", 22),
    ("$filter=displayName in 'x'", 15), ("$filter=otherMails/any(o:o eq)", 21),
    ("$filter=displayName eq 'a' ; drop table users", 19),
    ("$orderby=displayName up", 12), ("$orderby=", 0), ("$search=displayName", 0),
    ('$search="displayName"', 1), ('$search="displayName:a" "mail:b"', 16),
    ('$search=("displayName:a"', 16), ("$expand=manager($select)", 8), ("$select=a b", 0),
]  # fmt: skip


def test_what_is_malformed_is_told_with_its_place(daemon: Graph) -> None:
    """API-3"""
    for query, position in MALFORMED:
        name, _, value = query.partition("=")
        path = f"users?{name}={quote(value)}&$count=true"
        refused = daemon.get(path, status=400, headers=EVENTUAL)["error"]
        assert refused["code"] == "BadRequest", query
        assert refused["target"] == name, query
        assert f"position {position}:" in refused["message"], (query, refused["message"])


UNSUPPORTED = [
    "$filter=favouriteColour eq 'x'",
    "$filter=displayName/name eq 'x'",
    "$filter=assignedLicenses eq 'x'",
    "$filter=contains(displayName,'x')",
    "$filter=jobTitle gt 'x'",
    "$filter=otherMails/all(o:o eq 'x')",
    "$filter=accountEnabled eq 'yes'",
    "$filter=displayName eq 7",
    "$filter=id eq 'x'",
    "$filter=createdDateTime ge 'yesterday'",
    "$filter=createdDateTime ge 2026-13-01",
    "$filter=identities/any(i:i/issuer eq 7)",
    "$filter=endswith(jobTitle,'x')",
    "$orderby=city",
    "$orderby=nobody",
    '$search="city:x"',
    "$skip=10",
    "$top=0",
    "$top=-1",
    "$top=x",
    "$top=1.5",
    "$expand=nobody",
    "$select=nobody",
    "$skiptoken=x",
    "$skiptoken=e30.AAAA",
    "$filter=" + "(" * 200 + "id eq 'x'" + ")" * 200,
    "$filter=" + " or ".join(["city eq 'x'"] * 200),
    "$filter=city eq '" + "x" * 9000 + "'",
]


def test_what_is_not_offered_is_refused(daemon: Graph) -> None:
    """API-3"""
    for query in UNSUPPORTED:
        name, _, value = query.partition("=")
        path = f"users?{name}={quote(value)}&$count=true"
        response = daemon.ask("GET", path, headers=EVENTUAL)
        assert response.status_code == 400, (query[:80], response.text[:200])


def test_advanced_queries_need_header_and_count(daemon: Graph) -> None:
    """users.md, section 6"""
    for query in ("$filter=displayName ne 'x'", "$filter=not(displayName eq 'x')",
                  "$filter=endswith(mail,'e')", "$filter=department eq null",
                  "$filter=companyName eq 'x'", "$orderby=createdDateTime",
                  "$filter=displayName eq 'x'&$orderby=displayName"):  # fmt: skip
        path = "users?" + query.replace(" ", "%20")
        refused = daemon.get(path, status=400)["error"]
        assert refused["code"] == "Request_UnsupportedQuery"
        assert "ConsistencyLevel" in refused["message"]
        assert daemon.get(path, status=400, headers=EVENTUAL)["error"]["code"]
        daemon.get(f"{path}&$count=true", headers=EVENTUAL)


def test_pages_are_bound_to_their_query_and_tenant(daemon: Graph, world: World, cast: Cast) -> None:
    """API-3: signed, and of use for nothing else"""
    page = daemon.get("users?$top=1&$select=displayName")
    link = page["@odata.nextLink"]
    assert link.startswith("http://localhost:5000/v1.0/users?")
    assert "$top=1" in link
    assert "$select=displayName" in link
    second = daemon.get(link)
    assert [one["displayName"] for one in second["value"]] == ["John Doe"]
    assert "@odata.nextLink" not in second
    token = link.partition("$skiptoken=")[2]
    daemon.get(f"users?$top=1&$select=mail&$skiptoken={token}", status=400)
    daemon.get(f"groups?$top=1&$select=displayName&$skiptoken={token}", status=400)
    packed = token.partition(".")[0]
    daemon.get(f"users?$top=1&$select=displayName&$skiptoken={packed}.AAAA", status=400)
    assert len(daemon.get("users?$top=999999999")["value"]) == 2


def test_what_azure_cli_and_the_sdk_send(daemon: Graph, cast: Cast) -> None:
    """clients.md, Graph"""
    assert daemon.names("users?%24filter=startswith(displayName%2C%27ad%27)") == ["Adele Vance"]
    assert daemon.names("users?$filter=startsWith(displayName,'AD')") == ["Adele Vance"]
    assert daemon.names(f"users?$filter=id eq '{cast.adele}' or id eq {cast.john}") == [
        "Adele Vance", "John Doe",
    ]  # fmt: skip
    assert daemon.names("users?$filter=accountEnabled eq true and userType eq 'Guest'") == []
    assert daemon.names("users?$filter=createdDateTime ge 2026-01-01T00:00:00Z") == [
        "Adele Vance", "John Doe",
    ]  # fmt: skip
    found = daemon.get(
        "users?$filter=identities/any(c:c/issuer eq 'mail' and c/issuerAssignedId eq 'x')"
    )
    assert found["value"] == []
    assert daemon.names(
        "users?$filter=proxyAddresses/any(p:p eq 'SMTP:john.doe@woodgrove.example')"
    ) == ["John Doe"]


def test_tokens_of_search_know_what_belongs_to_a_name(world: World, daemon: Graph) -> None:
    """A word of an address is none of the name, also after a rename."""
    daemon.patch("users/adele.vance@woodgrove.example", {"displayName": "Woodgrove Reception"})
    assert daemon.names('users?$search="displayName:adele"', headers=EVENTUAL) == []
    assert daemon.names('users?$search="displayName:woodgrove"', headers=EVENTUAL) == [
        "Woodgrove Reception"
    ]
    with world.app.app_context():
        rows = db.session.query(UserToken.token, UserToken.in_name, User.display_name).join(
            User, User.id == UserToken.user_id
        )
        for token, in_name, name in rows:
            assert in_name is (token in user_listing.words(name)), (token, name)
