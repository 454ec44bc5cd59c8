"""Messages as values that keep the received text: `raw` gives the received bytes again. RFC 3261 §7."""

from dataclasses import dataclass
from typing import NamedTuple

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.deviations import Deviation, Grade
from vsipcheck.wire.sip.grammar import split_list, without_comments
from vsipcheck.wire.sip.values import CSeq, Via, parse_cseq, parse_name_addr, parse_via

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


def canonical_name(name: str) -> str:
    """The usual long form of a header field name, given in any form and case. Unknown names stay as they are."""
    return _CANONICAL.get(name.lower(), name)


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
            for part in split_list(without_comments(header.value)):
                try:
                    found.append(parse_via(part))
                except WireError:
                    continue
        return tuple(found)

    @property
    def top_via(self) -> Via | None:
        """The topmost Via value; None when there is none or it cannot be read (never a lower one in its place)."""
        parts = split_list(without_comments(self.header("Via") or ""))
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
