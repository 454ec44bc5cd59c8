"""SIP messages as values: bytes in, messages with their deviations out, and back. RFC 3261, RFC 3581, RFC 5626.

The reader is tolerant: what can be understood is returned, with a `Deviation` for every rule that the bytes break,
since who broke which rule is evidence. Values keep the received text; `raw` joined gives the received bytes again.
Nothing but `WireError` is raised, for any bytes whatever, and every cost is linear in the input and capped.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import NamedTuple

from vsipcheck.wire.errors import WireError

MAX_HEAD = 65536
MAX_BODY = 65536
MAX_HEADERS = 256

# A hostile message could break a rule in every line; evidence needs the first ones only.
_MAX_DEVIATIONS = 64
_MAX_DETAIL = 160
# More digits than any field of SIP can use; also below the limit past which int() itself refuses.
_MAX_DIGITS = 40

# RFC 3261 §8.1.1.7: the branch of a client that follows RFC 3261 starts with this.
MAGIC_COOKIE = "z9hG4bK"

Params = tuple[tuple[str, str | None], ...]


class NotSipError(WireError):
    """The peer speaks, but not SIP. `looks_like` names the protocol of a known greeting; `seen` is how it began."""

    def __init__(self, message: str, *, seen: bytes = b"", looks_like: str | None = None) -> None:
        super().__init__(message)
        self.seen = seen
        self.looks_like = looks_like


class TooLargeError(WireError):
    """A cap was passed: length of the head, number of header fields, or length of the body."""


class FramingLostError(WireError):
    """Bytes follow a message whose end nobody can know, because its Content-Length is unusable. RFC 3261 §18.3."""


class Grade(StrEnum):
    """How far from the rules: an `error` breaks the grammar or a MUST; a `notice` is legal but odd, or RFC 2543's."""

    ERROR = "error"
    NOTICE = "notice"


# Every code that a Deviation can carry. Scripts and tests match them.
DEVIATIONS: dict[str, Grade] = {
    # Start line, RFC 3261 §7.1, §7.2, §25.1.
    "version_unknown": Grade.ERROR,
    "version_lower_case": Grade.NOTICE,  # §7.1: compared without case, but sent in upper case
    "start_line_whitespace": Grade.ERROR,  # not single SPs, or SP at the end
    "request_uri_whitespace": Grade.ERROR,
    "request_uri_bracketed": Grade.ERROR,
    "request_uri_headers": Grade.ERROR,  # §19.1.1: no headers part in a Request-URI
    "status_out_of_range": Grade.ERROR,  # three digits, classes 1 to 6
    "status_line_short": Grade.NOTICE,  # no SP after the code; the reason may be empty, the SP may not be left out
    # Lines and octets, RFC 3261 §7, §7.3.1, §25.1.
    "bare_lf": Grade.ERROR,
    "bare_cr": Grade.ERROR,
    "nul_bytes": Grade.ERROR,
    "control_characters": Grade.ERROR,
    "not_utf8": Grade.ERROR,
    "space_before_colon": Grade.NOTICE,  # HCOLON allows it, §7.3.1 asks to avoid it
    "header_without_colon": Grade.ERROR,
    "header_name_malformed": Grade.ERROR,
    "head_unterminated": Grade.ERROR,  # no empty line after the header fields
    # Header fields, RFC 3261 §8.1.1, §20.
    "header_missing": Grade.ERROR,
    "header_repeated": Grade.ERROR,
    "via_malformed": Grade.ERROR,
    "response_via_count": Grade.NOTICE,  # §8.1.3.3: meant for somebody else, when it reaches a client
    "branch_missing": Grade.NOTICE,  # RFC 2543
    "branch_without_cookie": Grade.NOTICE,  # RFC 2543
    "branch_empty": Grade.ERROR,  # the cookie and nothing else
    "rport_malformed": Grade.ERROR,  # RFC 3581 §3
    "name_addr_malformed": Grade.ERROR,
    "name_addr_needed": Grade.ERROR,  # §20: a URI with , or ? must stand in <>
    "display_name_malformed": Grade.ERROR,
    "quoted_string_unterminated": Grade.ERROR,
    "uri_whitespace": Grade.ERROR,
    "uri_malformed": Grade.ERROR,
    "from_tag_missing": Grade.NOTICE,  # RFC 2543
    "to_tag_missing": Grade.NOTICE,  # RFC 2543; a 100 may leave it out
    "call_id_malformed": Grade.ERROR,
    "cseq_malformed": Grade.ERROR,
    "cseq_out_of_range": Grade.ERROR,  # §8.1.1.5: below 2**31
    "cseq_method_mismatch": Grade.ERROR,
    "max_forwards_missing": Grade.NOTICE,  # RFC 2543
    "max_forwards_out_of_range": Grade.ERROR,  # §20.22: 0 to 255
    "delta_seconds_out_of_range": Grade.ERROR,  # §20.19: 0 to 2**32 - 1
    "date_malformed": Grade.ERROR,  # §20.17: RFC 1123, and GMT only
    "warning_malformed": Grade.ERROR,  # §20.43: three digits
    # Framing, RFC 3261 §18.3, §20.14.
    "content_length_missing": Grade.ERROR,  # on a stream only
    "content_length_malformed": Grade.ERROR,
    "content_length_negative": Grade.ERROR,
    "content_length_disagrees": Grade.ERROR,
    "content_length_repeated": Grade.NOTICE,  # more than once, and the same each time
    "body_truncated": Grade.ERROR,
    "trailing_bytes": Grade.NOTICE,  # §18.3: after the body of a datagram, to be ignored
}


class Deviation(NamedTuple):
    """One rule that a message breaks. `detail` quotes the peer: escape it before a person sees it."""

    code: str
    detail: str

    @property
    def grade(self) -> Grade:
        """How far from the rules this is."""
        return DEVIATIONS[self.code]


class _Deviations:
    """Collects deviations in order, each once, up to a cap."""

    def __init__(self) -> None:
        self.found: list[Deviation] = []

    def add(self, code: str, detail: str) -> None:
        deviation = Deviation(code, detail[:_MAX_DETAIL])
        if len(self.found) < _MAX_DEVIATIONS and deviation not in self.found:
            self.found.append(deviation)


# Patterns are anchored and their neighbours disjoint, or possessive, so that none backtracks.

