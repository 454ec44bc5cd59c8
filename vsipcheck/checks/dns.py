"""Whether the signalling names resolve: as the system does it, and at every configured nameserver on its own.

What can be seen, what else would look just like it, and so what may be said:

- The system's own resolution gives a global IPv4 address: a PBX on this host that resolves like everybody else gets
  it too, /etc/hosts included. A transparent resolver that lies with a global address looks just the same; only a
  disagreement between nameservers, or one address behind both names, hints at it. Pass never says that the address is
  the provider's: that is what the SIP check sees.
- A configured nameserver fails or contradicts: resolution works today by the others' grace. A record set that rotates
  one address at a time looks like a contradiction, so that disjoint answers are told as such and no more.
- The system differs from every nameserver: /etc/hosts, a cache, a search domain. The host's own, `possible`.
- NXDOMAIN: the name is gone, or the resolver lies, or the name was mistyped. Several public nameservers that agree
  point at the zone; one private resolver proves nothing about it.
- Silence of a nameserver: dead, unreachable, or a forwarder whose own upstream is silent. Who has to act is read off
  the nameserver's place: a loopback address is the host's, a private one the local network's.
- An address in special-purpose space (RFC 6890) is nobody's SIP edge: hijack or sinkhole. NAT64 (RFC 6052, prefixes by
  RFC 7050) is no hijack as long as the IPv4 address inside is global.
- What `--resolver` names is ours to compare. Its silence says nothing about what a PBX gets.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from vsipcheck.checks.base import Check, Context, Facts, Recorder, fact_ids, span_ms
from vsipcheck.checks.paths import blame_icmp
from vsipcheck.model import (
    Confidence,
    DnsRecord,
    Failure,
    Family,
    FaultDomain,
    Finding,
    Lookup,
    Measure,
    Note,
    Profile,
    Settings,
    Status,
)
from vsipcheck.net import Nameserver
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import (
    AddressClass,
    address_block,
    classify,
    is_public,
    nat64_prefixes_from_ipv4only,
    synthesised_ipv4,
)

if TYPE_CHECKING:
    import dns.message
    import dns.name

FINDING = "dns.resolution"

# A call set-up that waits longer than this for a name is noticed by its caller. Ours.
SLOW_MS = 1000.0
# glibc turns to the second nameserver 5 s after the first (resolv.conf(5), `timeout`): a system lookup that works by
# its second nameserver has to be seen working.
SYSTEM_GRACE_S = 1.0
# Fits into one datagram on any path, so that no fragment is lost (RFC 9715).
EDNS_PAYLOAD = 1232
MAX_RECORDS = 32
MAX_NAMESERVERS = 8
IPV4ONLY = "ipv4only.arpa"  # RFC 7050
WELL_KNOWN_NAT64 = "64:ff9b::/96"  # RFC 6052
MAPPED_IPV4 = "::ffff:0:0/96"  # how some systems' getaddrinfo dresses an A record: RFC 4291 §2.5.5.2

_FAMILY = {"A": Family.IPV4, "AAAA": Family.IPV6}
# What says that the name has no address, as against nobody having said anything.
_NEGATIVE = frozenset({Failure.NXDOMAIN, Failure.NODATA})
_UNREACHABLE = frozenset(
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
_LOCAL = frozenset({Failure.NO_ROUTE, Failure.LOCAL_DENIED, Failure.ADDRESS_UNAVAILABLE})
_NOT_MEASURED = frozenset({Failure.CANCELLED, Failure.NOT_SUPPORTED, Failure.LOCAL_ERROR, Failure.OTHER})


def signalling_names(profile: Profile) -> list[str]:
    """The FQDNs of the signalling PoPs in the profile's order, each once; address literals among them."""
    return list(dict.fromkeys(pop.fqdn for pop in profile.signalling.pops))


