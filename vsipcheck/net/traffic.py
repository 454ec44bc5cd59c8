"""A meter of what a run sends.

Counted are payload bytes. UDP: one packet a datagram that the kernel took. TCP: one packet a connection attempt (the
first SYN; the kernel's repetitions are not seen) and one a send call (the kernel may cut it into several segments);
pure acknowledgements are not counted. HTTPS: what the kernel says about the socket, where it does (Linux), TLS
included. What the system's own resolver sends on our behalf is not seen.
"""

from __future__ import annotations

import threading

from vsipcheck.model import Destination, Traffic

# Towards more ports than this, one destination is reported without ports.
MAX_PORTS_NAMED = 8


class TrafficMeter:
    """Packets and payload bytes by (address, protocol, port). Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # None as a port stands for "several"; it is then the only key of its destination.
        self._counts: dict[tuple[str, str], dict[int | None, list[int]]] = {}

    def count(self, address: str, protocol: str, port: int | None, packets: int, payload_bytes: int) -> None:
        """Add `packets` that carried `payload_bytes` together; `port` None where they went to several ports."""
        with self._lock:
            ports = self._counts.setdefault((address, protocol), {})
            if None in ports:
                port = None
            elif port not in ports and (port is None or len(ports) >= MAX_PORTS_NAMED):
                merged = [sum(count[0] for count in ports.values()), sum(count[1] for count in ports.values())]
                ports.clear()
                ports[None] = merged
                port = None
            entry = ports.setdefault(port, [0, 0])
            entry[0] += packets
            entry[1] += payload_bytes

    def traffic(self) -> Traffic:
        """What has been sent until now, ordered by address, protocol and port."""
        with self._lock:
            rows = [
                Destination(address=address, protocol=protocol, port=port, packets=packets, bytes=size)
                for (address, protocol), ports in self._counts.items()
                for port, (packets, size) in ports.items()
            ]
        rows.sort(key=lambda row: (row.address, row.protocol, row.port or 0))
        return Traffic(
            packets_sent=sum(row.packets for row in rows),
            bytes_sent=sum(row.bytes for row in rows),
            by_destination=tuple(rows),
        )
