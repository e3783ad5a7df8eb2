"""Secret keys outside the database, and what is derived from them."""

import json
import stat
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from b2b import keys
from b2b.errors import StartRefused
from b2b.keys import Keyring

INVITATION = UUID("66666666-7777-4888-9999-aaaaaaaaaaaa")
OLD, NEW = "an old root key of forty characters here", "a new root key of forty characters there"


def test_ten_thousand_tickets_are_unique_and_share_no_pattern() -> None:
    """RED-1"""
    ring = Keyring.from_secrets([OLD])
    made = [ring.ticket(ring.current_id, uuid4(), 1) for _ in range(10_000)]
    assert len(set(made)) == 10_000
    assert {len(ticket) for ticket in made} == {43}
    for place in range(42):  # the last character carries four bits only
        assert len({ticket[place] for ticket in made}) == 64, place
    assert len({ticket[:8] for ticket in made}) == 10_000


def test_a_ticket_follows_from_key_invitation_and_version() -> None:
    """decisions.md, link secret: the mail, the answer and a copy are the same link."""
    ring = Keyring.from_secrets([OLD])
    ticket = ring.ticket(ring.current_id, INVITATION, 1)
    assert ticket == ring.ticket(ring.current_id, INVITATION, 1)
    assert ticket != ring.ticket(ring.current_id, INVITATION, 2)
    assert ticket != ring.ticket(ring.current_id, uuid4(), 1)
    other = Keyring.from_secrets([NEW])
    assert ticket != other.ticket(other.current_id, INVITATION, 1)


def test_a_new_key_in_front_leaves_old_links_working_until_the_old_one_goes() -> None:
    """REL-9"""
    before = Keyring.from_secrets([OLD])
    ticket = before.ticket(before.current_id, INVITATION, 1)
    rotated = Keyring.from_secrets([NEW, OLD])
    assert rotated.current_id != before.current_id
    assert rotated.ticket(before.current_id, INVITATION, 1) == ticket
    with pytest.raises(KeyError):
        Keyring.from_secrets([NEW]).ticket(before.current_id, INVITATION, 1)


def test_cookies_are_signed_with_every_key_the_newest_first() -> None:
    """REL-9"""
    before = Keyring.from_secrets([OLD]).purpose_keys("browser cookie")
    after = Keyring.from_secrets([NEW, OLD]).purpose_keys("browser cookie")
    assert len(after) == 2
    assert after[1] == before[0]
    assert OLD not in "".join(after)
    assert Keyring.from_secrets([OLD]).purpose_keys("another purpose") != before


def test_a_passcode_has_eight_digits_and_is_bound_to_all_it_was_made_for() -> None:
    """SIGN-3"""
    ring = Keyring.from_secrets([OLD])
    place = (ring.current_id, b"n" * 16, "sam@gmail.com", "sign_in")
    code = ring.passcode(*place)
    assert len(code) == 8
    assert code.isdigit()
    assert code == ring.passcode(*place)
    others = {
        ring.passcode(ring.current_id, b"m" * 16, "sam@gmail.com", "sign_in"),
        ring.passcode(ring.current_id, b"n" * 16, "eve@gmail.com", "sign_in"),
        ring.passcode(ring.current_id, b"n" * 16, "sam@gmail.com", f"redeem:{INVITATION}"),
    }
    assert len(others | {code}) == 4


def test_passcodes_use_the_whole_range() -> None:
    ring = Keyring.from_secrets([OLD])
    codes = [
        ring.passcode(ring.current_id, n.to_bytes(16), "sam@gmail.com", "sign_in")
        for n in range(2_000)
    ]
    assert {code[0] for code in codes} == set("0123456789")
    assert len(set(codes)) > 1_990


def test_the_first_start_makes_a_key_for_its_owner_alone(tmp_path: Path) -> None:
    """BOOT-1"""
    ring = Keyring.from_file(tmp_path)
    path = tmp_path / "keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    [secret] = json.loads(path.read_text())["keys"]
    assert len(secret) == 43
    assert list(tmp_path.iterdir()) == [path], "nothing half-written is left behind"
    content = path.read_bytes()
    assert Keyring.from_file(tmp_path).current_id == ring.current_id
    assert path.read_bytes() == content, "never overwritten"
    assert secret not in ring.current_id


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    """BOOT-1"""
    program = (
        "import sys, pathlib; from b2b.keys import Keyring;"
        "sys.stdin.readline(); print(Keyring.from_file(pathlib.Path(sys.argv[1])).current_id)"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(6)
    ]  # fmt: skip
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = {process.communicate(timeout=30)[0].strip() for process in started}
    assert len(told) == 1
    assert len(told.pop()) == 12


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"keys": []}', '{"keys": ["short"]}', '{"keys": [1]}', "\x00\xff"]
)
def test_a_broken_key_file_stops_the_start_in_one_sentence(tmp_path: Path, content: str) -> None:
    """BOOT-1: new keys would make every link and session useless without a word."""
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(StartRefused, match=r"The key file .*keys\.json cannot be read as keys\."):
        Keyring.from_file(tmp_path)
    assert (tmp_path / "keys.json").read_text() == content


def test_the_database_holds_a_digest_from_which_no_secret_follows() -> None:
    secret = keys.new_secret()
    assert len(secret) == 43
    assert len(keys.digest(secret)) == 32
    assert keys.digest(secret) == keys.digest(secret)
    assert keys.new_secret() != secret
