"""What keeps people, or their programs, from reading a mail: one mail for each finding."""

import re
from email.message import EmailMessage

import pytest

from b2b.sink import accessibility, compatibility, message
from b2b.sink.accessibility import Check, Finding

GOOD = """<!doctype html>
<html lang="en"><head><title>You are invited</title>
<meta name="color-scheme" content="light dark"></head>
<body>
<h1>You are invited</h1>
<table role="presentation"><tr><td style="color:#222222;background:#ffffff;font-size:16px">
<p>John Doe invites you to <a href="https://woodgrove.example/start">Get Started</a>.</p>
<img src="cid:logo" alt="WoodGrove"><img src="cid:line" alt="">
<img src="cid:dot" aria-hidden="true">
</td></tr></table>
<h2>Privacy</h2>
<p><a href="https://woodgrove.example/privacy"><img src="cid:shield" alt="Privacy statement"></a>
<a href="mailto:john@woodgrove.example">Write to John</a></p>
</body></html>"""
TEXT = "Get Started: https://woodgrove.example/start\nPrivacy: https://woodgrove.example/privacy\n"


def mail(html: str, text: str | None = TEXT) -> message.Message:
    made = EmailMessage()
    made["From"] = "John Doe <john@woodgrove.example>"
    made["Subject"] = "You are invited"
    if text is None:
        made.set_content(html, subtype="html")
    else:
        made.set_content(text)
        made.add_alternative(html, subtype="html")
    return message.read(bytes(made))


def bad(html: str, text: str | None = TEXT) -> list[Finding]:
    return [finding for finding in accessibility.report(mail(html, text)) if not finding.is_good]


def test_a_good_mail_passes_every_check() -> None:
    findings = accessibility.report(mail(GOOD))
    assert [finding for finding in findings if not finding.is_good] == []
    assert {finding.check for finding in findings} == set(Check)


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ('lang="en"', "", Finding(Check.LANGUAGE, False)),
        ('lang="en"', 'lang=" "', Finding(Check.LANGUAGE, False)),
        ("<title>You are invited</title>", "", Finding(Check.TITLE, False)),
        ("<title>You are invited</title>", "<title> </title>", Finding(Check.TITLE, False)),
        ('<meta name="color-scheme" content="light dark">', "", Finding(Check.DARK, False)),
        (' alt="WoodGrove"', "", Finding(Check.PICTURES, False, 1, ("cid:logo",))),
        (' aria-hidden="true"', "", Finding(Check.PICTURES, False, 1, ("cid:dot",))),
        (">Get Started</a>", "></a>",
         Finding(Check.LINKS, False, 1, ("https://woodgrove.example/start",))),
        ('alt="Privacy statement"', 'alt=""',
         Finding(Check.LINKS, False, 1, ("https://woodgrove.example/privacy",))),
        ("Get Started</a>", "Click here</a>", Finding(Check.LINK_WORDS, False, 1, ("Click here",))),
        ("Get Started</a>", "<b>여기</b> »</a>", Finding(Check.LINK_WORDS, False, 1, ("여기 »",))),
        (' role="presentation"', "", Finding(Check.TABLES, False, 1, ("<table>",))),
        ("<h2>Privacy</h2>", "<h3>Privacy</h3>", Finding(Check.HEADINGS, False, 1, ("<h3>",))),
        ("<h1>You are invited</h1>", "", Finding(Check.HEADINGS, False, 1, ("<h2>",))),
        ("color:#222222", "color:#999",
         Finding(Check.CONTRAST, False, 1, ("#999 / #ffffff: 2.8",))),
        ("color:#222222;background:#ffffff", "color:white;background-color:rgb(255, 165, 0)",
         Finding(Check.CONTRAST, False, 1, ("white / rgb(255, 165, 0): 2.0",))),
        ("font-size:16px", "font-size:11px", Finding(Check.SMALL_TEXT, False, 1, ("11px",))),
    ],
)  # fmt: skip
def test_one_thing_wrong_is_the_one_finding(old: str, new: str, finding: Finding) -> None:
    assert old in GOOD
    assert bad(GOOD.replace(old, new, 1)) == [finding]


def test_a_mail_without_text_has_no_twin() -> None:
    assert bad(GOOD, None) == [Finding(Check.TEXT_TWIN, False)]


