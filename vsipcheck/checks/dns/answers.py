"""What was answered about one name, sorted by what it is worth, and the words for it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from vsipcheck.checks.base import Facts
from vsipcheck.checks.dns.verdict import Blame
from vsipcheck.model import Confidence, Failure, FaultDomain, Lookup, Measure, Note
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import AddressClass, classify, is_public, nat64_prefixes_from_ipv4only, synthesised_ipv4

# A call set-up that waits longer than this for a name is noticed by its caller. Ours.
SLOW_MS = 1000.0
IPV4ONLY = "ipv4only.arpa"  # RFC 7050
WELL_KNOWN_NAT64 = "64:ff9b::/96"  # RFC 6052
MAPPED_IPV4 = "::ffff:0:0/96"  # how some systems' getaddrinfo dresses an A record: RFC 4291 §2.5.5.2

NOBODY = "192.0.2.1"  # nobody is at an address of RFC 5737: whoever answers from there took the query on its way
_PUBLIC_RESOLVERS = frozenset(
    {
        *("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "149.112.112.112"),
        *("208.67.222.222", "208.67.220.220", "2001:4860:4860::8888", "2606:4700:4700::1111", "2620:fe::fe"),
    }
)
ROOT_SERVERS_SOURCE = "root servers"
WALK_TOPIC = "dns_walk"
DEEP_TOPIC = "dns_deep"
# What says that the name has no address, as against nobody having said anything.
NEGATIVE = frozenset({Failure.NXDOMAIN, Failure.NODATA})
SILENT = frozenset({Failure.DNS_TIMEOUT, Failure.NO_ANSWER})
UNREACHABLE = frozenset(
    {
        Failure.DNS_TIMEOUT,
        Failure.NO_ANSWER,
        Failure.REFUSED,
        Failure.RESET,
        Failure.CONNECT_TIMEOUT,
        Failure.KERNEL_TIMEOUT,
        Failure.HOST_UNREACHABLE,
        Failure.NET_UNREACHABLE,
        Failure.PORT_UNREACHABLE,
        Failure.PROTOCOL_UNREACHABLE,
        Failure.ADMIN_PROHIBITED,
        Failure.TTL_EXCEEDED,
        Failure.CLOSED_EARLY,
        Failure.MISMATCH,
    }
)
LOCAL = frozenset({Failure.NO_ROUTE, Failure.LOCAL_DENIED, Failure.ADDRESS_UNAVAILABLE})
NOT_MEASURED = frozenset({Failure.CANCELLED, Failure.NOT_SUPPORTED, Failure.LOCAL_ERROR, Failure.OTHER})


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that does not stop the name from resolving."""

    reason: str
    sentence: str
    blame: Blame
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Authority:
    """What the zone's own servers say of a name. `addresses` are those of all that were asked, `failure` a denial."""

    zone: str
    addresses: list[str]
    ttl_s: int | None
    failure: Failure | None
    lookups: list[Lookup]


@dataclass(frozen=True, slots=True)
class Seen:
    """The lookups of one name, sorted by what they are worth."""

    name: str
    system: dict[str, Lookup]
    configured: list[Lookup]
    reference: list[Lookup]
    nat64_prefixes: list[str]
    facts: list[Lookup]
    refusals: list[Lookup]  # what tells why nameservers kept silent
    authority: Authority | None
    unchecked: list[Lookup]  # asked with CD after a SERVFAIL, and answered

    def of_type(self, lookups: Iterable[Lookup], rtype: str) -> list[Lookup]:
        return [lookup for lookup in lookups if lookup.record_type == rtype]


