"""E-mail addresses: what is taken, what is refused and in which words."""

import pytest

from b2b.errors import Invalid
from b2b.services import addresses

ONE = "Enter one e-mail address, such as name@example.com."


@pytest.mark.parametrize(
    ("typed", "wire", "text"),
    [
        ("sam@gmail.com", "sam@gmail.com", "sam@gmail.com"),
        ("  sam@gmail.com\r\n", "sam@gmail.com", "sam@gmail.com"),
        ("Sam.Oogle@GMAIL.com", "Sam.Oogle@gmail.com", "Sam.Oogle@gmail.com"),
        ("_sam_@gmail.com", "_sam_@gmail.com", "_sam_@gmail.com"),
        ("a@b.example", "a@b.example", "a@b.example"),
        ("sam-o.o@sub.gmail.com", "sam-o.o@sub.gmail.com", "sam-o.o@sub.gmail.com"),
        ("sam@bücher.example", "sam@xn--bcher-kva.example", "sam@bücher.example"),
        ("sam@BÜCHER.example", "sam@xn--bcher-kva.example", "sam@bücher.example"),
        ("sam@xn--bcher-kva.example", "sam@xn--bcher-kva.example", "sam@bücher.example"),
        ("sam@XN--BCHER-KVA.example", "sam@xn--bcher-kva.example", "sam@bücher.example"),
        ("minjun@한국.example", "minjun@xn--3e0b707e.example", "minjun@한국.example"),
        ("1@1.example", "1@1.example", "1@1.example"),
    ],
)
def test_an_address_is_read_with_its_domain_in_ascii(typed: str, wire: str, text: str) -> None:
    read = addresses.parse(typed)
    assert (read.wire, read.text) == (wire, text)


@pytest.mark.parametrize(
    "typed",
    [
        "", "   ", "sam", "sam@", "@gmail.com", "sam@gmail", "sam@.com", "sam@gmail.",
        "sam@gmail..com", "sam@-gmail.com", "sam@gmail-.com", "sam..o@gmail.com",
        "sam @gmail.com", "sam@gmail .com", "sam@gmail.com, eve@evil.example",
        "sam@gmail.com eve@evil.example", "sam@[192.0.2.1]", "sam@192.0.2.1",
        "sam@gm_ail.com", "sam@gmail.com.", "sam@gmail.com/x",
        "s" * 65 + "@gmail.com", "sam@" + "a" * 64 + ".example",
        "sam@" + "a.example" * 40, "s" * 400,
        # INV-1: controls, line separators and invisible characters, anywhere
        "sam\n@gmail.com", "sam@gmail.com\nBcc: eve@evil.example", "sam@gmail.com\r\n.evil",
        "sam\x00@gmail.com", "sam@gm\x00ail.com", "sam\x85@gmail.com", "sam@gmail\u2028.com",
        "sam\u2029@gmail.com", "sam\u200b@gmail.com", "sam\u202e@gmail.com", "\ufeffsam@gmail.com",
        "sam\xa0@gmail.com", "sam\x1b[31m@gmail.com", "sam\x7f@gmail.com", "sam\t@gmail.com",
    ],
)  # fmt: skip
def test_what_is_not_exactly_one_address_is_refused(typed: str) -> None:
    """INV-1"""
    with pytest.raises(Invalid) as refused:
        addresses.parse(typed, field="addresses")
    assert refused.value.field == "addresses"
    assert str(refused.value) == ONE


@pytest.mark.parametrize("character", "~!#$%^&*()+=[]{}\\/|;:'\"<>?,`")
def test_a_character_that_the_real_service_refuses_is_named(character: str) -> None:
    """invitations.md, 3"""
    with pytest.raises(Invalid, match="is not allowed before the @") as refused:
        addresses.parse(f"sam{character}o@gmail.com")
    assert f"“{character}”" in str(refused.value)


@pytest.mark.parametrize("local", [".sam", "sam.", "-sam", "sam-"])
def test_a_dot_or_hyphen_may_not_stand_at_an_end(local: str) -> None:
    """invitations.md, 3"""
    with pytest.raises(Invalid, match="may not begin or end with"):
        addresses.parse(f"{local}@gmail.com")


@pytest.mark.parametrize("local", ["säm", "김민준", "sаm"])
def test_the_part_before_the_at_sign_is_latin(local: str) -> None:
    """decisions.md, address rules; the last one holds a Cyrillic а"""
    with pytest.raises(Invalid, match="may hold only Latin letters"):
        addresses.parse(f"{local}@gmail.com")


def test_the_rfc_rules_take_plus_tags_and_quotes_that_the_reference_refuses() -> None:
    """decisions.md, address rules; INV-5: a tag is never stripped"""
    tagged = addresses.parse("sam+tag@gmail.com", rules="rfc")
    assert tagged.wire == "sam+tag@gmail.com"
    assert tagged.key == "sam+tag@gmail.com"
    assert addresses.parse("o'brien@gmail.com", rules="rfc").wire == "o'brien@gmail.com"
    assert addresses.parse('"sam,o"@gmail.com', rules="rfc").wire == '"sam,o"@gmail.com'
    for typed in ("sam@gmail.com\nX: y", "säm@gmail.com", "a@b.example,c@d.example", "sam@gmail"):
        with pytest.raises(Invalid):
            addresses.parse(typed, rules="rfc")


