"""My Apps of somebody with a thousand applications, against ten."""

import tempfile
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from flask import Flask
from sqlalchemy import select

from b2b import clock, worker
from b2b.models import ServicePrincipal, User, fold, new_id
from b2b.services import applications
from bench.guests import Client, Guest, john, prepared, signed_in, timing, web_of
from bench.report import Result, median

BAR = 3.0
ROUNDS = 5
A_ROUND = 40
FEW, MANY = 10, 1_000


def run() -> Result:
    """Five rounds, interleaved; the ratio of the medians of p50."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder))


def _measure(folder: Path) -> Result:
    with prepared(folder) as (app, port):
        people = signed_in(app, 2, "guest-")
        for number, count in enumerate((FEW, MANY)):
            _assign(app, f"guest-{number}@partner.example", count)
        medians: list[list[float]] = [[], []]
        with web_of(app, port), closing(Client(port)) as browser:
            browsers = [_come_in(browser, guest) for guest in people]
            for number in range(ROUNDS + 1):
                for cookies, found in zip(browsers, medians, strict=True):
                    browser.cookies = dict(cookies)
                    times: list[float] = []
                    for _ in range(A_ROUND):
                        with timing(times):
                            assert browser.get("/myapps")[0] == 200
                    if number:  # the first round warms up
                        found.append(median(times))
    few, many = (median(found) for found in medians)
    return Result(
        name=f"My Apps with {MANY:,} applications / with {FEW} (p50)",
        value=many / few,
        bar=BAR,
        detail=f"{many:.2f} ms / {few:.2f} ms",
    )


def _come_in(browser: Client, guest: Guest) -> dict[str, str]:
    browser.wear(guest.cookie)
    assert browser.post("/redeem/accept", csrf_token=guest.token)[0] == 303
    return browser.cookies


def _assign(app: Flask, address: str, count: int) -> None:
    with app.app_context(), worker.transaction() as session:
        actor = john(session)
        guest = session.scalars(
            select(User.id).where(User.tenant_id == actor.tenant_id, User.invited_key == address)
        ).one()
        names = [f"Building site {number:04} of {count}" for number in range(count)]
        made = [
            ServicePrincipal(
                tenant_id=actor.tenant_id,
                id=new_id(),
                app_id=uuid4(),
                display_name=name,
                name_key=fold(name),
                description="Drawings and deadlines",
                sign_in_url="https://site.example/",
                created_at=clock.now(),
            )
            for name in names
        ]
        session.add_all(made)
        session.flush()
        pairs = [(guest, one.id) for one in made]
        applications.assign(session, actor.tenant_id, pairs, clock.now())