# RFC 3261 §25.1: token.
_TOKEN_CHARS = r"A-Za-z0-9.!%*_+`'~\-"
_TOKEN = re.compile(rf"[{_TOKEN_CHARS}]++")
_TOKEN_RUN = re.compile(rf"[{_TOKEN_CHARS}]*+".encode())
# RFC 3261 §25.1: quoted-string, quoted-pair.
_QUOTED = re.compile(r'"(?>[^"\\]|\\.)*+"', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
# A quoted-string, or an unclosed one up to the end: what always matches at a quote is never tried again from the next.
_QUOTED_OR_OPEN = re.compile(r'"(?>[^"\\]|\\.)*+"?', re.DOTALL)
# RFC 3261 §7.3.1, §25.1: COMMA and SEMI separate outside quoted strings and <> only.
_LEXEME = re.compile(r'"(?>[^"\\]|\\.)*+"?|<[^>]*+>?|[^"<,;]++|[,;]', re.DOTALL)
# RFC 3261 §25.1: Status-Line.
_STATUS_LINE = re.compile(r"(SIP/[^ \t]++)([ \t]++)([0-9]{1,19}+)(?:([ \t])(.*))?", re.IGNORECASE | re.DOTALL)
# RFC 3261 §25.1: via-parm up to its parameters; SLASH and COLON take white space on both sides. In host, "_" is not
# allowed but common.
_SENT_PROTOCOL_AND_BY = re.compile(
    rf"([{_TOKEN_CHARS}]++)[ \t]*+/[ \t]*+([{_TOKEN_CHARS}]++)[ \t]*+/[ \t]*+([{_TOKEN_CHARS}]++)[ \t]++"
    r"(?:\[([0-9A-Fa-f:.]++)\]|([A-Za-z0-9._\-]++))[ \t]*+(?::[ \t]*+([0-9]{1,9}+))?[ \t]*+"
)
# RFC 3261 §25.1: hostport.
_HOSTPORT = re.compile(r"(?:\[([0-9A-Fa-f:.]++)\]|([A-Za-z0-9._\-]++))(?::([0-9]{1,9}+))?")
# RFC 3986 §3.1: scheme.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*+):")
_DIGITS = re.compile(r"[0-9]++")
# RFC 3261 §25.1: CSeq.
_CSEQ = re.compile(rf"([0-9]++)[ \t]++([{_TOKEN_CHARS}]++)")
# RFC 3261 §25.1: SIP-date, which is RFC 1123's with GMT alone.
# Left to the cache of `re`, as these two and the greetings are seldom needed and compiling costs start-up time.
_SIP_DATE = (
    r"(?i:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (?i:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4}"
    r" [0-9]{2}:[0-9]{2}:[0-9]{2} (?i:GMT)"
)
# RFC 3261 §25.1: warning-value starts with warn-code and warn-agent.
_WARN_CODE = r"[0-9]{3}[ \t]++[^ \t]"
_LINE = re.compile(rb"[^\n]*+\n|[^\n]++")
_BLANK_LINES = re.compile(rb"(?:\r\n|\n)*+")
_CONTROL = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
_WHITESPACE = " \t"

# RFC 3261 §7.3.3, §20; RFC 6665 (o, u), RFC 3515 (r), RFC 3892 (b), RFC 4028 (x), RFC 3841 (a, d, j), RFC 4474 (y, n).
_COMPACT = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "n": "Identity-Info",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}
# Other names whose usual case is restored.
_LONG_NAMES = """
    Accept Accept-Encoding Accept-Language Alert-Info Allow Authentication-Info Authorization Call-Info
    Content-Disposition Content-Language CSeq Date Error-Info Expires In-Reply-To Max-Forwards MIME-Version
    Min-Expires Organization P-Asserted-Identity P-Early-Media Path Priority Privacy Proxy-Authenticate
    Proxy-Authorization Proxy-Require RAck Reason Record-Route Reply-To Require Retry-After Route RSeq
    Server Service-Route Timestamp Unsupported User-Agent Warning WWW-Authenticate
"""
_CANONICAL = _COMPACT | {name.lower(): name for name in (*_COMPACT.values(), *_LONG_NAMES.split())}

# RFC 3261 §7.3.1: only fields defined as lists may appear more than once. Content-Length has codes of its own.
_SINGLE = ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Date", "Expires", "Min-Expires", "Content-Type", "Subject")
# RFC 3261 §8.1.1 and §8.2.6.2.
_MANDATORY = ("Via", "From", "To", "Call-ID", "CSeq")

# What answers on a port meant for SIP, by its first octets. "SSH-" alone could also begin a SIP method by the grammar.
_GREETINGS = (
    (rb"SSH-", "ssh"),
    (rb"(?i)HTTP/", "http"),
    (rb"(?i)(?:GET|HEAD|POST|PUT|CONNECT) [^\n]* HTTP/", "http"),
    (rb"(?i)<(?:!doctype|html|\?xml)", "html"),
    (rb"[\x14-\x17]\x03[\x00-\x04]", "tls"),  # RFC 8446 §5.1: content type, legacy_record_version
    (rb"(?i)RTSP/", "rtsp"),
    (rb"220[ -]", "smtp or ftp"),
)


def canonical_name(name: str) -> str:
    """The usual long form of a header field name, given in any form and case. Unknown names stay as they are."""
    return _CANONICAL.get(name.lower(), name)


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _natural(text: str) -> int:
    """The number that 1*DIGIT says. Raises WireError for anything else, and past 40 digits without leading zeros."""
    significant = text.lstrip("0")
    if not _DIGITS.fullmatch(text) or len(significant) > _MAX_DIGITS:
        raise WireError(f"not a number: {text[:60]!r}")
    return int(significant or "0")


def _exceeds(digits: str, limit: int) -> bool:
    significant = digits.lstrip("0")
    return len(significant) > len(str(limit)) or int(significant or "0") > limit


def _port(digits: str | None) -> int | None:
    if digits is None:
        return None
    port = int(digits)
    if port > 65535:
        raise WireError(f"port {port} is past 65535")
    return port


def _split(text: str, separator: str) -> Iterator[str]:
    """The parts between separators outside quoted strings and <>, trimmed, empty ones included."""
    start = 0
    for lexeme in _LEXEME.finditer(text):
        if lexeme[0] == separator:
            yield text[start : lexeme.start()].strip(_WHITESPACE)
            start = lexeme.end()
    yield text[start:].strip(_WHITESPACE)


def split_list(value: str) -> tuple[str, ...]:
    """The elements of a comma-separated header value, trimmed; commas in quoted strings and <> do not count, empty
    elements are left out. RFC 3261 §7.3.1."""
    return tuple(part for part in _split(value, ",") if part)


def unquote(text: str) -> str:
    """The value of a quoted-string, or the text itself when it is not one. RFC 3261 §25.1."""
    return _QUOTED_PAIR.sub(r"\1", text[1:-1]) if _QUOTED.fullmatch(text) else text


