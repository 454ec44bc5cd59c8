"""The far ends: Kamailio, bind9, coturn, the HTTPS echo and the small answerers, each with its generated configuration.

A peer says in which node it runs, its command, and which sockets show that it is ready.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.dns_tree import HINTS, write_zones
from lab.scenario import (
    ECHO,
    IN2,
    IN2_ADDRESS,
    IN4,
    IN4_ADDRESS,
    IN_DIALOG_PORT,
    MEDIA,
    REFERENCE_RESOLVERS,
    RESOLVER,
    SECOND_RESOLVER,
    SIP_PORT,
    STUN,
    STUN_PAIR,
    Answerer,
    Kamailio,
    Resolver,
    Scenario,
)
from lab.topology import ALG_PROXY_PORT, media_behaviour, media_node

ALG_PROXY = str(Path(__file__).with_name("alg_proxy.py"))
ANSWERERS = str(Path(__file__).with_name("answerers.py"))
BIND_ROOM = Path("/var/cache/bind")
"""bind9 works in here, where Debian's AppArmor profile lets it read and write; the lab mounts its own over it."""
ANSWERED_SPAN = 40
"""How many ports an answering media host listens on, at each end of the RTP range: nft sends the rest there."""


@dataclass(frozen=True)
class Peer:
    """A program, the node it runs in, and the sockets (protocol, port) it must have before the lab is ready."""

    name: str
    node: str
    command: tuple[str, ...]
    ready: tuple[tuple[str, int], ...]


PROGRAMS = {
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
    "nft": "nftables",
    "openssl": "openssl",
    "kamailio": "kamailio",
    "named": "bind9",
    "turnserver": "coturn",
    "miniupnpd": "miniupnpd",
}
"""What the lab itself runs, and the Debian package each comes from."""


def prepare(scenario: Scenario, work: Path) -> list[Peer]:
    """The scenario's peers; their configuration is under `work` afterwards (named's under `work/bind`)."""
    peers = [
        *_named("resolver", {RESOLVER: scenario.resolver, SECOND_RESOLVER: scenario.second_resolver}, work),
        *_named("helpers", {", ".join(f"{address}" for address in REFERENCE_RESOLVERS): Resolver()}, work),
        *_authority(scenario, work),
        _echo(scenario.echo, work),
        *_signalling("in2", IN2_ADDRESS, scenario.in2, work),
        *_signalling("in4", IN4_ADDRESS, scenario.in4, work),
    ]
    if scenario.alg_proxy is not None:
        peers.append(_alg_proxy(scenario.alg_proxy))
    if scenario.stun:
        peers += _stun(work, scenario.stun_pair)
    if scenario.igd is not None:
        peers.append(_gateway(scenario, work))
    for address, behaviour in media_behaviour(scenario).items():
        if behaviour == "answering":
            command = (sys.executable, "-I", "-S", ANSWERERS, "udp", address, "10000", "10000")
            peers.append(Peer(f"rtp-{address}", media_node(address), command, (("udp", 10000),)))
    return peers


def kamailio_modules() -> Path:
    """Where the distribution puts them."""
    return next(iter(Path("/usr/lib").glob("*/kamailio/modules")), Path("/usr/lib64/kamailio/modules"))


def _kamailio(name: str, address: str, server: Kamailio, work: Path) -> Peer:
    act = "".join(f'    append_to_reply("{header}\\r\\n");\n' for header in server.headers)
    if server.delay_ms:
        act += f'    usleep("{server.delay_ms * 1000}");\n'
    act += "    drop;\n" if server.drop else f'    sl_send_reply("{server.status}", "{server.reason}");\n    exit;\n'
    config = f"""#!KAMAILIO
debug=2
log_stderror=yes
children=1
tcp_children=6
dns=no
rev_dns=no
auto_aliases=no
server_signature=no
enable_sctp=no
listen=tcp:{address}:{SIP_PORT}
listen=tcp:{address}:{IN_DIALOG_PORT}
mpath="{kamailio_modules()}/"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "cfgutils.so"
request_route {{
  if (is_method("OPTIONS")) {{
{act}  }}
  sl_send_reply("405", "Method Not Allowed");
}}
"""
    path = work / f"kamailio-{name}.cfg"
    path.write_text(config)
    command = ("kamailio", "-f", str(path), "-DD", "-E", "-m", "16", "-M", "4", "-Y", str(work))
    return Peer(f"kamailio-{name}", name, command, (("tcp", SIP_PORT), ("tcp", IN_DIALOG_PORT)))


