"""People through Graph: a page of a hundred against a bare view that answers the same bytes from
memory, and each filter and search of the reference's list at two sizes.
"""

import json
import os
import tempfile
import urllib.parse
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from b2b import clock, worker
from bench import directory, guests
from bench.guests import Client, percentile, prepared, timing, web_of
from bench.programs import Figures, free_port, program_token, python, running, send
from bench.report import Result, median

SMALL = 1_000
SIZES = {"full": 1_000_000}
LARGE = 20_000
BAR_PAGE, BAR_MILLISECONDS, BAR_GROWTH = 3.0, 10.0, 1.5
ROUNDS = 3
SECONDS = 2
TIMES = 11
FIRST = "/v1.0/users?$top=100"

FILTERS = {
    "id": "$filter=id eq '{id}'",
    "ids": "$filter=id in ('{id}','{other_id}')",
    "sign-in name": "$filter=userPrincipalName eq '{upn}'",
    "sign-in name begins": "$filter=startswith(userPrincipalName,'zoe.abel')",
    "sign-in name ends": "$filter=endsWith(userPrincipalName,'@{domain}')",
    "name": "$filter=displayName eq '{name}'",
    "name begins": "$filter=startswith(displayName,'Zoe')",
    "name of nobody": "$filter=displayName eq 'Nobody At All'",
    "mail": "$filter=mail eq '{mail}'",
    "mail begins": "$filter=startswith(mail,'ada.abel.1')",
    "mail ends": "$filter=endsWith(mail,'@partner7.example')",
    "mail or other address": "$filter=mail eq '{mail}' or otherMails/any(o:o eq '{mail}')",
    "other address of nobody": "$filter=otherMails/any(o:o eq 'nobody@partner.example')",
    "address": "$filter=proxyAddresses/any(p:p eq 'smtp:{mail}')",
    "address begins": "$filter=proxyAddresses/any(p:startswith(p,'smtp:ada.abel.1'))",
    "account elsewhere": "$filter=identities/any(i:i/issuer eq 'mail' and "
    "i/issuerAssignedId eq 'nobody@partner.example')",
    "nickname": "$filter=mailNickname eq '{nickname}'",
    "type": "$filter=userType eq 'Guest'",
    "type is not": "$filter=userType ne 'Guest'",
    "state": "$filter=externalUserState eq 'PendingAcceptance'",
    "type and state": "$filter=userType eq 'Guest' and externalUserState eq 'Accepted'",
    "state since": "$filter=externalUserStateChangeDateTime ge 2099-01-01T00:00:00Z",
    "blocked": "$filter=accountEnabled eq false",
    "synchronised": "$filter=onPremisesSyncEnabled eq true",
    "made since": "$filter=createdDateTime ge 2099-01-01T00:00:00Z",
    "made before": "$filter=createdDateTime le 2001-01-01T00:00:00Z",
    "how made": "$filter=creationType eq 'Invitation'",
    "how nobody was made": "$filter=creationType eq 'SelfServiceSignUp'",
    "company": "$filter=companyName eq 'Partner 7'",
    "company of nobody": "$filter=companyName eq 'Nowhere'",
    "department": "$filter=department eq 'Office'",
    "department of nobody": "$filter=startswith(department,'Nowhere')",
    "city of nobody": "$filter=city eq 'Nowhere'",
    "country of nobody": "$filter=country eq 'Nowhere'",
    "state of nobody": "$filter=state eq 'Nowhere'",
    "job of nobody": "$filter=jobTitle eq 'Nowhere'",
    "given name": "$filter=givenName eq 'Zoe'",
    "given name of nobody": "$filter=givenName eq 'Nobody'",
    "surname begins": "$filter=startswith(surname,'Zim')",
    "surname of nobody": "$filter=surname eq 'Nobody'",
    "usage location of nobody": "$filter=usageLocation eq 'KR'",
    "language of nobody": "$filter=preferredLanguage eq 'ko'",
    "by sign-in name": "$orderby=userPrincipalName",
    "newest": "$orderby=createdDateTime desc",
    "search: name": '$search="displayName:zoe"',
    "search: two words": '$search="displayName:zoe abel"',
    "search: nobody": '$search="displayName:nobodyiscalledthis"',
    "search: mail": '$search="mail:zoe.abel.1"',
    "search: name or mail": '$search="displayName:zimmer" OR "mail:zoe.abel.1"',
    "search among guests": "$search=\"displayName:zoe\"&$filter=userType eq 'Guest'",
}
"""What users.md, section 2 and 6, lists, each once, for what is frequent, for one person, and for
nobody.
"""