def _without_comments(text: str) -> str:
    """The text with each (comment), nested ones too, as one space. An unclosed one stays. RFC 3261 §25.1."""
    if "(" not in text:
        return text
    kept: list[str] = []
    start = depth = opened = position = 0
    while position < len(text):
        char = text[position]
        if char == '"' and not depth and (quoted := _QUOTED_OR_OPEN.match(text, position)):
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


def _read_params(text: str) -> tuple[Params, str | None]:
    """Parameters out of ";a;b=c", values as received, quotes included; and what is wrong with the first bad one."""
    found: list[tuple[str, str | None]] = []
    problem: str | None = None
    if not text:
        return (), None
    for part in _split(text.removeprefix(";"), ";"):
        name, equals, value = part.partition("=")
        name, value = name.rstrip(_WHITESPACE), value.lstrip(_WHITESPACE)
        if not part:
            problem = problem or "empty parameter"
            continue
        if not _TOKEN.fullmatch(name) or (equals and not value):
            problem = problem or f"parameter {part[:60]!r}"
        found.append((name, value if equals else None))
    return tuple(found), problem


def _param(params: Params, name: str) -> str | None:
    """The unquoted value of a parameter, "" when it has none, None when it is absent. RFC 3261 §7.3.1: without case."""
    for each, value in params:
        if each.lower() == name:
            return "" if value is None else unquote(value)
    return None


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
        return _hostport(self.host, self.port)

    @property
    def branch(self) -> str | None:
        """The transaction's identifier; None when absent or without a value."""
        return _param(self.params, "branch") or None

    @property
    def received(self) -> str | None:
        """The source address that the server saw, None when absent; brackets are taken off, RFC 5118 §4.5."""
        value = _param(self.params, "received")
        return value.removeprefix("[").removesuffix("]") if value else None

    @property
    def has_rport(self) -> bool:
        """Whether rport is there at all; a client asks with an rport that has no value. RFC 3581 §3."""
        return _param(self.params, "rport") is not None

    @property
    def rport(self) -> int | None:
        """The source port that the server saw; None when rport is absent, has no value, or is no port. RFC 3581 §4."""
        value = _param(self.params, "rport")
        if not value or not _DIGITS.fullmatch(value) or _exceeds(value, 65535):
            return None
        return int(value.lstrip("0") or "0") or None


