"""Every word is there in Korean too, and Korean readers get it: pages, dates, the letter."""

import email
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from datetime import date, timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from bs4 import BeautifulSoup
from flask import Flask
from flask_babel import force_locale, ngettext

from b2b import worker
from b2b.errors import Denied
from b2b.models import ExternalUserState, Role, Source, UserType
from b2b.services.audit import Activity
from b2b.web import filters, words
from b2b.web.admin.audit import CATEGORIES
from b2b.web.admin.timeline import activity_words
from b2b.web.context import NAMES
from tests import factories
from tests.cast import Cast
from tests.conftest import Clock, Mailroom
from tests.pages import Browser

ROOT = Path(__file__).parent.parent
CATALOGUES = sorted(ROOT.glob("translations/*/LC_MESSAGES/messages.po"))
HANGUL = re.compile(r"[\uac00-\ud7a3]")
PARTICLE = re.compile(
    r"(?:%\(\w+\)s|[”)])(?:[이가은는을를와과]|으로|로|이?라|이?나|이?며)(?![가-힣])"
)
"""A particle right behind a slot depends on the last sound of what comes into the slot."""


def _read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, abort_invalid=True)


def _words(catalogue: Catalog) -> list[Message]:
    return [message for message in catalogue if message.id]


def _ids(message: Message) -> list[str]:
    return [message.id] if isinstance(message.id, str) else list(message.id)


def _strings(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string)


def _slots(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)[sd]", text))


def _ends(text: str) -> tuple[str, str]:
    return re.findall(r"^\s*", text)[0], re.findall(r"\s*$", text)[0]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """What `make messages` collects now."""
    found = tmp_path_factory.mktemp("words") / "messages.pot"
    options = "-q extract -F babel.cfg -k N_ -k lazy_gettext --no-wrap --no-location --sort-output"
    subprocess.run(
        [sys.executable, "-m", "babel.messages.frontend", *options.split(), "-o", found, "."],
        cwd=ROOT,
        check=True,
    )
    return _read(found)


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """`make` compiles before it tests; a bare pytest finds the same."""
    for path in CATALOGUES:
        target = path.with_suffix(".mo")
        if not target.exists() or target.stat().st_mtime < path.stat().st_mtime:
            ours = target.with_suffix(f".{os.getpid()}")
            with ours.open("wb") as file:
                write_mo(file, _read(path))
            ours.replace(target)


@pytest.fixture(params=CATALOGUES, ids=lambda path: path.parts[-3])
def catalogue(request: pytest.FixtureRequest) -> Catalog:
    return _read(request.param)


def test_every_language_offered_has_its_catalogue() -> None:
    assert {path.parts[-3] for path in CATALOGUES} | {"en"} == set(NAMES)


def test_head_names_language_and_plurals(catalogue: Catalog) -> None:
    head = dict(catalogue.mime_headers)
    assert head["Language"] == "ko"
    assert head["Plural-Forms"] == "nplurals=1; plural=0;"
    assert head["Content-Type"] == "text/plain; charset=utf-8"
    assert not catalogue.fuzzy


def test_complete(catalogue: Catalog, template: Catalog) -> None:
    there = {message.id: message for message in _words(catalogue)}
    wanted = {message.id for message in _words(template)}
    assert wanted - there.keys() == set(), "not translated: make messages"
    assert there.keys() - wanted == set(), "no longer used: make messages"
    assert [i for i, message in there.items() if not all(_strings(message))] == []
    assert [i for i, message in there.items() if message.fuzzy] == []
    assert list(catalogue.obsolete) == []


def test_collecting_again_changes_nothing(catalogue: Catalog, template: Catalog) -> None:
    before = [(message.id, message.string, message.flags) for message in _words(catalogue)]
    catalogue.update(template, no_fuzzy_matching=True)
    after = [(message.id, message.string, message.flags) for message in _words(catalogue)]
    assert sorted(after, key=repr) == sorted(before, key=repr)
    assert list(catalogue.obsolete) == []