def is_address(name: str) -> bool:
    """Whether a "name" is an IP address and needs no resolution."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def record_types(settings: Settings) -> tuple[str, ...]:
    """The record types that are asked for: those of the families that the run may use."""
    return tuple(rtype for rtype, family in _FAMILY.items() if settings.family in (Family.ANY, family))


# --- measure


async def measure(context: Context, record: Recorder) -> None:
    """Record what the system and every nameserver say about every signalling name, all asked at the same time."""
    names = [name for name in signalling_names(context.profile) if not is_address(name)]
    if not names:
        return
    types = record_types(context.settings)
    if context.settings.resolvers:
        servers = [_given(resolver) for resolver in context.settings.resolvers]
    else:
        servers = context.network.nameservers()
    record.add(
        Note(
            topic="nameservers",
            text=f"{len(servers)} to ask" if servers else "this host has no nameserver configured",
            values={
                "count": len(servers),
                "asked": [{"address": server.address, "port": server.port} for server in servers[:MAX_NAMESERVERS]],
                "given": bool(context.settings.resolvers),
            },
        )
    )
    servers = servers[:MAX_NAMESERVERS]
    total, done = len(names) * len(types) * (1 + len(servers)), 0

    async def counted(name: str, rtype: str, server: Nameserver | None) -> Lookup:
        nonlocal done
        if server is None:
            lookup = await _ask_system(context, record, name, rtype, "trunk")
        else:
            lookup = await _ask_nameserver(context, record, name, rtype, server)
        done += 1
        context.progress("dns", done, total, f"{name} {rtype}")
        return lookup

    async def system() -> None:
        lookups = await asyncio.gather(*(counted(name, rtype, None) for name in names for rtype in types))
        if any(lookup.record_type == "AAAA" and lookup.addresses for lookup in lookups):
            await _ask_system(context, record, IPV4ONLY, "AAAA", "helper")

    async def directly() -> None:
        if servers:
            # 76 ms of imports inside the loop would be read as round-trip time of whatever is under way.
            await asyncio.to_thread(_load_codec)
        await asyncio.gather(*(counted(name, rtype, server) for server in servers for name in names for rtype in types))

    await asyncio.gather(system(), directly())


def _given(resolver: str) -> Nameserver:
    """The nameserver that the settings write as `address`, `address:port` or `[address]:port`."""
    address, port = resolver, ""
    if resolver.startswith("["):
        address, _, port = resolver[1:].partition("]")
    elif resolver.count(":") == 1:
        address, _, port = resolver.partition(":")
    return Nameserver(address=address, port=int(port.lstrip(":") or 53), source="--resolver")


def _load_codec() -> None:
    import dns.message
    import dns.rdtypes.ANY.CNAME
    import dns.rdtypes.IN.A
    import dns.rdtypes.IN.AAAA  # noqa: F401


async def _ask_system(context: Context, record: Recorder, name: str, rtype: str, purpose: str) -> Lookup:
    begun = context.network.now_ms()
    wait_s = context.settings.timeout_s + SYSTEM_GRACE_S
    reply = await context.network.resolve_system(name, _FAMILY[rtype], wait_s)
    canonical = reply.canonical_name
    return record.add(
        Lookup(
            name=name,
            record_type=rtype,
            purpose=purpose,
            server=None,
            addresses=reply.addresses[:MAX_RECORDS],
            cname_chain=(canonical,) if canonical and canonical.rstrip(".").lower() != name.rstrip(".").lower() else (),
            rtt_ms=round(reply.rtt_ms, 3),
            failure=reply.failure or (None if reply.addresses else Failure.NODATA),
            duration_ms=_since(context, begun),
        ),
        offset_ms=begun,
    )


async def _ask_nameserver(context: Context, record: Recorder, name: str, rtype: str, server: Nameserver) -> Lookup:
    """One nameserver's own answer: over UDP, over TCP when it says that it was truncated (RFC 7766 §5)."""
    import dns.exception
    import dns.message
    import dns.rcode

    begun = context.network.now_ms()
    lookup = Lookup(
        name=name,
        record_type=rtype,
        purpose="reference" if server.source == "--resolver" else "trunk",
        server=server.address,
        server_source=server.source,
        transport="udp",
    )

    def keep(**found: object) -> Lookup:
        kept = msgspec.structs.replace(lookup, duration_ms=_since(context, begun), **found)
        return record.add(kept, offset_ms=begun)

    try:
        query = dns.message.make_query(name, rtype, use_edns=0, payload=EDNS_PAYLOAD, id=secrets.randbelow(0x10000))
        plain = dns.message.make_query(name, rtype, use_edns=-1, id=secrets.randbelow(0x10000))
    except dns.exception.DNSException as error:
        return keep(failure=Failure.LOCAL_ERROR, detail=f"not a name that DNS can carry: {type(error).__name__}")

    deadline = begun + context.settings.timeout_s * 1000
    transport, truncated, ignored = "udp", False, 0
    while True:
        left_s = (deadline - context.network.now_ms()) / 1000
        if left_s <= 0:
            return keep(failure=Failure.DNS_TIMEOUT, transport=transport, truncated=truncated)
        reply = await context.network.dns_exchange(
            server.address,
            server.port,
            query.to_wire(),
            transport=transport,
            timeout_s=left_s,
            accept=_acceptor(query),
        )
        ignored += reply.ignored
        detail = f"{ignored} datagrams that were no answer to this question" if ignored else None
        answer = _answer_to(query, reply.data) if reply.data is not None else None
        if answer is None:
            failure = reply.failure or Failure.MALFORMED
            return keep(failure=failure, icmp=reply.icmp, transport=transport, truncated=truncated, detail=detail)
        if _is_truncated(answer) and transport == "udp":
            transport, truncated = "tcp", True
            continue
        # A server from before EDNS says FORMERR, NOTIMP or BADVERS: RFC 6891 §7.
        if query is not plain and answer.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS):
            query = plain
            continue
        break
    found = _read_answer(answer, rtype)
    return keep(
        transport=transport,
        truncated=truncated,
        rtt_ms=round(reply.rtt_ms, 3) if reply.rtt_ms is not None else None,
        detail="; ".join(part for part in (found.detail, detail) if part) or None,
        rcode=found.rcode,
        answers=found.answers,
        addresses=found.addresses,
        cname_chain=found.cname_chain,
        ttl_s=found.ttl_s,
        failure=found.failure,
    )


