"""Facts: what was sent, when, and what came back. They hold no opinion; judges read them.

Every fact has an `id` that is unique in its report (`dns.3`), a monotonic `offset_ms` from the run's start and, where
it took time, a `duration_ms`. Bytes are kept as escaped ASCII text (`wire.text.escape`): redaction must see them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vsipcheck.model.words import Failure


class Icmp(msgspec.Struct, frozen=True, kw_only=True):
    """An ICMP error about one of our packets: who sent it, type and code (ICMPv6 numbers when `version` is 6)."""

    address: str | None  # None when our own kernel raised the error
    type: int
    code: int
    version: int = 4


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all facts share. `id` and `offset_ms` are set by the recorder."""

    id: str = ""
    offset_ms: float = 0.0
    duration_ms: float | None = None


class DnsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record of an answer section, `data` in presentation form."""

    name: str
    type: str
    ttl_s: int
    data: str


class Lookup(Fact, frozen=True, kw_only=True, tag="lookup"):
    """One name asked of one nameserver, or of the system's own resolution (`server` is None)."""

    name: str
    record_type: str  # "A", "AAAA", ...
    # "trunk": a signalling name; "helper": an echo or STUN host; "reference": a look-up of ours to compare;
    # "authority": asked on the way from the root servers, without recursion; "control": asked to see whether the
    # answers can be believed; "records": what else DNS holds for SIP.
    purpose: str
    server: str | None  # address of the nameserver; None: getaddrinfo, /etc/hosts included
    server_source: str | None = None  # "resolv.conf", "--resolver", ...
    transport: str = "system"  # "udp", "tcp", "system"
    rcode: str | None = None
    answers: tuple[DnsRecord, ...] = ()
    addresses: tuple[str, ...] = ()
    cname_chain: tuple[str, ...] = ()
    ttl_s: int | None = None  # the smallest TTL of the chain
    rtt_ms: float | None = None
    truncated: bool = False  # the UDP answer had TC set; transport then says how it was completed
    flags: tuple[str, ...] = ()  # those set in the answer's header: "aa", "tc", "ra", "ad", "cd"
    extended_errors: tuple[int, ...] = ()  # RFC 8914 info-codes
    failure: Failure | None = None
    icmp: Icmp | None = None
    detail: str | None = None


