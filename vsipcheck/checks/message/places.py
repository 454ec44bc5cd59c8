"""What a message names: numbers, addresses, URIs, and whether anybody on the Internet can reach them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import unquote

from vsipcheck.checks.dns.answers import class_of
from vsipcheck.model import Profile
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import AddressClass
from vsipcheck.wire.sip.grammar import split_list
from vsipcheck.wire.sip.message import SipMessage
from vsipcheck.wire.sip.uri import SipUri, parse_uri
from vsipcheck.wire.sip.values import NameAddr, parse_name_addr
from vsipcheck.wire.text import sanitise

E164 = re.compile(r"\+[1-9][0-9]{5,14}")
_SHOWN = 80
_LISTED = 4
# Nobody on the Internet can send a call to these. Documentation addresses are not among them: they stand where a person
# wrote over the real ones.
_UNREACHABLE = {
    AddressClass.PRIVATE: "private (RFC 1918)",
    AddressClass.SHARED: "of a carrier's NAT (RFC 6598)",
    AddressClass.UNIQUE_LOCAL: "private (RFC 4193)",
    AddressClass.LOOPBACK: "the host's own loopback",
    AddressClass.LINK_LOCAL: "link-local",
    AddressClass.UNSPECIFIED: "unspecified",
    AddressClass.BROADCAST: "the broadcast address",
    AddressClass.MULTICAST: "multicast, no single host's",
    AddressClass.BENCHMARKING: "for benchmarks alone (RFC 2544)",
    AddressClass.SERVICE_CONTINUITY: "within the host or its router (RFC 7335)",
    AddressClass.MAPPED: "an IPv4 address in IPv6 form, which is never on the wire",
    AddressClass.NAT64_LOCAL: "of a translator in the local network (RFC 8215)",
    AddressClass.ORCHID: "no address that packets go to (RFC 7343)",
    AddressClass.DISCARD: "where packets are discarded (RFC 6666)",
    AddressClass.RESERVED: "reserved, and nobody's",
}
# Names that mean something in a local network alone. RFC 6761, RFC 6762, RFC 8375, and what routers make up.
_LOCAL_NAMES = (".localhost", ".local", ".localdomain", ".invalid", ".home.arpa", ".internal", ".lan", ".home", ".corp")


def quoted(text: str | None) -> str:
    """Text of a message as it may stand in a summary."""
    return sanitise(text or "", max_length=_SHOWN)


def listed(clauses: Sequence[str]) -> str:
    """What breaks rules, as it may stand in a summary: the first few, and how many more there are."""
    return "; ".join(clauses[:_LISTED]) + (f"; and {len(clauses) - _LISTED} more" if len(clauses) > _LISTED else "")


def unreachable(host: str | None) -> str | None:
    """Why nobody on the Internet can send to the address; None where that is not so, or where it is a name."""
    kind = class_of(host or "")
    return _UNREACHABLE.get(kind) if kind is not None else None


def is_local_name(host: str | None) -> bool:
    """Whether a host is a name that nobody outside the local network can look up."""
    name = (host or "").lower().rstrip(".")
    is_name = class_of(name) is None and not name.replace(".", "").isdigit()
    return bool(name) and is_name and ("." not in name or name.endswith(_LOCAL_NAMES))


def number_in(uri: SipUri | None) -> str:
    """The number that a SIP or tel URI names, without its parameters; empty where there is none. RFC 3261 §19.1.4: an
    escaped + is a +."""
    if uri is None:
        return ""
    return unquote((uri.user or (uri.opaque if uri.scheme == "tel" else "") or "").partition(";")[0])


def values_in(message: SipMessage, name: str) -> list[str]:
    """The elements of all header fields of that name, in order."""
    return [value for header in message.headers_named(name) for value in split_list(header.value)]


def address_in(value: str | None) -> NameAddr | None:
    """The first address of a header value; None where there is none that can be read."""
    try:
        return parse_name_addr((split_list(value or "") or ("",))[0])
    except WireError:
        return None


def uri_in(value: str | None) -> SipUri | None:
    """The URI of the first address of a header value; None where there is none that can be read."""
    address = address_in(value)
    try:
        return parse_uri(address.uri) if address else None
    except WireError:
        return None


def is_other_family(host: str | None, profile: Profile) -> bool:
    """Whether an address is of another family than all of the provider's."""
    theirs = {ip_address(media.address).version for media in profile.media.addresses}
    try:
        return bool(theirs) and ip_address(host or "").version not in theirs
    except ValueError:
        return False