def _is_truncated(message: dns.message.Message) -> bool:
    import dns.flags

    return bool(message.flags & dns.flags.TC)


def _acceptor(query: dns.message.Message) -> Callable[[bytes], bool]:
    return lambda data: _answer_to(query, data) is not None


def _answer_to(query: dns.message.Message, data: bytes) -> dns.message.Message | None:
    """The message, if it answers `query`: id, QR, opcode, and the very question (RFC 5452 §9.1); else None.

    An empty question is taken only with an error code, where servers that cannot read a query leave it out.
    """
    import dns.exception
    import dns.flags
    import dns.message
    import dns.rcode

    try:
        message = dns.message.from_wire(data, ignore_trailing=True)
    except dns.exception.DNSException:
        return None
    if message.id != query.id or not message.flags & dns.flags.QR or message.opcode() != query.opcode():
        return None
    if not message.question:
        return message if message.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) else None
    asked = query.question[0]
    if len(message.question) != 1:
        return None
    told = message.question[0]
    same = told.name == asked.name and told.rdtype == asked.rdtype and told.rdclass == asked.rdclass
    return message if same else None


@dataclass(frozen=True, slots=True)
class _Answer:
    rcode: str
    answers: tuple[DnsRecord, ...]
    addresses: tuple[str, ...]
    cname_chain: tuple[str, ...]
    ttl_s: int | None
    failure: Failure | None
    detail: str | None


def _read_answer(message: dns.message.Message, rtype: str) -> _Answer:
    """The addresses at the end of the CNAME chain that starts at the question; stray records are kept, not followed."""
    import dns.flags
    import dns.rcode
    import dns.rdatatype

    wanted = dns.rdatatype.from_text(rtype)
    aliases: dict[dns.name.Name, tuple[dns.name.Name, int]] = {}
    ends: dict[dns.name.Name, list[tuple[str, int]]] = {}
    records: list[DnsRecord] = []
    for rrset in message.answer:
        for rdata in rrset:
            records.append(
                DnsRecord(
                    name=rrset.name.to_text(),
                    type=dns.rdatatype.to_text(rrset.rdtype),
                    ttl_s=int(rrset.ttl),
                    data=rdata.to_text()[:500],
                )
            )
            if rrset.rdtype == dns.rdatatype.CNAME:
                aliases.setdefault(rrset.name, (rdata.target, int(rrset.ttl)))
            elif rrset.rdtype == wanted:
                ends.setdefault(rrset.name, []).append((rdata.address, int(rrset.ttl)))
    name = message.question[0].name if message.question else None
    chain: list[str] = []
    ttls: list[int] = []
    addresses: list[str] = []
    while name is not None:
        if name in ends:
            addresses = [address for address, _ in ends[name]][:MAX_RECORDS]
            ttls.extend(ttl for _, ttl in ends[name])
            break
        if name not in aliases or len(chain) == MAX_RECORDS:
            break
        name, ttl = aliases[name]
        chain.append(name.to_text())
        ttls.append(ttl)
    rcode = message.rcode()
    failure: Failure | None
    if rcode == dns.rcode.NOERROR:
        failure = None if addresses else Failure.NODATA
    else:
        failure = {
            dns.rcode.NXDOMAIN: Failure.NXDOMAIN,
            dns.rcode.SERVFAIL: Failure.SERVFAIL,
            dns.rcode.REFUSED: Failure.DNS_REFUSED,
        }.get(rcode, Failure.DNS_ERROR)
    recursive = bool(message.flags & dns.flags.RA)
    return _Answer(
        rcode=dns.rcode.to_text(rcode),
        answers=tuple(records[:MAX_RECORDS]),
        addresses=tuple(addresses) if failure is None else (),
        cname_chain=tuple(chain),
        ttl_s=min(ttls) if ttls else None,
        failure=failure,
        detail=None if recursive else "offers no recursion (RA is not set)",
    )


