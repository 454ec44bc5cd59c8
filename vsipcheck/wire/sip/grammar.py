"""What header values and URIs are made of: tokens, quoted strings, lists, parameters, numbers. RFC 3261 §25.1.

Patterns are anchored and their neighbours disjoint, or possessive, so that none backtracks.
"""

import re
from collections.abc import Iterator

from vsipcheck.wire.errors import WireError

# More digits than any field of SIP can use; also below the limit past which int() itself refuses.
_MAX_DIGITS = 40
# (name, value), the value as received, None where there is no "=".
Params = tuple[tuple[str, str | None], ...]
# RFC 3261 §25.1: token.
TOKEN_CHARS = r"A-Za-z0-9.!%*_+`'~\-"
TOKEN = re.compile(rf"[{TOKEN_CHARS}]++")
# RFC 3261 §25.1: quoted-string, quoted-pair.
QUOTED = re.compile(r'"(?>[^"\\]|\\.)*+"', re.DOTALL)
QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
# A quoted-string, or an unclosed one up to the end: what always matches at a quote is never tried again from the next.
QUOTED_OR_OPEN = re.compile(r'"(?>[^"\\]|\\.)*+"?', re.DOTALL)
# RFC 3261 §7.3.1, §25.1: COMMA and SEMI separate outside quoted strings and <> only.
LEXEME = re.compile(r'"(?>[^"\\]|\\.)*+"?|<[^>]*+>?|[^"<,;]++|[,;]', re.DOTALL)
# RFC 3261 §25.1: hostport.
HOSTPORT = re.compile(r"(?:\[([0-9A-Fa-f:.]++)\]|([A-Za-z0-9._\-]++))(?::([0-9]{1,9}+))?")
# RFC 3986 §3.1: scheme.
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*+):")
DIGITS = re.compile(r"[0-9]++")
WHITESPACE = " \t"


def read_natural(text: str) -> int:
    """The number that 1*DIGIT says. Raises WireError for anything else, and past 40 digits without leading zeros."""
    significant = text.lstrip("0")
    if not DIGITS.fullmatch(text) or len(significant) > _MAX_DIGITS:
        raise WireError(f"not a number: {text[:60]!r}")
    return int(significant or "0")


def exceeds(digits: str, limit: int) -> bool:
    """Whether a number of any length is above the limit."""
    significant = digits.lstrip("0")
    return len(significant) > len(str(limit)) or int(significant or "0") > limit


def read_port(digits: str | None) -> int | None:
    """The port that a few digits say, None for none. Raises WireError past 65535."""
    if digits is None:
        return None
    port = int(digits)
    if port > 65535:
        raise WireError(f"port {port} is past 65535")
    return port


def join_hostport(host: str, port: int | None) -> str:
    """host or host:port, IPv6 in brackets. RFC 3261 §25.1."""
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return name if port is None else f"{name}:{port}"


def split_at(text: str, separator: str) -> Iterator[str]:
    """The parts between separators outside quoted strings and <>, trimmed, empty ones included."""
    start = 0
    for lexeme in LEXEME.finditer(text):
        if lexeme[0] == separator:
            yield text[start : lexeme.start()].strip(WHITESPACE)
            start = lexeme.end()
    yield text[start:].strip(WHITESPACE)


def split_list(value: str) -> tuple[str, ...]:
    """The elements of a comma-separated header value, trimmed; commas in quoted strings and <> do not count, empty
    elements are left out. RFC 3261 §7.3.1."""
    return tuple(part for part in split_at(value, ",") if part)


def unquote(text: str) -> str:
    """The value of a quoted-string, or the text itself when it is not one. RFC 3261 §25.1."""
    return QUOTED_PAIR.sub(r"\1", text[1:-1]) if QUOTED.fullmatch(text) else text


def without_comments(text: str) -> str:
    """The text with each (comment), nested ones too, as one space. An unclosed one stays. RFC 3261 §25.1."""
    if "(" not in text:
        return text
    kept: list[str] = []
    start = depth = opened = position = 0
    while position < len(text):
        char = text[position]
        if char == '"' and not depth and (quoted := QUOTED_OR_OPEN.match(text, position)):
            position = quoted.end()
            continue
        if char == "\\" and depth:
            position += 1
        elif char == "(":
            if not depth:
                opened = position
            depth += 1
        elif char == ")" and depth:
            depth -= 1
            if not depth:
                kept += (text[start:opened], " ")
                start = position + 1
        position += 1
    kept.append(text[start:])
    return "".join(kept)


def read_params(text: str) -> tuple[Params, str | None]:
    """Parameters out of ";a;b=c", values as received, quotes included; and what is wrong with the first bad one."""
    found: list[tuple[str, str | None]] = []
    problem: str | None = None
    if not text:
        return (), None
    for part in split_at(text.removeprefix(";"), ";"):
        name, equals, value = part.partition("=")
        name, value = name.rstrip(WHITESPACE), value.lstrip(WHITESPACE)
        if not part:
            problem = problem or "empty parameter"
            continue
        if not TOKEN.fullmatch(name) or (equals and not value):
            problem = problem or f"parameter {part[:60]!r}"
        found.append((name, value if equals else None))
    return tuple(found), problem


def find_param(params: Params, name: str) -> str | None:
    """The unquoted value of a parameter, "" when it has none, None when it is absent. RFC 3261 §7.3.1: without case."""
    for each, value in params:
        if each.lower() == name:
            return "" if value is None else unquote(value)
    return None
