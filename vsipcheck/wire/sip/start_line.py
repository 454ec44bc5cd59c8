"""Whether bytes begin a SIP message at all, and what its start line says. RFC 3261 §7.1, §7.2, §25.1."""

import re
from typing import NamedTuple

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.deviations import Deviations
from vsipcheck.wire.sip.errors import NotSipError, TooLargeError
from vsipcheck.wire.sip.grammar import QUOTED_OR_OPEN, QUOTED_PAIR, SCHEME, TOKEN, TOKEN_CHARS, WHITESPACE
from vsipcheck.wire.sip.uri import parse_uri

_TOKEN_RUN = re.compile(rf"[{TOKEN_CHARS}]*+".encode())
# RFC 3261 §25.1: Status-Line.
_STATUS_LINE = re.compile(r"(SIP/[^ \t]++)([ \t]++)([0-9]{1,19}+)(?:([ \t])(.*))?", re.IGNORECASE | re.DOTALL)
# What answers on a port meant for SIP, by its first octets. "SSH-" alone could also begin a SIP method by the grammar.
# Left to the cache of `re`: seldom needed, and compiling costs start-up time.
_GREETINGS = (
    (rb"SSH-", "ssh"),
    (rb"(?i)HTTP/", "http"),
    (rb"(?i)(?:GET|HEAD|POST|PUT|CONNECT) [^\n]* HTTP/", "http"),
    (rb"(?i)<(?:!doctype|html|\?xml)", "html"),
    (rb"[\x14-\x17]\x03[\x00-\x04]", "tls"),  # RFC 8446 §5.1: content type, legacy_record_version
    (rb"(?i)RTSP/", "rtsp"),
    (rb"220[ -]", "smtp or ftp"),
)
_CONTROL = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")


class RequestLine(NamedTuple):
    """The start line of a request. `uri` as received."""

    method: str
    uri: str
    version: str


class StatusLine(NamedTuple):
    """The start line of a response. `status` may be out of range."""

    version: str
    status: int
    reason: str


def _not_sip(seen: bytes) -> NotSipError:
    looks_like = next((name for pattern, name in _GREETINGS if re.match(pattern, seen)), None)
    what = f"this looks like {looks_like}" if looks_like else "this is no SIP start line"
    return NotSipError(f"{what}: {seen[:60]!r}", seen=bytes(seen[:256]), looks_like=looks_like)


def check_first_octets(buffer: bytes | bytearray, checked: int, limit: int) -> int | None:
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


def decode_text(data: bytes) -> str:
    """The text of octets; those that are not UTF-8 as surrogate escapes."""
    return data.decode("utf-8", "surrogateescape")


def without_line_end(line: bytes) -> bytes:
    """The line without its CRLF or LF."""
    return line.removesuffix(b"\n").removesuffix(b"\r")


def check_version(version: str, where: str, deviations: Deviations) -> None:
    """Adds what is wrong with a SIP-Version. RFC 3261 §7.1."""
    if version.upper() != "SIP/2.0":
        deviations.add("version_unknown", f"{where}: {version}")
    elif version != "SIP/2.0":
        deviations.add("version_lower_case", f"{where}: {version}")


def read_start_line(line: bytes, deviations: Deviations) -> RequestLine | StatusLine:
    """Read a start line, with its line end or without. Raises NotSipError, or WireError where it is beyond reading."""
    text = decode_text(without_line_end(line))
    check_text(text, "start line", deviations)
    if text[:4].upper() == "SIP/":
        return _read_status_line(text, deviations)
    method_match = TOKEN.match(text)
    method = method_match[0] if method_match else ""
    after = text[len(method) :]
    rest = after.strip(WHITESPACE)
    cut = max(rest.rfind(" "), rest.rfind("\t"))
    uri, version = rest[: max(cut, 0)].rstrip(WHITESPACE), rest[cut + 1 :]
    if not method or after[:1] not in (" ", "\t") or version[:4].upper() != "SIP/":
        if method and SCHEME.match(rest) and rest[:5].lower().startswith(("sip:", "sips:")):
            raise WireError(f"a request line without SIP version: {text[:80]!r}")
        raise _not_sip(line[:256])
    if not uri:
        raise WireError(f"a request line without Request-URI: {text[:80]!r}")
    # RFC 3261 §7.1: no LWS but the two SPs; in particular none at the end.
    if text != f"{method} {uri} {version}":
        deviations.add("start_line_whitespace", text)
    check_version(version, "request line", deviations)
    if any(char in uri for char in WHITESPACE):
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
    return RequestLine(method, uri, version)


def _read_status_line(text: str, deviations: Deviations) -> StatusLine:
    match = _STATUS_LINE.fullmatch(text)
    if not match:
        raise WireError(f"an unreadable status line: {text[:80]!r}")
    version, gap, code, separator, reason = match.groups()
    check_version(version, "status line", deviations)
    if gap != " " or separator == "\t":
        deviations.add("start_line_whitespace", text)
    if separator is None:
        deviations.add("status_line_short", text)
    status = int(code)
    if len(code) != 3 or not 100 <= status <= 699:
        deviations.add("status_out_of_range", code)
    return StatusLine(version, status, reason or "")


def check_text(text: str, where: str, deviations: Deviations) -> None:
    """Adds what no text of a head may hold. A quoted-pair may be a control character. RFC 3261 §25.1."""
    if text.isascii() and text.isprintable():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        deviations.add("not_utf8", where)
    plain = QUOTED_OR_OPEN.sub(lambda quoted: QUOTED_PAIR.sub("", quoted[0]), text) if "\\" in text else text
    if "\0" in plain:
        deviations.add("nul_bytes", where)
    if "\r" in plain:
        deviations.add("bare_cr", where)
    if _CONTROL.search(plain):
        deviations.add("control_characters", where)
