"""What stands in Via, From, To, Contact, Route and CSeq, as values. RFC 3261 §20, RFC 3581."""

import re
from typing import NamedTuple

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.grammar import (
    DIGITS,
    LEXEME,
    QUOTED,
    SCHEME,
    TOKEN,
    TOKEN_CHARS,
    WHITESPACE,
    Params,
    exceeds,
    find_param,
    join_hostport,
    read_natural,
    read_params,
    read_port,
    unquote,
    without_comments,
)

# RFC 3261 §25.1: via-parm up to its parameters; SLASH and COLON take white space on both sides. In host, "_" is not
# allowed but common.
_SENT_PROTOCOL_AND_BY = re.compile(
    rf"([{TOKEN_CHARS}]++)[ \t]*+/[ \t]*+([{TOKEN_CHARS}]++)[ \t]*+/[ \t]*+([{TOKEN_CHARS}]++)[ \t]++"
    r"(?:\[([0-9A-Fa-f:.]++)\]|([A-Za-z0-9._\-]++))[ \t]*+(?::[ \t]*+([0-9]{1,9}+))?[ \t]*+"
)
# RFC 3261 §25.1: CSeq.
_CSEQ = re.compile(rf"([0-9]++)[ \t]++([{TOKEN_CHARS}]++)")


class Via(NamedTuple):
    """One Via value. `host` has no brackets; parameter values are as received; `raw` is the value as received."""

    protocol: str
    version: str
    transport: str
    host: str
    port: int | None
    params: Params
    raw: str

    @property
    def sent_by(self) -> str:
        """host or host:port, IPv6 in brackets."""
        return join_hostport(self.host, self.port)

    @property
    def branch(self) -> str | None:
        """The transaction's identifier; None when absent or without a value."""
        return find_param(self.params, "branch") or None

    @property
    def received(self) -> str | None:
        """The source address that the server saw, None when absent; brackets are taken off, RFC 5118 §4.5."""
        value = find_param(self.params, "received")
        return value.removeprefix("[").removesuffix("]") if value else None

    @property
    def has_rport(self) -> bool:
        """Whether rport is there at all; a client asks with an rport that has no value. RFC 3581 §3."""
        return find_param(self.params, "rport") is not None

    @property
    def rport(self) -> int | None:
        """The source port that the server saw; None when rport is absent, has no value, or is no port. RFC 3581 §4."""
        value = find_param(self.params, "rport")
        if not value or not DIGITS.fullmatch(value) or exceeds(value, 65535):
            return None
        return int(value.lstrip("0") or "0") or None


def read_via(value: str) -> tuple[Via, str | None]:
    """A Via and what is wrong with it though it can be read. Raises WireError when it cannot."""
    text = without_comments(value).strip(WHITESPACE)
    match = _SENT_PROTOCOL_AND_BY.match(text)
    if not match:
        raise WireError(f"not a Via value: {value[:80]!r}")
    protocol, version, transport, address, name, port = match.groups()
    rest = text[match.end() :]
    if rest and not rest.startswith(";"):
        raise WireError(f"{rest[:40]!r} after sent-by in a Via value")
    if LEXEME.sub(lambda lexeme: "," if lexeme[0] == "," else "", rest):
        raise WireError("more than one Via value")
    params, problem = read_params(rest)
    return Via(protocol, version, transport, address or name, read_port(port), params, value.strip(WHITESPACE)), problem


def parse_via(value: str) -> Via:
    """Read one Via value, e.g. `SIP / 2.0 / TCP  host ; branch = x`. Comments and empty parameters are passed over.
    Raises WireError if it is none, or is a list (`split_list` first). RFC 3261 §20.42, §25.1."""
    return read_via(value)[0]


class NameAddr(NamedTuple):
    """A name-addr or addr-spec with header parameters. `display` is unquoted, None when absent; `uri` as received."""

    display: str | None
    uri: str
    params: Params

    @property
    def tag(self) -> str | None:
        """The dialog tag; None when absent or without a value."""
        return find_param(self.params, "tag") or None


def read_name_addr(value: str) -> tuple[NameAddr, list[tuple[str, str]]]:
    """An address and the (code, detail) of what is wrong with it though it can be read."""
    text = value.strip(WHITESPACE)
    problems: list[tuple[str, str]] = []
    display: str | None
    if text.startswith('"'):
        quoted = QUOTED.match(text)
        if not quoted:
            raise WireError("the quoted display name is not closed")
        display = unquote(quoted[0])
        start = len(text) - len(text[quoted.end() :].lstrip(WHITESPACE))
        if not text.startswith("<", start):
            raise WireError("no < after the display name")
    else:
        start = text.find("<")
        if start >= 0 and ";" in text[:start] and SCHEME.match(text):
            start = -1
        display = (text[:start].rstrip(WHITESPACE) if start > 0 else "") or None
        # RFC 3261 §25.1: display-name = *(token LWS) / quoted-string.
        if display and not all(map(TOKEN.fullmatch, display.split())):
            problems.append(("display_name_malformed", display))
    if start >= 0:
        end = text.find(">", start)
        if end < 0:
            raise WireError("no > after the URI")
        uri, rest = text[start + 1 : end], text[end + 1 :].lstrip(WHITESPACE)
    else:
        uri, semicolon, rest = text.partition(";")
        uri, rest = uri.rstrip(WHITESPACE), semicolon + rest
        # RFC 3261 §20: a URI that contains a comma, question mark or semicolon must be enclosed.
        if "?" in uri or "," in uri:
            problems.append(("name_addr_needed", uri))
    if rest and not rest.startswith(";"):
        raise WireError(f"{rest[:40]!r} after the URI")
    if any(char in uri for char in WHITESPACE):
        problems.append(("uri_whitespace", uri))
        uri = uri.strip(WHITESPACE)
    if not uri:
        raise WireError("the URI is empty")
    params, problem = read_params(rest)
    if problem:
        problems.append(("name_addr_malformed", problem))
    return NameAddr(display, uri, params), problems


def parse_name_addr(value: str) -> NameAddr:
    """Read a From, To, Contact or Route value: `"Name" <uri>;params`, or `uri;params`, where the parameters belong to
    the header field. Raises WireError if a quote or bracket is not closed or the URI is empty. RFC 3261 §20.10."""
    return read_name_addr(value)[0]


class CSeq(NamedTuple):
    """Sequence number and method. The number may be past 2**31 - 1, which no sender may use."""

    number: int
    method: str


def parse_cseq(value: str) -> CSeq:
    """Read a CSeq value. Raises WireError if it is not a number and a method. RFC 3261 §20.16."""
    match = _CSEQ.fullmatch(value.strip(WHITESPACE))
    if not match:
        raise WireError(f"not a CSeq value: {value[:80]!r}")
    return CSeq(read_natural(match[1]), match[2])