def test_slots_and_edges_stay(catalogue: Catalog) -> None:
    for message in _words(catalogue):
        wanted = set().union(*map(_slots, _ids(message)))
        for string in filter(None, _strings(message)):
            assert _slots(string) == wanted, message.id
            assert _ends(string) == _ends(_ids(message)[0]), message.id
            assert string.count("%") == string.count("%("), message.id
        assert "  " not in "".join(_strings(message)), message.id
        assert list(message.check(catalogue)) == []


def test_no_particle_hangs_on_a_slot() -> None:
    for message in _words(_read(ROOT / "translations/ko/LC_MESSAGES/messages.po")):
        for string in _strings(message):
            assert not PARTICLE.search(string), string


def test_one_plural_for_every_number(app: Flask) -> None:
    with app.test_request_context(), force_locale("ko"):
        for count in (0, 1, 2, 21):
            said = ngettext("%(num)s person", "%(num)s people", count)
            assert said == f"{count}명"


def test_every_stored_word_has_a_korean_one(app: Flask) -> None:
    names = [*Role, *CATEGORIES, *ExternalUserState, *UserType, *Source, "Sign-in", "My Apps"]
    with app.test_request_context(), force_locale("ko"):
        assert [str(name) for name in names if not HANGUL.search(words.stored(name))] == []
        assert [one for one in Activity if not HANGUL.search(activity_words(one))] == []
        assert words.stored("Harbour Street partners") == "Harbour Street partners"
        refused = Denied("This needs the role %(role)s.", role="Global Reader")
        assert words.said(refused) == (
            "이 작업에는 전역 읽기 권한자(Global Reader) 역할이 필요합니다."
        )


def test_a_refused_sign_in_is_explained_in_korean_and_kept_in_english(app: Flask) -> None:
    logged = "That address or password is not right."
    with app.test_request_context(), force_locale("ko"):
        assert words.reason(50126, logged) == "암호가 틀렸습니다."
        assert words.reason(99999, "Out of order.") == "Out of order."
    with app.test_request_context(), force_locale("en"):
        assert words.reason(50126, logged) == logged
        assert words.reason(50126, None) == ""


def test_dates(app: Flask, clock: Clock) -> None:
    with app.test_request_context(), force_locale("ko"):
        assert filters.day(clock.now) == "2026.\u00a011.\u00a021."
        assert filters.moment(clock.now) == "2026.\u00a011.\u00a021. 09:00:00 UTC"
        assert filters.ago(clock.now) == "방금"
        assert filters.ago(clock.now - timedelta(hours=1)) == "오늘 08:00"
        assert filters.ago(clock.now - timedelta(days=1)) == "어제 09:00"
        assert filters.ago(clock.now - timedelta(days=2)) == "2026.\u00a011.\u00a019."
        assert filters.listed(["급여", "자재"]) == "급여 및 자재"
        assert filters.listed(list("가나다라마")) == "가, 나, 다 외 2개"


# What readers see --------------------------------------------------------------------------------


def _english(soup: BeautifulSoup) -> Iterator[str]:
    """Words of the page that the catalogue would have in Korean."""
    known = {i for m in _words(_read(CATALOGUES[0])) for i in _ids(m) if "%" not in i}
    for given in soup.select("code, [lang=en], script"):
        given.decompose()
    for text in soup.find_all(string=True):
        words = " ".join(text.split())
        if words in known:
            yield words


@pytest.fixture
def reader(app: Flask) -> Browser:
    """A browser that asks for Korean."""
    return _in_korean(Browser(app))


def _in_korean(browser: Browser) -> Browser:
    browser.client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "ko-KR,ko;q=0.9,en;q=0.8"
    return browser


@pytest.mark.parametrize(
    ("path", "heading"),
    [("/signin", "로그인"), ("/", "어디로 이동할까요?"), ("/nowhere", "찾을 수 없습니다")],
)
def test_pages_come_in_korean(reader: Browser, path: str, heading: str) -> None:
    page = reader.get(path)
    assert page.soup.html is not None
    assert page.soup.html["lang"] == "ko"
    assert page.h1 == heading
    assert list(_english(page.soup)) == []


def test_korean_is_chosen_by_hand(browser: Browser) -> None:
    page = browser.get("/signin")
    token = page.soup.select_one("header form input[name=csrf_token]")
    assert token is not None
    chosen = browser.post(
        "/language", {"csrf_token": token["value"], "language": "ko", "next": "/signin"}
    )
    assert chosen.h1 == "로그인"