def sort_lookups(name: str, facts: Facts) -> Seen:
    everything = facts.of(Lookup, "dns")
    lookups = [lookup for lookup in everything if lookup.name == name]
    prefixes = [WELL_KNOWN_NAT64]
    for lookup in everything:
        if lookup.name == IPV4ONLY and lookup.record_type == "AAAA":
            prefixes.extend(_prefixes(lookup.addresses))
    configured = merged(lookup for lookup in lookups if lookup.server is not None and lookup.purpose == "trunk")
    silent = {lookup.server for lookup in configured if lookup.failure in SILENT}
    refusals = {server: found for server in silent if (found := _refusal(server, everything)) is not None}
    return Seen(
        name=name,
        system={lookup.record_type: lookup for lookup in lookups if lookup.server is None},
        configured=[_as_refused(lookup, refusals.get(lookup.server)) for lookup in configured],
        reference=merged(lookup for lookup in lookups if lookup.server is not None and lookup.purpose == "reference"),
        nat64_prefixes=list(dict.fromkeys(prefixes)),
        facts=[lookup for lookup in lookups if lookup.purpose in ("trunk", "reference")],
        refusals=list(refusals.values()),
        authority=authority_on(name, facts),
        unchecked=[
            lookup for lookup in lookups if lookup.purpose == "control" and lookup.server != NOBODY and lookup.addresses
        ],
    )


def _refusal(server: str | None, lookups: Sequence[Lookup]) -> Lookup | None:
    """A question to `server` that drew an ICMP error, where none was answered: who sends such errors rations them
    (RFC 1812 §4.3.2.8), so that one of them tells why other questions met with silence."""
    asked = [lookup for lookup in lookups if lookup.server == server]
    if any(lookup.failure is None or lookup.rcode is not None for lookup in asked):
        return None
    return next((lookup for lookup in asked if lookup.icmp is not None and lookup.icmp.address is not None), None)


def _as_refused(lookup: Lookup, refusal: Lookup | None) -> Lookup:
    if refusal is None or lookup.failure not in SILENT:
        return lookup
    return msgspec.structs.replace(lookup, failure=refusal.failure, icmp=refusal.icmp)


def _prefixes(addresses: Sequence[str]) -> list[str]:
    try:
        return nat64_prefixes_from_ipv4only(addresses)
    except WireError:
        return []


def is_usable(address: str, prefixes: Sequence[str]) -> bool:
    """Whether somebody on the Internet can be at `address`, through a NAT64 or not."""
    try:
        return is_public(synthesised_ipv4(address, [*prefixes, MAPPED_IPV4]) or address)
    except WireError:
        return False


def no_nameserver(facts: Facts) -> bool:
    return any(note.topic == "nameservers" and note.values.get("count") == 0 for note in facts.of(Note, "dns"))


def class_of(address: str) -> AddressClass | None:
    try:
        return classify(address)
    except WireError:
        return None


def place_of(server: str) -> FaultDomain:
    """Whose a nameserver is, by its address. 100.64/10 may be a provider's or an overlay's on this very host."""
    match class_of(server):
        case AddressClass.LOOPBACK:
            return FaultDomain.HOST
        case AddressClass.PRIVATE | AddressClass.UNIQUE_LOCAL | AddressClass.LINK_LOCAL:
            return FaultDomain.LOCAL_NETWORK
        case AddressClass.GLOBAL:
            # Known to everybody, and nobody's ISP.
            return FaultDomain.UNDETERMINED if server in _PUBLIC_RESOLVERS else FaultDomain.ISP
        case _:
            return FaultDomain.UNDETERMINED


def common_place(lookups: Sequence[Lookup]) -> FaultDomain:
    places = {place_of(lookup.server) if lookup.server else FaultDomain.HOST for lookup in lookups}
    return next(iter(places)) if len(places) == 1 else FaultDomain.UNDETERMINED


_REASONS = {Failure.NODATA: "no_address", Failure.NO_ANSWER: "dns_timeout"}


def reason_of(failure: Failure) -> str:
    return _REASONS.get(failure, str(failure))


