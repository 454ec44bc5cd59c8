"""One customer's situation as data: how the site is built, what the networks on the way do, how the far ends behave.

The names and addresses are the real ones of the default profile, where the profile has them; the others are globally
routable by their look, because a tool under test has opinions about private and documentation space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IN2 = "pstn.in2.exotel.com"
IN4 = "pstn.in4.exotel.com"
SIP_PORT = 5070
IN_DIALOG_PORT = 443
IN2_ADDRESS = "182.76.143.101"
IN4_ADDRESS = "3.108.10.20"
MUMBAI_MEDIA = ("182.76.143.61", "122.15.8.184")
KARNATAKA_MEDIA = ("14.194.10.247", "61.246.82.75")
MEDIA = MUMBAI_MEDIA + KARNATAKA_MEDIA

PUBLIC = "49.36.10.7"
"""The customer's public address, wherever it lives: on the edge's WAN side, at the carrier's NAT, on the host."""

RESOLVER = "49.44.0.53"
SECOND_RESOLVER = "49.44.0.54"
REFERENCE_RESOLVERS = ("8.8.8.8", "1.1.1.1", "9.9.9.9")

STUN = {
    "stun.l.google.com": ("74.125.250.129", 19302),
    "stun.cloudflare.com": ("162.159.207.0", 3478),
    "stun.sipgate.net": ("217.10.68.152", 10000),
}
STUN_PAIR = ("217.10.68.152", "217.10.68.153")
"""With `stun_pair`, the last of these servers has two addresses and two ports (RFC 5780)."""
PBX_PORT = 5061
PBX = "192.168.20.10"
"""With `pbx`, a host in another segment of the customer's LAN."""
PBX_SECOND = "192.168.20.11"
"""That host's second address."""
PUBLIC_PBX = "49.36.20.10"
"""With `pbx`, a host on another of the ISP's lines."""
SECOND_PUBLIC = "49.36.10.8"
"""Where web traffic comes from with `second_uplink`."""
ECHO = {
    "api.ipify.org": "104.26.12.205",
    "checkip.amazonaws.com": "52.204.150.30",
    "icanhazip.com": "104.16.184.241",
    "ipv4.icanhazip.com": "104.16.185.241",
    "ifconfig.co": "104.21.54.91",
}

Site = Literal["inner_firewall", "router", "direct"]
Nat = Literal["masquerade", "symmetric", "remap", "restricted", "one_to_one", "none"]
Chain = Literal["prerouting", "input", "forward", "output"]
Media = Literal["silent", "stealth", "unreachable", "answering"]


@dataclass(frozen=True)
class Rule:
    """An nft rule at a node. Interfaces: `uplink` leads to the core, every other one is named after the node below."""

    node: str
    chain: Chain
    text: str


@dataclass(frozen=True)
class Kamailio:
    """Kamailio on TCP 5070. `drop` leaves OPTIONS unanswered; its core still answers the CRLF ping of RFC 5626."""

    status: int = 200
    reason: str = "Keepalive"
    headers: tuple[str, ...] = ()
    delay_ms: int = 0
    drop: bool = False


@dataclass(frozen=True)
class Answerer:
    """A small listener on TCP 5070 that is no SIP server, a hostile one, or one with its own idea of `received`: the
    modes are in `answerers.py`."""

    mode: str


@dataclass(frozen=True)
class Resolver:
    """bind9 as the ISP's resolver. `records` replace what the world's zone has for a name; none at all is NXDOMAIN."""

    records: tuple[tuple[str, tuple[str, ...]], ...] = ()
    broken_zones: tuple[str, ...] = ()
    """Zones whose file can't be read: SERVFAIL for every name below."""
    udp_limit: int = 1232
    """A longer answer is truncated and has to be asked for again over TCP."""
    recursive: bool = False
    """Has no zone of its own, but asks the scenario's `authority`, from the root down."""
    wrong_anchor: bool = False
    """Validates, and trusts a key for exotel.com that the zone does not have. Needs `recursive`."""
    serves_stale: bool = False
    """Gives old answers while it cannot refresh them (RFC 8767), and says so. Needs `recursive`."""


