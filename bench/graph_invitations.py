"""Invitations through Graph with their mail against the invite form, a batch of twenty against one,
and how many people a second are made and read.
"""

import json
import tempfile
import urllib.parse
from contextlib import closing
from pathlib import Path

from bench.guests import Client
from bench.programs import Figures, free_port, john, program_token, python, running, send
from bench.report import Result, median

BAR_FORM, BAR_BATCH, BAR_MADE, BAR_READ = 1.2, 8.0, 400.0, 1_000.0
ROUNDS = 4
SECONDS = 2
CLIENTS = 4
MESSAGE = "Hi, the drawings for the Harbour Street site are ready."
JSON = {"Content-Type": "application/json"}
_FLASK = ("-m", "flask", "--app", "app")


def run() -> list[Result]:
    """Interleaved rounds; ratios of the medians of p50, and medians of the rates."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_ratios(Path(folder) / "one"), *_rates(Path(folder) / "two")]


def _settings(folder: Path, port: int, workers: int) -> dict[str, str]:
    return {
        "DATA_DIR": str(folder),
        "PORT": str(port),
        "SMTP_PORT": str(free_port()),
        "WEB_WORKERS": str(workers),
        "WEB_THREADS": "1" if workers == 1 else "4",
        "RATE_LIMITS": "off",
        "LOG_LEVEL": "WARNING",
    }


def _invitation(address: str) -> dict[str, object]:
    return {
        "invitedUserEmailAddress": address,
        "inviteRedirectUrl": "https://woodgrove.example/welcome",
        "sendInvitationMessage": True,
        "invitedUserMessageInfo": {"customizedMessageBody": MESSAGE},
    }


def _ratios(folder: Path) -> list[Result]:
    port = free_port()
    settings = _settings(folder, port, 1)
    with running(python(*_FLASK, "up"), port, **settings):
        pass  # the very first start makes the demo; the web server is then measured alone
    one = json.dumps(_invitation("NUMBER@partner.example"))
    many = json.dumps(
        {
            "requests": [
                {
                    "id": str(number),
                    "method": "POST",
                    "url": "/invitations",
                    "headers": JSON,
                    "body": _invitation(f"NUMBERb{number}@partner.example"),
                }
                for number in range(20)
            ]
        }
    )
    base = f"http://localhost:{port}"
    rounds: list[list[Figures]] = []
    with running(python(*_FLASK, "web"), port, **settings):
        person, token = john(base, folder), program_token(base, folder)
        fields = {
            "csrf_token": person.token("/admin/users/invite"),
            "display_name": "",
            "message": MESSAGE,
            "language": "",
            "delivery": "mail",
            "cc_address": "",
            "cc_name": "",
            "redirect_url": "",
            "user_type": "Guest",
        }
        typed = urllib.parse.urlencode(fields) + "&addresses=NUMBER%40partner.example"
        posted = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": person.cookie}
        headers = {**JSON, "Authorization": f"Bearer {token}"}
        ways = [
            ("/admin/users/invite", typed, posted, "f"),
            ("/v1.0/invitations", one, headers, "g"),
            ("/v1.0/$batch", many, headers, "b"),
        ]
        for number in range(ROUNDS + 1):
            found = [
                send(base, "POST", path, body, headers=sent, tag=f"{tag}{number}x", seconds=SECONDS)
                for path, body, sent, tag in ways
            ]
            assert not sum(figures.errors for figures in found)
            if number:  # the first round warms up
                rounds.append(found)
        with closing(Client(port)) as client:
            client.headers = headers
            client.send("POST", "/v1.0/$batch", many.replace("NUMBER", "last"), {})
            # A batch is 200 whatever becomes of its items.
            assert [one["status"] for one in json.loads(client.text)["responses"]] == [201] * 20
    by_form, single, batch = (median([figures[n].p50 for figures in rounds]) for n in range(3))
    return [
        Result(
            "POST /invitations with the mail / the invite form (p50)",
            single / by_form,
            BAR_FORM,
            f"{single:.2f} ms / {by_form:.2f} ms",
        ),
        Result(
            "$batch of 20 invitations / one (p50)",
            batch / single,
            BAR_BATCH,
            f"{batch:.2f} ms / {single:.2f} ms",
        ),
    ]


def _rates(folder: Path) -> list[Result]:
    port = free_port()
    settings = _settings(folder, port, 2)
    with running(python(*_FLASK, "up"), port, **settings):
        pass
    base = f"http://localhost:{port}"
    made: list[Figures] = []
    read: list[Figures] = []
    with running(python(*_FLASK, "web"), port, **settings):
        headers = {**JSON, "Authorization": f"Bearer {program_token(base, folder)}"}
        with closing(Client(port)) as client:
            client.headers = headers
            client.get("/v1.0/domains")
            domains = json.loads(client.text)["value"]
            client.get("/v1.0/users?$top=1")
            somebody = json.loads(client.text)["value"][0]["id"]
        domain = next(one["id"] for one in domains if one["isDefault"])
        body = json.dumps(
            {
                "accountEnabled": True,
                "displayName": "Somebody NUMBER",
                "mailNickname": "NUMBER",
                "userPrincipalName": f"NUMBER@{domain}",
                "passwordProfile": {"password": "xWwvJ]6NMw+bWH-d"},
            }
        )
        for number in range(ROUNDS + 1):
            new = send(
                base,
                "POST",
                "/v1.0/users",
                body,
                headers=headers,
                tag=f"u{number}x",
                seconds=SECONDS,
                connections=CLIENTS,
            )
            one = send(
                base,
                "GET",
                f"/v1.0/users/{somebody}",
                headers=headers,
                tag="",
                seconds=SECONDS,
                connections=CLIENTS,
            )
            assert not new.errors + one.errors
            if number:
                made.append(new)
                read.append(one)
    return [
        Result(
            f"people {what} through Graph a second, {CLIENTS} connections",
            median([one.per_second for one in rates]),
            bar,
            f"p50 {median([one.p50 for one in rates]):.2f} ms, "
            f"p95 {median([one.p95 for one in rates]):.2f} ms",
            at_least=True,
        )
        for what, rates, bar in (("made", made, BAR_MADE), ("read", read, BAR_READ))
    ]
