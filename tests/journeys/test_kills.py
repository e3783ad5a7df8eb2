"""SIGKILL and SIGTERM while people are being invited: what was confirmed is kept, whole."""

import itertools
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from b2b.models import Invitation, OutboxMessage
from tests.journeys.client import BROKEN, Answer, Client
from tests.journeys.program import PARTS, Program, until
from tests.journeys.story import JOHN

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

INVITATIONS = 2000
TOGETHER = 10
"""Of them in one form, and so in one transaction."""
THREADS = 4
KILLS = 20
DOMAIN = "many.example"
LEASE = 5
"""Seconds that a dead worker's mails wait."""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """Without the limit of 60 invitations a minute, and with a short lease."""
    program = Program(tmp_path, RATE_LIMITS="off", MAIL_LEASE=LEASE)
    try:
        yield program.start()
    finally:
        program.stop()


class Inviter:
    """Invites people through the form, from several browsers, and notes what was confirmed."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._next = itertools.count()
        self._lock = threading.Lock()
        self.confirmed: list[str] = []
        self.repeated = 0
        self.over = threading.Event()

    def browser(self) -> Client:
        """A browser in which John Doe is signed in."""
        return Client(self._program.url).signs_in(JOHN, self._program.password(JOHN))

    def work(self, browser: Client) -> None:
        """Take the next addresses until there are no more."""
        while not self.over.is_set():
            with self._lock:
                first = next(self._next) * TOGETHER
            if first >= INVITATIONS:
                return
            self._until_confirmed(
                browser, [f"guest-{first + n:04}@{DOMAIN}" for n in range(TOGETHER)]
            )

    def has_come_to(self, count: int, work: list[Future[None]]) -> bool:
        """Whether so many are confirmed. Raises what made a thread give up."""
        for done in work:
            if done.done():
                done.result()
        return len(self.confirmed) >= count

    def _until_confirmed(self, browser: Client, addresses: list[str]) -> None:
        """A connection that is lost says nothing: ask again, as a person would."""
        ends = time.monotonic() + 90
        while time.monotonic() < ends and not self.over.is_set():
            try:
                answer = self.invite(browser, addresses)
            except BROKEN:
                time.sleep(0.05)
                continue
            if answer.status == 503:
                time.sleep(0.2)
                continue
            assert answer.status == 200, (answer.status, answer.h1, answer.said)
            assert answer.h1 == f"{TOGETHER} people"
            lines = [line.get_text(" ") for line in answer.soup.select(".checked li")]
            assert len(lines) == TOGETHER
            assert all(any(address in line for line in lines) for address in addresses)
            with self._lock:
                self.confirmed += addresses
                self.repeated += any("a moment ago" in line for line in lines)
            return
        assert self.over.is_set(), f"{addresses[0]} was not confirmed in time"

    def invite(self, browser: Client, addresses: list[str]) -> Answer:
        """What the form says to these addresses. Raises what is in BROKEN."""
        form = browser.get("/admin/users/invite")
        if form.status != 200:
            return form
        box = form.soup.find("span", string="WoodGrove Projects").find_previous("input")
        return browser.submit(form, addresses="\n".join(addresses), applications=box["value"])


def test_killed_at_random_nothing_confirmed_is_lost_and_nothing_is_half_made(
    program: Program,
) -> None:
    seed = random.getrandbits(32)
    dice = random.Random(seed)
    moments = sorted(dice.sample(range(5, INVITATIONS - 100), KILLS))
    victims = ["everything", *PARTS]
    victims += dice.choices(victims, k=KILLS - len(victims))
    dice.shuffle(victims)
    inviter = Inviter(program)
    browsers = [inviter.browser() for _ in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        work = [pool.submit(inviter.work, browser) for browser in browsers]
        try:
            for moment, victim in zip(moments, victims, strict=True):
                until(lambda at=moment: inviter.has_come_to(at, work), 90, 0.002)
                time.sleep(dice.uniform(0, 0.1))
                if victim == "everything":
                    program.restart()
                else:
                    program.kill_part(victim)
            for done in work:
                done.result(120)
        finally:
            inviter.over.set()
    assert sorted(inviter.confirmed) == [f"guest-{n:04}@{DOMAIN}" for n in range(INVITATIONS)]

    # Mail that was under way when the sink or its connection died is tried again after a minute.
    until(lambda: "b2b_outbox_queued 0.0" in metrics(program), 150, 0.5)
    people = people_of(browsers[0])
    assert sorted(people) == sorted(inviter.confirmed), "one person for each, and nobody else"
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [
            pool.submit(read_all, browsers[number], sorted(people.items())[number::THREADS])
            for number in range(THREADS)
        ]:
            done.result()
    mails = mails_of(program)
    assert set(mails) == set(inviter.confirmed), "each has mail, and nobody else has"
    for address, sent in mails.items():
        assert len(set(sent)) == 1, f"copies for {address} share their Message-ID"
    duplicates = sum(len(sent) - 1 for sent in mails.values())
    assert duplicates <= KILLS
    for address in dice.sample(sorted(mails), 20):
        [mail, *_] = program.mails(address)
        landing = Client(program.url).get(mail.link)
        assert (landing.status, landing.h1) == (200, "John Doe invites you to WoodGrove")
    figures = (
        f"seed {seed}: killed {list(zip(moments, victims, strict=True))}, "
        f"confirmed {len(inviter.confirmed)}, asked again {inviter.repeated}, "
        f"duplicates {duplicates}"
    )
    print(figures)  # noqa: T201 - shown when it fails, and with -rP


def read_all(reader: Client, people: list[tuple[str, str]]) -> None:
    """The page of each of *people*, address and path."""
    for address, path in people:
        assert_complete(reader.get(path), address)


def metrics(program: Program) -> str:
    """The figures for machines."""
    return Client(program.url).get("/metrics").body.decode()


def people_of(reader: Client) -> dict[str, str]:
    """Everybody of the domain in the users list: address → path, page by page."""
    found: dict[str, str] = {}
    page: str | None = "/admin/users?view=waiting"
    while page is not None:
        answer = reader.get(page)
        assert answer.status == 200
        for row in answer.soup.select("tbody tr"):
            address = re.search(rf"guest-\d+@{DOMAIN}", row.get_text())
            link = row.select_one("a[href]")
            if address is not None:
                assert link is not None
                assert address[0] not in found, "nobody is listed twice"
                found[address[0]] = str(link["href"])
        onward = answer.soup.select_one(".pager a[rel=next][href]")
        page = str(onward["href"]) if onward else None
    return found


def assert_complete(page: Answer, address: str) -> None:
    """User, invitation, assignment, audit and mail are all there."""
    assert page.status == 200
    facts = {
        dt.get_text(" ", strip=True): dt.find_next("dd").get_text(" ", strip=True)  # type: ignore[union-attr]
        for dt in page.soup.select("dl.facts dt")
    }
    assert facts["Invited address"] == address
    assert facts["Mail"] == address or facts["Mail"].startswith("Sent to mail server")
    assert facts["State"] == "PendingAcceptance"
    assert facts["Times sent"] == "1"
    access = page.soup.select_one("section[aria-labelledby=access]")
    assert access is not None
    assert "WoodGrove Projects" in access.get_text()
    happened = [title.get_text() for title in page.soup.select(".timeline li b")]
    assert sorted(happened) == [
        "Added to the directory",
        "Assigned to an application",
        "Given a sponsor",
        "Invited",
        "Mail sent to the mail server",
    ]


def mails_of(program: Program) -> dict[str, list[str]]:
    """Message-IDs of the captured mail for each address of the domain."""
    found: dict[str, list[str]] = {}
    for row in program.api("messages?limit=0")["messages"]:
        address = row["To"][0]["Address"]
        if address.endswith(f"@{DOMAIN}"):
            found.setdefault(address, []).append(row["MessageID"])
    return found


@pytest.fixture
def on_either(tmp_path: Path, database_url: str) -> Iterator[Program]:
    """With its demo, in a database that is empty but for its tables."""
    program = Program(tmp_path, database_url=database_url, RATE_LIMITS="off")
    try:
        yield program.start()
    finally:
        program.stop()


def test_told_to_stop_it_answers_what_it_has_begun(on_either: Program) -> None:
    """REL-10: SIGTERM under load: no answer is cut short, no change half-made, and it is gone
    within its grace; what was confirmed is there afterwards
    """
    program = on_either
    outcomes: Counter[str] = Counter()
    stopping = threading.Event()

    def ask() -> None:
        browser = Client(program.url)
        while not stopping.is_set():
            try:
                outcomes[str(browser.get("/signin").status)] += 1
            except ConnectionRefusedError:
                outcomes["refused"] += 1
                return
            except BROKEN as error:
                outcomes[f"broken: {error!r}"] += 1
            time.sleep(0.05)

    inviter = Inviter(program)
    john = inviter.browser()

    def invite() -> None:
        for number in itertools.count():
            if stopping.is_set():
                return
            addresses = [f"stop-{number}-{n}@{DOMAIN}" for n in range(TOGETHER)]
            try:
                answer = inviter.invite(john, addresses)
            except ConnectionRefusedError:
                outcomes["refused"] += 1
                return
            except BROKEN as error:
                outcomes[f"broken: {error!r}"] += 1
                continue
            outcomes[str(answer.status)] += 1
            if answer.h1 == f"{TOGETHER} people":
                inviter.confirmed += addresses

    with ThreadPoolExecutor(THREADS + 1) as pool:
        asking = [pool.submit(ask) for _ in range(THREADS)] + [pool.submit(invite)]
        until(lambda: outcomes["200"] >= 100 and len(inviter.confirmed) > 50, 60)
        took = program.terminate()
        for done in asking:
            done.result(10)
    assert set(outcomes) == {"200", "refused"}, outcomes
    assert outcomes["refused"] == THREADS + 1
    assert took < 7, "the grace of five seconds, and two for the supervisor"
    assert program.faults == []
    with program.reading() as session:
        invited = set(
            session.scalars(select(Invitation.invited_address).where(Invitation.domain == DOMAIN))
        )
        owed = set(
            session.scalars(
                select(OutboxMessage.recipient).where(OutboxMessage.recipient.like(f"%@{DOMAIN}"))
            )
        )
    assert set(inviter.confirmed) <= invited
    assert len(invited) % TOGETHER == 0, "a form is one transaction"
    assert owed == invited