def run() -> list[Result]:
    """The page's figures, and the filter that grows the most."""
    sizes = (SMALL, SIZES.get(os.environ.get("SCALE", ""), LARGE))
    with ExitStack() as stack:
        small, large = (_directory(stack, size) for size in sizes)
        pages = _pages(stack, large)
        found = {name: [_p50(one, query) for one in (small, large)]
                 for name, query in FILTERS.items()}  # fmt: skip
    for name, (little, much) in found.items():
        print(f"     {name}: {little:.1f} ms, {much:.1f} ms, {much / little:.2f}")
    worst = max(found, key=lambda name: found[name][1] / found[name][0])
    little, much = found[worst]
    level = sum(much <= BAR_GROWTH * little for little, much in found.values())
    return [
        *pages,
        Result(
            name=f"Graph's filters and searches: p50 with {sizes[1]:,} people / with {sizes[0]:,}",
            value=much / little,
            bar=BAR_GROWTH,
            detail=f"{level} of {len(found)} stay level; the one that grows the most is {worst}: "
            f"{little:.1f} ms, {much:.1f} ms",
        ),
    ]


@dataclass(frozen=True)
class Directory:
    """A running program with some people, and a token for it."""

    port: int
    token: str
    folder: Path
    somebody: dict[str, str]


def _directory(stack: ExitStack, size: int) -> Directory:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    app, port = stack.enter_context(prepared(folder))
    with app.app_context(), worker.transaction() as session:
        actor = guests.john(session)
    with app.app_context(), worker.transaction() as session:
        directory.populate(session, actor.tenant_id, actor.tenant_domain, size, clock.now())
    stack.enter_context(web_of(app, port))
    token = program_token(app.config["BASE_URL"], folder / "ours")
    made = Directory(port, token, folder, {})
    query = (
        "$filter=startswith(mail,'greta.')"
        "&$select=id,displayName,mail,userPrincipalName,mailNickname"
    )
    one, other, *_ = json.loads(_get(made, f"/v1.0/users?{_quoted(query)}"))["value"]
    made.somebody.update(
        id=one["id"], other_id=other["id"], name=one["displayName"], mail=one["mail"],
        upn=one["userPrincipalName"].replace("#", "%23"), nickname=one["mailNickname"],
        domain=actor.tenant_domain,
    )  # fmt: skip
    return made


def _pages(stack: ExitStack, made: Directory) -> list[Result]:
    """The first page and one in the middle, each with a bare view of its own."""
    content = _get(made, FIRST)
    far, following = 1, json.loads(content)
    size = SIZES.get(os.environ.get("SCALE", ""), LARGE)
    address = FIRST
    while far < size // 200:
        address = following["@odata.nextLink"].partition(f":{made.port}")[2]
        following = json.loads(_get(made, address))
        far += 1
    results = []
    for name, path in (("first page", FIRST), (f"page {far:,}", address)):
        kept, port = made.folder / "page", free_port()
        kept.write_bytes(_get(made, path))
        command = python("-m", "bench.baseline.same_bytes", str(port), str(kept))
        with running(command, port):
            rounds: list[tuple[Figures, Figures]] = []
            for number in range(ROUNDS + 1):
                ours = send(f"http://localhost:{made.port}", "GET", path,
                            headers=_headers(made), tag="", seconds=SECONDS)  # fmt: skip
                bare = send(f"http://localhost:{port}", "GET", "/users",
                            headers=_headers(made), tag="", seconds=SECONDS)  # fmt: skip
                assert not ours.errors + bare.errors
                if number:  # the first round warms up
                    rounds.append((ours, bare))
        p50, bare_p50 = (median([found[n].p50 for found in rounds]) for n in range(2))
        detail = f"{p50:.2f} ms / {bare_p50:.2f} ms, {len(kept.read_bytes()) / 1000:.0f} KB"
        results += [
            Result(f"GET /users?$top=100, {name} / bare view with the same bytes (p50)",
                   p50 / bare_p50, BAR_PAGE, detail),
            Result(f"GET /users?$top=100, {name} of {size:,} people, p50 in ms",
                   p50, BAR_MILLISECONDS, detail),
        ]  # fmt: skip
    return results


def _headers(made: Directory) -> dict[str, str]:
    return {"Authorization": f"Bearer {made.token}", "ConsistencyLevel": "eventual"}


def _get(made: Directory, path: str) -> bytes:
    client = Client(made.port)
    try:
        client.headers = _headers(made)
        status, _ = client.get(path)
        assert status == 200, (path, client.text)
        return client.text
    finally:
        client.close()


def _quoted(query: str) -> str:
    return urllib.parse.quote(query, safe="$&=%(),:'/@")


def _p50(made: Directory, query: str) -> float:
    """Of one query, in milliseconds, once it is warm; without the count, which is always exact."""
    asked = query
    for name, value in made.somebody.items():
        asked = asked.replace(f"{{{name}}}", value)
    path = f"/v1.0/users?{_quoted(asked)}"
    times: list[float] = []
    client = Client(made.port)
    client.headers = _headers(made)
    client.get(path)
    if client.get(path)[0] == 400:  # an operator for the advanced query
        path = f"{path}&$count=true"
    try:
        for number in range(TIMES + 2):
            with timing(times if number >= 2 else []):
                assert client.get(path)[0] == 200, (path, client.text)
            if sum(times) > 3_000:
                break
    finally:
        client.close()
    return percentile(times, 0.5)
