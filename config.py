"""The only reader of the environment. Each setting: its name, its default, what it is for."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class BadSetting(Exception):
    """A setting cannot be used; the text names it and says why."""


@dataclass
class Config:
    """Settings of one process. Flask reads the attributes in capitals."""

    HOST: str = "127.0.0.1"
    """Address that the web server listens on."""
    PORT: int = 5000
    """Port of the web server."""
    SMTP_HOST: str = "127.0.0.1"
    """Address that the bundled mail sink listens on."""
    SMTP_PORT: int = 1025
    """Port of the bundled mail sink."""
    SMTP_TLS: bool = False
    """Offer STARTTLS at SMTP_PORT, with a certificate of this installation's own authority
    (DATA_DIR/tls/ca.pem), which clients have to trust.
    """
    SMTP_TLS_PORT: int = 0
    """Another port of the sink, where TLS begins at once; 0 for none."""
    SINK_USERS: str = ""
    """File with lines of name:password. With it only these may send to the sink and open the inbox.
    Without it any name and password will do for sending, and none as well.
    """
    SINK_FAULTS: str = ""
    """File of faults that the sink commits on purpose, as JSON."""
    MAIL_KEEP: int = 200_000
    """Mails that the sink keeps; the oldest go first. 0 for no limit."""
    MAIL_KEEP_MB: int = 4096
    """Megabytes of mail that it keeps, before packing. 0 for no limit."""
    MAIL_KEEP_DAYS: float = 0
    """Days that it keeps a mail. 0 for no limit."""
    HTTPS: bool = False
    """Speak https on PORT, with a certificate of this installation's own authority
    (DATA_DIR/tls/ca.pem). Not for production, where a proxy in front has a real one.
    """
    DATA_DIR: Path = Path("instance")
    """Folder for keys, the default databases and demo.json; made with mode 0700."""
    BASE_URL: str = ""
    """This installation's own address, used in every link. Default: http://localhost:PORT, or https
    with HTTPS=1.
    """
    DATABASE_URL: str = ""
    """The directory's database. Default: a SQLite file in DATA_DIR."""
    MAIL_STORE_URL: str = ""
    """The sink's database. Default: another SQLite file in DATA_DIR."""
    SECRET_KEYS: list[str] = field(default_factory=list)
    """Root keys, newest first, separated by spaces; for several machines. Default: keys.json in
    DATA_DIR.
    """
    MAIL_SERVER: str = ""
    """Mail server for outgoing mail. Default: the bundled sink."""
    MAIL_PORT: int = 0
    """Port of the mail server. Default: SMTP_PORT."""
    MAIL_USE_TLS: bool = False
    """STARTTLS, with the server's certificate verified."""
    MAIL_USE_SSL: bool = False
    """TLS from the first byte, with the server's certificate verified."""
    MAIL_USERNAME: str | None = None
    """User name at the mail server, if it asks for one."""
    MAIL_PASSWORD: str | None = None
    """Password at the mail server."""
    MAIL_FROM: str = "invites@b2b.example"
    """Sender address of all mail."""
    MAIL_CONNECT_TIMEOUT: float = 10.0
    """Seconds to wait for a connection to the mail server."""
    MAIL_COMMAND_TIMEOUT: float = 30.0
    """Seconds to wait for each answer of the mail server."""
    RELEASE_SERVER: str = ""
    """Where testers may release captured mail to, as smtp://user:password@host:587 or smtps://…
    Empty: nothing that was captured ever leaves.
    """
    WEBHOOK_HOSTS: list[str] = field(default_factory=list)
    """Hosts that webhooks of the inbox may call beside this machine, separated by spaces."""
    PRODUCTION: bool = False
    """Refuse what only suits a laptop: http, the demo, the sink, switched-off rate limits."""
    DEMO: bool = True
    """Make the demo directories at the first start of an empty database."""
    DEMO_ON_NETWORK: bool = False
    """Allow the demo on an address that is not loopback."""
    TEST_DOUBLE: bool = False
    """Have the test tools (docs/testing.md) without the demo too; on a loopback address only, and
    refused in production.
    """
    SINK_IN_PRODUCTION: bool = False
    """Allow the mail sink and its inbox in production."""
    RATE_LIMITS: str = "default"
    """`default`, `off` (refused in production) or a factor such as 2.5."""
    ADDRESS_RULES: str = "reference"
    """`reference`: the characters that the real service refuses; `rfc`: all that RFC 5321 takes."""
    CONSUMER_DOMAINS: list[str] = field(default_factory=list)
    """More domains whose addresses get a personal account; added to the built-in list."""
    TRUSTED_PROXIES: int = 0
    """How many reverse proxies stand in front; only then X-Forwarded-For and -Proto are read."""
    WEB_WORKERS: int = 2
    """Processes of the web server."""
    WEB_THREADS: int = 4
    """Threads of each web process."""
    DELIVERY_BATCH: int = 50
    """Mails that a worker leases at a time."""
    MAIL_LEASE: float = 300.0
    """Seconds that they are its own. If it dies they wait that long; shorter than sending takes,
    and another worker sends them as well.
    """
    SHUTDOWN_GRACE: float = 30.0
    """Seconds for what is running to finish at SIGTERM; `make run` uses 5."""
    BUSY_TIMEOUT: float = 5.0
    """Seconds to wait for a locked database before answering 503."""
    METRICS_TOKEN: str | None = None
    """Bearer token for /metrics from other hosts; without it only loopback may read."""
    LOG_LEVEL: str = "INFO"
    """Least severe log record that is written."""
    PASSWORD_HASHING: str = "strong"
    """`strong`, or `weak` for test runs only; refused in production."""
    TESTING: bool = False

    # What Flask and its extensions read; derived, not settings of ours.
    SQLALCHEMY_DATABASE_URI: str = ""
    MAX_CONTENT_LENGTH: int = 1024 * 1024
    MAX_FORM_MEMORY_SIZE: int = 1024 * 1024
    MAX_FORM_PARTS: int = 1000
    WTF_CSRF_TIME_LIMIT: int | None = None

    def __post_init__(self) -> None:
        self.DATA_DIR = Path(self.DATA_DIR).absolute()
        self.BASE_URL = (self.BASE_URL or f"http://localhost:{self.PORT}").rstrip("/")
        if self.HTTPS:
            self.BASE_URL = re.sub(r"^http://", "https://", self.BASE_URL)
        self.DATABASE_URL = _driver(
            self.DATABASE_URL or f"sqlite:///{self.DATA_DIR / 'directory.sqlite3'}"
        )
        self.MAIL_STORE_URL = _driver(
            self.MAIL_STORE_URL or f"sqlite:///{self.DATA_DIR / 'mail.sqlite3'}"
        )
        self.MAIL_SERVER = self.MAIL_SERVER or self.SMTP_HOST
        self.MAIL_PORT = self.MAIL_PORT or self.SMTP_PORT
        self.SQLALCHEMY_DATABASE_URI = self.DATABASE_URL
        self._check()

    def _check(self) -> None:
        parts = urlsplit(self.BASE_URL)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadSetting(
                "BASE_URL must be an http or https address, such as http://localhost:5000."
            )
        if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
            raise BadSetting("BASE_URL must be a bare address without a path.")
        if self.RATE_LIMITS not in ("default", "off"):
            try:
                if not 0 < float(self.RATE_LIMITS) < 1e6:
                    raise ValueError
            except ValueError:
                raise BadSetting(
                    "RATE_LIMITS must be default, off or a factor such as 2.5."
                ) from None
        ports = [("PORT", self.PORT), ("SMTP_PORT", self.SMTP_PORT)]
        if self.SMTP_TLS_PORT:
            ports.append(("SMTP_TLS_PORT", self.SMTP_TLS_PORT))
        for name, limit in (
            ("MAIL_KEEP", self.MAIL_KEEP),
            ("MAIL_KEEP_MB", self.MAIL_KEEP_MB),
            ("MAIL_KEEP_DAYS", self.MAIL_KEEP_DAYS),
        ):
            if limit < 0:
                raise BadSetting(f"{name} must not be negative.")
        for name, port in ports:
            if not 1 <= port <= 65535:
                raise BadSetting(f"{name} must be a port between 1 and 65535, not {port}.")
        for name, count in (
            ("WEB_WORKERS", self.WEB_WORKERS),
            ("WEB_THREADS", self.WEB_THREADS),
            ("DELIVERY_BATCH", self.DELIVERY_BATCH),
        ):
            if count < 1:
                raise BadSetting(f"{name} must be at least 1, not {count}.")
        if self.LOG_LEVEL.upper() not in _LOG_LEVELS:
            raise BadSetting(f"LOG_LEVEL must be one of {', '.join(_LOG_LEVELS)}.")
        if self.ADDRESS_RULES not in ("reference", "rfc"):
            raise BadSetting("ADDRESS_RULES must be reference or rfc.")
        if self.PASSWORD_HASHING not in ("strong", "weak"):
            raise BadSetting("PASSWORD_HASHING must be strong or weak.")
        for key in self.SECRET_KEYS:
            if len(key) < 32:
                raise BadSetting(
                    "Each of SECRET_KEYS must be random text of at least 32 characters."
                )
        if self.PRODUCTION:
            self._check_production(parts.scheme)

    def _check_production(self, scheme: str) -> None:
        if scheme != "https":
            raise BadSetting("In production BASE_URL must be an https address.")
        if self.HTTPS:
            raise BadSetting(
                "HTTPS=1 is refused in production: its certificate is for this machine alone."
            )
        if self.RATE_LIMITS == "off":
            raise BadSetting("RATE_LIMITS=off is refused in production.")
        if self.PASSWORD_HASHING == "weak":
            raise BadSetting("PASSWORD_HASHING=weak is refused in production.")
        if self.TEST_DOUBLE:
            raise BadSetting("TEST_DOUBLE=1 is refused in production.")
        self.DEMO = False

    @property
    def CA_FILE(self) -> Path | None:
        """What visitors have to trust, where this program speaks https itself."""
        return self.DATA_DIR / "tls" / "ca.pem" if self.HTTPS else None

    @property
    def rate_factor(self) -> float | None:
        """What limits are multiplied by; None when they are off."""
        if self.RATE_LIMITS == "off":
            return None
        return 1.0 if self.RATE_LIMITS == "default" else float(self.RATE_LIMITS)

    @property
    def sink_allowed(self) -> bool:
        """Whether the bundled sink and its inbox may run here."""
        return not self.PRODUCTION or self.SINK_IN_PRODUCTION

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] | None = None, **override: object
    ) -> "Config":
        """Read the settings; *override* wins. Raises BadSetting with one clear sentence."""
        environ = os.environ if environ is None else environ
        values: dict[str, object] = {}
        for name, default in cls.__dataclass_fields__.items():
            if name not in SETTINGS or name not in environ or environ[name] == "":
                continue
            values[name] = _read(name, environ[name], default.type)
        return cls(**{**values, **override})  # type: ignore[arg-type]


SETTINGS = [
    name
    for name in Config.__dataclass_fields__
    if name
    not in (
        "TESTING",
        "SQLALCHEMY_DATABASE_URI",
        "MAX_CONTENT_LENGTH",
        "MAX_FORM_MEMORY_SIZE",
        "MAX_FORM_PARTS",
        "WTF_CSRF_TIME_LIMIT",
    )
]
"""Names that the environment may set."""


def _read(name: str, text: str, kind: object) -> object:
    if kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise BadSetting(f"{name} must be 1 or 0, not {text!r}.")
    if kind in (int, float):
        try:
            return int(text) if kind is int else float(text)
        except ValueError:
            raise BadSetting(f"{name} must be a number, not {text!r}.") from None
    if kind == list[str]:
        return text.split()
    if kind is Path:
        return Path(text)
    return text


def _driver(url: str) -> str:
    """PostgreSQL addresses as everybody writes them, with the driver that we bring."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url