def _signalling(name: str, address: str, server: Kamailio | Answerer | None, work: Path) -> Iterator[Peer]:
    if isinstance(server, Kamailio):
        yield _kamailio(name, address, server, work)
    elif server is not None:
        command = (sys.executable, "-I", "-S", ANSWERERS, "tcp", server.mode, f"{address}:{SIP_PORT}")
        yield Peer(f"{server.mode}-{name}", name, command, (("tcp", SIP_PORT),))
        command = (sys.executable, "-I", "-S", ANSWERERS, "tcp", "mute", f"{address}:{IN_DIALOG_PORT}")
        yield Peer(f"in-dialog-{name}", name, command, (("tcp", IN_DIALOG_PORT),))


def _zone(resolver: Resolver) -> str:
    """One root zone with every name of the world: what is not in it does not exist."""
    world: dict[str, tuple[str, ...]] = {
        IN2: (f"A {IN2_ADDRESS}",),
        IN4: (f"A {IN4_ADDRESS}",),
        **{name: (f"A {address}",) for name, (address, _) in STUN.items()},
        **{name: (f"A {address}",) for name, address in ECHO.items()},
        **dict(resolver.records),
    }
    lines = ["$TTL 300", ". IN SOA a.root-servers.net. nstld.verisign-grs.com. 1 1800 900 604800 60"]
    lines += [". IN NS a.root-servers.net.", "a.root-servers.net. IN A 198.41.0.4"]
    lines += [f"{name}. IN {record}" for name, records in world.items() for record in records]
    return "\n".join(lines) + "\n"


def _named(node: str, views: dict[str, Resolver], work: Path) -> Iterator[Peer]:
    directory = work / "bind" / node
    directory.mkdir(parents=True)
    room = BIND_ROOM / node
    addresses = "; ".join(", ".join(views).split(", "))
    config = f"""options {{
  directory "{room}"; pid-file none; session-keyfile none; managed-keys-directory "{room}";
  listen-on port 53 {{ {addresses}; }}; listen-on-v6 {{ none; }};
  recursion yes; allow-recursion {{ any; }}; allow-query {{ any; }}; dnssec-validation no; empty-zones-enable no;
  minimal-responses yes; max-cache-size 8M;
}};
controls {{ }};
"""
    for number, (served, resolver) in enumerate(views.items()):
        (directory / f"root{number}.zone").write_text(_zone(resolver))
        config += f"view v{number} {{\n  match-destinations {{ {served.replace(',', ';')}; }};\n"
        config += f"  max-udp-size {resolver.udp_limit};\n"
        if resolver.recursive:
            (directory / "hints.zone").write_text(HINTS)
            config += '  zone "." { type hint; file "hints.zone"; };\n'
        else:
            config += f'  zone "." {{ type master; file "root{number}.zone"; }};\n'
        if resolver.serves_stale:
            config += "  stale-cache-enable yes; stale-answer-enable yes; stale-answer-client-timeout 0;\n"
        if resolver.wrong_anchor:
            config += f'  dnssec-validation yes;\n  trust-anchors {{ "exotel.com" static-ds 1 8 2 "{"AB" * 32}"; }};\n'
        for zone in resolver.broken_zones:
            config += f'  zone "{zone}" {{ type master; file "missing.zone"; }};\n'
        config += "};\n"
    (directory / "named.conf").write_text(config)
    command = ("named", "-g", "-n", "1", "-c", str(room / "named.conf"))
    yield Peer(f"named-{node}", node, command, (("udp", 53), ("tcp", 53)))


def _authority(scenario: Scenario, work: Path) -> Iterator[Peer]:
    if scenario.authority is None:
        return
    directory = work / "bind" / "authority"
    directory.mkdir(parents=True)
    room = BIND_ROOM / "authority"
    (directory / "named.conf").write_text(write_zones(scenario.authority, directory, room))
    command = ("named", "-g", "-n", "1", "-c", str(room / "named.conf"))
    yield Peer("named-authority", "authority", command, (("udp", 53), ("tcp", 53)))


