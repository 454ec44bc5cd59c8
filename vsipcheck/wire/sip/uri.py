"""URIs as values. RFC 3261 §19.1."""

from typing import NamedTuple

from vsipcheck.wire.errors import WireError
from vsipcheck.wire.sip.grammar import HOSTPORT, SCHEME, Params, find_param, read_port


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
        value = find_param(self.params, "transport")
        return value.lower() if value else None


def parse_uri(uri: str) -> SipUri:
    """Read a URI; sip and sips in parts. Raises WireError if there is no scheme, or a sip URI is malformed, e.g. IPv6
    without brackets. RFC 3261 §19.1.1, §25.1."""
    match = SCHEME.match(uri)
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
    place = HOSTPORT.fullmatch(hostport)
    if not place:
        raise WireError(f"not host or host:port: {hostport[:80]!r}")
    params = tuple(_pair(part) for part in uri_params.split(";") if part)
    headers = tuple(_pair(part) for part in hnames.split("&") if part) if question else ()
    return SipUri(
        scheme, user, place[1] or place[2], read_port(place[3]), params, headers, password=password if colon else None
    )


def _pair(part: str) -> tuple[str, str | None]:
    name, equals, value = part.partition("=")
    return name, value if equals else None