def _since(context: Context, begun: float) -> float:
    return round(context.network.now_ms() - begun, 3)


# --- judge


@dataclass(frozen=True, slots=True)
class _Blame:
    domain: FaultDomain
    confidence: Confidence
    remedy: str | None = None
    settle_by: str | None = None
    sentence: str | None = None


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Something that does not stop the name from resolving."""

    reason: str
    sentence: str
    blame: _Blame
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
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


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """One `dns.resolution` for every signalling name."""
    return [_judge_name(name, facts, profile, settings) for name in signalling_names(profile)]


def _judge_name(name: str, facts: Facts, profile: Profile, settings: Settings) -> Finding:
    if is_address(name):
        return Finding(
            id=FINDING,
            target=name,
            status=Status.SKIP,
            reason="address_literal",
            summary=f"{name} is an address: there is nothing to resolve.",
        )
    seen = _sort(name, facts)
    offset_ms, duration_ms = span_ms(seen.facts)
    rtype = "AAAA" if settings.family is Family.IPV6 else "A"
    system = seen.system.get(rtype)

    def finding(
        status: Status,
        reason: str,
        summary: str,
        *,
        blame: _Blame | None = None,
        failure: Failure | None = None,
        settle_by: str | None = None,
    ) -> Finding:
        return Finding(
            id=FINDING,
            target=name,
            status=status,
            reason=reason,
            summary=" ".join(part for part in (summary, blame.sentence if blame else None) if part),
            failure=failure,
            fault_domain=blame.domain if blame else None,
            confidence=blame.confidence if blame else (Confidence.PROVEN if status is Status.PASS else None),
            remedy=blame.remedy if blame else None,
            settle_by=(blame.settle_by if blame else None) or settle_by,
            measures=_measures(seen, system),
            facts=fact_ids(seen.facts),
            offset_ms=offset_ms,
            duration_ms=duration_ms,
        )

    if system is None or system.failure in _NOT_MEASURED:
        why = facts.error_of("dns")
        told = "the run ended first" if why in ("deadline", "interrupted") else "it could not be asked"
        return finding(
            Status.UNKNOWN,
            "not_measured",
            f"What this host makes of {name} is not known: {told}.",
            blame=_Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE),
            failure=system.failure if system else None,
            settle_by="Run `vsipcheck dns` again, with a longer --deadline.",
        )

    sinkholed = [
        (lookup, address)
        for lookup in seen.system.values()
        for address in lookup.addresses
        if not _is_usable(address, seen.nat64_prefixes)
    ]
    if sinkholed:
        addresses = [address for _, address in sinkholed]
        kinds = _and(sorted({f"{address} ({address_block(address).name})" for address in addresses}))
        return finding(
            Status.FAIL,
            "special_purpose_answer",
            f"{name} resolves to {kinds} on this host: an address on which no provider can be. "
            "Something answers in the provider's place.",
            blame=_blame_sinkhole(seen, sinkholed),
        )

    usable, how = _usable_addresses(seen, rtype, settings)
    if not usable:
        failure, blame = _blame_failure(seen, system, rtype, facts)
        reason = _reason(failure)
        if not seen.configured and _no_nameserver(facts):
            reason = "no_nameserver"
        return finding(
            Status.FAIL,
            reason,
            f"{name} has no address on this host: {_told(failure)}.{_tally(seen, rtype)}",
            blame=blame,
            failure=failure,
        )

    doubts = _doubts(seen, system, usable, rtype, facts, profile)
    if how is not None:
        doubts.insert(0, how)
    summary = f"{name} resolves to {_and(usable)} in {system.rtt_ms or 0:.0f} ms.{_tally(seen, rtype)}"
    if doubts:
        first = doubts[0]
        summary = " ".join([summary, *(doubt.sentence for doubt in doubts)])
        return finding(Status.WARN, first.reason, summary, blame=first.blame, failure=first.failure)
    return finding(Status.PASS, "resolved", summary)


def _sort(name: str, facts: Facts) -> _Seen:
    lookups = [lookup for lookup in facts.of(Lookup, "dns") if lookup.name == name]
    prefixes = [WELL_KNOWN_NAT64]
    for lookup in facts.of(Lookup, "dns"):
        if lookup.name == IPV4ONLY and lookup.record_type == "AAAA":
            prefixes.extend(_prefixes(lookup.addresses))
    return _Seen(
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


def _is_usable(address: str, prefixes: Sequence[str]) -> bool:
    """Whether somebody on the Internet can be at `address`, through a NAT64 or not."""
    try:
        return is_public(synthesised_ipv4(address, [*prefixes, MAPPED_IPV4]) or address)
    except WireError:
        return False


def _usable_addresses(seen: _Seen, rtype: str, settings: Settings) -> tuple[list[str], _Doubt | None]:
    """The addresses a PBX can use, of the family that counts; of the other with a doubt, NAT64 with none."""
    if addresses := list(seen.system[rtype].addresses):
        return addresses, None
    other = seen.system.get("AAAA") if rtype == "A" else None
    if other is None or not other.addresses or settings.family is not Family.ANY:
        return [], None
    addresses = list(other.addresses)
    if any(synthesised_ipv4(address, seen.nat64_prefixes) is not None for address in addresses):
        return addresses, None
    return addresses, _Doubt(
        "only_ipv6",
        "It has no IPv4 address: a PBX without IPv6 cannot reach it.",
        _Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by="Ask another nameserver for its A record."),
    )


def _doubts(seen: _Seen, system: Lookup, usable: list[str], rtype: str, facts: Facts, profile: Profile) -> list[_Doubt]:
    """What speaks against an answer that works, the gravest first."""
    doubts = []
    direct = seen.of_type(seen.configured, rtype)
    answered = [lookup for lookup in direct if lookup.failure is None]
    denied = [lookup for lookup in direct if lookup.failure in _NEGATIVE]
    told = {address for lookup in answered for address in lookup.addresses}
    contradicting = [*denied, *(lookup for lookup in answered if not set(lookup.addresses) & set(system.addresses))]
    if system.addresses and contradicting and not told & set(system.addresses):
        doubts.append(
            _Doubt(
                "system_differs",
                f"None of the configured nameservers gives that address: {_what_they_say(contradicting)}. "
                "It may come from /etc/hosts, a cache or a search domain; or the name rotates its addresses.",
                _Blame(
                    FaultDomain.HOST,
                    Confidence.POSSIBLE,
                    remedy=f"Remove {seen.name} from /etc/hosts on this host, unless it stands there on purpose.",
                    settle_by=f"Compare `getent ahosts {seen.name}` with /etc/hosts.",
                ),
            )
        )
    elif system.addresses and contradicting:
        doubts.append(
            _Doubt(
                "nameservers_disagree",
                f"A configured nameserver says otherwise: {_what_they_say(contradicting)}.",
                _Blame(
                    FaultDomain.UNDETERMINED if _may_rotate(contradicting, seen) else _common_place(contradicting),
                    Confidence.POSSIBLE,
                    remedy=f"Correct or remove {_servers(contradicting)} in this host's DNS configuration.",
                    settle_by="Ask each nameserver several times: a name that rotates single addresses looks alike.",
                ),
                contradicting[0].failure,
            )
        )
    silent = [
        lookup for lookup in direct if lookup.failure is not None and lookup.failure not in _NEGATIVE | _NOT_MEASURED
    ]
    if silent:
        every = len(silent) == len(direct)
        doubts.append(
            _Doubt(
                "nameservers_failed" if every else "nameserver_failed",
                f"{'Every' if every else 'A'} configured nameserver fails: {_what_they_say(silent)}."
                + (" A PBX that asks nameservers itself gets no address." if every else ""),
                _blame_servers(silent, facts),
                silent[0].failure,
            )
        )
    if against := [
        lookup
        for lookup in seen.of_type(seen.reference, rtype)
        if lookup.failure in _NEGATIVE
        or (lookup.failure is None and system.addresses and not set(lookup.addresses) & set(system.addresses))
    ]:
        doubts.append(
            _Doubt(
                "reference_differs",
                f"A nameserver asked to compare says otherwise: {_what_they_say(against)}. A name may have other "
                "addresses for other places.",
                _Blame(
                    FaultDomain.UNDETERMINED,
                    Confidence.POSSIBLE,
                    settle_by="Ask the provider which of the addresses are theirs.",
                ),
                against[0].failure,
            )
        )
    if shared := _shared_with(seen, usable, facts, profile):
        others, addresses = shared
        doubts.append(
            _Doubt(
                "shared_address",
                f"{_and(others)} {'have' if len(others) > 1 else 'has'} the same address, {_and(addresses)}: "
                "a resolver that gives one answer for every name looks just so, and there is no second place to go to.",
                _Blame(
                    FaultDomain.UNDETERMINED,
                    Confidence.POSSIBLE,
                    settle_by="Compare with a resolver elsewhere: `vsipcheck dns --resolver ADDRESS`.",
                ),
            )
        )
    dated = {address for pop in profile.signalling.pops if pop.fqdn == seen.name for address in pop.addresses}
    if dated and (strange := [address for address in usable if _inside(address, seen) not in dated]):
        doubts.append(
            _Doubt(
                "address_not_in_profile",
                f"{_and(strange)} is not among the addresses that the profile of {profile.dated} lists.",
                _Blame(
                    FaultDomain.UNDETERMINED,
                    Confidence.POSSIBLE,
                    settle_by="Ask the provider whether the address is theirs, and use a newer profile if it is.",
                ),
            )
        )
    broken = [
        lookup
        for lookup in [*seen.system.values(), *seen.configured]
        if lookup.record_type != rtype
        and lookup.failure is not None
        and lookup.failure not in _NOT_MEASURED | {Failure.NODATA}
        and (lookup.server is not None or lookup.failure not in _NEGATIVE)
        and not any(other.server == lookup.server for other in [*silent, *contradicting])
    ]
    if broken:
        doubts.append(
            _Doubt(
                "aaaa_failed",
                f"The question for IPv6 addresses fails: {_what_they_say(broken)}. Who asks for both waits for it.",
                _blame_servers(broken, facts),
                broken[0].failure,
            )
        )
    if system.rtt_ms is not None and system.rtt_ms > SLOW_MS:
        doubts.append(
            _Doubt(
                "slow",
                f"That is slow: above {SLOW_MS:.0f} ms.",
                _Blame(
                    FaultDomain.UNDETERMINED,
                    Confidence.POSSIBLE,
                    settle_by="Compare the times of the nameservers: `vsipcheck dns --verbose`.",
                ),
            )
        )
    return doubts


def _may_rotate(contradicting: Sequence[Lookup], seen: _Seen) -> bool:
    """Whether some of the other answers could be the provider's as well: a name may rotate its addresses."""
    return any(
        all(_is_usable(address, seen.nat64_prefixes) for address in lookup.addresses)
        for lookup in contradicting
        if lookup.addresses
    )


