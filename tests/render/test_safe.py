"""Text made harmless, and laid out by columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsipcheck.render.layout import wrap
from vsipcheck.render.safe import MAX_FIELD, cells, clean


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [bold red]markup[/]", "plain [bold red]markup[/]"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("a\r\nb\tc\x85d\u2028e", "a\\x0d\\x0ab\\x09c\\x85d\\u2028e"),
        ("\u202ertl\u202c \u2066i\u2069 \u200fm", "\\u202ertl\\u202c \\u2066i\\u2069 \\u200fm"),
        ("zero\u200bwidth\u2060\ufeff\u00ad", "zero\\u200bwidth\\u2060\\ufeff\\xad"),
        ("\u3164\u2800\ufe0f\u034f\u00a0", "\\u3164\\u2800\\ufe0f\\u034f\\xa0"),
        ("\udc80\ue000\U000e0041", "\\udc80\\ue000\\U000e0041"),
        ("Škoda 東京 मुंबई", "Škoda 東京 मुंबई"),
        ("e" + "\u0301" * 5, "e" + "\u0301" * 3 + "\\u0301" * 2),
    ],
)
def test_clean_spells_out_what_acts_or_hides(text: str, shown: str) -> None:
    assert clean(text) == shown
    assert clean(shown) == shown


def test_clean_has_ascii_for_our_own_typography() -> None:
    assert clean("a — b · 3 ≥ 2 … é 東", unicode=False) == "a -- b | 3 >= 2 ... \\xe9 \\u6771"


def test_clean_cuts_and_says_so() -> None:
    assert clean("x" * (MAX_FIELD + 7)).endswith("x ... (7 more characters)")


@given(st.text(max_size=200), st.integers(1, 40))
def test_wrap_keeps_to_the_width_and_loses_no_word(text: str, width: int) -> None:
    shown = clean(text)
    lines = wrap(shown, width)
    # One character of two columns fits no line of one.
    assert all(cells(line) <= max(width, 2) for line in lines)
    assert "".join(lines).replace(" ", "") == shown.replace(" ", "")


def test_wrap_breaks_names_at_their_seams_and_nothing_at_hyphens() -> None:
    assert wrap("pstn.in2.exotel.com@203.0.113.20", 26) == ["pstn.in2.exotel.com@203.0.", "113.20"]
    assert wrap("UDP 10000-40000 out", 12) == ["UDP", "10000-40000", "out"]
    assert wrap("an https://support.exotel.com/x", 10, break_words=False) == ["an", "https://support.exotel.com/x"]
    assert wrap("", 10) == [""]
