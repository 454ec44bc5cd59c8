"""The lab's tree of nodes: who hangs below whom, with which addresses, and the routes and nft tables that follow.

The root is the internet exchange. Every other node has one link up; default routes lead up, and each node above learns
the addresses that the subtree announces. What lies below a NAT is announced only as far as the translating node.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lab.dns_tree import ADDRESSES
from lab.scenario import (
    ECHO,
    IN2_ADDRESS,
    IN4_ADDRESS,
    KARNATAKA_MEDIA,
    MEDIA,
    MUMBAI_MEDIA,
    PBX,
    PBX_SECOND,
    PUBLIC,
    PUBLIC_PBX,
    REFERENCE_RESOLVERS,
    RESOLVER,
    SECOND_PUBLIC,
    SECOND_RESOLVER,
    SIP_PORT,
    STUN,
    STUN_PAIR,
    Chain,
    Nat,
    Scenario,
)

ALG_PROXY_PORT = 15070
CHAINS: dict[Chain, str] = {
    "prerouting": "type filter hook prerouting priority -150",
    "input": "type filter hook input priority 0",
    "forward": "type filter hook forward priority 0",
    "output": "type filter hook output priority 0",
}
COUNTED = {
    "sip": f"tcp dport {SIP_PORT}",
    "rtp": "udp dport 10000-40000",
    "other_udp": "meta l4proto udp udp dport != 10000-40000",
    "other_tcp": f"tcp dport != {SIP_PORT}",
    "any_icmp": "meta l4proto icmp",
}
"""What the ISP's first router counts of the packets that come from the customer."""


MINIUPNPD_TABLE = """table inet filter {
  chain miniupnpd { }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
  chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
  chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; }
  chain forward { type filter hook forward priority 0; jump miniupnpd; }
}"""
"""Where miniupnpd puts the mappings that it is asked for, under the names that it expects."""


@dataclass(frozen=True)
class Node:
    """A namespace, its link to the node above (own address, the other's, prefix length), and further own addresses."""

    name: str
    above: str | None = None
    address: str = ""
    gateway: str = ""
    prefix: int = 30
    extra: tuple[str, ...] = ()
    announces: tuple[str, ...] = ()
    """Prefixes that the nodes above route here. Empty behind a NAT."""
    interface: str = "uplink"
    default_route: bool = True
    mtu: int | None = None
    """Of the link up, where it is not the usual one."""


def customer_site(scenario: Scenario) -> list[Node]:
    """The customer's nodes and the ISP's first router, from the outside in."""
    wan_nat = scenario.site != "direct" and scenario.nat != "none"
    host_is_public = not wan_nat and scenario.cgn is None
    isp1 = Node("isp1", "isp2", "49.44.1.2", "49.44.1.1", announces=(f"{PUBLIC}/32", "49.36.9.0/30", f"{RESOLVER}/29"))
    if scenario.second_uplink:
        isp1 = replace(isp1, announces=(*isp1.announces, f"{SECOND_PUBLIC}/32"))
    if scenario.cgn is not None:
        isp1 = replace(isp1, extra=(PUBLIC,))
    line, router, prefix = {
        None: (PUBLIC, "49.36.10.1", 28) if wan_nat else ("49.36.9.2", "49.36.9.1", 30),
        "100.64": ("100.64.7.9", "100.64.0.1", 16),
        "10": ("10.77.7.9", "10.77.0.1", 16),
    }[scenario.cgn]
    if scenario.access == "pppoe":
        line, router, prefix = PUBLIC, "10.77.0.1", 32
    nodes = [isp1]
    if scenario.site == "direct":
        if host_is_public:
            line, router, prefix = PUBLIC, "49.36.10.1", 28
        nodes.append(Node("host", "isp1", line, router, prefix, interface="eth0"))
    else:
        lan, lan_router, lan_prefix = ("192.168.10.2", "192.168.10.1", 24)
        if host_is_public:
            lan, lan_router, lan_prefix = PUBLIC, "49.36.10.1", 28
        inside: tuple[str, ...] = (f"{lan_router}/{lan_prefix}",)
        extra = (SECOND_PUBLIC,) if scenario.second_uplink else ()
        nodes.append(Node("edge", "isp1", line, router, prefix, extra, () if wan_nat else inside))
        if scenario.site == "router":
            nodes.append(Node("host", "edge", lan, lan_router, lan_prefix, interface="eth0"))
        else:
            if scenario.pbx:
                inside = (*inside, f"{PBX}/24")
            nodes.append(Node("lanfw", "edge", "192.168.1.2", "192.168.1.1", announces=inside))
            nodes.append(Node("host", "lanfw", lan, lan_router, lan_prefix, interface="eth0"))
    return [replace(node, default_route=scenario.default_route) if node.name == "host" else node for node in nodes]


def pbx_nodes(scenario: Scenario) -> list[Node]:
    """Where a PBX can stand: beside the host, below the same router, and on a line of another customer's."""
    if not scenario.pbx:
        return []
    nodes = [Node("pbx_public", "isp2", PUBLIC_PBX, "49.36.20.9")]
    if scenario.site != "direct":
        above = "edge" if scenario.site == "router" else "lanfw"
        nodes.append(Node("pbx", above, PBX, "192.168.20.1", 24, extra=(PBX_SECOND,)))
    return nodes