def _shared_with(seen: _Seen, usable: list[str], facts: Facts, profile: Profile) -> tuple[list[str], list[str]] | None:
    """Other signalling names that have an address in common with this one, unless a reference lookup says so too."""
    others, common = [], set()
    mine = {address for lookup in seen.reference for address in lookup.addresses}
    for name in signalling_names(profile):
        if name == seen.name or is_address(name):
            continue
        other = _sort(name, facts)
        theirs = {address for lookup in other.system.values() for address in lookup.addresses}
        confirmed = mine & {address for lookup in other.reference for address in lookup.addresses}
        if shared := (theirs & set(usable)) - confirmed:
            others.append(name)
            common |= shared
    return (others, sorted(common)) if others else None


def _inside(address: str, seen: _Seen) -> str:
    return synthesised_ipv4(address, seen.nat64_prefixes) or address


def _blame_failure(seen: _Seen, system: Lookup, rtype: str, facts: Facts) -> tuple[Failure, _Blame]:
    """Why the system has no address, as exactly as the nameservers tell it, and who has to act."""
    assert system.failure is not None
    direct = [lookup for lookup in seen.of_type(seen.configured, rtype) if lookup.failure not in _NOT_MEASURED]
    failure = system.failure
    if failure in _LOCAL:
        return failure, _Blame(FaultDomain.HOST, Confidence.PROVEN, remedy=_REMEDY_LOCAL)
    if not direct and _no_nameserver(facts):
        return failure, _Blame(
            FaultDomain.HOST,
            Confidence.LIKELY,
            remedy="Configure a nameserver on this host (/etc/resolv.conf).",
            sentence="This host has no nameserver configured.",
        )
    if not direct and seen.reference:
        return failure, _blame_by_reference(seen, rtype)
    working = [lookup for lookup in direct if lookup.failure is None]
    failing = [lookup for lookup in direct if lookup.failure is not None]
    # getaddrinfo folds SERVFAIL, REFUSED and silence into one error, and some libraries NXDOMAIN and NODATA.
    kinds = {lookup.failure for lookup in failing}
    if not working and len(kinds) == 1:
        told = next(iter(kinds))
        if told is not None and (told in _NEGATIVE) == (failure in _NEGATIVE):
            failure = told
    if working and not failing:
        return failure, _Blame(
            FaultDomain.HOST,
            Confidence.LIKELY,
            remedy="Look into this host's own resolution: /etc/nsswitch.conf, /etc/hosts, a local cache.",
            sentence="Every configured nameserver, asked directly, has an address for it.",
        )
    if not failing:
        return failure, _Blame(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            settle_by=f"Ask the nameservers directly: `dig {seen.name}`.",
        )
    elsewhere = [*working, *(lookup for lookup in seen.of_type(seen.reference, rtype) if lookup.failure is None)]
    denied = [lookup for lookup in failing if lookup.failure in _NEGATIVE]
    if failure in _NEGATIVE and denied:
        return failure, _blame_denial(seen, denied, elsewhere)
    return failure, _blame_servers(failing, facts)


