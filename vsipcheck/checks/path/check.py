"""The way to each address: which routers, whose they are, and where each kind of probe stops. Gates nothing.

In a run with the checks of SIP and media, their probes show the way, and nothing is sent here; alone, this check walks
it with all of them: UDP inside and outside the media range, and SYNs to the signalling ports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from vsipcheck.checks.base import Check, Context, Facts, Recorder, fact_ids
from vsipcheck.checks.path.trace import SSRC, PathTrace
from vsipcheck.checks.paths import (
    MIN_AT_ONE_HOP,
    MIN_CONTRASTS,
    Blame,
    blame_icmp,
    blame_refusal,
    blame_silence,
    edge_of,
    is_expired,
    known_hops,
    nearest_answer,
    own_addresses,
    reach_of,
)
from vsipcheck.checks.udp_prober import UdpProber
from vsipcheck.checks.zones import describe_zone, first_hop_outside, name_hop, place_between
from vsipcheck.model import (
    Confidence,
    Connection,
    Failure,
    Family,
    FaultDomain,
    Finding,
    Hop,
    Lookup,
    Measure,
    Note,
    Path,
    PathHop,
    PathSeries,
    PortSpan,
    Profile,
    Route,
    Settings,
    Status,
)
from vsipcheck.net import TcpConnect
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.ip import classify, is_public

REACH = "path.reach"
# How long a SYN of full TTL may take once the routers are known, before it is followed hop by hop.
PATIENCE_S = 0.2
CONNECT_WAIT_S = 1.0
MAX_TARGETS = 16
AT_FIRST = 2


async def measure(context: Context, record: Recorder) -> None:
    """Record the ways to the targets that no other check of this run walks: Hop, Connection, Route and Lookup facts."""
    targets = await _targets(context, record)
    if not targets:
        return
    if not context.network.capabilities.ttl_probes:
        why_not = context.network.capabilities.why_not or "no ICMP errors without root"
        record.add(Note(topic="platform", text=why_not))
        return
    done = 0

    async def walk(address: str, name: str | None) -> None:
        nonlocal done
        await _walk(context, record, address, name)
        done += 1
        context.progress("path", done, len(targets), address)

    # The first ones show the routers that all ways share, and the others need not ask them again.
    waiting = list(targets.items())
    for group in (waiting[:AT_FIRST], waiting[AT_FIRST:]):
        async with asyncio.TaskGroup() as tasks:
            for address, name in group:
                tasks.create_task(walk(address, name))


async def _targets(context: Context, record: Recorder) -> dict[str, str | None]:
    """Address -> name of what is to be walked here."""
    profile, wanted = context.profile, context.settings.path_target
    if wanted is not None:
        if _is_address(wanted):
            return {wanted: None}
        return dict.fromkeys(await _resolve(context, record, wanted), wanted)
    found: dict[str, str | None] = {}
    if "sip" not in context.recorders:
        names = [pop.fqdn for pop in profile.signalling.pops]
        resolved = await asyncio.gather(
            *(_resolve(context, record, name) for name in names if not _is_address(name)),
        )
        by_name = dict(zip([name for name in names if not _is_address(name)], resolved, strict=True))
        for name in names:
            for address in by_name.get(name, [name]):
                found.setdefault(address, None if address == name else name)
    if "media" not in context.recorders:
        for media in profile.media.addresses:
            found.setdefault(media.address, None)
    usable = [address for address in found if _is_wanted(address, context.settings.family)]
    return {address: found[address] for address in usable[:MAX_TARGETS]}


async def _resolve(context: Context, record: Recorder, name: str) -> list[str]:
    family = Family.IPV6 if context.settings.family is Family.IPV6 else Family.IPV4
    begun = context.network.now_ms()
    found = await context.network.resolve_system(name, family, context.settings.timeout_s)
    record.add(
        Lookup(
            name=name,
            record_type="AAAA" if family is Family.IPV6 else "A",
            purpose="trunk",
            server=None,
            addresses=found.addresses,
            rtt_ms=round(found.rtt_ms, 3),
            failure=found.failure,
        ),
        offset_ms=begun,
    )
    return [address for address in found.addresses if is_public(address)]


def _is_address(text: str) -> bool:
    try:
        classify(text)
    except WireError:
        return False
    return True


def _is_wanted(address: str, family: Family) -> bool:
    return {Family.IPV4: ":" not in address, Family.IPV6: ":" in address}.get(family, True)


async def _walk(context: Context, record: Recorder, address: str, name: str | None) -> None:
    network, settings = context.network, context.settings
    choice = network.route_to(address)
    record.add(
        Route(
            destination=address,
            source_address=settings.source or choice.source_address,
            interface=choice.interface,
            gateway=choice.gateway,
            failure=choice.failure,
        )
    )
    socket = network.udp_socket(Family.IPV6 if ":" in address else Family.IPV4, source=settings.source)
    if choice.failure is not None or isinstance(socket, Failure):
        if not isinstance(socket, Failure):
            socket.close()
        return
    prober = UdpProber(network, socket, SSRC, context.answers)
    trace = PathTrace(context, prober, address)
    started = network.now_ms()
    ports = tcp_ports(context.profile)
    connecting = {port: asyncio.create_task(_connect(context, record, address, name, port)) for port in ports}
    try:
        await trace.find_distances(in_range=True)
        await asyncio.wait(connecting.values(), timeout=PATIENCE_S)
        outcomes = {port: task.result() if task.done() else None for port, task in connecting.items()}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(trace.follow_media())
            silent = [port for port, failure in outcomes.items() if failure in (None, Failure.CONNECT_TIMEOUT)]
            if silent:
                tasks.create_task(trace.follow(silent))
            for port, failure in outcomes.items():
                if failure in ("", Failure.REFUSED):
                    tasks.create_task(trace.look_for_nearer(port))
    finally:
        for task in connecting.values():
            task.cancel()
        await asyncio.gather(*connecting.values(), return_exceptions=True)
        for hop in trace.facts():
            record.add(hop, offset_ms=started)
        await prober.close()


def tcp_ports(profile: Profile) -> list[int]:
    """The signalling port, the one within a dialog, and the controls."""
    wanted = (profile.signalling.port, profile.signalling.in_dialog_port, *profile.controls.tcp_ports)
    return list(dict.fromkeys(port for port in wanted if port is not None))


async def _connect(context: Context, record: Recorder, address: str, name: str | None, port: int) -> Failure | str:
    """Connect once with the full TTL. Why it failed; "" when it did not."""
    begun = context.network.now_ms()
    found = TcpConnect(stream=None, at_ms=begun, failure=Failure.CANCELLED)
    try:
        found = await context.network.tcp_connect(address, port, CONNECT_WAIT_S, source=context.settings.source)
    finally:
        record.add(
            Connection(
                name=name,
                address=address,
                port=port,
                purpose="path",
                local_address=found.local[0] if found.local else None,
                local_port=found.local[1] if found.local else None,
                rtt_ms=found.rtt_ms,
                failure=found.failure,
                errno=found.errno,
                icmp=found.icmp,
                waited_ms=found.waited_ms,
                duration_ms=round(context.network.now_ms() - begun, 3),
            ),
            offset_ms=begun,
        )
    if found.stream is not None:
        await found.stream.close()
    return found.failure or ""


# -- the way, as all facts show it


def describe_paths(facts: Facts, profile: Profile) -> tuple[Path, ...]:
    """The way to every address that was walked, by the probes of all checks."""
    targets = dict.fromkeys(hop.target for hop in facts.of(Hop) if hop.series != "udp_public")
    names = {connection.address: connection.name for connection in facts.of(Connection) if connection.name}
    return tuple(_describe(facts, profile, target, names.get(target)) for target in targets)


def _describe(facts: Facts, profile: Profile, target: str, name: str | None) -> Path:
    own, edge, hops = own_addresses(facts), edge_of(facts), known_hops(facts, target)
    mine = [hop for hop in facts.of(Hop) if hop.target == target and hop.series != "udp_public"]
    ids = _series_ids(facts, profile, target, mine)
    series = tuple(_series(facts, target, each, mine) for each in ids)
    rows = []
    for ttl in range(1, max(hops, default=0) + 1):
        here = [hop for hop in mine if hop.ttl == ttl]
        times = [hop.rtt_ms for hop in here if hop.rtt_ms is not None]
        if not times:  # as another way showed the same router
            same = [h for h in facts.of(Hop) if h.ttl == ttl and h.address == hops.get(ttl)]
            times = [h.rtt_ms for h in same if h.rtt_ms is not None]
        sent = sum(hop.sent for hop in here)
        zone = describe_zone(ttl, hops, target, own, edge=edge)
        rows.append(
            PathHop(
                ttl=ttl,
                address=hops.get(ttl),
                zone=zone.domain,
                why=zone.why,
                rtt_ms=round(min(times), 3) if times else None,
                loss_ratio=round(1 - sum(hop.answered for hop in here) / sent, 3) if sent else None,
                marks={each: mark for each in ids if (mark := _mark(here, each))},
            )
        )
    return Path(target=target, name=name, hops=tuple(rows), series=series)


def _series_ids(facts: Facts, profile: Profile, target: str, mine: Iterable[Hop]) -> list[str]:
    seen = {hop.series for hop in mine}
    seen |= {f"tcp_{c.port}" for c in facts.of(Connection) if c.address == target and c.ttl is None}
    order = ["udp_in_range", "udp_control", *(f"tcp_{port}" for port in tcp_ports(profile))]
    return [series for series in order if series in seen] + sorted(seen - {*order})


def _mark(here: Sequence[Hop], series: str) -> str | None:
    mine = [hop for hop in here if hop.series == series]
    if not mine:
        return None
    if any(hop.reached for hop in mine):
        return "target"
    answered = [hop for hop in mine if hop.answered]
    if answered:  # who refuses them does not tell that they came as far as this
        told = any(is_expired(hop) for hop in answered)
        return "answered" if told else None
    return "missed" if any(hop.contrasts for hop in mine) else "silent"


def _series(facts: Facts, target: str, series: str, hops: Sequence[Hop]) -> PathSeries:
    mine = [hop for hop in hops if hop.series == series]
    reach = reach_of(mine)
    stopped = _stopped(mine, reach)
    if series == "udp_in_range" and stopped is None:
        spans = [span for span in facts.of(PortSpan) if span.target == target and span.stopped_ttl]
        proven = [s for s in spans if 0 < s.controls_needed <= s.controls_answered and s.outcome == "silent"]
        whole = proven and not any((s.reached_ttl or 0) >= (p.stopped_ttl or 0) for s in spans for p in proven)
        stopped = min((s.stopped_ttl for s in proven if s.stopped_ttl), default=None) if whole else None
    outcome = "answered" if any(hop.reached for hop in mine) else "silent"
    if series.startswith("tcp_"):
        port = int(series.removeprefix("tcp_"))
        attempts = [c for c in facts.of(Connection) if c.address == target and c.port == port and c.ttl is None]
        outcome = _outcome(attempts)
    return PathSeries(id=series, outcome=outcome, reached_ttl=reach or None, stopped_ttl=stopped)


def _outcome(attempts: Sequence[Connection]) -> str:
    if any(attempt.failure is None for attempt in attempts):
        return "connected"
    if any(attempt.failure is Failure.REFUSED for attempt in attempts):
        return "refused"
    if any(attempt.icmp is not None for attempt in attempts):
        return "icmp"
    return "silent" if attempts else "not_tried"


def _stopped(hops: Iterable[Hop], reach: int) -> int | None:
    missed: dict[int, int] = {}
    for hop in hops:
        if hop.ttl > reach and hop.contrasts:
            missed[hop.ttl] = missed.get(hop.ttl, 0) + hop.contrasts
    if sum(missed.values()) < MIN_CONTRASTS:
        return None
    return min((ttl for ttl, count in missed.items() if count >= MIN_AT_ONE_HOP), default=None)


# -- judging


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """`path.reach` for every address that this check walked itself; SIP and media judge their own."""
    walked = dict.fromkeys(route.destination for route in facts.of(Route, "path"))
    unresolved = [lookup for lookup in facts.of(Lookup, "path") if not lookup.addresses]
    platform = [note for note in facts.of(Note, "path") if note.topic == "platform"]
    findings = [
        _unknown(lookup.name, "no_address", f"{lookup.name} has no address", fact_ids([lookup]))
        for lookup in unresolved
    ]
    if platform:
        findings.append(_unknown(None, "platform", f"No way can be shown here: {platform[0].text}", fact_ids(platform)))
    return findings + [_judge_target(facts, profile, target) for target in walked]


def _unknown(target: str | None, reason: str, summary: str, facts: tuple[str, ...]) -> Finding:
    return Finding(
        id=REACH,
        target=target,
        status=Status.UNKNOWN,
        reason=reason,
        summary=f"{summary}.",
        fault_domain=FaultDomain.UNDETERMINED,
        settle_by="run `vsipcheck all`, whose other checks look in other ways",
        facts=facts,
    )


def _judge_target(facts: Facts, profile: Profile, target: str) -> Finding:
    mine = [hop for hop in facts.of(Hop) if hop.target == target and hop.series != "udp_public"]
    routes = [route for route in facts.of(Route, "path") if route.destination == target]
    ids = (*fact_ids(routes), *fact_ids(mine))
    if any(route.failure is not None for route in routes):
        return Finding(
            id=REACH,
            target=target,
            status=Status.WARN,
            reason="no_route",
            summary=f"This host has no route to {target}.",
            failure=Failure.NO_ROUTE,
            fault_domain=FaultDomain.HOST,
            confidence=Confidence.PROVEN,
            remedy=f"Give this host a route to {target}.",
            facts=ids,
        )
    hops = known_hops(facts, target)
    path = _describe(facts, profile, target, None)
    arrives = any(series.outcome in ("connected", "refused", "answered") for series in path.series)
    if not hops and not arrives:
        return _unknown(target, "no_hop_answers", f"No router on the way to {target} answers, nor does it itself", ids)
    blames = _blames(facts, profile, path, hops)
    farthest = max(hops, default=0)
    seen = f"{len(hops)} routers towards {target} answer, the last of them {name_hop(farthest, hops)}" if hops else ""
    measures = (Measure(name="routers_seen", value=len(hops), unit="count"),)
    outside = first_hop_outside(hops, own_addresses(facts), edge=edge_of(facts))
    if not blames and outside is None and not arrives:
        where = name_hop(farthest, hops)
        told = f"Probes of every kind to {target} stop at {where}, which may still be your own network"
        return _unknown(target, "nothing_beyond_edge", told, ids)
    if not blames and not arrives:
        told = (
            f"{seen}; nothing was seen to stop on the way there, and {target} itself answers nothing: whether it is "
            "reached is not known"
        )
        return _unknown(target, "target_silent", told, ids)
    if not blames:
        kinds = [_told(series) for series in path.series]
        return Finding(
            id=REACH,
            target=target,
            status=Status.PASS,
            reason="nothing_stops",
            summary=f"{seen or f'{target} answers'}; nothing was seen to stop on the way: {', '.join(kinds)}.",
            confidence=Confidence.PROVEN,
            measures=measures,
            facts=ids,
        )
    domains = {blame.domain for blame in blames.values()}
    worst = next(iter(blames.values()))
    domain = worst.domain if len(domains) == 1 else FaultDomain.UNDETERMINED
    sentences = ". ".join(f"{b.sentence[0].upper()}{b.sentence[1:]}" for b in blames.values())
    return Finding(
        id=REACH,
        target=target,
        status=Status.WARN,
        reason="stops",
        summary=f"{sentences}.",
        fault_domain=domain,
        confidence=worst.confidence if len(domains) == 1 else Confidence.POSSIBLE,
        settle_by=next((b.settle_by for b in blames.values() if b.settle_by), None)
        or "run `vsipcheck all`, which judges each of them",
        measures=measures,
        facts=ids,
    )


def _told(series: PathSeries) -> str:
    kind, _, port = series.id.partition("_")
    words = {"udp_in_range": "UDP to media ports", "udp_control": "UDP to other ports"}.get(series.id, f"TCP {port}")
    how = {
        "connected": "is accepted",
        "refused": "is refused by the target",
        "answered": "is answered by the target",
        "silent": "is not answered" if kind == "tcp" else "gets no answer from the target",
    }.get(series.outcome, series.outcome)
    return f"{words} {how}"


def _blames(facts: Facts, profile: Profile, path: Path, hops: Mapping[int, str]) -> dict[str, Blame]:
    """Series -> who has to act, for those that stop, or that something nearer answers."""
    own, edge = own_addresses(facts), edge_of(facts)
    found: dict[str, Blame] = {}
    farthest = max((series.reached_ttl or 0 for series in path.series), default=0)
    for series in path.series:
        if series.id == "udp_in_range" and series.stopped_ttl is not None:
            place = place_between(series.reached_ttl or 0, series.stopped_ttl, hops, path.target, own, edge=edge)
            sentence = f"UDP to media ports stops {place.where}, while other probes get to {name_hop(farthest, hops)}"
            found[series.id] = Blame(place.domain, place.confidence, sentence, place.settle_by, ())
        if not series.id.startswith("tcp_"):
            continue
        port = int(series.id.removeprefix("tcp_"))
        if series.outcome == "refused":
            blame = blame_refusal(facts, path.target, port)
            if blame is not None and blame.domain is not FaultDomain.PROVIDER:
                found[series.id] = blame
        elif series.outcome == "icmp":
            sent = (c.icmp for c in facts.of(Connection) if c.address == path.target and c.port == port and c.icmp)
            icmp = next(sent, None)
            if icmp is not None:
                found[series.id] = blame_icmp(facts, icmp, path.target)
        elif series.outcome == "connected":
            nearest = nearest_answer(facts, path.target, port)
            if nearest is not None and nearest.forged and nearest.place is not None:
                place = nearest.place
                sentence = f"TCP {port} is accepted by something nearer than the target, {place.where}"
                found[series.id] = Blame(place.domain, place.confidence, sentence, place.settle_by, ())
        elif series.outcome == "silent" and (series.stopped_ttl is not None or port == profile.signalling.port):
            # A media address has no listener on the signalling port: silence there is no fault unless it stops early.
            signalling = any(c.name for c in facts.of(Connection) if c.address == path.target)
            if series.stopped_ttl is not None or signalling:
                found[series.id] = blame_silence(facts, path.target, port)
    return found


CHECK = Check(
    name="path",
    title="Ways to the provider's addresses",
    finding_ids=(REACH,),
    needs=(),
    measure=measure,
    judge=judge,
)
