"""One question to one nameserver, or to the system, as a recorded fact."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.dns_names import FAMILY
from vsipcheck.model import DnsRecord, Failure, Lookup
from vsipcheck.net import Nameserver

if TYPE_CHECKING:
    import dns.message
    import dns.name

# glibc turns to the second nameserver 5 s after the first (resolv.conf(5), `timeout`): a system lookup that works by
# its second nameserver has to be seen working.
SYSTEM_GRACE_S = 1.0
# Fits into one datagram on any path, so that no fragment is lost (RFC 9715).
EDNS_PAYLOAD = 1232
MAX_RECORDS = 32


def load_codec() -> None:
    import dns.message
    import dns.rdtypes.ANY.CNAME
    import dns.rdtypes.IN.A
    import dns.rdtypes.IN.AAAA  # noqa: F401


async def ask_system(context: Context, record: Recorder, name: str, rtype: str, purpose: str) -> Lookup:
    begun = context.network.now_ms()
    wait_s = context.settings.timeout_s + SYSTEM_GRACE_S
    reply = await context.network.resolve_system(name, FAMILY[rtype], wait_s)
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
            duration_ms=since(context, begun),
        ),
        offset_ms=begun,
    )


async def ask_nameserver(context: Context, record: Recorder, name: str, rtype: str, server: Nameserver) -> Lookup:
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
        kept = msgspec.structs.replace(lookup, duration_ms=since(context, begun), **found)
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


def since(context: Context, begun: float) -> float:
    return round(context.network.now_ms() - begun, 3)
