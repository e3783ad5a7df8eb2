"""A sign-in with a code, from the application's first redirect to its tokens: the server's time in
all. The password's hash is the quick one of tests: the real one is slow on purpose.

The server's time is what its answers say of themselves, see `timed_web`: what this client takes to
write requests and to read pages is not the server's.
"""

import base64
import hashlib
import json
import re
import tempfile
import urllib.parse
from contextlib import closing
from pathlib import Path

from bench import timed_web
from bench.guests import Client
from bench.programs import free_port, python, running
from bench.report import Result, median

BAR = 25.0
TIMES = 60
CALLBACK = "http://localhost:18999/cb"
VERIFIER = "a-verifier-of-at-least-43-characters-0123456789"
_CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode()[:43]


def run() -> Result:
    """The median of sixty sign-ins, each in a browser of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder))


def _measure(folder: Path) -> Result:
    port, smtp = free_port(), free_port()
    settings = {
        "DATA_DIR": str(folder),
        "PORT": str(port),
        "SMTP_PORT": str(smtp),
        "WEB_WORKERS": "1",
        "WEB_THREADS": "2",
        "RATE_LIMITS": "off",
        "PASSWORD_HASHING": "weak",
        "LOG_LEVEL": "WARNING",
    }
    with running(python("-m", "flask", "--app", "app", "up"), port, **settings):
        pass
    demo = json.loads((folder / "demo.json").read_text())
    public = next(one for one in demo["applications"] if one["kind"] == "public")
    person = next(u for u in demo["users"] if u["userPrincipalName"].startswith("adele."))
    steps: list[list[float]] = []
    timed = python("-m", "bench.timed_web")
    with running(timed, port, **settings), closing(Client(port)) as browser:
        for number in range(TIMES + 5):
            browser.cookies = {}
            times = _sign_in(browser, public, person)
            if number >= 5:
                steps.append(times)
    total = median([sum(times) for times in steps])
    parts = ", ".join(f"{median(list(part)):.1f}" for part in zip(*steps, strict=True))
    return Result(
        name="sign-in with a code, without the password's hash (ms of server time)",
        value=total,
        bar=BAR,
        detail=f"requests: {parts} ms",
    )


def _sign_in(browser: Client, app: dict[str, str], person: dict[str, str]) -> list[float]:
    """Every request of one sign-in, in milliseconds, in their order."""
    times: list[float] = []
    query = urllib.parse.urlencode(
        {
            "client_id": app["appId"],
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": "openid profile User.Read",
            "state": "s",
            "nonce": "n",
            "code_challenge": _CHALLENGE,
            "code_challenge_method": "S256",
        }
    )

    def step(method: str, path: str, **fields: str) -> tuple[int, str, str]:
        status, place = browser.get(path) if method == "GET" else browser.post(path, **fields)
        times.append(float(browser.answered[timed_web.HEADER]))
        return status, place, browser.text.decode()

    _, place, _ = step("GET", f"/{app['tenantId']}/oauth2/v2.0/authorize?{query}")
    back = urllib.parse.parse_qs(urllib.parse.urlsplit(place).query)["next"][0]
    _, _, page = step("GET", place)
    _, place, _ = step("POST", place, csrf_token=_token(page), address=person["userPrincipalName"])
    _, _, page = step("GET", place)
    _, place, _ = step("POST", place, csrf_token=_token(page), password=person["password"])
    assert place == back, place
    _, _, page = step("GET", place)
    found = re.search(r'url=([^"]+)"', page)
    assert found, page
    _, answer, _ = step("GET", found[1].replace("&amp;", "&"))
    code = urllib.parse.parse_qs(urllib.parse.urlsplit(answer).query)["code"][0]
    status, _, said = step(
        "POST", f"/{app['tenantId']}/oauth2/v2.0/token", grant_type="authorization_code",
        client_id=app["appId"], code=code, redirect_uri=CALLBACK, code_verifier=VERIFIER,
    )  # fmt: skip
    assert status == 200, said
    return times


def _token(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found, page
    return found[1]
