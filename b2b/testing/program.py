"""The program in processes of its own: started, asked, stopped."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

_READY_WITHIN = 30.0
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ProgramFailed(Exception):
    """The program did not start; the text holds the end of its log."""


class Refused(Exception):
    """The program refused what it was asked; `status` and `error` are its answer."""

    def __init__(self, status: int, error: Any) -> None:
        super().__init__(f"{status}: {error}")
        self.status, self.error = status, error


def free_port() -> int:
    """A port of this machine that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """Web, worker and mail sink with a demo of their own, in *folder*.

    *settings* are the program's environment variables and win over what suits tests: weak and quick
    password hashes, no rate limits, one web process.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object] | None = None) -> None:
        self.folder = folder
        self._settings: dict[str, object] = {
            "PASSWORD_HASHING": "weak",
            "RATE_LIMITS": "off",
            "SHUTDOWN_GRACE": 1,
            "WEB_WORKERS": 1,
            "WEB_THREADS": 8,
            "TEST_DOUBLE": 1,
            "DATA_DIR": folder / "data",
            "PORT": free_port(),
            "SMTP_PORT": free_port(),
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.started_in = 0.0
        """Seconds until it was ready."""

    @property
    def base_url(self) -> str:
        """Its address, without a slash at the end."""
        scheme = "http" if self.ca_file is None else "https"
        default = f"{scheme}://localhost:{self._settings['PORT']}"
        return str(self._settings.get("BASE_URL") or default)

    @property
    def ca_file(self) -> Path | None:
        """Whom clients have to trust where it speaks https (the setting HTTPS=1)."""
        if str(self._settings.get("HTTPS", "")).lower() not in ("1", "true", "yes", "on"):
            return None
        return Path(str(self._settings["DATA_DIR"])) / "tls" / "ca.pem"

    @property
    def smtp(self) -> tuple[str, int]:
        """Host and port at which it takes mail."""
        return "127.0.0.1", int(str(self._settings["SMTP_PORT"]))

    # Life ----------------------------------------------------------------------------------------

    def start(self) -> "Program":
        """Start, and wait until everything answers. Raises ProgramFailed."""
        begun = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "b2b", "up"],
                cwd=self.folder,
                env={**os.environ, **{name: str(value) for name, value in self._settings.items()}},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        ends = begun + _READY_WITHIN
        while not self._is_ready():
            if self._process.poll() is not None:
                raise ProgramFailed(f"It ended at once:\n{self.log[-3000:]}")
            if time.monotonic() > ends:
                self.stop()
                raise ProgramFailed(f"It does not answer:\n{self.log[-3000:]}")
            time.sleep(0.02)
        self.started_in = time.monotonic() - begun
        return self

    def _is_ready(self) -> bool:
        try:
            self.ask("GET", "/readyz")
            with socket.create_connection(self.smtp, timeout=2):
                return True
        except (OSError, Refused):
            return False

    def stop(self) -> None:
        """Stop all of its processes."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.wait(10)

    def __enter__(self) -> "Program":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _log_path(self) -> Path:
        return self.folder / "program.log"

    @property
    def log(self) -> str:
        """Everything that it has said."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    # Asking --------------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30,
    ) -> Any:
        """What a path of the program answers: JSON where it is, else text. *body* is sent as JSON,
        bytes as they are. Raises Refused.
        """
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.base_url}{path}",
            data=data,
            method=method,
            headers={"Content-Type": "application/json", "X-Test-Double": "1", **(headers or {})},
        )
        try:
            with self._opener().open(request, timeout=timeout) as answer:
                return _content(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, _content(error)) from None

    def _opener(self) -> urllib.request.OpenerDirector:
        if self.ca_file is None:
            return _NO_PROXY
        return urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.trust())
        )

    def trust(self) -> ssl.SSLContext:
        """What a client of Python needs to trust it."""
        return ssl.create_default_context(cafile=None if self.ca_file is None else self.ca_file)

    def tool(self, method: str, path: str, body: Any = None) -> Any:
        """What the test tools answer. Raises Refused."""
        return self.ask(method, f"/test-double{path}", body)

    def settle(self, within: float = 5.0) -> bool:
        """Wait until no mail is left to be sent; False if some is left after *within* seconds."""
        ends = time.monotonic() + within
        while "\nb2b_outbox_queued 0.0\n" not in str(self.ask("GET", "/metrics")):
            if time.monotonic() > ends:
                return False
            time.sleep(0.02)
        return True

    def reset(self) -> None:
        """As it was at its start: directories, clock, faults; and no mail."""
        self.settle(2.0)  # or what is on its way would come after the next test has begun
        self.tool("POST", "/reset", {})
        self.ask("DELETE", "/mail/api/v1/messages", {})

    # The demo ------------------------------------------------------------------------------------

    @property
    def demo(self) -> dict[str, Any]:
        """What demo.json says: tenants, users with passwords, applications with secrets."""
        path = Path(str(self._settings["DATA_DIR"])) / "demo.json"
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return content

    @property
    def tenants(self) -> dict[str, dict[str, Any]]:
        """The demo's organisations by display name."""
        return {one["displayName"]: one for one in self.demo["tenants"]}

    @property
    def users(self) -> dict[str, dict[str, Any]]:
        """The demo's people who have a password, by sign-in name."""
        return {one["userPrincipalName"]: one for one in self.demo["users"]}

    def application(self, kind: str, organisation: str = "WoodGrove") -> dict[str, Any]:
        """One of the demo's applications: `daemon`, `web`, `public`, `low` or `sample`."""
        for one in self.demo["applications"]:
            if one["kind"] == kind and one["organisation"] == organisation:
                return dict(one)
        raise KeyError(f"{organisation} has no application of the kind {kind}")

    def load(self, directory: str | Path, *, check: bool = False) -> dict[str, Any]:
        """Load a directory file: its path, or the YAML itself. Raises Refused."""
        text = directory.read_text("utf-8") if isinstance(directory, Path) else directory
        path = f"/test-double/directory{'?check=1' if check else ''}"
        told: dict[str, Any] = self.ask(
            "POST", path, text.encode(), headers={"Content-Type": "application/yaml"}
        )
        return told

    # Short cuts ----------------------------------------------------------------------------------

    def token(
        self,
        *,
        tenant: str = "WoodGrove",
        client: str | None = None,
        user: str | None = None,
        scope: str | None = None,
        resource: str | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """An access token for a program, or for a person by a program, with *claims* of one's own.

        By default the demo's daemon and public client. Raises Refused.
        """
        if client is None:
            client = self.application("public" if user else "daemon", tenant)["clientId"]
        asked = {
            "tenant": tenant,
            "client": client,
            "user": user,
            "scope": scope,
            "resource": resource,
            "claims": None if claims is None else dict(claims),
        }
        body = {name: value for name, value in asked.items() if value is not None}
        return str(self.tool("POST", "/token", body)["accessToken"])

    def session_cookie(self, user: str, *, tenant: str = "WoodGrove") -> dict[str, Any]:
        """The cookie of a new session: name, value and attributes. Raises Refused."""
        told = self.tool("POST", "/session", {"tenant": tenant, "user": user})
        return dict(told["cookie"])

    def redeem(
        self, invitation: str, *, as_: str | None = None, tenant: str | None = None
    ) -> dict[str, Any]:
        """Redeem an invitation by its link, its id, or the invited address with the *tenant*.

        *as_* signs in with another address than the invited one. Raises Refused.
        """
        asked = {"invitation": invitation, "as": as_, "tenant": tenant}
        body = {name: value for name, value in asked.items() if value is not None}
        return dict(self.tool("POST", "/redeem", body))

    def passcode(self, address: str) -> str:
        """The code that was mailed to *address* and is still good. Raises Refused."""
        return str(self.tool("POST", "/passcode", {"address": address})["code"])


def _content(answer: Any) -> Any:
    text = answer.read().decode("utf-8", "replace")
    kind = str(answer.headers.get("Content-Type", ""))
    if "json" in kind and text:
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text
