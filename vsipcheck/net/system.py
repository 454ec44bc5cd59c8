"""The system's own resolution, which is what a PBX gets: /etc/hosts, search order, nsswitch and all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from vsipcheck.model import Failure, Family
from vsipcheck.net import SystemLookup
from vsipcheck.net.addresses import each_once
from vsipcheck.net.failures import from_exception
from vsipcheck.net.waiting import in_daemon_thread

_FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}


async def resolve_system(name: str, family: Family, timeout_s: float, now_ms: Callable[[], float]) -> SystemLookup:
    """What getaddrinfo says about `name`, within `timeout_s`: the thread may outlive that, never the process.

    Our own deadline is DNS_TIMEOUT. glibc says EAI_AGAIN for SERVFAIL, REFUSED and its own time-outs alike, so SERVFAIL
    here means "a temporary failure"; which one, look-ups of the single nameservers tell. Where the platform has no
    EAI_NODATA, an existing name without addresses reads as NXDOMAIN too. A name that is none is DNS_ERROR.
    """
    wanted = _FAMILIES.get(family, socket.AF_UNSPEC)
    began_ms = now_ms()

    def look_up() -> list[tuple[str, str]]:
        rows = socket.getaddrinfo(name, None, wanted, socket.SOCK_STREAM, 0, socket.AI_CANONNAME)
        return [(str(address[0]), canonical) for _, _, _, canonical, address in rows]

    future = in_daemon_thread(look_up, f"getaddrinfo {name[:40]}")
    try:
        async with asyncio.timeout(max(0.0, timeout_s)) as deadline:
            rows = await future
    except TimeoutError as error:
        failure = Failure.DNS_TIMEOUT if deadline.expired() else from_exception(error)
        return SystemLookup((), now_ms() - began_ms, failure)
    except OSError as error:
        return SystemLookup((), now_ms() - began_ms, from_exception(error))
    except ValueError:  # UnicodeError of the idna codec, or an embedded NUL
        return SystemLookup((), now_ms() - began_ms, Failure.DNS_ERROR)
    rtt_ms = now_ms() - began_ms
    addresses = each_once(address for address, _ in rows)
    canonical = next((canonical for _, canonical in rows if canonical), None)
    return SystemLookup(addresses, rtt_ms, None if addresses else Failure.NODATA, canonical)