def authority_nodes(scenario: Scenario) -> list[Node]:
    """Where the root servers are, and the others down to the zone's."""
    if scenario.authority is None:
        return []
    announced = tuple(f"{address}/32" for address in ADDRESSES)
    return [Node("authority", "ix", "103.27.170.18", "103.27.170.17", extra=ADDRESSES, announces=announced)]


def build_tree(scenario: Scenario) -> list[Node]:
    """All nodes, parents before children."""
    servers = dict.fromkeys((*(address for address, _ in STUN.values()), *STUN_PAIR))
    helpers = (*servers, *ECHO.values(), *REFERENCE_RESOLVERS)
    nodes = [
        Node("ix"),
        Node("isp2", "ix", "103.27.170.10", "103.27.170.9", announces=("49.44.0.0/15", "49.36.0.0/16")),
        *customer_site(scenario),
        Node("resolver", "isp1", RESOLVER, "49.44.0.49", 28, extra=(SECOND_RESOLVER,)),
        *pbx_nodes(scenario),
        *authority_nodes(scenario),
        Node("helpers", "ix", "103.27.170.14", "103.27.170.13", extra=helpers, announces=helpers),
    ]
    regions = (
        ("prov_mum", "182.79.3.2", "182.79.3.1", (("in2", IN2_ADDRESS), *_named("mum", MUMBAI_MEDIA))),
        ("prov_ka", "182.79.5.2", "182.79.5.1", _named("ka", KARNATAKA_MEDIA)),
        ("prov_cloud", "52.95.66.2", "52.95.66.1", (("in4", IN4_ADDRESS),)),
    )
    for index, (region, own, above, hosts) in enumerate(regions):
        transit = own.rsplit(".", 2)[0]
        announced = [f"{address}/32" for _, address in hosts]
        announced += [f"{transit}.{100 + index}.0/24"]
        nodes.append(Node(region, "ix", own, above, announces=tuple(announced)))
        for place, (name, address) in enumerate(hosts):
            base = f"{transit}.{100 + index}."
            door = Node(
                f"dc_{name}", region, f"{base}{4 * place + 2}", f"{base}{4 * place + 1}", announces=(f"{address}/32",)
            )
            # Unnumbered: 122.15.8.184 would be the network address of any small subnet around it.
            nodes += [door, Node(name, door.name, address, door.address, 32)]
    mtus = dict(scenario.mtu)
    return [replace(node, mtu=mtus.get(node.name)) for node in nodes]


def media_node(address: str) -> str:
    """The name of the node that has this media address."""
    return {a: name for name, a in (*_named("mum", MUMBAI_MEDIA), *_named("ka", KARNATAKA_MEDIA))}[address]


