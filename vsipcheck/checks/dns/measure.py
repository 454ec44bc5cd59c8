"""What is asked, of whom, and when."""

from __future__ import annotations

import asyncio

from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.dns.answers import IPV4ONLY, SLOW_MS
from vsipcheck.checks.dns.deep import ask_again, measure_deep, why_deep
from vsipcheck.checks.dns.names import is_address, record_types, signalling_names
from vsipcheck.checks.dns.query import Question, ask_nameserver, ask_system, load_codec, purpose_of
from vsipcheck.model import Lookup, Note
from vsipcheck.net import Nameserver

MAX_NAMESERVERS = 8


async def measure(context: Context, record: Recorder) -> None:
    """Record what the system and every nameserver say about every signalling name, all asked at the same time."""
    names = [name for name in signalling_names(context.profile) if not is_address(name)]
    if not names:
        return
    types = record_types(context.settings)
    if context.settings.resolvers:
        servers = [given(resolver) for resolver in context.settings.resolvers]
    else:
        servers = context.network.nameservers()
    record.add(
        Note(
            topic="nameservers",
            text=f"{len(servers)} to ask" if servers else "this host has no nameserver configured",
            values={
                "count": len(servers),
                "asked": [{"address": server.address, "port": server.port} for server in servers[:MAX_NAMESERVERS]],
                "given": bool(context.settings.resolvers),
            },
        )
    )
    servers = servers[:MAX_NAMESERVERS]
    total, done = len(names) * len(types) * (1 + len(servers)), 0
    lookups: list[Lookup] = []
    deep: list[asyncio.Task[None]] = []

    def look_deeper(why: str | None) -> None:
        if why is not None and not deep:
            deep.append(asyncio.create_task(measure_deep(context, record, names, servers, why)))

    async def counted(name: str, rtype: str, server: Nameserver | None) -> Lookup:
        nonlocal done
        if server is None:
            lookup = await ask_system(context, record, name, rtype, "trunk")
        else:
            lookup = await ask_nameserver(context, record, Question(name, rtype, purpose_of(server)), server)
        done += 1
        context.progress("dns", done, total, f"{name} {rtype}")
        lookups.append(lookup)
        look_deeper(why_deep(context, lookups))
        return lookup

    async def system() -> None:
        answers = await asyncio.gather(*(counted(name, rtype, None) for name in names for rtype in types))
        if any(lookup.record_type == "AAAA" and lookup.addresses for lookup in answers):
            await ask_system(context, record, IPV4ONLY, "AAAA", "helper")

    async def directly() -> None:
        # 76 ms of imports inside the loop would be read as round-trip time of whatever is under way.
        await asyncio.to_thread(load_codec)
        look_deeper(why_deep(context, lookups))
        await asyncio.gather(*(counted(name, rtype, server) for server in servers for name in names for rtype in types))

    short = asyncio.gather(system(), directly())
    try:
        # Who keeps silent for that long has failed already, for all that a caller notices.
        await asyncio.wait({short}, timeout=SLOW_MS / 1000)
        if not short.done():
            look_deeper("no answer within a second")
        await short
        if deep:
            await deep[0]
            await ask_again(context, record, lookups, servers)
    finally:
        short.cancel()
        for task in deep:
            task.cancel()
        await asyncio.gather(short, *deep, return_exceptions=True)


def given(resolver: str) -> Nameserver:
    """The nameserver that the settings write as `address`, `address:port` or `[address]:port`."""
    address, port = resolver, ""
    if resolver.startswith("["):
        address, _, port = resolver[1:].partition("]")
    elif resolver.count(":") == 1:
        address, _, port = resolver.partition(":")
    return Nameserver(address=address, port=int(port.lstrip(":") or 53), source="--resolver")