def _blame_by_reference(seen: _Seen, rtype: str) -> _Blame:
    """Who has to act when only nameservers of our own choice were asked beside the system."""
    asked = seen.of_type(seen.reference, rtype)
    working = [lookup for lookup in asked if lookup.failure is None]
    denied = [lookup for lookup in asked if lookup.failure in _NEGATIVE]
    if denied and not working:
        return _blame_denial(seen, denied, [])
    return _Blame(
        FaultDomain.UNDETERMINED,
        Confidence.POSSIBLE,
        settle_by="Run `vsipcheck dns` without --resolver: it asks each configured nameserver on its own.",
        sentence=f"{_servers(working)} {_has(working)} an address for it." if working else None,
    )


def _blame_denial(seen: _Seen, denied: list[Lookup], elsewhere: list[Lookup]) -> _Blame:
    """Who has to act when nameservers say that the name, or its address, does not exist."""
    if elsewhere:
        return _Blame(
            _common_place(denied),
            Confidence.LIKELY,
            remedy=f"{_servers(denied)} must answer for {seen.name}, or be replaced in this host's DNS configuration.",
            sentence=f"{_servers(elsewhere)} {_has(elsewhere)} an address for it, so that {_servers(denied)} "
            f"{_is(denied)} wrong.",
        )
    agreeing = {
        lookup.server
        for lookup in [*denied, *(other for other in seen.reference if other.failure in _NEGATIVE)]
        if lookup.server is not None and _class_of(lookup.server) is AddressClass.GLOBAL
    }
    if len(agreeing) > 1:
        return _Blame(
            FaultDomain.PROVIDER,
            Confidence.POSSIBLE,
            remedy=f"Ask the provider whether {seen.name} is still in use.",
            settle_by="Check the spelling of the name, then ask from another network.",
            sentence=f"{len(agreeing)} public nameservers agree.",
        )
    return _Blame(
        FaultDomain.UNDETERMINED,
        Confidence.POSSIBLE,
        settle_by="Check the spelling, and compare with a public resolver: `vsipcheck dns --resolver ADDRESS`. "
        f"If that one knows the name, {_servers(denied)} {_is(denied)} wrong.",
    )


