"""A small network of our own with no way out: this host, two routers and a target, made by an ordinary user.

    client 10.1.0.2 -- 10.1.0.1 r1 10.2.0.1 -- 10.2.0.2 r2 10.3.0.1 -- 10.3.0.2 target (IPv6: fd00:1::/64 and so on)

`observe` runs every scenario of `inside.py` in it and returns what each saw.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

SETUP = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
ip link set lo up
for name in r1 r2 target; do ip netns add $name; ip -n $name link set lo up; done
link() {  # NETNS DEVICE NUMBER HOST
  ip -n $1 addr add 10.$3.0.$4/24 dev $2
  ip -n $1 addr add fd00:$3::$4/64 dev $2 nodad
  ip -n $1 link set $2 up
}
set_in() { nsenter --net=/run/netns/$1 sh -c "echo $3 > /proc/sys/net/$2"; }
ip link add c0 type veth peer name west netns r1
ip addr add 10.1.0.2/24 dev c0; ip addr add fd00:1::2/64 dev c0 nodad; ip link set c0 up
ip -n r1 link add east type veth peer name west netns r2
ip -n r2 link add east type veth peer name west netns target
link r1 west 1 1; link r1 east 2 1; link r2 west 2 2; link r2 east 3 1; link target west 3 2
for net in 2 3 8; do ip route add 10.$net.0.0/24 via 10.1.0.1; ip -6 route add fd00:$net::/64 via fd00:1::1; done
ip -n r1 route add 10.8.0.0/24 via 10.2.0.2
ip -n r1 route add 10.3.0.0/24 via 10.2.0.2; ip -n r1 -6 route add fd00:3::/64 via fd00:2::2
ip -n r2 route add 10.1.0.0/24 via 10.2.0.1; ip -n r2 -6 route add fd00:1::/64 via fd00:2::1
ip -n target route add default via 10.3.0.1; ip -n target -6 route add default via fd00:3::1
ip route add unreachable 10.9.1.0/24; ip route add prohibit 10.9.2.0/24; ip route add blackhole 10.9.3.0/24
for name in r1 r2 target; do
  set_in $name ipv4/ip_forward 1; set_in $name ipv6/conf/all/forwarding 1
  # What routers limit is not the subject here.
  set_in $name ipv4/icmp_ratelimit 0; set_in $name ipv6/icmp/ratelimit 0
  for limit in icmp_msgs_per_sec icmp_msgs_burst; do set_in $name ipv4/$limit 100000 2>/dev/null || true; done
done
echo 0 > /proc/sys/net/ipv4/icmp_ratelimit
for limit in icmp_msgs_per_sec icmp_msgs_burst; do echo 100000 2>/dev/null > /proc/sys/net/ipv4/$limit || true; done
echo 100 > /proc/sys/net/ipv4/neigh/c0/retrans_time_ms
echo 1 > /proc/sys/net/ipv4/tcp_syn_retries
nft -f - <<'RULES'
table inet own {
  chain out {
    type filter hook output priority 0
    udp dport 20000 drop
    udp dport 20001 reject with icmpx admin-prohibited
    udp dport 20002 reject with icmpx port-unreachable
    tcp dport 20003 drop
    tcp dport 20004 reject with icmpx admin-prohibited
  }
}
RULES
nsenter --net=/run/netns/r1 nft -f - <<'RULES'
table inet fw {
  chain forward {
    type filter hook forward priority 0
    ip daddr 10.8.0.0/24 reject with icmp net-unreachable
    tcp dport 5071 reject with icmpx admin-prohibited
    tcp dport 5072 reject with tcp reset
    tcp dport 5073 drop
    tcp dport 5074 reject with icmpx port-unreachable
    tcp dport 5075 reject with icmpx host-unreachable
    udp dport 30001 reject with icmpx admin-prohibited
    udp dport 30002 reject with icmpx host-unreachable
    udp dport 30003 drop
    udp dport 45000-45099 drop
    udp dport 45100-45199 reject with icmpx admin-prohibited
  }
}
RULES
exec "$@"
"""

# Process and mount namespaces of their own: nothing outlives the scenarios, nothing is seen outside.
UNSHARE = ["unshare", "-Urnmpf", "--kill-child", "--mount-proc"]


def why_unavailable() -> str | None:
    """Why this machine cannot make such a network; None when it can."""
    for tool in ("unshare", "nsenter", "ip", "nft", "bash"):
        if shutil.which(tool, path=_path()) is None:
            return f"{tool} is not installed"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        return f"no unprivileged namespaces: {tried.stderr.strip()}"
    return None


def observe() -> dict[str, Any]:
    """What every scenario saw: name -> {"seen": ...} or {"error": traceback}."""
    command = [*UNSHARE, "bash", "-c", SETUP, "setup", sys.executable, "-W", "error", str(HERE / "inside.py")]
    environment = os.environ | {"PATH": _path(), "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"the network could not be made:\n{done.stderr}")
    seen: dict[str, Any] = json.loads(done.stdout)
    # A ResourceWarning of a destructor is only printed.
    seen["stderr"] = done.stderr
    return seen


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