def test_a_link_that_only_the_html_has_is_named() -> None:
    assert bad(GOOD, "Get Started: https://woodgrove.example/start\n") == [
        Finding(Check.SAME_LINKS, False, 1, ("https://woodgrove.example/privacy",))
    ]


def test_examples_are_few_and_the_count_is_whole() -> None:
    pictures = "".join(f'<img src="cid:{number}">' for number in range(9))
    [finding] = bad(GOOD.replace("</body>", f"{pictures}</body>"))
    assert (finding.check, finding.count) == (Check.PICTURES, 9)
    assert finding.examples == ("cid:0", "cid:1", "cid:2", "cid:3", "cid:4")


def test_dark_mode_may_be_declared_in_the_sheet() -> None:
    without = GOOD.replace('<meta name="color-scheme" content="light dark">', "")
    assert (
        bad(without.replace("</head>", "<style>:root{color-scheme:light dark}</style></head>"))
        == []
    )


def test_text_alone_has_nothing_to_check() -> None:
    plain = message.read(b"Subject: Hello\r\n\r\nGood morning.\r\n")
    assert accessibility.report(plain) == ()


@pytest.mark.parametrize(
    ("ink", "ground", "ratio"),
    [
        # By the formula of WCAG 2.2, worked out apart.
        ("#000", "#fff", 21.0),
        ("#777777", "white", 4.48),
        ("#767676", "white", 4.54),
        ("rgb(0 0 255)", "#ffffff", 8.59),
        ("navy", "navy", 1.0),
    ],
)
def test_contrast_is_that_of_the_guidelines(ink: str, ground: str, ratio: float) -> None:
    found = accessibility.contrast(ink, ground)
    assert found is not None
    assert round(found, 2) == ratio


def test_colours_that_cannot_be_read_are_not_judged() -> None:
    assert accessibility.contrast("var(--ink)", "#fff") is None
    assert bad(GOOD.replace("color:#222222", "color:var(--ink)")) == []


# Mail programs ------------------------------------------------------------------------------------


def used(html: str) -> list[str]:
    return sorted(use.feature.title for use in compatibility.report(html).uses)


