"""Settings: defaults, reading the environment, and what is refused with one clear sentence."""

from pathlib import Path
from typing import Any

import pytest

from config import SETTINGS, BadSetting, Config

ROOT = Path(__file__).parent.parent


def read(**environ: str) -> Config:
    return Config.from_environment(environ)


def test_defaults_suit_a_laptop() -> None:
    config = read()
    assert (config.HOST, config.PORT) == ("127.0.0.1", 5000)
    assert config.BASE_URL == "http://localhost:5000"
    assert (config.SMTP_HOST, config.SMTP_PORT) == ("127.0.0.1", 1025)
    assert (config.MAIL_SERVER, config.MAIL_PORT) == ("127.0.0.1", 1025)
    assert config.DATABASE_URL.startswith("sqlite:///")
    assert config.DATABASE_URL != config.MAIL_STORE_URL
    assert config.DEMO


def test_the_base_url_follows_the_port() -> None:
    assert read(PORT="8080").BASE_URL == "http://localhost:8080"


@pytest.mark.parametrize(
    "url", ["postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"]
)
def test_postgresql_is_named_as_everybody_names_it(url: str) -> None:
    assert read(DATABASE_URL=url).DATABASE_URL == "postgresql+psycopg://u:p@h/d"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PORT": "five"}, "PORT must be a number"),
        ({"DEMO": "maybe"}, "DEMO must be 1 or 0"),
        ({"BASE_URL": "localhost:5000"}, "BASE_URL"),
        ({"BASE_URL": "https://example.com/path"}, "without a path"),
        ({"BASE_URL": "https://user@example.com"}, "without a path"),
        ({"RATE_LIMITS": "some"}, "RATE_LIMITS"),
        ({"RATE_LIMITS": "0"}, "RATE_LIMITS"),
        ({"ADDRESS_RULES": "any"}, "ADDRESS_RULES"),
        ({"SECRET_KEYS": "dev"}, "32 characters"),
        ({"PASSWORD_HASHING": "none"}, "PASSWORD_HASHING"),
    ],
)
def test_a_bad_setting_is_named(environ: dict[str, str], words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        read(**environ)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "https"),
        ({"BASE_URL": "http://b2b.example"}, "https"),
        ({"BASE_URL": "https://b2b.example", "RATE_LIMITS": "off"}, "RATE_LIMITS=off"),
        ({"BASE_URL": "https://b2b.example", "PASSWORD_HASHING": "weak"}, "PASSWORD_HASHING"),
        ({"BASE_URL": "https://b2b.example", "SECRET_KEYS": "dev"}, "32 characters"),
    ],
)
def test_production_refuses_what_suits_a_laptop(environ: dict[str, str], words: str) -> None:
    """BOOT-1, decisions.md (cookies, rate limits)."""
    with pytest.raises(BadSetting, match=words):
        read(PRODUCTION="1", **environ)


def test_production_makes_no_demo_and_runs_no_sink() -> None:
    """BOOT-1, SMTP-4, BOX-5."""
    config = read(PRODUCTION="1", BASE_URL="https://b2b.example", DEMO="1")
    assert not config.DEMO
    assert not config.sink_allowed
    asked = read(PRODUCTION="1", BASE_URL="https://b2b.example", SINK_IN_PRODUCTION="1")
    assert asked.sink_allowed


@pytest.mark.parametrize(("text", "factor"), [("default", 1.0), ("off", None), ("2.5", 2.5)])
def test_rate_limits_scale_by_one_setting(text: str, factor: Any) -> None:
    assert read(RATE_LIMITS=text).rate_factor == factor


def test_every_setting_stands_in_the_readme() -> None:
    table = (ROOT / "README.md").read_text()
    assert [name for name in SETTINGS if f"`{name}`" not in table] == []