def _named(region: str, addresses: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{region}{number}", address) for number, address in enumerate(addresses, 1))


def ip_commands(nodes: list[Node]) -> dict[str, list[str]]:
    """Commands for `ip -batch` in each node, after the links exist: addresses, interfaces up, routes."""
    commands: dict[str, list[str]] = {node.name: ["link set lo up"] for node in nodes}
    routes: dict[str, list[str]] = {node.name: [] for node in nodes}
    for node in nodes:
        own = commands[node.name]
        own += [f"address add {address}/32 dev lo" for address in node.extra]
        if node.above is None:
            continue
        own += [_address(node.address, node.gateway, node.prefix, node.interface), f"link set {node.interface} up"]
        if node.mtu is not None:
            own.append(f"link set {node.interface} mtu {node.mtu}")
            commands[node.above].append(f"link set {node.name} mtu {node.mtu}")
        commands[node.above] += [
            _address(node.gateway, node.address, node.prefix, node.name),
            f"link set {node.name} up",
        ]
        if node.default_route:
            routes[node.name].append(f"route add default via {node.gateway}")
        announced = node.announces or tuple(f"{address}/32" for address in node.extra)
        routes[node.above] += [f"route add {_network(prefix)} via {node.address}" for prefix in announced]
    return {name: commands[name] + routes[name] for name in commands}


def _address(own: str, other: str, prefix: int, interface: str) -> str:
    peer = f"{own} peer {other}" if prefix == 32 else own
    return f"address add {peer}/{prefix} dev {interface}"


def _network(prefix: str) -> str:
    address, _, length = prefix.partition("/")
    bits = int(length or 32)
    value = int.from_bytes(bytes(map(int, address.split("."))), "big") & (0xFFFFFFFF << (32 - bits)) & 0xFFFFFFFF
    return ".".join(map(str, value.to_bytes(4, "big"))) + f"/{bits}"


def nft_tables(scenario: Scenario, nodes: list[Node]) -> dict[str, str]:
    """The nft input of each node that has any: the scenario's rules, the customer's NAT and firewall, counters."""
    filters: dict[str, dict[Chain, list[str]]] = {}
    tables: dict[str, list[str]] = {}
    names = {node.name for node in nodes}

    def chain(node: str, name: Chain) -> list[str]:
        return filters.setdefault(node, {}).setdefault(name, [])

    for name, text in COUNTED.items():
        chain("isp1", "prerouting").append(f'iifname {{ "edge", "host" }} {text} counter name "{name}"')
    for rule in scenario.rules:
        if rule.node not in names:
            raise ValueError(f"the site has no node {rule.node!r}: {sorted(names)}")
        chain(rule.node, rule.chain).append(rule.text)
    for address, behaviour in media_behaviour(scenario).items():
        if behaviour == "silent":
            chain(media_node(address), "input").append("meta l4proto udp drop")
        elif behaviour == "stealth":
            chain(media_node(address), "input").append("drop")
    if "edge" in names:
        forward = chain("edge", "forward")
        forward.append("ct state established,related accept")
        if scenario.nat in ("one_to_one", "restricted"):
            forward.append("ct status dnat accept")
        forward.append('iifname "uplink" drop')
        inner = next(node for node in nodes if node.name == "host").address
        translated = nat_table(scenario.nat, PUBLIC if not scenario.cgn else None, inner)
        if scenario.second_uplink:
            by_second = f'    oifname "uplink" tcp dport 443 snat to {SECOND_PUBLIC}\n'
            translated = translated.replace("priority 100;\n", f"priority 100;\n{by_second}", 1)
        tables.setdefault("edge", []).append(translated)
        if scenario.igd == "miniupnpd":
            tables["edge"].append(MINIUPNPD_TABLE)
    if scenario.cgn is not None:
        inner = next(node for node in nodes if node.above == "isp1" and node.name != "resolver").address
        tables.setdefault("isp1", []).append(nat_table(scenario.cgn_nat, PUBLIC, inner))
    if scenario.alg_proxy is not None:
        tables.setdefault("edge", []).append(
            "table ip alg_proxy {\n"
            "  chain prerouting { type nat hook prerouting priority -100;\n"
            f'    iifname != "uplink" tcp dport {SIP_PORT} redirect to :{ALG_PROXY_PORT}\n  }}\n}}'
        )
    if scenario.sip_alg:
        tables.setdefault("edge", []).append(
            "table ip alg {\n"
            '  ct helper sip-trunk { type "sip" protocol tcp; l3proto ip; }\n'
            "  chain prerouting { type filter hook prerouting priority -150;\n"
            f'    tcp dport {SIP_PORT} ct helper set "sip-trunk"\n  }}\n}}'
        )
    for node, chains in filters.items():
        text = "table inet lab {\n"
        if node == "isp1":
            text += "".join(f"  counter {name} {{ }}\n" for name in COUNTED)
        for name, rules in chains.items():
            text += f"  chain {name} {{ {CHAINS[name]};\n    " + "\n    ".join(rules) + "\n  }\n"
        tables.setdefault(node, []).append(text + "}")
    return {node: "\n".join(parts) + "\n" for node, parts in tables.items()}


def nat_table(nat: Nat, public: str | None, inner: str) -> str:
    """The translation at a node whose `uplink` interface leads outside; without `public` that interface's own address.

    `symmetric` picks a random port for each destination. `remap` lies outside the ports a client uses, and the kernel
    reuses a source's mapping while it fits: the same foreign port for every destination (RFC 4787 §4.1). The filters of
    RFC 4787 §5: `one_to_one` lets everybody in (full cone), `restricted` whom the port has sent to, and what the kernel
    does without more, `masquerade`, is port-restricted.
    """
    source = f"snat to {public}" if public else "masquerade"
    statement = {
        "none": "",
        "masquerade": source,
        "symmetric": f"{source} fully-random",
        "remap": f"meta l4proto {{ tcp, udp }} {source}{':' if public else ' to :'}61001-65000",
        "restricted": source,
        "one_to_one": source,
    }[nat]
    text = "table ip nat {\n  chain postrouting { type nat hook postrouting priority 100;\n"
    if statement:
        text += f'    oifname "uplink" {statement}\n'
        if nat == "remap":
            text += f'    oifname "uplink" {source}\n'
    text += "  }\n"
    if nat == "one_to_one":
        text += "  chain prerouting { type nat hook prerouting priority -100;\n"
        text += f'    iifname "uplink" fib daddr type local dnat to {inner}\n  }}\n'
    if nat == "restricted":
        text += "  set talked { type ipv4_addr . inet_service; flags dynamic,timeout; timeout 2m; }\n"
        text += "  chain note { type filter hook forward priority 1;\n"
        text += '    oifname "uplink" meta l4proto udp update @talked { ip daddr . udp sport }\n  }\n'
        text += "  chain prerouting { type nat hook prerouting priority -100;\n"
        text += f'    iifname "uplink" ip saddr . udp dport @talked dnat to {inner}\n  }}\n'
    return text + "}"


def media_behaviour(scenario: Scenario) -> dict[str, str]:
    """What each media address does with packets."""
    if isinstance(scenario.media, str):
        return dict.fromkeys(MEDIA, scenario.media)
    return dict.fromkeys(MEDIA, "silent") | dict(scenario.media)
