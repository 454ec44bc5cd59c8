r"""Text for a terminal: nothing in it can move the cursor, change colours, hide, or reorder what stands around it.

Summaries quote what peers have sent, so every string is taken as hostile here, whoever sanitised it before.
"""

from __future__ import annotations

import unicodedata

# More characters than any text of ours has, and few enough that one field cannot flood a terminal.
MAX_FIELD = 4000

# `str.isprintable` refuses controls, format characters (bidi, zero-width), surrogates, private use, unassigned code
# points, line separators and odd spaces. These are letters and marks that draw nothing all the same
# (Default_Ignorable_Code_Point of the Unicode Character Database, and the Braille blank).
_BLANK = frozenset(
    (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0)
) | frozenset((*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))

# A pile of combining marks draws over the lines above and below. Real scripts stack two or three.
_MAX_MARKS = 3

# The typography of our own texts, for terminals that have ASCII only.
_ASCII = {
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "--",
    "\N{MINUS SIGN}": "-",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{MIDDLE DOT}": "|",
    "\N{BULLET}": "*",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{PLUS-MINUS SIGN}": "+/-",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{LEFTWARDS ARROW}": "<-",
    "\N{SECTION SIGN}": "section ",
}


def clean(text: str, *, unicode: bool = True, limit: int = MAX_FIELD) -> str:
    r"""One harmless line: printable characters stay, any other is `\xNN`, `\uNNNN` or `\UNNNNNNNN`.

    Without `unicode` the line is ASCII. What is longer than `limit` characters says how much is left out.
    """
    left_out = len(text) - limit
    if left_out > 0:
        text = text[:limit]
    if not (text.isascii() and text.isprintable()):
        text = _spell_out(text, unicode)
    return f"{text} ... ({left_out} more characters)" if left_out > 0 else text


def cells(text: str) -> int:
    """How many columns clean text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_cell, text))


def _cell(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _spell_out(text: str, unicode: bool) -> str:
    pieces = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        if not unicode and not character.isascii():
            pieces.append(_ASCII.get(character) or _escape(character))
        elif character.isprintable() and ord(character) not in _BLANK and marks <= _MAX_MARKS:
            pieces.append(character)
        else:
            pieces.append(_escape(character))
    return "".join(pieces)


def _escape(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