def _blame_servers(failing: list[Lookup], facts: Facts) -> _Blame:
    """Who has to act for nameservers that gave no usable answer, by where they are and how they failed."""
    servers = _servers(failing)
    with_icmp = [lookup for lookup in failing if lookup.icmp is not None and lookup.icmp.address is not None]
    if any(lookup.failure in _LOCAL for lookup in failing):
        return _Blame(FaultDomain.HOST, Confidence.LIKELY, remedy=_REMEDY_LOCAL)
    if with_icmp and len(with_icmp) == len(failing):
        first = with_icmp[0]
        assert first.icmp is not None
        assert first.server is not None
        if first.icmp.address == first.server:
            return _Blame(
                _place_of(first.server),
                Confidence.LIKELY,
                remedy=f"Start the DNS service on {servers}, or take it out of this host's DNS configuration.",
            )
        blame = blame_icmp(facts, first.icmp, first.server)
        return _Blame(
            blame.domain,
            blame.confidence,
            remedy=f"Let DNS through to {servers}.",
            settle_by=blame.settle_by,
            sentence=blame.sentence,
        )
    place = _common_place(failing)
    if all(lookup.failure in _UNREACHABLE for lookup in failing):
        # Silence of a public nameserver: whoever is between may drop port 53.
        if place is FaultDomain.ISP:
            place = FaultDomain.UNDETERMINED
        return _Blame(
            place,
            Confidence.POSSIBLE,
            remedy=f"Repair {servers}, or take it out of this host's DNS configuration.",
            settle_by=f"Ask {servers} for another name: if that works, its own upstream is at fault.",
        )
    # It was reached and would not, or could not. SERVFAIL: it or the zone's own servers. REFUSED: not for us.
    refused = all(lookup.failure is Failure.DNS_REFUSED for lookup in failing)
    return _Blame(
        place if refused and place is not FaultDomain.ISP else FaultDomain.UNDETERMINED,
        Confidence.POSSIBLE,
        remedy=f"Use a nameserver that serves this host instead of {servers}." if refused else None,
        settle_by=f"Ask {servers} for another name: if that fails too it is the resolver, if not the provider's zone.",
    )


