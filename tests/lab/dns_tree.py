"""The DNS above the resolvers: servers of the root, the TLD and the zone, views of one bind9 that recurses for nobody.

The addresses are the real ones of the root servers, of a.gtld-servers.net and of two servers as the zone could have.
"""

from __future__ import annotations

from pathlib import Path

from lab.scenario import IN2, IN2_ADDRESS, IN4, IN4_ADDRESS, Authority

ROOT_SERVERS = (
    *("198.41.0.4", "170.247.170.2", "192.33.4.12", "199.7.91.13", "192.203.230.10", "192.5.5.241", "192.112.36.4"),
    *("198.97.190.53", "192.36.148.17", "192.58.128.30", "193.0.14.129", "199.7.83.42", "202.12.27.33"),
)
TLD_SERVER = "192.5.6.30"
ZONE_SERVERS = ("205.251.192.10", "205.251.196.20")
ADDRESSES = (*ROOT_SERVERS, TLD_SERVER, *ZONE_SERVERS)
HINTS = "".join(
    f". 3600000 IN NS {letter}.root-servers.net.\n{letter}.root-servers.net. 3600000 IN A {address}\n"
    for letter, address in zip("abcdefghijklm", ROOT_SERVERS, strict=True)
)

_TLDS = f"com. IN NS a.gtld-servers.net.\nnet. IN NS a.gtld-servers.net.\na.gtld-servers.net. IN A {TLD_SERVER}\n"


def write_zones(authority: Authority, directory: Path, room: Path) -> str:
    """bind9's configuration; its zones are in `directory` afterwards, which it will see as `room`."""
    soa = "SOA ns.example. hostmaster.example. 1 1800 900 604800 60"
    delegation = "".join(
        f"exotel.com. IN NS ns{number}.exotel.com.\nns{number}.exotel.com. IN A {address}\n"
        for number, address in enumerate(ZONE_SERVERS, 1)
    )
    records = {IN2: (f"A {IN2_ADDRESS}",), IN4: (f"A {IN4_ADDRESS}",), **dict(authority.records)}
    own = "".join(f"{name}. IN {record}\n" for name, several in records.items() for record in several)
    zones = {
        "root": (".", f"$TTL 300\n. IN {soa}\n{HINTS}{_TLDS}"),
        "tld": ("com", f"$TTL 300\ncom. IN {soa}\ncom. IN NS a.gtld-servers.net.\n{delegation}"),
        "zone": ("exotel.com", f"$TTL {authority.ttl_s}\nexotel.com. IN {soa}\n{delegation}{own}"),
    }
    served = {"root": ROOT_SERVERS, "tld": (TLD_SERVER,), "zone": ZONE_SERVERS}
    net = f"$TTL 300\nnet. IN {soa}\nnet. IN NS a.gtld-servers.net.\na.gtld-servers.net. IN A {TLD_SERVER}\n{HINTS}"
    (directory / "net.zone").write_text("".join(line for line in net.splitlines(True) if not line.startswith(". ")))
    config = f"""options {{
  directory "{room}"; pid-file none; session-keyfile none; managed-keys-directory "{room}";
  listen-on port 53 {{ {"; ".join(ADDRESSES)}; }}; listen-on-v6 {{ none; }};
  recursion no; allow-query {{ any; }}; dnssec-validation no; empty-zones-enable no; max-cache-size 8M;
}};
controls {{ }};
"""
    for view, (zone, text) in zones.items():
        (directory / f"{view}.zone").write_text(text)
        config += f"view {view} {{\n  match-destinations {{ {'; '.join(served[view])}; }};\n"
        config += f'  zone "{zone}" {{ type master; file "{view}.zone"; }};\n'
        if view == "tld":
            config += '  zone "net" { type master; file "net.zone"; };\n'
        config += "};\n"
    return config