_WORDS = {
    Failure.NXDOMAIN: "the name does not exist (NXDOMAIN)",
    Failure.NODATA: "the name exists without an address",
    Failure.SERVFAIL: "the nameserver failed (SERVFAIL)",
    Failure.DNS_REFUSED: "the nameserver refused to answer (REFUSED)",
    Failure.DNS_TIMEOUT: "no answer in time",
    Failure.MISMATCH: "answers came, but to other questions",
    Failure.NO_ROUTE: "no route",
    Failure.LOCAL_DENIED: "denied by this host's own firewall",
    Failure.REFUSED: "no DNS service there",
    Failure.PORT_UNREACHABLE: "no DNS service there",
}


def told(failure: Failure) -> str:
    return _WORDS.get(failure, str(failure).replace("_", " "))


def what_they_say(lookups: Sequence[Lookup]) -> str:
    parts: dict[str, list[str]] = {}
    for lookup in lookups:
        said = listed(lookup.addresses) if lookup.failure is None else told(lookup.failure)
        parts.setdefault(said, []).append(lookup.server or "the system")
    return "; ".join(f"{listed(dict.fromkeys(servers))}: {said}" for said, servers in parts.items())


def tally(seen: Seen, rtype: str) -> str:
    direct = seen.of_type(seen.configured, rtype)
    if not direct:
        return ""
    good = sum(lookup.failure is None for lookup in direct)
    return f" {good} of {len(direct)} configured nameservers {'has' if good == 1 else 'have'} an address for it."


def has_or_have(lookups: Sequence[Lookup]) -> str:
    return "has" if len({lookup.server for lookup in lookups}) == 1 else "have"


def is_or_are(lookups: Sequence[Lookup]) -> str:
    return "is" if len({lookup.server for lookup in lookups}) == 1 else "are"


def servers_of(lookups: Sequence[Lookup]) -> str:
    return listed(dict.fromkeys(lookup.server or "this host's resolution" for lookup in lookups))


def listed(words: Iterable[str]) -> str:
    all_words = list(words)
    if len(all_words) > 1:
        return ", ".join(all_words[:-1]) + f" and {all_words[-1]}"
    return all_words[0] if all_words else ""


def measures_of(seen: Seen, system: Lookup | None) -> tuple[Measure, ...]:
    measures = []
    if system is not None and system.rtt_ms is not None:
        measures.append(Measure(name="system_rtt_ms", value=system.rtt_ms, unit="ms", warn=SLOW_MS))
    direct = [lookup for lookup in seen.configured if lookup.rtt_ms is not None]
    if direct:
        rtts = [lookup.rtt_ms for lookup in direct if lookup.rtt_ms is not None]
        measures.append(Measure(name="nameserver_rtt_max_ms", value=max(rtts), unit="ms"))
    ttls = [lookup.ttl_s for lookup in direct if lookup.ttl_s is not None]
    if ttls:
        measures.append(Measure(name="ttl_min_s", value=min(ttls), unit="s"))
    return tuple(measures)


def merged(lookups: Iterable[Lookup]) -> list[Lookup]:
    """One lookup for each nameserver and record type, with the addresses of all times that it was asked."""
    grouped: dict[tuple[str | None, str], list[Lookup]] = {}
    for lookup in lookups:
        grouped.setdefault((lookup.server, lookup.record_type), []).append(lookup)
    found = []
    for same in grouped.values():
        best = next((lookup for lookup in same if lookup.failure is None), same[0])
        addresses = tuple(dict.fromkeys(address for lookup in same for address in lookup.addresses))
        found.append(msgspec.structs.replace(best, addresses=addresses) if len(same) > 1 else best)
    return found