USES = {
    # what a report names: a mail that uses it
    "display: flex": '<p style="display:flex">',
    "display: grid": '<p style="display: inline-grid">',
    "position": '<p style="position:absolute">',
    "float": '<p style="float:left">',
    "border-radius": '<p style="border-top-left-radius:4px">',
    "box-shadow": '<p style="box-shadow:0 0 4px #000">',
    "text-shadow": '<p style="text-shadow:0 0 4px #000">',
    "background-image": "<p style=\"background:url('cid:back')\">",
    "background-size": '<p style="background-size:cover">',
    "max-width": '<p style="max-width:600px">',
    "min-width": '<p style="min-width:60px">',
    "min-height": '<p style="min-height:60px">',
    "opacity": '<p style="opacity:.5">',
    "transform": '<p style="transform:none">',
    "transition": '<p style="transition-property:color">',
    "animation": '<p style="animation-name:x">',
    "filter": '<p style="filter:none">',
    "clip-path": '<p style="clip-path:none">',
    "object-fit": '<p style="object-fit:cover">',
    "gap": '<p style="gap:4px">',
    "aspect-ratio": '<p style="aspect-ratio:1">',
    "inset": '<p style="inset-inline-start:0">',
    "visibility": '<p style="visibility:hidden">',
    "outline": '<p style="outline-color:red">',
    "list-style-image": '<p style="list-style-image:none">',
    "writing-mode": '<p style="writing-mode:vertical-rl">',
    "caption-side": '<p style="caption-side:bottom">',
    "margin-inline": '<p style="margin-inline-start:4px">',
    "padding-inline": '<p style="padding-inline:4px">',
    "var()": '<p style="color:var(--ink)">',
    "calc()": '<p style="width:calc(100% - 4px)">',
    "min(), max(), clamp()": '<p style="width:min(100%, 4px)">',
    "rgba()": '<p style="color:rgba(0,0,0,.5)">',
    "hsl()": '<p style="color:hsl(0 0% 0%)">',
    "light-dark()": '<p style="color:light-dark(black,white)">',
    "gradients": '<p style="background-color:linear-gradient(red,blue)">',
    "units vw and vh": '<p style="width:50vw">',
    "unit rem": '<p style="width:2rem">',
    "!important": '<p style="width:2px !important">',
    "@font-face": "<style>@font-face{font-family:x}</style>",
    "@import": "<style>@import 'x.css';</style>",
    "@supports": "<style>@supports (color:red){}</style>",
    "@keyframes": "<style>@keyframes x{}</style>",
    ":hover": "<style>a:hover{color:red}</style>",
    ":root": "<style>:root{color:red}</style>",
    "::before and ::after": "<style>p::before{color:red}</style>",
    ":has(), :is(), :where()": "<style>p:is(b){color:red}</style>",
    ":nth-child() and the like": "<style>p:nth-child(2){color:red}</style>",
    "attribute selectors": "<style>a[href^=x]{color:red}</style>",
    "@media": "<style>@media (max-width:500px){}</style>",
    "<link>": '<link rel="stylesheet" href="x.css">',
    "<script>": "<script>1</script>",
    "<iframe>": "<iframe></iframe>",
    "<object>": "<object></object>",
    "<embed>": "<embed>",
    "<form>": "<form></form>",
    "<input>": "<input>",
    "<button>": "<button>Go</button>",
    "<video>": "<video></video>",
    "<audio>": "<audio></audio>",
    "<svg>": "<svg></svg>",
    "<math>": "<math></math>",
    "<canvas>": "<canvas></canvas>",
    "<picture>": "<picture></picture>",
    "<details>": "<details></details>",
    "<dialog>": "<dialog></dialog>",
    "<meter>": "<meter></meter>",
    "<progress>": "<progress></progress>",
    "<base>": '<base href="https://x.example">',
    "pictures as data: addresses": '<img src="data:image/png;base64,AA">',
    "SVG pictures": '<img src="https://x.example/a.SVG?v=1">',
    "WebP pictures": '<img src="a.webp">',
    "AVIF pictures": '<img src="a.avif#x">',
    "srcset": '<img srcset="a.png 2x">',
}
TWO = {
    # these come with another, which is named as well
    "<style>": ("<style>p{color:red}</style>", ["<style>"]),
    "prefers-color-scheme": (
        "<style>@media (prefers-color-scheme:dark){}</style>",
        ["<style>", "@media", "prefers-color-scheme"],
    ),
}


def test_every_feature_that_is_looked_for_has_a_mail_here() -> None:
    assert {*USES, *TWO} == {feature.title for feature in compatibility.FEATURES}


@pytest.mark.parametrize("title", USES)
def test_a_mail_that_uses_one_thing_is_told_of_that(title: str) -> None:
    besides = ["<style>"] if USES[title].startswith("<style>") else []
    assert used(USES[title]) == sorted([title, *besides])


def test_what_comes_together_is_told_together() -> None:
    for html, titles in TWO.values():
        assert used(html) == titles


def test_a_mail_of_tables_works_everywhere() -> None:
    report = compatibility.report(GOOD.replace(";font-size:16px", ""))
    assert report.uses == ()
    assert report.shares == (100.0, 0.0, 0.0)


def test_words_in_a_text_or_a_comment_use_nothing() -> None:
    html = (
        "<p>display:flex and &lt;video&gt;</p><style>/* @import x; p:hover */ p{color:red}</style>"
    )
    assert used(html) == ["<style>"]


def test_programs_and_counts_are_told_worst_first() -> None:
    html = '<p style="display:flex"></p><p style="DISPLAY: FLEX"></p><canvas></canvas>'
    worst, other = compatibility.report(html).uses
    assert (worst.feature.title, worst.found, len(worst.lacking)) == ("<canvas>", 1, 7)
    assert (other.feature.title, other.found) == ("display: flex", 2)
    assert other.lacking == ("Outlook (Windows, classic)",)
    assert re.fullmatch("[ypn]{7}", other.feature.support)


def test_shares_are_of_all_tests_and_programs() -> None:
    cells = len(compatibility.FEATURES) * 7
    # display: flex lacks in one program and is half there in another.
    good, partly, none = compatibility.report('<p style="display:flex">').shares
    assert round(none * cells / 100) == 1
    assert round(partly * cells / 100) == 1
    assert round(good + partly + none, 6) == 100
