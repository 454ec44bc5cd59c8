"""One question to one nameserver, or to the system, as a recorded fact."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.dns.names import FAMILY
from vsipcheck.model import DnsRecord, Failure, Family, Lookup
from vsipcheck.net import Nameserver, SystemLookup

if TYPE_CHECKING:
    import dns.message
    import dns.name

# glibc turns to the second nameserver 5 s after the first (resolv.conf(5), `timeout`): a system lookup that works by
# its second nameserver has to be seen working.
SYSTEM_GRACE_S = 1.0
# A system lookup whose only datagram was lost waits those 5 s too, and a second loss would outlast the run's patience:
# the same is asked again meanwhile, so that loss is not read as a resolution that does not work.
SYSTEM_ASK_AGAIN_S = 2.0
# Fits into one datagram on any path, so that no fragment is lost (RFC 9715).
EDNS_PAYLOAD = 1232
MAX_RECORDS = 32
_FLAGS = {"aa": 0x0400, "tc": 0x0200, "ra": 0x0080, "ad": 0x0020, "cd": 0x0010}  # RFC 1035 §4.1.1, RFC 4035 §3


def load_codec() -> None:
    import dns.message
    import dns.rdtypes.ANY.CNAME
    import dns.rdtypes.ANY.NS
    import dns.rdtypes.ANY.SOA
    import dns.rdtypes.IN.A
    import dns.rdtypes.IN.AAAA  # noqa: F401


async def ask_system(context: Context, record: Recorder, name: str, rtype: str, purpose: str) -> Lookup:
    begun = context.network.now_ms()
    wait_s = context.settings.timeout_s + SYSTEM_GRACE_S
    reply = await _resolve_patiently(context, name, FAMILY[rtype], wait_s)
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


async def _resolve_patiently(context: Context, name: str, family: Family, wait_s: float) -> SystemLookup:
    """The first addresses that lookups begun every SYSTEM_ASK_AGAIN_S give, else why the first of them gave none.

    `rtt_ms` runs from the first.
    """
    network = context.network
    begun = network.now_ms()
    asked: set[asyncio.Task[SystemLookup]] = set()
    first: asyncio.Task[SystemLookup] | None = None
    try:
        while True:
            left_s = wait_s - (network.now_ms() - begun) / 1000
            if left_s > SYSTEM_ASK_AGAIN_S / 2 or not asked:
                task = asyncio.create_task(network.resolve_system(name, family, max(left_s, 0.0)))
                first = first or task
                asked.add(task)
            done, asked = await asyncio.wait(
                asked,
                timeout=SYSTEM_ASK_AGAIN_S if left_s > SYSTEM_ASK_AGAIN_S else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                found = task.result()
                conclusive = task is first and found.failure is not Failure.DNS_TIMEOUT
                if found.failure is None or conclusive or not asked:
                    if found.failure is not None and first is not None and first.done():
                        found = first.result()
                    return msgspec.structs.replace(found, rtt_ms=network.now_ms() - begun)
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


def purpose_of(server: Nameserver) -> str:
    """What an answer of `server` stands for: what the host gets, or what we compare it with."""
    return "reference" if server.source == "--resolver" else "trunk"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a nameserver, and how. Recursion is not desired of authoritative servers (RFC 1035 §4.1.1);
    without `checking` the answer is wanted even where it fails validation (CD, RFC 4035 §3.2.2)."""

    name: str
    record_type: str
    purpose: str
    recursion: bool = True
    checking: bool = True


async def ask_nameserver(
    context: Context, record: Recorder, question: Question, server: Nameserver, timeout_s: float | None = None
) -> Lookup:
    """One nameserver's own answer: over UDP, over TCP when it says that it was truncated (RFC 7766 §5)."""
    return (await ask_for_message(context, record, question, server, timeout_s))[0]


async def ask_for_message(
    context: Context, record: Recorder, question: Question, server: Nameserver, timeout_s: float | None = None
) -> tuple[Lookup, dns.message.Message | None]:
    """The recorded answer, and the whole message where there is one. Given up early, it is recorded as cancelled."""
    begun = context.network.now_ms()
    lookup = Lookup(
        name=question.name,
        record_type=question.record_type,
        purpose=question.purpose,
        server=server.address,
        server_source=server.source,
        transport="udp",
    )
    found: dict[str, object] = {"failure": Failure.CANCELLED}
    message: dns.message.Message | None = None
    deadline_ms = begun + (context.settings.timeout_s if timeout_s is None else timeout_s) * 1000
    try:
        found, message = await _exchange(context, question, server, deadline_ms)
    finally:
        kept = record.add(msgspec.structs.replace(lookup, duration_ms=since(context, begun), **found), offset_ms=begun)
    return kept, message


