"""Escaping is reversible for all bytes; sanitising leaves nothing that a terminal could obey."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.text import escape, sanitise, unescape


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"SIP/2.0 200 OK\r\n\tfolded\r\n", "SIP/2.0 200 OK\r\n\tfolded\r\n"),
        (b"\\", "\\\\"),
        (b"\\x41", "\\\\x41"),
        (b"\x00\x1b[31m\x7f", "\\x00\\x1b[31m\\x7f"),
        (b"\x80\xff", "\\x80\\xff"),
        (" ü".encode(), " \\xc3\\xbc"),
        (b"\x0b\x0c\x08", "\\x0b\\x0c\\x08"),
    ],
)
def test_escape(data: bytes, text: str) -> None:
    assert escape(data) == text
    assert unescape(text) == data


def test_every_octet() -> None:
    data = bytes(range(256))
    assert unescape(escape(data)) == data


@given(st.binary())
@example(b"\\\\x5c\\")
def test_escape_is_reversible_printable_ascii(data: bytes) -> None:
    text = escape(data)
    assert unescape(text) == data
    assert all(character in "\t\r\n" or " " <= character <= "~" for character in text)


@pytest.mark.parametrize(
    "text",
    [
        "\\",
        "\\x",
        "\\x4",
        "\\xg0",
        "\\n",
        "\\X41",
        "ok\\",
        "\\\\\\",
        "\x00",
        "\x1b",
        "\x7f",
        "\x80",
        "ü",
        "\u202e",
        "\ud800",
    ],
)
def test_malformed_escapes(text: str) -> None:
    with pytest.raises(WireError):
        unescape(text)


def test_upper_case_digits_are_read() -> None:
    assert unescape("\\xFF") == b"\xff"


@given(st.text())
def test_unescape_gives_bytes_or_wire_error(text: str) -> None:
    try:
        data = unescape(text)
    except WireError:
        return
    assert unescape(escape(data)) == data


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("Grüße, мир, 世界, 😀", "Grüße, мир, 世界, 😀"),
        ("a\r\nb\tc", "a\\x0d\\x0ab\\x09c"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\x00\x7f\x85", "\\x00\\x7f\\x85"),
        ("\u202a\u202b\u202c\u202d\u202e", "\\u202a\\u202b\\u202c\\u202d\\u202e"),
        ("\u2066\u2067\u2068\u2069", "\\u2066\\u2067\\u2068\\u2069"),
        ("\u200e\u200f\u061c", "\\u200e\\u200f\\u061c"),
        ("\u200b\u200c\u200d\u2060\ufeff", "\\u200b\\u200c\\u200d\\u2060\\ufeff"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\xa0\xad\u3000", "\\xa0\\xad\\u3000"),
        ("\ud800\udfff", "\\ud800\\udfff"),
        ("\ue000\U000f0000", "\\ue000\\U000f0000"),
        ("\u0378", "\\u0378"),
        ("\ufe0f\U000e0100\u3164\u115f\u034f", "\\ufe0f\\U000e0100\\u3164\\u115f\\u034f"),
        ("\U000e0041", "\\U000e0041"),
        ("[bold red]x[/]", "[bold red]x[/]"),
        ("\\x1b stays", "\\x1b stays"),
    ],
)
def test_sanitise(text: str, line: str) -> None:
    assert sanitise(text) == line


@pytest.mark.parametrize(
    ("text", "max_length", "line"),
    [
        ("abcde", 5, "abcde"),
        ("abcdef", 5, "abcd…"),
        ("abcdef", 1, "…"),
        ("", 1, ""),
        ("abc\x1b", 7, "abc\\x1b"),
        ("abc\x1b", 6, "abc…"),
        ("ab\x1bd", 6, "ab…"),
        ("ab\x1bdef", 7, "ab\\x1b…"),
        ("x" * 501, 500, "x" * 499 + "…"),
    ],
)
def test_length_is_capped_and_no_escape_is_cut(text: str, max_length: int, line: str) -> None:
    assert sanitise(text, max_length=max_length) == line


def test_default_length() -> None:
    assert len(sanitise("x" * 10_000)) == 500


@pytest.mark.parametrize("max_length", [0, -1])
def test_no_room_is_refused(max_length: int) -> None:
    with pytest.raises(WireError):
        sanitise("x", max_length=max_length)


@given(st.text(alphabet=st.characters()), st.integers(1, 40))
@example("\ud800\x1b\u202e", 40)
def test_sanitised_text_is_harmless(text: str, max_length: int) -> None:
    line = sanitise(text, max_length=max_length)
    assert len(line) <= max_length
    assert len(line.splitlines()) <= 1
    for character in line:
        category = unicodedata.category(character)
        assert category[0] != "C"
        assert category[0] != "Z" or character == " "
    assert sanitise(line, max_length=max_length) == line