@dataclass(frozen=True)
class Authority:
    """The zone's own servers, and those of the root and of com above them."""

    records: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Instead of what the zone has for a name; none at all is NXDOMAIN."""
    ttl_s: int = 300


@dataclass(frozen=True)
class Scenario:
    """Healthy by default: a port-preserving NAT at hop 2, everything answers, media hosts ignore UDP silently."""

    site: Site = "inner_firewall"
    """`inner_firewall`: host, firewall (hop 1), edge (2). `router`: host, edge. `direct`: host on the ISP's line."""
    nat: Nat = "masquerade"
    """What the edge does; with `site="direct"` there is none and the ISP's first router does it, if anybody."""
    cgn: Literal["100.64", "10"] | None = None
    """The ISP's access line carries addresses of this space, and its first router translates (once more)."""
    cgn_nat: Nat = "masquerade"
    access: Literal["dhcp", "pppoe"] = "dhcp"
    """`pppoe`: the edge has the public address alone, and the ISP's first router is in 10.0.0.0/8."""
    second_uplink: bool = False
    """What goes to TCP 443 leaves the edge under another public address."""
    igd: str | None = None
    """`miniupnpd` on the edge (UPnP and NAT-PMP), or an address that a small NAT-PMP answerer there tells."""
    stun_pair: bool = False
    """One STUN server has a second address and port, to ask about the NAT's behaviour (RFC 5780)."""
    sip_alg: bool = False
    """The edge rewrites SIP on TCP 5070 with the kernel's own helper."""
    alg_proxy: Literal["rewrite", "repair"] | None = None
    """The edge takes TCP 5070 into a proxy that writes its own address over the client's in Via and Contact; `repair`
    puts the Via of answers back."""
    pbx: bool = False
    """Two more nodes, for a PBX in the customer's LAN and for one with a public address: nothing listens there yet."""
    mtu: tuple[tuple[str, int], ...] = ()
    """The MTU of the link between a node and the one above it, where it is not 1500."""
    rules: tuple[Rule, ...] = ()
    in2: Kamailio | Answerer | None = Kamailio()
    in4: Kamailio | Answerer | None = Kamailio()
    """None: nothing listens and the kernel answers with RST."""
    media: Media | tuple[tuple[str, Media], ...] = "silent"
    """`silent` drops UDP, `stealth` drops everything, `unreachable` answers by ICMP, `answering` sends UDP back."""
    resolver: Resolver = Resolver()
    second_resolver: Resolver = Resolver()
    """Listens too, but is asked only if `nameservers` says so."""
    authority: Authority | None = None
    """None: no route leads to the root servers."""
    nameservers: tuple[str, ...] = (RESOLVER,)
    hosts: str = "127.0.0.1 localhost\n::1 localhost\n"
    echo: str = "plain"
    stun: bool = True
    default_route: bool = True


def loss(node: str, percent: int) -> Rule:
    """Random loss of whatever that node forwards, in each direction."""
    return Rule(node, "forward", f"numgen random mod 100 < {percent} drop")


def no_fragmentation_needed(*nodes: str) -> tuple[Rule, ...]:
    """Routers that keep to themselves that a packet is too large for the next link: path-MTU black holes."""
    return tuple(Rule(node, "output", "icmp type destination-unreachable icmp code frag-needed drop") for node in nodes)


def no_time_exceeded(*nodes: str) -> tuple[Rule, ...]:
    """Routers that answer no TTL probe."""
    return tuple(Rule(node, "output", "icmp type time-exceeded drop") for node in nodes)


def both_names(*records: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The same records for both signalling names; none makes them NXDOMAIN."""
    return ((IN2, records), (IN4, records))