def same_operator(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether two sets of addresses may well be one party's: one in common, or two of one IPv4 /16 or IPv6 /32.

    A name that rotates its addresses gives another part of them each time, most often out of one block.
    """
    theirs = {_block(other) for other in others}
    return any(_block(address) in theirs for address in some)


def _block(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 16 if parsed.version == 4 else 32), strict=False))


def interception(facts: Facts) -> tuple[str, list[Lookup]] | None:
    """What shows that somebody on the way answers queries that are not his, with the lookups that show it."""
    for lookup in facts.of(Lookup, "dns"):
        if lookup.purpose == "control" and lookup.server == NOBODY and lookup.rcode is not None:
            return (
                f"a query to {NOBODY}, an address where nobody can be (RFC 5737), was answered",
                [lookup],
            )
    for lookup in facts.of(Lookup, "dns"):
        if lookup.purpose == "authority" and lookup.server_source == ROOT_SERVERS_SOURCE:
            if lookup.addresses and ("aa" not in lookup.flags or walk_to(lookup.name, facts) is not None):
                return f"{lookup.server}, a root server, seems to know {lookup.name}, which no root server does", [
                    lookup
                ]
            if "ra" in lookup.flags:
                return f"{lookup.server}, a root server, seems to offer recursion, which no root server does", [lookup]
    return None


def authority_on(name: str, facts: Facts) -> Authority | None:
    """What the zone's own servers say of `name`; None where they were not asked, not reached, or not believed."""
    walk = walk_to(name, facts)
    if walk is None or walk.values.get("ended") not in ("answered", "denied") or interception(facts) is not None:
        return None
    names = [name.rstrip(".").lower()]
    asked = [lookup for lookup in facts.of(Lookup, "dns") if lookup.purpose == "authority" and "aa" in lookup.flags]
    kept: list[Lookup] = []
    for known in names:  # grows by the aliases that are found
        for lookup in asked:
            if lookup.name.rstrip(".").lower() == known and lookup.record_type == "A":
                kept.append(lookup)
                ends = [alias.rstrip(".").lower() for alias in lookup.cname_chain]
                names += [alias for alias in ends if alias not in names]
    addresses = list(dict.fromkeys(address for lookup in kept for address in lookup.addresses))
    ttls = [lookup.ttl_s for lookup in kept if lookup.ttl_s is not None]
    denials = [lookup.failure for lookup in kept if lookup.failure in NEGATIVE and not lookup.cname_chain]
    if not addresses and not denials:
        return None
    return Authority(
        zone=str(walk.values.get("zone")).rstrip(".") or "the root",
        addresses=addresses,
        ttl_s=max(ttls) if ttls else None,
        failure=None if addresses else denials[-1],
        lookups=kept,
    )


def walk_to(name: str, facts: Facts) -> Note | None:
    """The note of the walk from the root servers to `name`."""
    notes = (note for note in facts.of(Note, "dns") if note.topic == WALK_TOPIC and note.values.get("name") == name)
    return next(notes, None)


def blame_validation(seen: Seen, failing: Sequence[Lookup]) -> Blame:
    """Who has to act where a nameserver fails a name that it does know when it is told not to validate (CD)."""
    failing = [lookup for lookup in failing if lookup.failure is Failure.SERVFAIL]
    knowing = [lookup for lookup in seen.unchecked if lookup.server in {other.server for other in failing}]
    validating = [lookup for lookup in [*seen.configured, *seen.reference] if lookup.addresses and "ad" in lookup.flags]
    sentence = f"Told not to validate (CD), {servers_of(knowing)} {has_or_have(knowing)} {_addresses_of(knowing)}: "
    sentence += "DNSSEC validation fails there."
    if validating:
        return Blame(
            common_place(failing),
            Confidence.LIKELY,
            remedy=f"Set the clock and the trust anchors of {servers_of(failing)}, or stop it from validating.",
            sentence=f"{sentence} {servers_of(validating)} validates the same name (AD).",
        )
    return Blame(
        FaultDomain.UNDETERMINED,
        Confidence.POSSIBLE,
        remedy=f"Look into the log of {servers_of(failing)}: why does {seen.name} not validate?",
        settle_by=f"`delv {seen.name}` tells whether the zone's signatures are at fault, or that nameserver's clock "
        "and trust anchors.",
        sentence=sentence,
    )


def _addresses_of(lookups: Sequence[Lookup]) -> str:
    return listed(dict.fromkeys(address for lookup in lookups for address in lookup.addresses))