def _blame_sinkhole(seen: _Seen, sinkholed: list[tuple[Lookup, str]]) -> _Blame:
    """Who has to act for an answer in special-purpose space: the place of the nameserver that gives it."""
    wrong = {address for _, address in sinkholed}
    types = {lookup.record_type for lookup, _ in sinkholed}
    configured = [lookup for lookup in seen.configured if lookup.record_type in types]
    guilty = [lookup for lookup in configured if wrong & set(lookup.addresses)]
    good = [
        lookup
        for lookup in [*configured, *seen.reference]
        if lookup.addresses and all(_is_usable(address, seen.nat64_prefixes) for address in lookup.addresses)
    ]
    if not guilty:
        answered = [lookup for lookup in configured if lookup.failure is None or lookup.failure in _NEGATIVE]
        return _Blame(
            FaultDomain.HOST if answered else FaultDomain.UNDETERMINED,
            Confidence.LIKELY if answered else Confidence.POSSIBLE,
            remedy=f"Remove {seen.name} from /etc/hosts on this host.",
            settle_by=f"Compare `getent ahosts {seen.name}` with /etc/hosts.",
            sentence="No configured nameserver gives that answer." if answered else None,
        )
    return _Blame(
        _common_place(guilty),
        Confidence.LIKELY if good else Confidence.POSSIBLE,
        remedy=f"{_servers(guilty)} must answer with the provider's own records for {seen.name}; "
        "until then use another nameserver.",
        settle_by=None if good else "Compare with a resolver elsewhere: `vsipcheck dns --resolver ADDRESS`.",
        sentence=f"The answer of {_servers(guilty)}" + (f", not of {_servers(good)}." if good else "."),
    )


_REMEDY_LOCAL = "Give this host a route and a firewall that lets it reach its nameservers."


def _no_nameserver(facts: Facts) -> bool:
    return any(note.topic == "nameservers" and note.values.get("count") == 0 for note in facts.of(Note, "dns"))


def _class_of(address: str) -> AddressClass | None:
    try:
        return classify(address)
    except WireError:
        return None


def _place_of(server: str) -> FaultDomain:
    """Whose a nameserver is, by its address. 100.64/10 may be a provider's or an overlay's on this very host."""
    match _class_of(server):
        case AddressClass.LOOPBACK:
            return FaultDomain.HOST
        case AddressClass.PRIVATE | AddressClass.UNIQUE_LOCAL | AddressClass.LINK_LOCAL:
            return FaultDomain.LOCAL_NETWORK
        case AddressClass.GLOBAL:
            return FaultDomain.ISP
        case _:
            return FaultDomain.UNDETERMINED


def _common_place(lookups: Sequence[Lookup]) -> FaultDomain:
    places = {_place_of(lookup.server) if lookup.server else FaultDomain.HOST for lookup in lookups}
    return next(iter(places)) if len(places) == 1 else FaultDomain.UNDETERMINED


_REASONS = {Failure.NODATA: "no_address", Failure.NO_ANSWER: "dns_timeout"}


def _reason(failure: Failure) -> str:
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


def _told(failure: Failure) -> str:
    return _WORDS.get(failure, str(failure).replace("_", " "))


def _what_they_say(lookups: Sequence[Lookup]) -> str:
    parts: dict[str, list[str]] = {}
    for lookup in lookups:
        said = _and(lookup.addresses) if lookup.failure is None else _told(lookup.failure)
        parts.setdefault(said, []).append(lookup.server or "the system")
    return "; ".join(f"{_and(dict.fromkeys(servers))}: {said}" for said, servers in parts.items())


def _tally(seen: _Seen, rtype: str) -> str:
    direct = seen.of_type(seen.configured, rtype)
    if not direct:
        return ""
    good = sum(lookup.failure is None for lookup in direct)
    return f" {good} of {len(direct)} configured nameservers {'has' if good == 1 else 'have'} an address for it."


def _has(lookups: Sequence[Lookup]) -> str:
    return "has" if len({lookup.server for lookup in lookups}) == 1 else "have"


def _is(lookups: Sequence[Lookup]) -> str:
    return "is" if len({lookup.server for lookup in lookups}) == 1 else "are"


def _servers(lookups: Sequence[Lookup]) -> str:
    return _and(dict.fromkeys(lookup.server or "this host's resolution" for lookup in lookups))


def _and(words: Iterable[str]) -> str:
    listed = list(words)
    return listed[0] if len(listed) == 1 else ", ".join(listed[:-1]) + f" and {listed[-1]}" if listed else ""


def _measures(seen: _Seen, system: Lookup | None) -> tuple[Measure, ...]:
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


CHECK = Check(
    name="dns",
    title="Names",
    finding_ids=(FINDING,),
    needs=(),
    measure=measure,
    judge=judge,
)
