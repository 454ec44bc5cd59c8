"""What was answered about one name, sorted by what it is worth, and the words for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vsipcheck.checks.base import Facts
from vsipcheck.model import Confidence, Failure, FaultDomain, Lookup, Measure, Note
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import AddressClass, classify, is_public, nat64_prefixes_from_ipv4only, synthesised_ipv4

# A call set-up that waits longer than this for a name is noticed by its caller. Ours.
SLOW_MS = 1000.0
IPV4ONLY = "ipv4only.arpa"  # RFC 7050
WELL_KNOWN_NAT64 = "64:ff9b::/96"  # RFC 6052
MAPPED_IPV4 = "::ffff:0:0/96"  # how some systems' getaddrinfo dresses an A record: RFC 4291 §2.5.5.2

# What says that the name has no address, as against nobody having said anything.
NEGATIVE = frozenset({Failure.NXDOMAIN, Failure.NODATA})
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
class Blame:
    domain: FaultDomain
    confidence: Confidence
    remedy: str | None = None
    settle_by: str | None = None
    sentence: str | None = None


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that does not stop the name from resolving."""

    reason: str
    sentence: str
    blame: Blame
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The lookups of one name, sorted by what they are worth."""

    name: str
    system: dict[str, Lookup]
    configured: list[Lookup]
    reference: list[Lookup]
    nat64_prefixes: list[str]

    def of_type(self, lookups: Iterable[Lookup], rtype: str) -> list[Lookup]:
        return [lookup for lookup in lookups if lookup.record_type == rtype]

    @property
    def facts(self) -> list[Lookup]:
        return [*self.system.values(), *self.configured, *self.reference]


def sort_lookups(name: str, facts: Facts) -> Seen:
    lookups = [lookup for lookup in facts.of(Lookup, "dns") if lookup.name == name]
    prefixes = [WELL_KNOWN_NAT64]
    for lookup in facts.of(Lookup, "dns"):
        if lookup.name == IPV4ONLY and lookup.record_type == "AAAA":
            prefixes.extend(_prefixes(lookup.addresses))
    return Seen(
        name=name,
        system={lookup.record_type: lookup for lookup in lookups if lookup.server is None},
        configured=[lookup for lookup in lookups if lookup.server is not None and lookup.purpose == "trunk"],
        reference=[lookup for lookup in lookups if lookup.server is not None and lookup.purpose == "reference"],
        nat64_prefixes=list(dict.fromkeys(prefixes)),
    )


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
            return FaultDomain.ISP
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