def test_the_key_folds_case_and_nothing_else() -> None:
    assert addresses.parse("SAM.Oogle@Gmail.COM").key == "sam.oogle@gmail.com"
    assert addresses.parse("sam.oogle@gmail.com").key != addresses.parse("samoogle@gmail.com").key


@pytest.mark.parametrize(
    ("typed", "masked"),
    [
        ("gsamoogle@gmail.com", "g•••e@g•••.com"),
        ("ab@gmail.com", "a•••@g•••.com"),
        ("a@b.example", "a•••@b•••.example"),
        ("sam@mail.co.example", "s•••m@m•••.example"),
        ("sam@bücher.example", "s•••m@b•••.example"),
    ],
)
def test_before_sign_in_an_address_shows_its_ends_only(typed: str, masked: str) -> None:
    """RED-1"""
    assert addresses.parse(typed).masked == masked


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        (" bücher.example ", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
    ],
)
def test_a_domain_is_read_in_ascii_lower_case_without_a_trailing_dot(typed: str, name: str) -> None:
    """INV-5"""
    assert addresses.parse_domain(typed) == name


@pytest.mark.parametrize("typed", ["", "com", "a..b", "-a.example", "a b.example", "a.example/x"])
def test_what_is_not_a_domain_is_refused(typed: str) -> None:
    with pytest.raises(Invalid, match="Enter a domain name"):
        addresses.parse_domain(typed)


def test_pasted_lists_are_split_at_commas_semicolons_spaces_and_lines() -> None:
    text = " a@b.example,c@d.example;\n e@f.example\r\ng@h.example \t, ;"
    assert addresses.split_many(text) == [
        "a@b.example", "c@d.example", "e@f.example", "g@h.example",
    ]  # fmt: skip


def test_a_guests_user_principal_name_has_the_published_form() -> None:
    """users.md, 2"""
    read = addresses.parse("user@contoso.com")
    assert (
        addresses.user_principal_name(read, "fabrikam.onmicrosoft.com")
        == "user_contoso.com#EXT#@fabrikam.onmicrosoft.com"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Sam Oogle <sam@x.example>", [("sam@x.example", "Sam Oogle")]),
        ('"Oogle, Sam" <sam@x.example>', [("sam@x.example", "Oogle, Sam")]),
        ('"Oogle; Sam"<sam@x.example>', [("sam@x.example", "Oogle; Sam")]),
        ("<sam@x.example>", [("sam@x.example", None)]),
        ('"" <sam@x.example>', [("sam@x.example", None)]),
        ("김민준 <minjun@x.example>", [("minjun@x.example", "김민준")]),
        (
            "a@b.example, Sam <sam@x.example>; Ana Lee <ana@x.example>\nc@d.example e@f.example",
            [
                ("a@b.example", None), ("sam@x.example", "Sam"), ("ana@x.example", "Ana Lee"),
                ("c@d.example", None), ("e@f.example", None),
            ],
        ),
        (
            "a@b.example Sam Oogle <sam@x.example>",
            [("a@b.example", None), ("sam@x.example", "Sam Oogle")],
        ),
        # Some programs repeat the address as the name.
        ("'sam@x.example' <sam@x.example>", [("sam@x.example", None)]),
        ("SAM@x.example <sam@x.example>", [("sam@x.example", None)]),
        ('"sam@x.example" <sam@x.example>', [("sam@x.example", None)]),
        # A quotation mark that is never closed swallows nothing.
        (
            '"Sam, sam@x.example\nb@x.example',
            [('"Sam', None), ("sam@x.example", None), ("b@x.example", None)],
        ),
        ("Sam\u001b <sam@x.example>", [("Sam\u001b <sam@x.example>", None)]),
        ("n" * 257 + " <sam@x.example>", [("n" * 257 + " <sam@x.example>", None)]),
        ("<>", [("<>", None)]),
        ("Sam <", [("Sam", None), ("<", None)]),
        ("", []),
        (" ,;\n", []),
    ],
)  # fmt: skip
def test_names_that_mail_programs_put_before_addresses_are_read(
    text: str, found: list[tuple[str, str | None]]
) -> None:
    """INV-1: what is no plain name makes the whole an address, which is refused"""
    assert [(one.address, one.name) for one in addresses.mentions(text)] == found
    assert addresses.split_many(text) == [address for address, _ in found]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("unit", "found"),
    [
        ('"', 1), ('"",', 133_333), ("<", 1), ("a <", 133_334), ("<a>", 133_333),
        ('"a" <b@c.example>,', 22_222), ("a@b ", 100_000),
    ],
)  # fmt: skip
def test_reading_addresses_takes_time_in_proportion(unit: str, found: int) -> None:
    """A form takes half a megabyte; nothing in it makes reading quadratic."""
    assert len(addresses.mentions(unit * (400_000 // len(unit)))) == found
