"""`sip.connect`: whether an address accepts TCP connections, and what that proves.

- SYN-ACK: something at that address, or in its place, accepts connections. SYN proxies, captive portals and firewalls
  that terminate TCP do so too. Pass says no more.
- SYN-ACK to a SYN whose TTL cannot reach the target: something nearer answers in its place, whatever SIP then says.
- Neither: see `blame`.
"""

from __future__ import annotations

import ipaddress
import statistics
from collections.abc import Sequence

from vsipcheck.checks.base import Facts
from vsipcheck.checks.paths import Nearest, nearest_answer
from vsipcheck.checks.sip.blame import blame_connect, count_syns, how_it_failed, most_telling
from vsipcheck.checks.sip.dialogue import IN_DIALOG
from vsipcheck.checks.sip.target import Target
from vsipcheck.checks.sip.verdict import Fault, build_finding, count, rtt_measures, untried
from vsipcheck.model import Confidence, Connection, Failure, FaultDomain, Finding, Measure, Profile, Route, Status

CONNECT = "sip.connect"


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version


def judge_connect(target: Target, wanted: Sequence[Target], facts: Facts, profile: Profile) -> Finding:
    """`sip.connect` for one of the `wanted` targets."""
    if target.why_not is not None or target.address is None:
        return untried(CONNECT, target)
    port = profile.signalling.port
    where = f"TCP {port} of {target.address}"
    route = _failed_route(facts, target.address)
    if route is not None and route.failure is Failure.NOT_SUPPORTED:
        return build_finding(
            CONNECT,
            target.key,
            Status.SKIP,
            "other_family",
            f"{target.address} is not of the family of the source address {route.source_address}.",
            facts=[route],
        )
    attempts = _attempts(facts, target, port)
    if route is not None or (attempts and all(attempt.failure is Failure.NO_ROUTE for attempt in attempts)):
        return _judge_no_route(target, wanted, facts, route, attempts)
    if not attempts:
        return build_finding(
            CONNECT,
            target.key,
            Status.UNKNOWN,
            "not_measured",
            f"{where} was not tried in time.",
            settle_by="Run again, with a longer --deadline.",
        )
    good = [attempt for attempt in attempts if attempt.failure is None]
    bad = [attempt for attempt in attempts if attempt.failure is not None]
    rtts = [attempt.rtt_ms for attempt in good if attempt.rtt_ms is not None]
    measures = (
        *rtt_measures(rtts),
        count("attempts", len(attempts)),
        count("connected", len(good)),
    )
    in_time = f" in {statistics.median(rtts):.0f} ms" if rtts else ""
    nearest = nearest_answer(facts, target.address, port) if good else None
    if nearest is not None and nearest.forged and nearest.place is not None:
        return _answered_by_nearer(CONNECT, target, port, nearest, attempts, measures)
    if not bad:
        return build_finding(
            CONNECT,
            target.key,
            Status.PASS,
            "connected",
            f"{where} accepts connections{in_time} ({len(good)} of {len(attempts)}). "
            "Whether a SIP server does is for sip.options to say.",
            facts=attempts,
            measures=measures,
        )
    worst = most_telling(bad)
    if good:
        return build_finding(
            CONNECT,
            target.key,
            Status.WARN,
            "connect_unsteady",
            f"{where} accepted {len(good)} of {len(attempts)} connections{in_time}; the others: "
            f"{how_it_failed(worst)}.",
            facts=attempts,
            failure=worst.failure,
            settle_by="Run again a few times: a limit on connections, loss, or several servers behind one address.",
            measures=measures,
        )
    controls = [
        control
        for control in facts.of(Connection, "sip")
        if control.purpose in ("control", IN_DIALOG) and control.address == target.address and control.ttl is None
    ]
    controls_told = _tell_controls(controls)
    status, reason, blame = blame_connect(worst, bad, controls, target, facts, profile, port)
    summary = f"{where} cannot be reached: {how_it_failed(worst)}.{controls_told}"
    if status is Status.UNKNOWN and reason == "connect_timeout":
        summary = f"{where} did not answer {count_syns(bad)} SYNs, too few to prove that it never does.{controls_told}"
    return build_finding(
        CONNECT,
        target.key,
        status,
        reason,
        summary,
        facts=[*attempts, *controls],
        blame=blame,
        failure=worst.failure,
        measures=measures,
    )


def _failed_route(facts: Facts, address: str) -> Route | None:
    for route in facts.of(Route, "sip"):
        if route.destination == address and route.failure in (Failure.NO_ROUTE, Failure.NOT_SUPPORTED):
            return route
    return None


def _attempts(facts: Facts, target: Target, port: int) -> list[Connection]:
    return [
        attempt
        for attempt in facts.of(Connection, "sip")
        if attempt.purpose == "sip"
        and attempt.name == target.name
        and attempt.address == target.address
        and attempt.port == port
        and attempt.ttl is None
        and attempt.failure is not Failure.CANCELLED
    ]


def _judge_no_route(
    target: Target, wanted: Sequence[Target], facts: Facts, route: Route | None, attempts: Sequence[Connection]
) -> Finding:
    """A family without a route is not this host's to use: skip. When no address of the name has one, it is a fault."""
    assert target.address is not None
    family = f"IPv{_version(target.address)}"
    usable = any(
        other.name == target.name
        and other.address is not None
        and other.why_not is None
        and _version(other.address) != _version(target.address)
        and _failed_route(facts, other.address) is None
        for other in wanted
    )
    evidence: list[Route | Connection] = [*([route] if route else []), *attempts]
    if usable:
        return build_finding(
            CONNECT,
            target.key,
            Status.SKIP,
            "no_route",
            f"This host has no {family} route to {target.address}; the name has an address of the other family.",
            facts=evidence,
        )
    return build_finding(
        CONNECT,
        target.key,
        Status.FAIL,
        "no_route",
        f"This host has no {family} route to {target.address}.",
        facts=evidence,
        failure=Failure.NO_ROUTE,
        blame=Fault(FaultDomain.HOST, Confidence.PROVEN, remedy=f"Give this host a default route for {family}."),
    )


def _answered_by_nearer(
    finding_id: str,
    target: Target,
    port: int,
    nearest: Nearest,
    attempts: Sequence[Connection],
    measures: tuple[Measure, ...],
) -> Finding:
    """Something on the way accepts connections in the target's place: that it is reachable is then not known."""
    place = nearest.place
    assert place is not None
    own = place.domain is FaultDomain.LOCAL_NETWORK
    return build_finding(
        finding_id,
        target.key,
        Status.WARN,
        "answered_from_nearer",
        f"Something nearer than {target.address} accepts connections to TCP {port} in its place, {place.where}: a SYN "
        f"that can get no farther than hop {nearest.ttl} is answered.",
        facts=attempts,
        blame=Fault(
            place.domain,
            place.confidence,
            f"Take TCP {port} out of the transparent proxy, SIP ALG or captive portal "
            f"{'in your network' if own else place.where}.",
            place.settle_by,
            facts=nearest.facts,
        ),
        measures=measures,
    )


def _tell_controls(controls: Sequence[Connection]) -> str:
    told = []
    for control in controls:
        if control.failure is None:
            told.append(f"TCP {control.port} of the same address accepts connections.")
        elif control.failure is not Failure.CANCELLED:
            told.append(f"TCP {control.port} of the same address: {how_it_failed(control)}.")
    return "".join(f" {sentence}" for sentence in dict.fromkeys(told))
