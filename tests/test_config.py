"""Settings: read once from the environment, and refused in one sentence where they cannot work."""

from pathlib import Path
from typing import Any

import pytest

from config import SETTINGS, BadSetting, Config


def test_without_any_setting_everything_has_a_sensible_value(tmp_path: Path) -> None:
    config = Config.from_environment({"DATA_DIR": str(tmp_path / "data")})
    assert (config.HOST, config.PORT) == ("127.0.0.1", 5000)
    assert config.BASE_URL == "http://localhost:5000"
    assert config.DATABASE_URL.endswith(f"{tmp_path}/data/directory.sqlite3")
    assert config.MAIL_STORE_URL.endswith(f"{tmp_path}/data/mail.sqlite3")
    assert (config.MAIL_SERVER, config.MAIL_PORT) == ("127.0.0.1", 1025)
    assert config.rate_factor == 1.0
    assert config.sink_allowed


@pytest.mark.parametrize(
    ("environment", "name", "value"),
    [
        ({"PORT": "8080"}, "BASE_URL", "http://localhost:8080"),
        ({"BASE_URL": "https://b2b.example/"}, "BASE_URL", "https://b2b.example"),
        ({"PRODUCTION": "", "DEMO": "0"}, "DEMO", False),
        ({"DEMO": "off"}, "DEMO", False),
        ({"MAIL_USE_TLS": "yes"}, "MAIL_USE_TLS", True),
        ({"SMTP_PORT": "2525"}, "MAIL_PORT", 2525),
        ({"MAIL_SERVER": "mx.example"}, "MAIL_SERVER", "mx.example"),
        ({"BUSY_TIMEOUT": "0.5"}, "BUSY_TIMEOUT", 0.5),
        (
            {"CONSUMER_DOMAINS": "a.example b.example"},
            "CONSUMER_DOMAINS",
            ["a.example", "b.example"],
        ),
        ({"RATE_LIMITS": "off"}, "rate_factor", None),
        ({"RATE_LIMITS": "2.5"}, "rate_factor", 2.5),
        ({"DATABASE_URL": "postgres://u@h/d"}, "DATABASE_URL", "postgresql+psycopg://u@h/d"),
        ({"DATABASE_URL": "postgresql://u@h/d"}, "DATABASE_URL", "postgresql+psycopg://u@h/d"),
        ({"PORT": ""}, "PORT", 5000),
    ],
)
def test_a_setting_is_read(environment: dict[str, str], name: str, value: Any) -> None:
    assert getattr(Config.from_environment(environment), name) == value


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PORT": "http"}, "PORT must be a number, not 'http'."),
        ({"BUSY_TIMEOUT": "long"}, "BUSY_TIMEOUT must be a number, not 'long'."),
        ({"DEMO": "maybe"}, "DEMO must be 1 or 0, not 'maybe'."),
        ({"BASE_URL": "ftp://b2b.example"}, "BASE_URL must be an http or https address"),
        ({"BASE_URL": "b2b.example"}, "BASE_URL must be an http or https address"),
        ({"BASE_URL": "https://b2b.example/app"}, "BASE_URL must be a bare address"),
        ({"BASE_URL": "https://me@b2b.example"}, "BASE_URL must be a bare address"),
        ({"BASE_URL": "https://b2b.example?x=1"}, "BASE_URL must be a bare address"),
        ({"RATE_LIMITS": "fast"}, "RATE_LIMITS must be default, off or a factor such as 2.5."),
        ({"RATE_LIMITS": "-1"}, "RATE_LIMITS must be default, off or a factor such as 2.5."),
        ({"RATE_LIMITS": "nan"}, "RATE_LIMITS must be default, off or a factor such as 2.5."),
        ({"ADDRESS_RULES": "loose"}, "ADDRESS_RULES must be reference or rfc."),
        ({"PASSWORD_HASHING": "none"}, "PASSWORD_HASHING must be strong or weak."),
        ({"SECRET_KEYS": "dev"}, "Each of SECRET_KEYS must be random text of at least 32"),
        ({"SECRET_KEYS": "a" * 40 + " dev"}, "Each of SECRET_KEYS must be random text"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL must be"),
        ({"PORT": "0"}, "PORT must be"),
        ({"PORT": "70000"}, "PORT must be"),
        ({"WEB_WORKERS": "0"}, "WEB_WORKERS must be"),
    ],
)
def test_a_setting_that_cannot_work_is_named_with_what_would(
    environment: dict[str, str], sentence: str
) -> None:
    with pytest.raises(BadSetting) as refused:
        Config.from_environment(environment)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"BASE_URL": "http://b2b.example"}, "In production BASE_URL must be an https address."),
        ({}, "In production BASE_URL must be an https address."),
        ({"RATE_LIMITS": "off"}, "RATE_LIMITS=off is refused in production."),
        ({"PASSWORD_HASHING": "weak"}, "PASSWORD_HASHING=weak is refused in production."),
        ({"SECRET_KEYS": "dev"}, "Each of SECRET_KEYS must be random text"),
    ],
)
def test_production_refuses_what_only_suits_a_laptop(
    environment: dict[str, str], sentence: str
) -> None:
    """BOOT-1, HTTP-3"""
    base = {} if not environment or "BASE_URL" in environment else {"BASE_URL": "https://b.example"}
    with pytest.raises(BadSetting) as refused:
        Config.from_environment({"PRODUCTION": "1", **base, **environment})
    assert str(refused.value).startswith(sentence)


def test_production_has_no_demo_and_no_sink() -> None:
    """BOOT-1, BOX-5"""
    settings = {"PRODUCTION": "1", "BASE_URL": "https://b2b.example", "DEMO": "1"}
    config = Config.from_environment(settings)
    assert config.DEMO is False
    assert config.sink_allowed is False
    assert Config.from_environment(settings | {"SINK_IN_PRODUCTION": "1"}).sink_allowed is True


def test_what_is_derived_cannot_be_set_from_outside() -> None:
    """HTTP-3: no debugger, no other upload limit by accident"""
    forbidden = {"TESTING": "1", "MAX_CONTENT_LENGTH": "9999999999", "SECRET_KEY": "dev",
                 "DEBUG": "1", "FLASK_DEBUG": "1"}  # fmt: skip
    assert not set(forbidden) & set(SETTINGS)
    config = Config.from_environment(forbidden)
    assert config.TESTING is False
    assert config.MAX_CONTENT_LENGTH == 1024 * 1024


def test_every_setting_says_what_it_is_for() -> None:
    source = (Path(__file__).parent.parent / "config.py").read_text()
    for name in SETTINGS:
        after = source.partition(f"\n    {name}:")[2].split("\n")
        assert after[1].strip().startswith('"""'), name


def test_https_is_one_setting(tmp_path: Path) -> None:
    """decisions.md, own address: HTTPS=1 replaces http on the same port"""
    data = {"DATA_DIR": str(tmp_path)}
    own = Config.from_environment({"HTTPS": "1", "PORT": "5443", **data})
    assert own.BASE_URL == "https://localhost:5443"
    assert tmp_path / "tls" / "ca.pem" == own.CA_FILE
    named = Config.from_environment({"HTTPS": "1", "BASE_URL": "http://b2b.example", **data})
    assert named.BASE_URL == "https://b2b.example"
    assert Config.from_environment(data).CA_FILE is None
    with pytest.raises(BadSetting, match="HTTPS=1 is refused in production"):
        Config.from_environment(
            {"HTTPS": "1", "PRODUCTION": "1", "BASE_URL": "https://b2b.example", **data}
        )
