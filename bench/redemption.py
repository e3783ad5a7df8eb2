"""From *Accept* until My Apps is there, against a bare view that commits one row.

The guest has proven his address before, so no password hash is part of it.
"""

import tempfile
from contextlib import closing
from pathlib import Path

from bench.guests import Client, prepared, signed_in, timing, web_of
from bench.programs import free_port, python, running
from bench.report import Result, median

BAR = 5.0
MOST_MILLISECONDS = 25.0
ROUNDS = 5
A_ROUND = 60


def run() -> Result:
    """Five rounds, interleaved one by one; the ratio of the medians of p50."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder))


def _measure(folder: Path) -> Result:
    rows, theirs = f"sqlite:///{folder / 'rows.sqlite3'}", free_port()
    accepts, whole, one_row = [], [], []
    with prepared(folder) as (app, ours):
        guests = signed_in(app, A_ROUND * (ROUNDS + 1), "guest-")
        baseline = python("-m", "bench.baseline.one_row", rows, str(theirs))
        with (
            web_of(app, ours),
            running(baseline, theirs),
            closing(Client(ours)) as browser,
            closing(Client(theirs)) as bare,
        ):
            for number in range(ROUNDS + 1):
                accept: list[float] = []
                both: list[float] = []
                row: list[float] = []
                for guest in guests[number * A_ROUND : (number + 1) * A_ROUND]:
                    browser.wear(guest.cookie)
                    with timing(both):
                        with timing(accept):
                            answer = browser.post("/redeem/accept", csrf_token=guest.token)
                        assert answer == (303, "/profile?first=1"), answer
                        assert browser.get("/myapps")[0] == 200
                    with timing(row):
                        assert bare.post("/orm", address="a@b.example", name="n" * 60)[0] == 303
                if number:  # the first round warms up
                    accepts.append(median(accept))
                    whole.append(median(both))
                    one_row.append(median(row))
    p50, base = median(whole), median(one_row)
    ratio = p50 / base
    return Result(
        name="Accept until My Apps is there / view that commits one row (p50)",
        # The worse of both bars, said as the first.
        value=max(ratio, p50 / MOST_MILLISECONDS * BAR),
        bar=BAR,
        detail=f"{p50:.2f} ms (at most {MOST_MILLISECONDS:.0f} ms) / {base:.2f} ms = {ratio:.2f}; "
        f"Accept alone {median(accepts):.2f} ms",
    )