def _stun(work: Path, pair: bool) -> Iterator[Peer]:
    """One coturn process for each server: what two addresses of one process say is not two opinions."""
    for name, (address, port) in STUN.items():
        directory = work / f"turn-{name}"
        directory.mkdir()
        command: tuple[str, ...] = (
            *("turnserver", "-n", "--stun-only", "--no-auth", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp"),
            *("--listening-ip", address, "--listening-port", str(port), "--relay-ip", address, "--relay-threads", "1"),
            *("--pidfile", str(directory / "pid"), "--userdb", str(directory / "db"), "--log-file", "stdout"),
            "--no-stun-backward-compatibility",
        )
        if pair and address == STUN_PAIR[0]:
            # No option names the second port's own address: coturn takes both ports on both addresses.
            command += ("--listening-ip", STUN_PAIR[1], "--alt-listening-port", str(port + 1))
            yield Peer(f"coturn-{name}", "helpers", command, (("udp", port), ("udp", port + 1)))
        else:
            yield Peer(f"coturn-{name}", "helpers", (*command, "--no-rfc5780"), (("udp", port),))


def _gateway(scenario: Scenario, work: Path) -> Peer:
    """What the edge says of itself to the inside."""
    inside = "host" if scenario.site == "router" else "lanfw"
    if scenario.igd != "miniupnpd":
        command = (sys.executable, "-I", "-S", ANSWERERS, "natpmp", str(scenario.igd))
        return Peer("natpmp", "edge", command, (("udp", 5351),))
    config = work / "miniupnpd.conf"
    config.write_text(
        f"ext_ifname=uplink\nlistening_ip={inside}\nenable_natpmp=yes\nenable_upnp=yes\nsecure_mode=yes\n"
        "system_uptime=yes\nuuid=6f0c1a52-4b5e-4e0d-9a52-2b1d2f3c4d5e\nhttp_port=5000\n"
    )
    # The socket for NAT-PMP is the last that it opens; that for HTTP is in another table of the kernel's.
    command = ("miniupnpd", "-d", "-f", str(config), "-P", str(work / "miniupnpd.pid"))
    return Peer("miniupnpd", "edge", command, (("udp", 5351),))


def _echo(mode: str, work: Path) -> Peer:
    make_certificates(work, tuple(ECHO))
    addresses = tuple(f"{address}:443" for address in dict.fromkeys(ECHO.values()))
    files = (str(work / "echo.pem"), str(work / "echo.key"))
    command = (sys.executable, "-I", "-S", ANSWERERS, "echo", mode, *files, *addresses)
    return Peer("echo", "helpers", command, (("tcp", 443),))


def _alg_proxy(mode: str) -> Peer:
    command = (sys.executable, "-I", "-S", ALG_PROXY, mode, str(ALG_PROXY_PORT))
    return Peer("alg-proxy", "edge", command, (("tcp", ALG_PROXY_PORT),))


def make_certificates(work: Path, names: tuple[str, ...]) -> None:
    """A new CA (`ca.pem`) and a certificate for `names` (`echo.pem`, `echo.key`)."""
    new = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    )
    authority = ("-keyout", f"{work}/ca.key", "-out", f"{work}/ca.pem", "-subj", "/CN=Lab CA")
    _run(*new, *authority, "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    leaf = ("-keyout", f"{work}/echo.key", "-out", f"{work}/echo.pem", "-subj", f"/CN={names[0]}")
    alternatives = ",".join(f"DNS:{name}" for name in names)
    extensions = ("-addext", f"subjectAltName={alternatives}", "-addext", "basicConstraints=critical,CA:FALSE")
    _run(*new, *leaf, "-CA", f"{work}/ca.pem", "-CAkey", f"{work}/ca.key", *extensions)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")


def answering_rules(scenario: Scenario) -> dict[str, str]:
    """nft tables that let one socket of an answering media host hear the whole RTP range."""
    table = (
        "table ip relay {\n  chain prerouting { type nat hook prerouting priority -100;\n"
        "    udp dport 10000-40000 redirect to :10000\n  }\n}\n"
    )
    chosen = (address for address, behaviour in media_behaviour(scenario).items() if behaviour == "answering")
    return {media_node(address): table for address in chosen}


__all__ = ["MEDIA", "PROGRAMS", "Peer", "answering_rules", "prepare"]