class Connection(Fact, frozen=True, kw_only=True, tag="connection"):
    """One TCP connection attempt. `rtt_ms` is the time from SYN to SYN-ACK."""

    name: str | None  # the FQDN whose address this is
    address: str
    port: int
    purpose: str  # "sip", "control"
    attempt: int = 1
    local_address: str | None = None
    local_port: int | None = None
    rtt_ms: float | None = None
    failure: Failure | None = None
    errno: int | None = None
    icmp: Icmp | None = None
    ttl: int | None = None  # set for a TTL-limited attempt
    waited_ms: float | None = None  # how long a time-out waited


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message or chunk of an exchange, as escaped text."""

    sent: bool  # True: by us
    offset_ms: float
    text: str
    size: int  # bytes on the wire
    truncated: bool = False  # `text` is shorter than what was on the wire


class Exchange(Fact, frozen=True, kw_only=True, tag="exchange"):
    """A request and what came back, with both socket addresses; capped. Tickets and captures are built from it."""

    protocol: str  # "sip"
    purpose: str  # "options", "keepalive"
    connection: str | None  # id of the Connection fact
    name: str | None
    transport: str  # "tcp", "udp"
    local_address: str | None
    local_port: int | None
    remote_address: str
    remote_port: int
    messages: tuple[Message, ...] = ()
    rtt_ms: float | None = None  # first byte sent to the final answer complete
    failure: Failure | None = None
    detail: str | None = None  # e.g. what the first bytes were when they were not SIP


class Hop(Fact, frozen=True, kw_only=True, tag="hop"):
    """What one TTL towards one target gave in one series of probes. `address` is None when nothing answered."""

    target: str
    series: str  # "udp_in_range", "udp_control", "tcp_5070", "tcp_443", "udp_public"
    ttl: int
    ports: tuple[int, ...]  # destination ports that were probed with this TTL
    sent: int
    answered: int
    address: str | None = None
    rtt_ms: float | None = None  # the best
    icmp: Icmp | None = None
    reached: bool = False  # the answer came from the target itself
    contrasts: int = 0  # misses beside a control with this TTL, sent right after, that was answered


class PortSpan(Fact, frozen=True, kw_only=True, tag="port_span"):
    """What was seen on the ports first_port..last_port of one target (one port for a sample, many for a sweep).

    `reached_ttl`: the farthest TTL at which a hop answered for these ports. `unanswered`: probes with a larger TTL that
    got nothing although that hop answers others; `stopped_ttl`: the nearest of these at which, in addition,
    `controls_answered` probes to a control of the same target, sent right after with the same TTL, were answered.
    Without such controls silence is no data.
    """

    target: str
    method: str  # "sample", "bracket", "sweep"
    first_port: int
    last_port: int
    protocol: str = "udp"
    payload: str = "rtp"  # "rtp", "rtcp"
    sent: int = 0
    outcome: str = "silent"  # "silent", "answered", "icmp", "local" (a local failure)
    failure: Failure | None = None
    icmp: Icmp | None = None
    reached_ttl: int | None = None
    reached_address: str | None = None
    stopped_ttl: int | None = None
    unanswered: int = 0
    controls_answered: int = 0
    controls_needed: int = 0  # so many make silence proof, given what this path loses


class AddressSeen(Fact, frozen=True, kw_only=True, tag="address_seen"):
    """The address (and port) that somebody saw us come from, or why they could not say."""

    method: str  # "https_echo", "stun"; the gateway's own word: "nat_pmp", "upnp", "pcp"; RFC 5780: "stun_mapping", ...
    source: str  # the service's id or name in the profile
    operator: str | None = None
    transport: str = "udp"
    server_address: str | None = None
    server_port: int | None = None
    local_address: str | None = None
    local_port: int | None = None
    address: str | None = None
    port: int | None = None
    rtt_ms: float | None = None
    failure: Failure | None = None
    detail: str | None = None


class Interface(Fact, frozen=True, kw_only=True, tag="interface"):
    """One address of one interface of this host."""

    name: str
    address: str
    netmask: str | None = None
    is_loopback: bool = False


class Route(Fact, frozen=True, kw_only=True, tag="route"):
    """Which source address the kernel picks towards a destination, and the gateway as far as the system tells."""

    destination: str
    source_address: str | None = None
    interface: str | None = None
    gateway: str | None = None
    failure: Failure | None = None


class PastRun(Fact, frozen=True, kw_only=True, tag="past_run"):
    """What an earlier run saw. The runner inserts these before judging."""

    run_id: str
    started_at: str
    public_address: str | None = None
    statuses: dict[str, str] = {}
    runs: int = 1  # how many runs in a row this one stands for, itself included: all saw the same address


class Note(Fact, frozen=True, kw_only=True, tag="note"):
    """A circumstance that is not a packet: a parameter drawn, a limit reached, a capability missing."""

    topic: str
    text: str
    values: dict[str, Any] = {}


class UnreadFact(dict[str, Any]):
    """A fact of a kind, or in a shape, that this version does not know: kept as it was read, and written so again."""

    @property
    def id(self) -> str:
        return str(self.get("id", ""))

    @property
    def offset_ms(self) -> float:
        return _number(self.get("offset_ms")) or 0.0

    @property
    def duration_ms(self) -> float | None:
        return _number(self.get("duration_ms"))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


AnyFact = Lookup | Connection | Exchange | Hop | PortSpan | AddressSeen | Interface | Route | PastRun | Note