def _hostport(host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return name if port is None else f"{name}:{port}"


def _read_via(value: str) -> tuple[Via, str | None]:
    """A Via and what is wrong with it though it can be read. Raises WireError when it cannot."""
    text = _without_comments(value).strip(_WHITESPACE)
    match = _SENT_PROTOCOL_AND_BY.match(text)
    if not match:
        raise WireError(f"not a Via value: {value[:80]!r}")
    protocol, version, transport, address, name, port = match.groups()
    rest = text[match.end() :]
    if rest and not rest.startswith(";"):
        raise WireError(f"{rest[:40]!r} after sent-by in a Via value")
    if _LEXEME.sub(lambda lexeme: "," if lexeme[0] == "," else "", rest):
        raise WireError("more than one Via value")
    params, problem = _read_params(rest)
    return Via(protocol, version, transport, address or name, _port(port), params, value.strip(_WHITESPACE)), problem


def parse_via(value: str) -> Via:
    """Read one Via value, e.g. `SIP / 2.0 / TCP  host ; branch = x`. Comments and empty parameters are passed over.
    Raises WireError if it is none, or is a list (`split_list` first). RFC 3261 §20.42, §25.1."""
    return _read_via(value)[0]


class NameAddr(NamedTuple):
    """A name-addr or addr-spec with header parameters. `display` is unquoted, None when absent; `uri` as received."""

    display: str | None
    uri: str
    params: Params

    @property
    def tag(self) -> str | None:
        """The dialog tag; None when absent or without a value."""
        return _param(self.params, "tag") or None


def _read_name_addr(value: str) -> tuple[NameAddr, list[tuple[str, str]]]:
    """An address and the (code, detail) of what is wrong with it though it can be read."""
    text = value.strip(_WHITESPACE)
    problems: list[tuple[str, str]] = []
    display: str | None
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if not quoted:
            raise WireError("the quoted display name is not closed")
        display = unquote(quoted[0])
        start = len(text) - len(text[quoted.end() :].lstrip(_WHITESPACE))
        if not text.startswith("<", start):
            raise WireError("no < after the display name")
    else:
        start = text.find("<")
        if start >= 0 and ";" in text[:start] and _SCHEME.match(text):
            start = -1
        display = (text[:start].rstrip(_WHITESPACE) if start > 0 else "") or None
        # RFC 3261 §25.1: display-name = *(token LWS) / quoted-string.
        if display and not all(map(_TOKEN.fullmatch, display.split())):
            problems.append(("display_name_malformed", display))
    if start >= 0:
        end = text.find(">", start)
        if end < 0:
            raise WireError("no > after the URI")
        uri, rest = text[start + 1 : end], text[end + 1 :].lstrip(_WHITESPACE)
    else:
        uri, semicolon, rest = text.partition(";")
        uri, rest = uri.rstrip(_WHITESPACE), semicolon + rest
        # RFC 3261 §20: a URI that contains a comma, question mark or semicolon must be enclosed.
        if "?" in uri or "," in uri:
            problems.append(("name_addr_needed", uri))
    if rest and not rest.startswith(";"):
        raise WireError(f"{rest[:40]!r} after the URI")
    if any(char in uri for char in _WHITESPACE):
        problems.append(("uri_whitespace", uri))
        uri = uri.strip(_WHITESPACE)
    if not uri:
        raise WireError("the URI is empty")
    params, problem = _read_params(rest)
    if problem:
        problems.append(("name_addr_malformed", problem))
    return NameAddr(display, uri, params), problems


def parse_name_addr(value: str) -> NameAddr:
    """Read a From, To, Contact or Route value: `"Name" <uri>;params`, or `uri;params`, where the parameters belong to
    the header field. Raises WireError if a quote or bracket is not closed or the URI is empty. RFC 3261 §20.10."""
    return _read_name_addr(value)[0]


class SipUri(NamedTuple):
    """A URI. Of a sip or sips URI `host` (no brackets) is there; of any other `opaque`, all after the colon. Escapes
    are left as received."""

    scheme: str
    user: str | None
    host: str | None
    port: int | None
    params: Params
    headers: Params
    password: str | None = None
    opaque: str | None = None

    @property
    def transport(self) -> str | None:
        """The transport parameter in lower case; None when absent."""
        value = _param(self.params, "transport")
        return value.lower() if value else None


def parse_uri(uri: str) -> SipUri:
    """Read a URI; sip and sips in parts. Raises WireError if there is no scheme, or a sip URI is malformed, e.g. IPv6
    without brackets. RFC 3261 §19.1.1, §25.1."""
    match = _SCHEME.match(uri)
    if not match or len(uri) == match.end():
        raise WireError(f"not a URI: {uri[:80]!r}")
    scheme, rest = match[1].lower(), uri[match.end() :]
    # VCHAR and UTF-8 only; < > and quotes delimit URIs.
    if any(char <= " " or char in '<>"\x7f' for char in uri):
        raise WireError(f"a character that no URI has, in {uri[:80]!r}")
    if scheme not in ("sip", "sips"):
        return SipUri(scheme, None, None, None, (), (), opaque=rest)
    # No part of the URI may hold an unescaped @, so the first one ends userinfo, in which ; ? / and the like are legal.
    userinfo, at, where = rest.partition("@") if "@" in rest else (None, "", rest)
    if at and not userinfo:
        raise WireError(f"an empty user part in {uri[:80]!r}")
    user, colon, password = userinfo.partition(":") if userinfo else (None, "", "")
    where, question, hnames = where.partition("?")
    hostport, _, uri_params = where.partition(";")
    place = _HOSTPORT.fullmatch(hostport)
    if not place:
        raise WireError(f"not host or host:port: {hostport[:80]!r}")
    params = tuple(_pair(part) for part in uri_params.split(";") if part)
    headers = tuple(_pair(part) for part in hnames.split("&") if part) if question else ()
    return SipUri(
        scheme, user, place[1] or place[2], _port(place[3]), params, headers, password=password if colon else None
    )


def _pair(part: str) -> tuple[str, str | None]:
    name, equals, value = part.partition("=")
    return name, value if equals else None


class CSeq(NamedTuple):
    """Sequence number and method. The number may be past 2**31 - 1, which no sender may use."""

    number: int
    method: str


def parse_cseq(value: str) -> CSeq:
    """Read a CSeq value. Raises WireError if it is not a number and a method. RFC 3261 §20.16."""
    match = _CSEQ.fullmatch(value.strip(_WHITESPACE))
    if not match:
        raise WireError(f"not a CSeq value: {value[:80]!r}")
    return CSeq(_natural(match[1]), match[2])


class Header(NamedTuple):
    """One header field. `name` in its usual long form ("" for a line without a colon), `value` unfolded and trimmed,
    bytes that are not UTF-8 as surrogate escapes; `raw` the octets received, with folds and line ends."""

    name: str
    value: str
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SipMessage:
    """A request or response as received. `trailing` is what came after the body in the same datagram."""

    version: str
    headers: tuple[Header, ...]
    body: bytes
    deviations: tuple[Deviation, ...]
    start_raw: bytes
    end_raw: bytes
    leading: bytes = b""
    trailing: bytes = b""

    @property
    def raw(self) -> bytes:
        """The message exactly as received: start line, header fields, empty line, body."""
        return b"".join((self.start_raw, *(header.raw for header in self.headers), self.end_raw, self.body))

    @property
    def errors(self) -> tuple[Deviation, ...]:
        """The deviations that break the grammar or a MUST."""
        return tuple(deviation for deviation in self.deviations if deviation.grade is Grade.ERROR)

    def header(self, name: str) -> str | None:
        """The value of the first header field of that name, in any form; None when there is none."""
        wanted = canonical_name(name).lower()
        return next((header.value for header in self.headers if header.name.lower() == wanted), None)

    def headers_named(self, name: str) -> tuple[Header, ...]:
        """All header fields of that name, in any form, in order."""
        wanted = canonical_name(name).lower()
        return tuple(header for header in self.headers if header.name.lower() == wanted)

    @property
    def vias(self) -> tuple[Via, ...]:
        """All Via values that can be read, topmost first."""
        found: list[Via] = []
        for header in self.headers_named("Via"):
            for part in split_list(_without_comments(header.value)):
                try:
                    found.append(parse_via(part))
                except WireError:
                    continue
        return tuple(found)

    @property
    def top_via(self) -> Via | None:
        """The topmost Via value; None when there is none or it cannot be read (never a lower one in its place)."""
        parts = split_list(_without_comments(self.header("Via") or ""))
        try:
            return parse_via(parts[0]) if parts else None
        except WireError:
            return None

    @property
    def cseq(self) -> CSeq | None:
        """Sequence number and method; None when absent or unreadable."""
        try:
            return parse_cseq(self.header("CSeq") or "")
        except WireError:
            return None

    @property
    def call_id(self) -> str | None:
        """The Call-ID; None when absent or empty."""
        return self.header("Call-ID") or None

    @property
    def from_tag(self) -> str | None:
        """The tag of From; None when absent or unreadable."""
        return _tag(self.header("From"))

    @property
    def to_tag(self) -> str | None:
        """The tag of To; None when absent or unreadable."""
        return _tag(self.header("To"))


def _tag(value: str | None) -> str | None:
    try:
        return parse_name_addr(value).tag if value is not None else None
    except WireError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SipRequest(SipMessage):
    """A request. `uri` is the Request-URI as received."""

    method: str
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SipResponse(SipMessage):
    """A response. `status` may lie outside 100 to 699, with a deviation that says so."""

    status: int
    reason: str


class _RequestLine(NamedTuple):
    method: str
    uri: str
    version: str


class _StatusLine(NamedTuple):
    version: str
    status: int
    reason: str


def _not_sip(seen: bytes) -> NotSipError:
    looks_like = next((name for pattern, name in _GREETINGS if re.match(pattern, seen)), None)
    what = f"this looks like {looks_like}" if looks_like else "this is no SIP start line"
    return NotSipError(f"{what}: {seen[:60]!r}", seen=bytes(seen[:256]), looks_like=looks_like)


def _gate(buffer: bytes | bytearray, checked: int, limit: int) -> int | None:
    """None once the first octets can begin a start line (a token and white space, or "SIP/"), else how far that is
    known. Raises NotSipError as soon as they cannot, TooLargeError past the limit. RFC 3261 §25.1."""
    if buffer.startswith(b"SSH-"):
        raise _not_sip(bytes(buffer[:256]))
    run = _TOKEN_RUN.match(buffer, checked, limit)
    end = run.end() if run else checked
    if end >= limit:
        raise TooLargeError(f"no start line within {limit} bytes")
    if end == len(buffer):
        return end
    follower = buffer[end : end + 1]
    if (follower in (b" ", b"\t") and end) or (follower == b"/" and bytes(buffer[:end]).upper() == b"SIP"):
        return None
    raise _not_sip(bytes(buffer[:256]))


def _chomp(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")


def _check_version(version: str, where: str, deviations: _Deviations) -> None:
    if version.upper() != "SIP/2.0":
        deviations.add("version_unknown", f"{where}: {version}")
    elif version != "SIP/2.0":
        deviations.add("version_lower_case", f"{where}: {version}")


def _read_start_line(line: bytes, deviations: _Deviations) -> _RequestLine | _StatusLine:
    text = _decode(_chomp(line))
    _check_text(text, "start line", deviations)
    if text[:4].upper() == "SIP/":
        return _read_status_line(text, deviations)
    method_match = _TOKEN.match(text)
    method = method_match[0] if method_match else ""
    after = text[len(method) :]
    rest = after.strip(_WHITESPACE)
    cut = max(rest.rfind(" "), rest.rfind("\t"))
    uri, version = rest[: max(cut, 0)].rstrip(_WHITESPACE), rest[cut + 1 :]
    if not method or after[:1] not in (" ", "\t") or version[:4].upper() != "SIP/":
        if method and _SCHEME.match(rest) and rest[:5].lower().startswith(("sip:", "sips:")):
            raise WireError(f"a request line without SIP version: {text[:80]!r}")
        raise _not_sip(line[:256])
    if not uri:
        raise WireError(f"a request line without Request-URI: {text[:80]!r}")
    # RFC 3261 §7.1: no LWS but the two SPs; in particular none at the end.
    if text != f"{method} {uri} {version}":
        deviations.add("start_line_whitespace", text)
    _check_version(version, "request line", deviations)
    if any(char in uri for char in _WHITESPACE):
        deviations.add("request_uri_whitespace", uri)
    elif "<" in uri or ">" in uri:
        deviations.add("request_uri_bracketed", uri)
    else:
        try:
            parsed = parse_uri(uri)
        except WireError as error:
            deviations.add("uri_malformed", f"Request-URI: {error}")
        else:
            if parsed.headers:
                deviations.add("request_uri_headers", uri)
    return _RequestLine(method, uri, version)


def _read_status_line(text: str, deviations: _Deviations) -> _StatusLine:
    match = _STATUS_LINE.fullmatch(text)
    if not match:
        raise WireError(f"an unreadable status line: {text[:80]!r}")
    version, gap, code, separator, reason = match.groups()
    _check_version(version, "status line", deviations)
    if gap != " " or separator == "\t":
        deviations.add("start_line_whitespace", text)
    if separator is None:
        deviations.add("status_line_short", text)
    status = int(code)
    if len(code) != 3 or not 100 <= status <= 699:
        deviations.add("status_out_of_range", code)
    return _StatusLine(version, status, reason or "")


def _check_text(text: str, where: str, deviations: _Deviations) -> None:
    """Adds what no text of a head may hold. A quoted-pair may be a control character. RFC 3261 §25.1."""
    if text.isascii() and text.isprintable():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        deviations.add("not_utf8", where)
    plain = _QUOTED_OR_OPEN.sub(lambda quoted: _QUOTED_PAIR.sub("", quoted[0]), text) if "\\" in text else text
    if "\0" in plain:
        deviations.add("nul_bytes", where)
    if "\r" in plain:
        deviations.add("bare_cr", where)
    if _CONTROL.search(plain):
        deviations.add("control_characters", where)


def _read_header(raw: bytes, deviations: _Deviations) -> Header:
    # RFC 3261 §7.3.1: a line end with the white space around it counts as one SP. Joining lines keeps this linear.
    lines = (_decode(_chomp(line)).strip(_WHITESPACE) for line in _LINE.findall(raw))
    text = " ".join(filter(None, lines))
    before, colon, after = text.partition(":")
    name = before.rstrip(_WHITESPACE)
    if not colon or raw[:1] in (b" ", b"\t"):
        deviations.add("header_without_colon", text)
        return Header("", text, raw)
    _check_text(text, name, deviations)
    if not _TOKEN.fullmatch(name):
        deviations.add("header_name_malformed", name)
    elif name != before:
        deviations.add("space_before_colon", name)
    return Header(canonical_name(name), after.strip(_WHITESPACE), raw)


class _Draft:
    """A head that was read, and waits for its body."""

    def __init__(self, head: bytes, *, stream: bool, leading: bytes = b"") -> None:
        self.deviations = _Deviations()
        self.leading = leading
        self.stream = stream
        lines = _LINE.findall(head)
        self.start_raw = lines.pop(0)
        self.start = _read_start_line(self.start_raw, self.deviations)
        self.end_raw = lines.pop() if lines and lines[-1] in (b"\r\n", b"\n") else b""
        fields: list[list[bytes]] = []
        for line in lines:
            if fields and line[:1] in (b" ", b"\t"):
                fields[-1].append(line)
            else:
                fields.append([line])
        self.headers = tuple(_read_header(b"".join(field), self.deviations) for field in fields)
        bare = sum(not line.endswith(b"\r\n") for line in (self.start_raw, *lines, self.end_raw) if line[-1:] == b"\n")
        if bare:
            self.deviations.add("bare_lf", f"{bare} lines")
        if not self.end_raw:
            self.deviations.add("head_unterminated", "no empty line ends the header fields")
        # None: absent, or unusable, in which case `framed` is False.
        self.content_length: int | None = None
        self.framed = True
        self._read_content_length()

    def _read_content_length(self) -> None:
        values = [header.value for header in self.headers if header.name == "Content-Length"]
        lengths: set[int] = set()
        for value in values:
            try:
                lengths.add(_natural(value))
            except WireError:
                negative = value.startswith("-") and _DIGITS.fullmatch(value[1:])
                self.deviations.add("content_length_negative" if negative else "content_length_malformed", value)
                self.framed = False
        if len(lengths) > 1:
            self.deviations.add("content_length_disagrees", ", ".join(values))
            self.framed = False
        elif len(values) > 1:
            self.deviations.add("content_length_repeated", ", ".join(values))
        if self.framed and lengths:
            self.content_length = lengths.pop()
        if not values and self.stream:
            self.deviations.add("content_length_missing", "a stream needs it to find the end of the message")

    def complete(self, body: bytes, trailing: bytes = b"") -> SipRequest | SipResponse:
        if self.content_length is not None and len(body) < self.content_length:
            self.deviations.add("body_truncated", f"{len(body)} of {self.content_length} bytes")
        if trailing:
            self.deviations.add("trailing_bytes", f"{len(trailing)} bytes after the body")
        _check_fields(self.start, self.headers, self.deviations)
        deviations = tuple(self.deviations.found)
        match self.start:
            case _RequestLine(method, uri, version):
                return SipRequest(
                    method=method,
                    uri=uri,
                    version=version,
                    headers=self.headers,
                    body=body,
                    deviations=deviations,
                    start_raw=self.start_raw,
                    end_raw=self.end_raw,
                    leading=self.leading,
                    trailing=trailing,
                )
            case _StatusLine(version, status, reason):
                return SipResponse(
                    status=status,
                    reason=reason,
                    version=version,
                    headers=self.headers,
                    body=body,
                    deviations=deviations,
                    start_raw=self.start_raw,
                    end_raw=self.end_raw,
                    leading=self.leading,
                    trailing=trailing,
                )


def _check_fields(start: _RequestLine | _StatusLine, headers: Iterable[Header], deviations: _Deviations) -> None:
    """Adds what is wrong with the header fields that every message has, and with others that peers often break."""
    by_name: dict[str, list[str]] = {}
    for header in headers:
        by_name.setdefault(header.name, []).append(header.value)
    for name in _MANDATORY:
        if name not in by_name:
            deviations.add("header_missing", name)
    for name in _SINGLE:
        if len(by_name.get(name, ())) > 1:
            deviations.add("header_repeated", f"{name}: {' | '.join(by_name[name])}")
    _check_vias(start, by_name.get("Via", []), deviations)
    for name in ("From", "To"):
        for value in by_name.get(name, ()):
            address = _check_address(name, value, deviations)
            # RFC 3261 §8.1.1.3, §8.2.6.2.
            if address and not address.tag:
                if name == "From":
                    deviations.add("from_tag_missing", value)
                elif isinstance(start, _StatusLine) and start.status != 100:
                    deviations.add("to_tag_missing", value)
    for name in ("Contact", "Route", "Record-Route"):
        for value in by_name.get(name, ()):
            for part in _split(value, ","):
                # RFC 3261 §20.10: "*" in REGISTER. Route and Record-Route hold name-addr alone, §20.30, §20.34.
                if part == "*" and name == "Contact":
                    continue
                _check_address(name, part, deviations)
                if name != "Contact" and part and "<" not in part:
                    deviations.add("name_addr_needed", f"{name}: {part}")
    for value in by_name.get("Call-ID", ()):
        if not value or any(char in value for char in _WHITESPACE):
            deviations.add("call_id_malformed", value)
    _check_cseq(start, by_name.get("CSeq", []), deviations)
    _check_scalars(by_name, deviations)
    if isinstance(start, _RequestLine) and "Max-Forwards" not in by_name:
        deviations.add("max_forwards_missing", "Max-Forwards")


def _check_vias(start: _RequestLine | _StatusLine, values: Iterable[str], deviations: _Deviations) -> None:
    count = 0
    for value in values:
        for part in _split(_without_comments(value), ","):
            try:
                via, problem = _read_via(part)
            except WireError as error:
                deviations.add("via_malformed", str(error))
                continue
            if problem:
                deviations.add("via_malformed", f"{problem} in {part}")
            _check_version(f"{via.protocol}/{via.version}", "Via", deviations)
            if count == 0:
                _check_branch(via, deviations)
            if via.has_rport and via.rport is None and _param(via.params, "rport"):
                deviations.add("rport_malformed", part)
            count += 1
    if isinstance(start, _StatusLine) and count > 1:
        deviations.add("response_via_count", str(count))


def _check_branch(via: Via, deviations: _Deviations) -> None:
    # RFC 3261 §8.1.1.7; RFC 4475 §3.2.1.
    if via.branch is None:
        deviations.add("branch_missing", via.raw)
    elif via.branch.lower() == MAGIC_COOKIE.lower():
        deviations.add("branch_empty", via.raw)
    elif not via.branch.startswith(MAGIC_COOKIE):
        deviations.add("branch_without_cookie", via.raw)


def _check_address(name: str, value: str, deviations: _Deviations) -> NameAddr | None:
    try:
        address, problems = _read_name_addr(value)
    except WireError as error:
        unclosed = value.startswith('"') and not _QUOTED.match(value)
        deviations.add("quoted_string_unterminated" if unclosed else "name_addr_malformed", f"{name}: {error}")
        return None
    for code, detail in problems:
        deviations.add(code, f"{name}: {detail}")
    try:
        parse_uri(address.uri)
    except WireError as error:
        if not any(code == "uri_whitespace" for code, _ in problems):
            deviations.add("uri_malformed", f"{name}: {error}")
    expires = _param(address.params, "expires")
    if expires and _DIGITS.fullmatch(expires) and _exceeds(expires, 2**32 - 1):
        deviations.add("delta_seconds_out_of_range", f"{name}: expires={expires}")
    return address


def _check_cseq(start: _RequestLine | _StatusLine, values: Iterable[str], deviations: _Deviations) -> None:
    for value in values:
        try:
            cseq = parse_cseq(value)
        except WireError:
            deviations.add("cseq_malformed", value)
            continue
        if cseq.number >= 2**31:
            deviations.add("cseq_out_of_range", value)
        # RFC 3261 §8.1.1.5; methods have case, §7.1.
        if isinstance(start, _RequestLine) and cseq.method != start.method:
            deviations.add("cseq_method_mismatch", f"{start.method} request with CSeq {value}")


def _check_scalars(by_name: dict[str, list[str]], deviations: _Deviations) -> None:
    for name, limit, code in (
        ("Max-Forwards", 255, "max_forwards_out_of_range"),
        ("Expires", 2**32 - 1, "delta_seconds_out_of_range"),
        ("Min-Expires", 2**32 - 1, "delta_seconds_out_of_range"),
        ("Retry-After", 2**32 - 1, "delta_seconds_out_of_range"),
    ):
        for value in by_name.get(name, ()):
            digits = _DIGITS.match(value)
            if not digits or _exceeds(digits[0], limit):
                deviations.add(code, f"{name}: {value}")
    for value in by_name.get("Date", ()):
        if not re.fullmatch(_SIP_DATE, value):
            deviations.add("date_malformed", value)
    for value in by_name.get("Warning", ()):
        if not all(re.match(_WARN_CODE, part) for part in _split(value, ",")):
            deviations.add("warning_malformed", value)


def parse_message(
    data: bytes, *, max_head: int = MAX_HEAD, max_body: int = MAX_BODY, max_headers: int = MAX_HEADERS
) -> SipRequest | SipResponse:
    """Read one whole message, a datagram or recorded text, as SipRequest or SipResponse with its deviations. Without a
    usable Content-Length the body reaches to the end; a body cut short is a deviation. Raises NotSipError,
    TooLargeError, or WireError for a start line beyond reading. RFC 3261 §7, §18.3."""
    blank = _BLANK_LINES.match(data)
    leading = blank[0] if blank else b""
    start = len(leading)
    if start == len(data):
        raise NotSipError("there is nothing but empty lines" if data else "there is nothing", seen=data[:256])
    _gate(data[start : start + max_head + 1], 0, max_head)
    fields = 0
    end = start
    while end < len(data):
        newline = data.find(b"\n", end, start + max_head)
        line_end = newline + 1 if newline >= 0 else min(len(data), start + max_head + 1)
        line = data[end:line_end]
        fields += end > start and line[:1] not in (b" ", b"\t") and line not in (b"\r\n", b"\n")
        first, end = end == start, line_end
        if end - start > max_head:
            raise TooLargeError(f"the head is longer than {max_head} bytes")
        if fields > max_headers:
            raise TooLargeError(f"more than {max_headers} header fields")
        if not first and line in (b"\r\n", b"\n"):
            break
    draft = _Draft(data[start:end], stream=False, leading=leading)
    length = len(data) - end if draft.content_length is None else draft.content_length
    body = data[end : end + length]
    if len(body) > max_body:
        raise TooLargeError(f"the body is longer than {max_body} bytes")
    return draft.complete(body, data[end + len(body) :])


class KeepAlive(NamedTuple):
    """A CRLF between messages, the `crlfs`th in a row. One is a pong, or an empty line before a message; an even number
    completes a ping. RFC 5626 §4.4.1, RFC 3261 §7.5."""

    crlfs: int

    @property
    def completes_ping(self) -> bool:
        """Whether a server has to answer this with a CRLF."""
        return self.crlfs % 2 == 0


class Truncated(NamedTuple):
    """The stream ended inside a message. `message` is what could be read of it, None if not even its start line;
    `missing_bytes` of the body, None when the head was not complete; `data` the octets received of it."""

    data: bytes
    message: SipMessage | None
    missing_bytes: int | None


StreamEvent = SipMessage | KeepAlive | Truncated


class StreamDecoder:
    """Messages and keep-alives out of a TCP stream, framed by Content-Length, however it is cut. RFC 3261 §18.3.

    Events that precede an error are still returned: `error` is set at once, and the next call raises it.
    """

    def __init__(self, max_head: int = MAX_HEAD, max_body: int = MAX_BODY, max_headers: int = MAX_HEADERS) -> None:
        self.max_head = max_head
        self.max_body = max_body
        self.max_headers = max_headers
        self.error: WireError | None = None
        self._buffer = bytearray()
        self._draft: _Draft | None = None
        self._crlfs = 0
        # The message before gave no Content-Length: what follows may be its body, so it proves nothing of the peer.
        self._length_missing = False
        self._framing_lost = False
        self._finished = False
        self._begin_head()

    def _begin_head(self) -> None:
        self._gate_at: int | None = 0
        self._scanned = 0
        self._line_start = 0
        self._fields = 0

    def feed(self, data: bytes) -> list[SipMessage | KeepAlive]:
        """The messages and keep-alives that these bytes complete. Raises NotSipError as soon as the first octets of a
        message rule SIP out, TooLargeError at a cap, FramingLostError for bytes after an unusable Content-Length,
        WireError for a start line beyond reading."""
        if self._finished:
            raise WireError("the stream has ended")
        if self.error:
            raise self.error
        self._buffer += data
        events: list[SipMessage | KeepAlive] = []
        try:
            while self._advance(events):
                pass
        except WireError as error:
            self.error = error
            if self._length_missing and isinstance(error, NotSipError):
                self.error = FramingLostError(f"after a message without Content-Length, {error}")
            self._buffer.clear()
            if not events:
                raise self.error from None
        return events

    def finish(self) -> list[StreamEvent]:
        """What the end of the stream leaves: nothing, or one Truncated. Raises an error that was still to be told."""
        if self.error:
            raise self.error
        self._finished = True
        data = bytes(self._buffer)
        self._buffer.clear()
        if self._draft:
            draft, self._draft = self._draft, None
            message = draft.complete(data)
            return [Truncated(message.raw, message, (draft.content_length or 0) - len(data))]
        if not data:
            return []
        try:
            partial = parse_message(data, max_head=self.max_head, max_headers=self.max_headers)
        except WireError:
            return [Truncated(data, None, None)]
        # Half a start line can read like a whole one ("SIP/2.0 20"): no message without the line end.
        return [Truncated(data, partial if b"\n" in data else None, None)]

    def _advance(self, events: list[SipMessage | KeepAlive]) -> bool:
        if self._draft:
            return self._advance_body(self._draft, events)
        if self._line_start == 0 and self._gate_at is not None:
            if self._buffer.startswith(b"\r\n"):
                del self._buffer[:2]
                self._crlfs += 1
                events.append(KeepAlive(self._crlfs))
                return True
            if self._buffer.startswith(b"\n"):
                del self._buffer[:1]
                return True
            if not self._buffer or self._buffer == b"\r":
                return False
            if self._framing_lost:
                raise FramingLostError("bytes follow a message whose Content-Length is unusable")
            self._gate_at = _gate(self._buffer, self._gate_at, self.max_head)
            if self._gate_at is not None:
                return False
        return self._advance_head()

    def _advance_head(self) -> bool:
        newline = self._buffer.find(b"\n", self._scanned)
        self._scanned = len(self._buffer) if newline < 0 else newline + 1
        if self._scanned > self.max_head:
            raise TooLargeError(f"the head is longer than {self.max_head} bytes")
        if newline < 0:
            return False
        line = bytes(self._buffer[self._line_start : self._scanned])
        first, self._line_start = self._line_start == 0, self._scanned
        if first:
            _read_start_line(line, _Deviations())
        elif line in (b"\r\n", b"\n"):
            self._complete_head(self._scanned)
        elif line[:1] not in (b" ", b"\t"):
            self._fields += 1
            if self._fields > self.max_headers:
                raise TooLargeError(f"more than {self.max_headers} header fields")
        return True

    def _complete_head(self, end: int) -> None:
        draft = _Draft(bytes(self._buffer[:end]), stream=True)
        if (draft.content_length or 0) > self.max_body:
            raise TooLargeError(f"Content-Length {draft.content_length} is past {self.max_body}")
        del self._buffer[:end]
        self._begin_head()
        self._draft = draft

    def _advance_body(self, draft: _Draft, events: list[SipMessage | KeepAlive]) -> bool:
        length = draft.content_length or 0
        if len(self._buffer) < length:
            return False
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._draft = None
        self._crlfs = 0
        self._framing_lost = not draft.framed
        self._length_missing = draft.framed and draft.content_length is None
        events.append(draft.complete(body))
        return True


def _encode_text(text: str, what: str) -> bytes:
    """Octets of a text that stays on its line. Raises WireError for CR, LF or NUL, which would inject lines."""
    if any(char in text for char in "\r\n\0"):
        raise WireError(f"line end or NUL in {what}: {text[:80]!r}")
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise WireError(f"not encodable: {what}") from error


def _check_token(text: str, what: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise WireError(f"{what} is no token: {text[:80]!r}")
    return text


def _check_sendable_uri(uri: str, what: str) -> str:
    if not _SCHEME.match(uri) or any(char <= " " or char in '<>"\x7f' for char in uri):
        raise WireError(f"{what} is no URI: {uri[:80]!r}")
    return uri


def _assemble(start: bytes, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    lines = [start]
    for name, value in headers:
        _check_token(name, "a header name")
        if canonical_name(name) == "Content-Length":
            raise WireError("Content-Length is added here, not given")
        lines.append(_encode_text(f"{name}: {value}", f"header {name}"))
    lines += (b"Content-Length: %d" % len(body), b"", body)
    return b"\r\n".join(lines)


def build_request(method: str, uri: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> bytes:
    """The octets of a request, header fields in the given order, Content-Length last. Raises WireError for what would
    break or inject lines. RFC 3261 §7.1."""
    _check_token(method, "the method")
    _check_sendable_uri(uri, "the Request-URI")
    return _assemble(_encode_text(f"{method} {uri} SIP/2.0", "the request line"), headers, body)


def build_response(status: int, reason: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> bytes:
    """The octets of a response, header fields in the given order, Content-Length last. Raises WireError for what would
    break or inject lines, and for a status outside 100 to 699. RFC 3261 §7.2."""
    if not 100 <= status <= 699:
        raise WireError(f"no status code: {status}")
    return _assemble(_encode_text(f"SIP/2.0 {status} {reason}", "the status line"), headers, body)


def build_answer(
    request: SipRequest,
    status: int,
    reason: str,
    *,
    to_tag: str | None = None,
    received: str | None = None,
    rport: int | None = None,
    extra: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> bytes:
    """The octets of the response to a request: its Via, From, To, Call-ID and CSeq copied, To with `to_tag` unless it
    has a tag. `received` is added to the topmost Via, `rport` filled in where the request asks. RFC 3261 §8.2.6.2,
    §18.2.1, RFC 3581 §4."""
    headers: list[tuple[str, str]] = []
    for header in request.headers_named("Via"):
        value = header.value
        if not headers and (received is not None or rport is not None):
            top, *others = split_list(value) or (value,)
            value = ", ".join((_stamp_via(top, received, rport), *others))
        headers.append(("Via", value))
    for name in ("From", "To", "Call-ID", "CSeq"):
        for header in request.headers_named(name):
            value = header.value
            if name == "To" and to_tag and request.to_tag is None:
                value = f"{value};tag={_check_token(to_tag, 'the To tag')}"
            headers.append((name, value))
    return build_response(status, reason, (*headers, *extra), body)


def _stamp_via(value: str, received: str | None, rport: int | None) -> str:
    head, *params = _split(value, ";")
    if rport is not None:
        params = [f"rport={rport}" if param.lower() == "rport" else param for param in params]
    if received is not None:
        params.append(f"received={received}")
    return ";".join((head, *params))


def build_options(
    *,
    uri: str,
    via_host: str,
    via_port: int | None,
    transport: str,
    branch: str,
    call_id: str,
    from_uri: str,
    from_tag: str,
    to_uri: str,
    cseq: int,
    user_agent: str,
    contact: str | None = None,
    max_forwards: int = 70,
    via_rport: bool = True,
    extra: Sequence[tuple[str, str]] = (),
) -> bytes:
    """The octets of an OPTIONS request outside a dialog. `contact` is a URI. Raises WireError for a value that its
    field cannot carry. RFC 3261 §8.1.1, §11.1, RFC 3581 §3."""
    if not _HOSTPORT.fullmatch(_hostport(via_host, via_port)):
        raise WireError(f"no sent-by: {via_host[:80]!r}")
    if not 0 <= cseq < 2**31 or not 0 <= max_forwards <= 255:
        raise WireError(f"CSeq {cseq} or Max-Forwards {max_forwards} is out of range")
    if not call_id or any(char in call_id for char in _WHITESPACE):
        raise WireError(f"no Call-ID: {call_id[:80]!r}")
    via = f"SIP/2.0/{_check_token(transport, 'the transport')} {_hostport(via_host, via_port)}"
    headers = [
        ("Via", f"{via};branch={_check_token(branch, 'the branch')}{';rport' if via_rport else ''}"),
        ("Max-Forwards", str(max_forwards)),
        ("From", f"<{_check_sendable_uri(from_uri, 'From')}>;tag={_check_token(from_tag, 'the From tag')}"),
        ("To", f"<{_check_sendable_uri(to_uri, 'To')}>"),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} OPTIONS"),
    ]
    if contact is not None:
        headers.append(("Contact", f"<{_check_sendable_uri(contact, 'Contact')}>"))
    headers += [("Accept", "application/sdp"), ("User-Agent", user_agent), *extra]
    return build_request("OPTIONS", uri, headers)


class Mismatch(NamedTuple):
    """One value that a response had to return as the request gave it, and did not: `branch`, `sent_by`, `call_id`,
    `cseq_number`, `cseq_method` or `from_tag`. None is absent or unreadable."""

    field: str
    sent: str | None
    received: str | None


def match_response(request: SipRequest, response: SipResponse) -> tuple[Mismatch, ...]:
    """What came back altered of the values by which a response is matched; empty when it answers this request. Values
    are compared, not their writing: white space, compact forms, letter case of hosts and a default port left out do
    not count. RFC 3261 §17.1.3, §8.2.6.2."""
    sent, received = _identity(request), _identity(response)
    return tuple(
        Mismatch(field, sent[field][1], received[field][1]) for field in sent if sent[field][0] != received[field][0]
    )


def _identity(message: SipMessage) -> dict[str, tuple[object, str | None]]:
    """For each matched field what is compared, and how it is told."""
    via, cseq = message.top_via, message.cseq
    branch = via.branch if via else None
    return {
        "branch": (branch, branch),
        "sent_by": (_comparable_sent_by(via), via.sent_by if via else None),
        "call_id": (message.call_id, message.call_id),
        "cseq_number": (cseq.number if cseq else None, str(cseq.number) if cseq else None),
        "cseq_method": (cseq.method if cseq else None, cseq.method if cseq else None),
        "from_tag": (message.from_tag, message.from_tag),
    }


def _comparable_sent_by(via: Via | None) -> tuple[str, int] | None:
    if via is None:
        return None
    try:
        host = str(ip_address(via.host))
    except ValueError:
        host = via.host.lower()
    # RFC 3261 §18.1.1, §19.1.2: the default port of the transport.
    default_port = 5061 if via.transport.upper() in ("TLS", "TLS-SCTP", "WSS") else 5060
    return host, default_port if via.port is None else via.port
