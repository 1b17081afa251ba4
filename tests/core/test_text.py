"""Text from runs is bounded and made harmless."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.text import clean, fenced, one_line, percent, without_passwords


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("10%\r20%\r30%", "10%\n20%\n30%"),
        ("a\x0bb\x0cc\x85d\u2028e\u2029f", "a\nb\nc\nd\ne\nf"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "]0;titlex"),
        ("\x00\x07\x08\x7f\x9bx", "x"),
        ("a\u202eb\u2066c\u200bd\ufeffe\u061cf\xadg", "abcdefg"),
        ("a\U000e0041\U000e0042b", "ab"),
        ("a\ud800b\udfffc", "abc"),
        ("a\ufe0f\U000e0100\u3164\u034fb", "ab"),
        ("a" + "\u0301" * 50 + "b\u0308", "a" + "\u0301" * 3 + "b\u0308"),
        ("größe – 数 🙂", "größe – 数 🙂"),
    ],
)
def test_clean_strips_what_cant_be_seen(text: str, plain: str) -> None:
    """Control, direction, zero-width and half characters go; line ends become newlines."""
    assert clean(text) == plain


@settings(deadline=None)
@given(st.text(max_size=400), st.integers(60, 300))
def test_clean_is_bounded_and_harmless(text: str, limit: int) -> None:
    """The result is never longer than the limit, is valid UTF-8, and cleaning it changes nothing."""
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert clean(cleaned.encode().decode(), limit) == cleaned


def test_clean_keeps_both_ends() -> None:
    """Of a long text the beginning and the (longer) end are kept, and the gap is named."""
    cleaned = clean(f"start{'x' * 5000}end", 200)
    assert cleaned.startswith("start")
    assert cleaned.endswith("end")
    assert "\n[… 4856 characters left out …]\n" in cleaned


@settings(deadline=None)
@given(st.text(max_size=400), st.integers(1, 50))
def test_one_line_is_one_line(text: str, limit: int) -> None:
    """Whatever comes in, one bounded line without odd blanks comes out."""
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert line == " ".join(line.split())


def test_text_that_just_fits_is_whole() -> None:
    """Text of exactly the limit is not cut, one character more is."""
    assert (clean("x" * 60, 60), one_line("x" * 60, 60)) == ("x" * 60, "x" * 60)
    assert "left out" in clean("x" * 61, 60)
    assert one_line("x" * 61, 60) == "x" * 59 + "…"


def test_plain_text_gets_a_plain_fence() -> None:
    """Three backticks suffice where the text has no more than two in a row."""
    assert fenced("a``b", "py") == "```py\na``b\n```"
    assert fenced("```\n") == "````\n```\n````"


def test_one_line_separates_lines() -> None:
    """Line breaks of every kind become blanks, so that words do not run together."""
    assert one_line(" a\nb\r\nc\rd\u2028e\x0cf ") == "a b c d e f"


@settings(deadline=None)
@given(st.lists(st.sampled_from(["`", "```", "~~~~", "\n", "x", " ", "````\n"])).map("".join))
def test_text_cant_close_its_fence(text: str) -> None:
    """No line of the text is a fence as long as the one around it, and the text is whole."""
    first, *inside, last = fenced(text, "python").split("\n")
    fence = first.removesuffix("python")
    assert last == fence
    assert set(fence) == {"`"}
    assert not any(fence in line for line in inside)
    assert "\n".join(inside).rstrip("\n") == text.rstrip("\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://user:pa:ss@host:1/v1?x=1 now", "at http://…@host:1/v1?x=1 now"),
        ("https://token@host/", "https://…@host/"),
        ("http://u:p@ss@host/", "http://…@host/"),
        (
            "http://h/v1?api-key=abc&b=1&access_token=x#f",
            "http://h/v1?api-key=…&b=1&access_token=…#f",
        ),
        ("mail me@host.example", "mail me@host.example"),
        ("http://host/@user", "http://host/@user"),
    ],
)
def test_addresses_show_no_password(text: str, shown: str) -> None:
    """Neither who nor what stands before the host, nor a key in the query."""
    assert without_passwords(text) == shown


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(0.0, "under 1%"), (0.0099, "under 1%"), (0.01, "1%"), (0.5, "50%"), (0.99, "99%"),
     (0.991, "over 99%"), (1.0, "over 99%")],
)  # fmt: skip
def test_an_estimated_probability_is_never_told_as_certain(probability: float, shown: str) -> None:
    """Rounding would say 100 % of what was only estimated."""
    assert percent(probability) == shown
