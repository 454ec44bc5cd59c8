"""Network bytes as text: a reversible escape for evidence, and a harmless line for people."""

from __future__ import annotations

import re

from vsipcheck.wire.errors import WireError

_KEPT = frozenset(b"\t\n\r" + bytes(range(0x20, 0x7F))) - {0x5C}
_ESCAPES = {octet: "\\\\" if octet == 0x5C else f"\\x{octet:02x}" for octet in range(0x100) if octet not in _KEPT}
_ESCAPED = re.compile(r"(?:[\t\n\r\x20-\x5b\x5d-\x7e]|\\\\|\\x[0-9a-fA-F]{2})*")
_ESCAPE_SEQUENCE = re.compile(r"\\(?:\\|x([0-9a-fA-F]{2}))")

# str.isprintable() refuses the general categories "Other" (controls, format characters and with them bidi marks and
# zero-width joiners, surrogates, private use, unassigned) and "Separator" other than the space. These are letters and
# marks that nevertheless draw nothing: Default_Ignorable_Code_Point of the Unicode Character Database, and the Braille
# blank.
_INVISIBLE = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0}
    | {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
)

_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def escape(data: bytes) -> str:
    r"""The bytes as ASCII text, reversibly: printable ASCII, CR, LF and TAB stand for themselves.

    A backslash is doubled and any other octet is `\xNN`. Nothing else is a control character here, but CR, LF and TAB
    are left to the format around it, and `[bold]` is left as it is: rich markup is the renderers' job.
    """
    return data.decode("latin-1").translate(_ESCAPES)


def unescape(text: str) -> bytes:
    r"""The bytes that `escape` was given. Raises WireError for a lone backslash, or a character it never writes."""
    end = _match_length(text)
    if end != len(text):
        raise WireError(f"malformed escape at character {end}: {text[end : end + 4]!a}")
    return _ESCAPE_SEQUENCE.sub(lambda m: "\\" if m[1] is None else chr(int(m[1], 16)), text).encode("latin-1")


def sanitise(text: str, *, max_length: int = 500) -> str:
    r"""One line without anything that a terminal or a label could obey, at most `max_length` characters.

    Printable Unicode stays. Controls (ESC, CR, LF and TAB too), bidi marks, overrides and isolates, zero-width and
    other invisible characters, odd spaces, line separators, surrogates, private-use and unassigned code points become
    `\xNN`, `\uNNNN` or `\UNNNNNNNN`. Longer text ends in an ellipsis, never within an escape. Applying it twice changes
    nothing. It is not reversible, and `[bold]` stays: rich markup is the renderers' job. Raises WireError if
    `max_length` is below 1.
    """
    if max_length < 1:
        raise WireError(f"a line of at most {max_length} characters")
    # Each character gives at least one, so that the rest of a huge text need not be looked at.
    pieces = [_visible(character) for character in text[: max_length + 1]]
    if sum(map(len, pieces)) <= max_length:
        return "".join(pieces)
    length, kept = 0, 0
    while length + len(pieces[kept]) < max_length:
        length += len(pieces[kept])
        kept += 1
    return "".join(pieces[:kept]) + _ELLIPSIS


def _match_length(text: str) -> int:
    match = _ESCAPED.match(text)
    return 0 if match is None else match.end()


def _visible(character: str) -> str:
    code = ord(character)
    if character.isprintable() and code not in _INVISIBLE:
        return character
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