async def _exchange(
    context: Context, question: Question, server: Nameserver, deadline_ms: float
) -> tuple[dict[str, object], dns.message.Message | None]:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.rcode

    flags = (dns.flags.RD if question.recursion else 0) | (0 if question.checking else dns.flags.CD)
    try:
        query = dns.message.make_query(
            question.name,
            question.record_type,
            use_edns=0,
            payload=EDNS_PAYLOAD,
            id=secrets.randbelow(0x10000),
            flags=flags,
        )
        plain = dns.message.make_query(
            question.name, question.record_type, use_edns=-1, id=secrets.randbelow(0x10000), flags=flags
        )
    except dns.exception.DNSException as error:
        detail = f"not a name that DNS can carry: {type(error).__name__}"
        return {"failure": Failure.LOCAL_ERROR, "detail": detail}, None

    transport, truncated, ignored = "udp", False, 0
    while True:
        left_s = (deadline_ms - context.network.now_ms()) / 1000
        if left_s <= 0:
            return {"failure": Failure.DNS_TIMEOUT, "transport": transport, "truncated": truncated}, None
        reply = await context.network.dns_exchange(
            server.address,
            server.port,
            query.to_wire(),
            transport=transport,
            timeout_s=left_s,
            accept=_acceptor(query),
        )
        ignored += reply.ignored
        detail = f"{ignored} datagrams that were no answer to this question" if ignored else ""
        answer = _answer_to(query, reply.data) if reply.data is not None else None
        if answer is None:
            failed = {"failure": reply.failure or Failure.MALFORMED, "icmp": reply.icmp, "detail": detail or None}
            return failed | {"transport": transport, "truncated": truncated}, None
        if _is_truncated(answer) and transport == "udp":
            transport, truncated = "tcp", True
            continue
        # A server from before EDNS says FORMERR, NOTIMP or BADVERS: RFC 6891 §7.
        if query is not plain and answer.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS):
            query = plain
            continue
        break
    found = _read_answer(answer, question.record_type)
    no_recursion = "offers no recursion (RA is not set)" if question.recursion and "ra" not in found.flags else ""
    return {
        "transport": transport,
        "truncated": truncated,
        "rtt_ms": round(reply.rtt_ms, 3) if reply.rtt_ms is not None else None,
        "detail": "; ".join(part for part in (no_recursion, detail) if part) or None,
        "rcode": found.rcode,
        "answers": found.answers,
        "addresses": found.addresses,
        "cname_chain": found.cname_chain,
        "ttl_s": found.ttl_s,
        "flags": found.flags,
        "extended_errors": found.extended_errors,
        "failure": found.failure,
    }, answer


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
    flags: tuple[str, ...]
    extended_errors: tuple[int, ...]


def _read_answer(message: dns.message.Message, rtype: str) -> _Answer:
    """What stands at the end of the CNAME chain that starts at the question; stray records are kept, not followed."""
    import dns.edns
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
                ends.setdefault(rrset.name, []).append((getattr(rdata, "address", ""), int(rrset.ttl)))
    name = message.question[0].name if message.question else None
    chain: list[str] = []
    ttls: list[int] = []
    addresses: list[str] = []
    found = False
    while name is not None:
        if name in ends:
            addresses = [address for address, _ in ends[name] if address][:MAX_RECORDS]
            found = True
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
        failure = None if found else Failure.NODATA
    else:
        failure = {
            dns.rcode.NXDOMAIN: Failure.NXDOMAIN,
            dns.rcode.SERVFAIL: Failure.SERVFAIL,
            dns.rcode.REFUSED: Failure.DNS_REFUSED,
        }.get(rcode, Failure.DNS_ERROR)
    return _Answer(
        rcode=dns.rcode.to_text(rcode),
        answers=tuple(records[:MAX_RECORDS]),
        addresses=tuple(addresses) if failure is None else (),
        cname_chain=tuple(chain),
        ttl_s=min(ttls) if ttls else None,
        failure=failure,
        flags=tuple(word for word, bit in _FLAGS.items() if message.flags & bit),
        extended_errors=tuple(int(option.code) for option in message.options if isinstance(option, dns.edns.EDEOption)),
    )


def since(context: Context, begun: float) -> float:
    return round(context.network.now_ms() - begun, 3)