def test_errors_come_in_our_korean_words(reader: Browser, cast: Cast) -> None:
    page = reader.get("/signin").submit("/signin", address="")
    assert page.errors == ["name@example.com과 같은 메일 주소를 하나 입력하세요."]
    assert page.title.startswith("오류: ")
    reader.sign_in("john.doe@woodgrove.example", cast.password)
    page = reader.get("/profile").submit("/profile", given_name="가" * 65, preferred_language="xx")
    assert page.errors == ["64자까지 입력할 수 있습니다.", "목록에서 하나를 선택하세요."]
    page = reader.get("/admin/users/invite").submit(
        "/invite", addresses=factories.SAM, applications=["x"], language="xx"
    )
    assert page.errors == ["목록에서 하나를 선택하세요."]
    page = page.submit("/invite", applications=["x"], language="")
    assert page.errors == ["선택한 응용 프로그램 중 하나가 더 이상 없습니다."]


def test_the_landing_page_comes_in_korean(
    app: Flask, cast: Cast, clock: Clock, reader: Browser
) -> None:
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now)
        link = factories.link_of(session, cast.woodgrove, invited.user_id)
    page = reader.get(link)
    assert page.h1 == "John Doe님이 WoodGrove에 초대합니다"
    button = page.soup.select_one("main .btn--primary")
    assert button is not None
    assert button.get_text() == "시작"
    assert re.search(r"\d{4}\. \d+\. \d+\. 까지", page.text)
    assert list(_english(page.soup)) == []


def test_the_portal_comes_in_korean(john: Browser, cast: Cast) -> None:
    _in_korean(john)
    about = [
        f"/users/{cast.adele}{page}" for page in ("", "/edit", "/access", "/roles", "/explain")
    ]
    shelves = [f"/groups/{cast.partners}", f"/applications/{cast.projects}"]
    log = ["/invitations", "/audit", "/audit/1", "/sign-ins"]
    rules = ["/settings/external", "/branding", "/mail"]
    lists = ["", "/users", "/users?view=deleted", "/users/invite", "/groups", "/applications"]
    for path in [*lists, *about, *shelves, *log, *rules]:
        page = john.get(f"/admin{path}")
        assert HANGUL.search(page.title), path
        assert list(_english(page.soup)) == [], path


def test_my_apps_come_in_korean(otto: Browser) -> None:
    _in_korean(otto)
    account = [f"/account/{page}" for page in ("sign-in", "sessions", "organisations")]
    mine = ["/myapps/groups", "/myapps/people", "/myapps/people/invite", "/profile/photo"]
    for path in ["/myapps", "/myapps?q=x", "/profile", "/admin", *account, *mine]:
        page = otto.get(path)
        assert HANGUL.search(page.title), path
        assert list(_english(page.soup)) == [], path


def _columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line)


def _part(message: EmailMessage, kind: str) -> str:
    body: Any = message.get_body((kind,))
    return str(body.get_content()).replace("\r\n", "\n")


def test_the_letter_comes_in_korean(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    with app.app_context(), worker.transaction() as session:
        factories.invite(
            session, cast, clock.now, language="ko-KR", application_ids=[cast.projects]
        )
    mailroom.deliver()
    message = email.message_from_bytes(mailroom.sources()[0], policy=default)
    assert message["Subject"] == "WoodGrove 조직에 초대되었습니다"
    assert "WoodGrove의 John Doe" in message["From"]
    assert message["Content-Language"] == "ko"
    soup = BeautifulSoup(_part(message, "html"), "html5lib")
    assert soup.html is not None
    assert soup.html["lang"] == "ko"
    button = soup.select_one("td.cta a")
    assert button is not None
    assert button.get_text() == "시작"
    assert "\n시작:\nhttp" in _part(message, "plain")
    ends = re.search(r"(\d{4})년\s(\d+)월\s(\d+)일까지", _part(message, "plain"))
    assert ends is not None
    assert date(*map(int, ends.groups())) > clock.now.date()
    lines = [line for line in _part(message, "plain").split("\n") if "http" not in line]
    assert 60 < max(map(_columns, lines)) <= 72
