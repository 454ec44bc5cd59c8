"""The long look: the zone's own servers, names that cannot exist, validation, and what else DNS holds for SIP.

`vsipcheck dns` always takes it. A whole run takes it only when the short look found something to explain: with names
that resolve everywhere alike it would tell nothing that the SIP checks do not, and every scheduled run of every
customer would ask the root servers.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from vsipcheck.checks.base import Context, Recorder
from vsipcheck.checks.dns.answers import DEEP_TOPIC, NOBODY, same_operator
from vsipcheck.checks.dns.query import Question, ask_nameserver
from vsipcheck.checks.dns.walk import DNS_PORT, Walk
from vsipcheck.model import Failure, Lookup, Note
from vsipcheck.net import Nameserver
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import is_public

# RFC 6761 §6.4: names below it do not exist.
NO_SUCH_TLD = "invalid"
# How often a nameserver whose answer differs is asked in all.
ASKED_IN_ALL = 3
NOBODY_GRACE_S = 0.2
# The walk and all that goes with it, at most.
DEEP_S = 4.0


def why_deep(context: Context, lookups: Sequence[Lookup]) -> str | None:
    """Why the long look is taken: it was asked for, or what the short look found; None when there is no need."""
    if tuple(context.settings.checks) == ("dns",):
        return "asked for"
    addresses: dict[str, set[str]] = {}
    for lookup in lookups:
        if lookup.failure is not None and lookup.record_type == "A":
            return f"{lookup.name}: {lookup.failure} at {lookup.server or 'the system'}"
        if any(_is_special(address) for address in lookup.addresses):
            return f"{lookup.name} has a special-purpose address at {lookup.server or 'the system'}"
        if lookup.record_type == "A" and lookup.server is None:
            addresses[lookup.name] = set(lookup.addresses)
    for lookup in lookups:
        known = addresses.get(lookup.name) if lookup.record_type == "A" else None
        if known and lookup.addresses and not same_operator(lookup.addresses, known):
            return f"{lookup.name} has other addresses at {lookup.server}"
    names = list(addresses)
    for number, name in enumerate(names):
        if any(addresses[name] & addresses[other] for other in names[:number]):
            return f"{name} shares its address with another name"
    for pop in context.profile.signalling.pops:
        if pop.addresses and addresses.get(pop.fqdn, set()) - set(pop.addresses):
            return f"{pop.fqdn} has an address that the profile does not list"
    return None


def _is_special(address: str) -> bool:
    try:
        return ":" not in address and not is_public(address)
    except WireError:
        return True


async def measure_deep(
    context: Context, record: Recorder, names: Sequence[str], servers: Sequence[Nameserver], why: str
) -> None:
    """Record what the zone's own servers say, and how each nameserver treats what cannot exist or cannot be validated.

    What is sent at most: 16 queries down from the root, 2 for each nameserver, 4 for other records, 1 to an address
    where nobody is, and 2 more to each nameserver for each name about which it differs or fails.
    """
    limit_s = min(DEEP_S, context.settings.timeout_s, context.remaining_s())
    if limit_s <= 0:
        return
    deadline_ms = context.network.now_ms() + limit_s * 1000
    label = secrets.token_hex(6)
    sibling = f"{label}.{names[0].rstrip('.').partition('.')[2]}"
    impossible = f"{label}.{NO_SUCH_TLD}"
    record.add(
        Note(
            topic=DEEP_TOPIC,
            text=f"the zone's own servers are asked as well: {why}",
            values={"why": why, "impossible": [impossible, sibling], "nobody": NOBODY},
        )
    )

    async def ask(question: Question, server: Nameserver) -> Lookup:
        left_s = max(0.0, (deadline_ms - context.network.now_ms()) / 1000)
        return await ask_nameserver(context, record, question, server, left_s)

    async def walk_down() -> None:
        walk = Walk(context, record, deadline_ms)
        nobody = asyncio.create_task(
            ask(Question(names[0], "A", "control"), Nameserver(NOBODY, DNS_PORT, "documentation address (RFC 5737)"))
        )
        try:
            for name in names:
                await walk.find(name)
            await other_records()
            await walk.ask_zone_of(sibling, "A")
            # Whoever takes queries on their way has had as long as the whole walk, and this.
            await asyncio.wait({nobody}, timeout=NOBODY_GRACE_S)
        finally:
            nobody.cancel()
            await asyncio.gather(nobody, return_exceptions=True)

    async def other_records() -> None:
        spoke = {fact.server for fact in record.facts if isinstance(fact, Lookup) and fact.rcode is not None}
        for server in [server for server in servers if server.address in spoke][:1] or servers[:1]:
            await asyncio.gather(
                *(
                    ask(Question(question, rtype, "records"), server)
                    for name in names
                    for question, rtype in ((name, "NAPTR"), (f"_sip._tcp.{name}", "SRV"))
                )
            )

    controls = (ask(Question(name, "A", "control"), server) for server in servers for name in (impossible, sibling))
    await asyncio.gather(walk_down(), *controls)


async def ask_again(
    context: Context, record: Recorder, lookups: Sequence[Lookup], servers: Sequence[Nameserver]
) -> None:
    """Ask those again that differ or fail to validate: a name may rotate its addresses, and a validating resolver that
    fails says what it holds when told not to check."""
    system = {
        lookup.name: lookup.addresses
        for lookup in lookups
        if lookup.server is None and lookup.record_type == "A" and lookup.addresses
    }
    asked = []
    for lookup in lookups:
        server = next((server for server in servers if server.address == lookup.server), None)
        if server is None or lookup.record_type != "A":
            continue
        if lookup.addresses and not same_operator(lookup.addresses, system.get(lookup.name, ())):
            asked.append(_repeat(context, record, Question(lookup.name, "A", lookup.purpose), server))
        elif lookup.failure is Failure.SERVFAIL:
            question = Question(lookup.name, "A", "control", checking=False)
            asked.append(_repeat(context, record, question, server, times=1))
    await asyncio.gather(*asked)


async def _repeat(
    context: Context, record: Recorder, question: Question, server: Nameserver, times: int = ASKED_IN_ALL - 1
) -> None:
    for _ in range(times):
        await ask_nameserver(context, record, question, server, min(DEEP_S, context.settings.timeout_s))
