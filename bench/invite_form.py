"""One invitation through the form, all durable, against a bare view that commits one row."""

import re
import tempfile
import urllib.parse
from pathlib import Path

from bench.programs import drive, free_port, john, python, running
from bench.report import Result, median

BAR = 3.0
ROUNDS = 5
SECONDS = 3


def run() -> Result:
    """Five rounds, interleaved; the ratio of the medians of p50."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder))


def _measure(folder: Path) -> Result:
    ours, theirs, smtp = free_port(), free_port(), free_port()
    settings = {
        "DATA_DIR": str(folder / "ours"),
        "PORT": str(ours),
        "SMTP_PORT": str(smtp),
        "WEB_WORKERS": "1",
        "WEB_THREADS": "1",
        "RATE_LIMITS": "off",
        "LOG_LEVEL": "WARNING",
    }
    flask = ["-m", "flask", "--app", "app"]
    with running(python(*flask, "up"), ours, **settings):
        pass  # the very first start makes the demo; the web server is then measured alone
    baseline = python(
        "-m", "bench.baseline.one_row", f"sqlite:///{folder / 'rows.sqlite3'}", str(theirs)
    )
    with running(python(*flask, "web"), ours, **settings), running(baseline, theirs):
        person = john(f"http://localhost:{ours}", folder / "ours")
        form = person.get("/admin/users/invite")
        token = re.search(r'name="csrf_token" value="([^"]+)"', form)
        group = re.search(r'name="groups"[^>]*value="([^"]+)"', form)
        assert token
        assert group
        message = "Hi, the drawings for the Harbour Street site are ready."
        fields = {
            "csrf_token": token[1],
            "display_name": "",
            "message": message,
            "language": "",
            "delivery": "mail",
            "cc_address": "",
            "cc_name": "",
            "redirect_url": "",
            "user_type": "Guest",
            "groups": group[1],
        }
        body = urllib.parse.urlencode(fields) + "&addresses=ADDRESS"
        plain = urllib.parse.urlencode({"name": message}) + "&address=ADDRESS"
        rounds = []
        for number in range(ROUNDS + 1):
            tag = f"r{number}x"
            a = drive(f"http://localhost:{ours}", "/admin/users/invite", body,
                      cookie=person.cookie, tag=tag, seconds=SECONDS)  # fmt: skip
            b, c = (
                drive(f"http://localhost:{theirs}", path, plain,
                      cookie="none=1", tag=tag, seconds=SECONDS)
                for path in ("/orm", "/core")
            )  # fmt: skip
            assert not a.errors + b.errors + c.errors
            if number:  # the first round warms up
                rounds.append((a, b, c))
    p50, orm, core = (median([found[n].p50 for found in rounds]) for n in range(3))
    return Result(
        name="invitation through the form / view that commits one row (p50)",
        value=p50 / orm,
        bar=BAR,
        detail=f"{p50:.2f} ms / {orm:.2f} ms, p95 {median([a.p95 for a, _, _ in rounds]):.2f} ms, "
        f"{median([a.per_second for a, _, _ in rounds]):.0f} invitations a second; "
        f"a view with one bare Core insert: {core:.2f} ms, ratio {p50 / core:.2f}",
    )
