"""Whether every address of every signalling name accepts TCP and answers OPTIONS as a SIP server, and what that proves.

What can be seen, what else would look just like it, and so what may be said:

- SYN-ACK: something at that address, or in its place, accepts connections. SYN proxies, captive portals and firewalls
  that terminate TCP do so too. Pass of `sip.connect` says no more.
- RST: no listener, or a firewall's forgery. SYNs whose TTL cannot reach the target tell (`paths.blame_refusal`).
  Without them: one that comes back in a fraction of the time that a control connection to the same address takes was
  sent by something nearer; otherwise it is the far end's, `possible`.
- SYN-ACK to a SYN whose TTL cannot reach the target: something nearer answers in its place, whatever SIP then says.
- Three SYNs lost: whose place that is, the hops tell (`paths.blame_silence`). Fewer prove nothing: `unknown`.
- A final answer with our branch, sent-by, Call-ID and CSeq: a SIP server read our request. A SIP proxy or gateway of
  the customer's own network could give it as well, so that the answer is in the report with its Server header. It does
  not say that a call would be accepted: calls are checked for caller, domain and rate, OPTIONS often is not.
- 4xx other than 403 and the ones of the table: alive as well; about this request, not about the way. `warn`.
- 403: our address is not whitelisted, or the domain is wrong. From without, these look alike: both are told.
- Altered branch, sent-by or Call-ID in the answer to the only request outstanding: something on the way rewrites SIP.
  A PBX has to discard such an answer (RFC 3261 §18.1.2, §17.1.3) and hears silence.
- Silent after accept: the server ignores unknown sources, or a firewall accepts in its place, or drops what looks like
  SIP. A pong (RFC 5626 §4.4.1) means that SIP is alive there and OPTIONS is ignored.
- Closed or reset after our bytes: a server that does not know us, or inspection on the way. `possible`.
- Something else than SIP answers: captive portal, transparent proxy, TLS port.
- An answer to us that breaks the grammar, or whose reason phrase aims at its reader: alive, and not to be trusted.
- A message damaged beyond reading is no evidence for anybody: `unknown`.
"""

from __future__ import annotations

import ipaddress
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from vsipcheck.checks.base import Check, Facts, fact_ids, span_ms
from vsipcheck.checks.dns.check import is_address, record_types, signalling_names
from vsipcheck.checks.paths import Blame, Nearest, blame_icmp, blame_refusal, blame_silence, nearest_answer
from vsipcheck.checks.sip.addresses import addresses_from_sip, sent_and_received
from vsipcheck.checks.sip.alg import ALG, judge_alg
from vsipcheck.checks.sip.dialogue import IN_DIALOG, MAX_ADDRESSES, altered_fields, is_dialled, measure
from vsipcheck.checks.sip.size import SIZE_FINDING, judge_sizes
from vsipcheck.model import (
    AddressSeen,
    Confidence,
    Connection,
    Exchange,
    Failure,
    FaultDomain,
    Finding,
    Lookup,
    Measure,
    Profile,
    Route,
    Settings,
    Status,
)
from vsipcheck.wire.sip import SipRequest, SipResponse, match_response
from vsipcheck.wire.text import sanitise

CONNECT = "sip.connect"
OPTIONS = "sip.options"
IN_DIALOG_FINDING = "sip.in_dialog"
REDUNDANCY = "sip.redundancy"

# Ours: an edge in the same country answers in tens of milliseconds, one across the world in 300.
SLOW_OPTIONS_MS = 1000.0
# Retransmissions of a SYN: one second, then doubled (RFC 6298 §5.5).
_SYN_AT_MS = (0.0, 1000.0, 3000.0, 7000.0, 15000.0)
SYNS_TO_PROVE_SILENCE = 3
# An RST nearer than this part of a control's round trip, both well above timer noise, was not sent by the same host.
_NEARER = 0.5
_RTT_NOISE_MS = 5.0
# Markup of terminals and of web pages.
_MARKUP = re.compile(r"\[/?[a-z#@][^\[\]]*\]|[<>]")


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version


# --- connections


@dataclass(frozen=True, slots=True)
class _Blame:
    domain: FaultDomain
    confidence: Confidence
    remedy: str | None = None
    settle_by: str | None = None
    sentence: str | None = None
    facts: tuple[str, ...] = ()


_UNDETERMINED = _Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE)


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to judge: an address of a name, or the name alone where it has none (`address` is None)."""

    name: str
    address: str | None
    why_not: str | None = None  # "no_address", "not_measured", "special_purpose_address", "left_out"

    @property
    def key(self) -> str:
        return self.name if self.address is None else f"{self.name}@{self.address}"


def targets(facts: Facts, profile: Profile, settings: Settings) -> list[Target]:
    """Every address of every signalling name that the system's own resolution gave, in order."""
    found: list[Target] = []
    for name in signalling_names(profile):
        if is_address(name):
            found.append(Target(name, name))
            continue
        lookups = [
            lookup
            for lookup in facts.of(Lookup, "dns")
            if lookup.server is None and lookup.name == name and lookup.record_type in record_types(settings)
        ]
        mine: list[Target] = []
        for lookup in lookups:
            dialled = 0
            for address in dict.fromkeys(lookup.addresses):
                why_not = None
                if not is_dialled(name, address):
                    why_not = "special_purpose_address"
                elif (dialled := dialled + 1) > MAX_ADDRESSES:
                    why_not = "left_out"
                mine.append(Target(name, address, why_not))
        found.extend(mine or [Target(name, None, "no_address" if lookups else "not_measured")])
    return found


def judge(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """`sip.connect` and `sip.options` for every address of every name, `sip.redundancy` over them, and `sip.alg`; where
    asked for, `sip.size` for every address as well."""
    wanted = targets(facts, profile, settings)
    connects = [_judge_connect(target, wanted, facts, profile) for target in wanted]
    options = [
        _judge_options(target, connect, facts, profile, settings)
        for target, connect in zip(wanted, connects, strict=True)
    ]
    options = [_by_nearer(finding, connect) for finding, connect in zip(options, connects, strict=True)]
    judged = list(zip(wanted, connects, options, strict=True))
    port = profile.signalling.in_dialog_port
    return [
        *connects,
        *options,
        *([] if port is None else [_judge_in_dialog(target, port, facts, profile) for target in wanted]),
        _judge_redundancy(judged, profile, settings),
        judge_alg(facts, profile, settings),
        *judge_sizes(facts, profile, settings),
    ]


_NO_TARGET = {
    "no_address": ("It has no address to connect to.", "Make the name resolve: see dns.resolution."),
    "not_measured": ("The run ended before it could be tried.", "Run again, with a longer --deadline."),
    "special_purpose_address": (
        "The address is in special-purpose space, where no provider can be. Nothing was sent to it.",
        "Correct the name's resolution: see dns.resolution.",
    ),
    "left_out": (
        f"Only the first {MAX_ADDRESSES} addresses of a name are tried.",
        "Give the address by itself: --fqdn ADDRESS.",
    ),
}


def _finding(
    finding_id: str,
    target: str | None,
    status: Status,
    reason: str,
    summary: str,
    *,
    facts: Iterable[Connection | Exchange | Route | Lookup] = (),
    blame: _Blame | None = None,
    failure: Failure | None = None,
    settle_by: str | None = None,
    guide_section: str | None = None,
    measures: tuple[Measure, ...] = (),
) -> Finding:
    facts = list(facts)
    offset_ms, duration_ms = span_ms(facts)
    if blame is None and status not in (Status.PASS, Status.SKIP):
        blame = _UNDETERMINED
    told = blame if status not in (Status.PASS, Status.SKIP) else None
    return Finding(
        id=finding_id,
        target=target,
        status=status,
        reason=reason,
        summary=" ".join(part for part in (summary, _sentence(told.sentence) if told else "") if part),
        failure=failure,
        fault_domain=told.domain if told else None,
        confidence=told.confidence if told else (Confidence.PROVEN if status is Status.PASS else None),
        remedy=told.remedy if told else None,
        settle_by=settle_by or (told.settle_by if told else None),
        guide_section=guide_section,
        measures=measures,
        facts=tuple(dict.fromkeys([*fact_ids(facts), *(told.facts if told else ())])),
        offset_ms=offset_ms,
        duration_ms=duration_ms,
    )


def _sentence(text: str | None) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


def _judge_connect(target: Target, wanted: Sequence[Target], facts: Facts, profile: Profile) -> Finding:
    if target.why_not is not None or target.address is None:
        return _untried(CONNECT, target)
    port = profile.signalling.port
    where = f"TCP {port} of {target.address}"
    route = _failed_route(facts, target.address)
    if route is not None and route.failure is Failure.NOT_SUPPORTED:
        return _finding(
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
        return _finding(
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
        *_rtt_measures(rtts),
        _count("attempts", len(attempts)),
        _count("connected", len(good)),
    )
    in_time = f" in {statistics.median(rtts):.0f} ms" if rtts else ""
    nearest = nearest_answer(facts, target.address, port) if good else None
    if nearest is not None and nearest.forged and nearest.place is not None:
        return _answered_by_nearer(CONNECT, target, port, nearest, attempts, measures)
    if not bad:
        return _finding(
            CONNECT,
            target.key,
            Status.PASS,
            "connected",
            f"{where} accepts connections{in_time} ({len(good)} of {len(attempts)}). "
            "Whether a SIP server does is for sip.options to say.",
            facts=attempts,
            measures=measures,
        )
    worst = _most_telling(bad)
    if good:
        return _finding(
            CONNECT,
            target.key,
            Status.WARN,
            "connect_unsteady",
            f"{where} accepted {len(good)} of {len(attempts)} connections{in_time}; the others: {_how(worst)}.",
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
    status, reason, blame = _blame_connect(worst, bad, controls, target, facts, profile, port)
    summary = f"{where} cannot be reached: {_how(worst)}.{controls_told}"
    if status is Status.UNKNOWN and reason == "connect_timeout":
        summary = f"{where} did not answer {_syns(bad)} SYNs, too few to prove that it never does.{controls_told}"
    return _finding(
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


def _untried(finding_id: str, target: Target) -> Finding:
    assert target.why_not is not None
    summary, settle_by = _NO_TARGET[target.why_not]
    return _finding(
        finding_id, target.key, Status.UNKNOWN, target.why_not, f"{target.key}: {summary}", settle_by=settle_by
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
        return _finding(
            CONNECT,
            target.key,
            Status.SKIP,
            "no_route",
            f"This host has no {family} route to {target.address}; the name has an address of the other family.",
            facts=evidence,
        )
    return _finding(
        CONNECT,
        target.key,
        Status.FAIL,
        "no_route",
        f"This host has no {family} route to {target.address}.",
        facts=evidence,
        failure=Failure.NO_ROUTE,
        blame=_Blame(FaultDomain.HOST, Confidence.PROVEN, remedy=f"Give this host a default route for {family}."),
    )


# The more telling first: who answers says more than silence.
_TELLING = (
    Failure.LOCAL_DENIED,
    Failure.ADDRESS_UNAVAILABLE,
    Failure.ADMIN_PROHIBITED,
    Failure.PORT_UNREACHABLE,
    Failure.PROTOCOL_UNREACHABLE,
    Failure.HOST_UNREACHABLE,
    Failure.NET_UNREACHABLE,
    Failure.TTL_EXCEEDED,
    Failure.REFUSED,
    Failure.RESET,
    Failure.CONNECT_TIMEOUT,
    Failure.KERNEL_TIMEOUT,
    Failure.NO_ROUTE,
)
_ICMP = frozenset(
    {
        Failure.ADMIN_PROHIBITED,
        Failure.PORT_UNREACHABLE,
        Failure.PROTOCOL_UNREACHABLE,
        Failure.HOST_UNREACHABLE,
        Failure.NET_UNREACHABLE,
        Failure.TTL_EXCEEDED,
    }
)
_TIMEOUTS = frozenset({Failure.CONNECT_TIMEOUT, Failure.KERNEL_TIMEOUT})


def _most_telling(bad: Sequence[Connection]) -> Connection:
    return min(bad, key=lambda attempt: _TELLING.index(attempt.failure) if attempt.failure in _TELLING else 99)


def _syns(bad: Sequence[Connection]) -> int:
    """How many SYNs were sent in vain over all attempts, by how long each waited."""
    return sum(
        sum(at_ms <= (attempt.waited_ms or attempt.duration_ms or 0.0) for at_ms in _SYN_AT_MS)
        for attempt in bad
        if attempt.failure in _TIMEOUTS
    )


def _blame_connect(
    worst: Connection,
    bad: Sequence[Connection],
    controls: Sequence[Connection],
    target: Target,
    facts: Facts,
    profile: Profile,
    port: int,
) -> tuple[Status, str, _Blame]:
    """Verdict and fault domain where no attempt succeeded."""
    address = target.address
    assert address is not None
    failure = worst.failure
    assert failure is not None
    if failure in _TIMEOUTS:
        if _syns(bad) < SYNS_TO_PROVE_SILENCE and not any(a.failure is Failure.KERNEL_TIMEOUT for a in bad):
            return (
                Status.UNKNOWN,
                "connect_timeout",
                _Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by="Run with --timeout 5 or more."),
            )
        silence = blame_silence(facts, address, port)
        return Status.FAIL, "connect_timeout", _blame_path(silence, target, facts, profile, port)
    if failure in (Failure.REFUSED, Failure.RESET):
        refusal = blame_refusal(facts, address, port)
        if refusal is None:
            return Status.FAIL, "refused", _blame_reset(worst, controls, address, port)
        return Status.FAIL, "refused", _blame_rst(refusal, target, facts, profile, port)
    if failure in _ICMP:
        if worst.icmp is not None and worst.icmp.address is not None:
            return (
                Status.FAIL,
                str(failure),
                _blame_path(blame_icmp(facts, worst.icmp, address), target, facts, profile, port),
            )
        if worst.icmp is not None and failure is Failure.HOST_UNREACHABLE:
            # Our own kernel says so when nobody answers its ARP or neighbour solicitation.
            return (
                Status.FAIL,
                str(failure),
                _Blame(
                    FaultDomain.LOCAL_NETWORK,
                    Confidence.POSSIBLE,
                    "Check the gateway of this network.",
                    sentence="This host's own kernel says so: the next hop does not answer.",
                ),
            )
        return (
            Status.FAIL,
            str(failure),
            _Blame(
                FaultDomain.UNDETERMINED,
                Confidence.POSSIBLE,
                settle_by="Capture ICMP on this host while running again: its sender is who blocks.",
            ),
        )
    if failure is Failure.LOCAL_DENIED:
        return (
            Status.FAIL,
            "local_denied",
            _Blame(
                FaultDomain.HOST,
                Confidence.PROVEN,
                f"Let TCP {port} out to {address} in this host's own firewall.",
            ),
        )
    if failure is Failure.ADDRESS_UNAVAILABLE:
        return (
            Status.FAIL,
            "address_unavailable",
            _Blame(FaultDomain.HOST, Confidence.PROVEN, "Give --source an address of this host."),
        )
    settle_by = "Look up the errno of this host's own error: `vsipcheck sip --verbose`."
    return (
        Status.UNKNOWN,
        "not_possible",
        _Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=settle_by),
    )


def _blame_rst(path: Blame, target: Target, facts: Facts, profile: Profile, port: int) -> _Blame:
    """What TTL-limited SYNs say of a RST. The far end is asked about its listener, not about a whitelist alone."""
    blame = _blame_path(path, target, facts, profile, port)
    if path.domain is not FaultDomain.PROVIDER:
        return blame
    seen = path.sentence.replace("your ", "our ")
    remedy = (
        f"Ask {profile.provider} whether {target.address} takes connections on TCP {port}, and from whom "
        f"({_our_address(facts)} is refused): {seen}."
    )
    return _Blame(path.domain, path.confidence, remedy, path.settle_by, path.sentence, path.facts)


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
    return _finding(
        finding_id,
        target.key,
        Status.WARN,
        "answered_from_nearer",
        f"Something nearer than {target.address} accepts connections to TCP {port} in its place, {place.where}: a SYN "
        f"that can get no farther than hop {nearest.ttl} is answered.",
        facts=attempts,
        blame=_Blame(
            place.domain,
            place.confidence,
            f"Take TCP {port} out of the transparent proxy, SIP ALG or captive portal "
            f"{'in your network' if own else place.where}.",
            place.settle_by,
            facts=nearest.facts,
        ),
        measures=measures,
    )


_NO_SIP_SERVER = frozenset(
    {"silent_after_accept", "reset_after_request", "closed_after_request", "not_sip", "options_ignored"}
)


def _by_nearer(options: Finding, connect: Finding) -> Finding:
    """What becomes of OPTIONS is the deed of whoever accepts the connections in the target's place."""
    if connect.reason != "answered_from_nearer" or options.reason not in _NO_SIP_SERVER:
        return options
    return msgspec.structs.replace(
        options,
        fault_domain=connect.fault_domain,
        confidence=connect.confidence,
        remedy=connect.remedy,
        settle_by=connect.settle_by,
        summary=f"{options.summary} Who does so is nearer than the provider: see {CONNECT}.",
        facts=tuple(dict.fromkeys([*options.facts, *connect.facts])),
    )


def _judge_in_dialog(target: Target, port: int, facts: Facts, profile: Profile) -> Finding:
    """Whether connections get to where the provider's Record-Route sends ACK and BYE (RFC 3261 §16.12)."""
    if target.why_not is not None or target.address is None:
        return _untried(IN_DIALOG_FINDING, target)
    attempts = [
        attempt
        for attempt in facts.of(Connection, "sip")
        if attempt.purpose == IN_DIALOG
        and (attempt.name, attempt.address, attempt.port) == (target.name, target.address, port)
        and attempt.failure is not Failure.CANCELLED
    ]
    where = f"TCP {port} of {target.address}, where the provider's Record-Route sends ACK and BYE,"
    if not attempts or all(attempt.failure is Failure.NO_ROUTE for attempt in attempts):
        return _finding(
            IN_DIALOG_FINDING,
            target.key,
            Status.UNKNOWN,
            "not_measured",
            f"{where} was not tried.",
            settle_by=f"See {CONNECT}, and run again.",
        )
    good = [attempt for attempt in attempts if attempt.failure is None]
    measures = _rtt_measures([attempt.rtt_ms for attempt in good if attempt.rtt_ms is not None])
    if good:
        return _finding(
            IN_DIALOG_FINDING,
            target.key,
            Status.PASS,
            "connected",
            f"{where} accepts connections.",
            facts=attempts,
            measures=measures,
        )
    worst = _most_telling(attempts)
    status, reason, blame = _blame_connect(worst, attempts, (), target, facts, profile, port)
    signalling = profile.signalling.port
    return _finding(
        IN_DIALOG_FINDING,
        target.key,
        status,
        reason,
        f"{where} cannot be reached: {_how(worst)}. Calls are then set up over TCP {signalling}, and may break off "
        "when ACK or BYE get lost.",
        facts=attempts,
        blame=blame,
        failure=worst.failure,
        measures=measures,
    )


def _blame_path(path: Blame, target: Target, facts: Facts, profile: Profile, port: int) -> _Blame:
    """What the hops say, with what that party has to do: to the provider, a sentence that can be sent on as it is."""
    place = f"TCP {port} of {_named(target)}"
    seen = path.sentence.replace("your ", "our ").rstrip(".")
    remedy = {
        FaultDomain.HOST: f"Let {place} out in this host's own firewall.",
        FaultDomain.LOCAL_NETWORK: f"Let {place} out in this network's router or firewall.",
        FaultDomain.ISP: f"Ask the ISP to let {place} through: {seen}.",
        FaultDomain.PROVIDER: f"Ask {profile.provider} to whitelist {_our_address(facts)} for {place}: {seen}.",
    }.get(path.domain)
    if remedy is None and path.leaves_network:
        remedy = (
            f"Ask the ISP whether it lets {place} through, and {profile.provider} whether it lets "
            f"{_our_address(facts)} in: {seen}."
        )
    if remedy is None:
        remedy = f"Let {place} out in your router; if it already does, ask the ISP behind it."
    return _Blame(path.domain, path.confidence, remedy, path.settle_by, path.sentence, path.facts)


def _named(target: Target) -> str:
    return target.name if target.address in (None, target.name) else f"{target.name} ({target.address})"


def _our_address(facts: Facts) -> str:
    """Our public address for a sentence to the provider, where everybody who could say agrees."""
    told = {seen.address for seen in addresses_from_sip(facts) if seen.trusted}
    told = told or {
        seen.address
        for seen in facts.of(AddressSeen)
        if seen.method in ("https_echo", "stun") and seen.failure is None and seen.address
    }
    only = next(iter(told)) if len(told) == 1 else None
    return only or "this trunk's public address"


def _blame_reset(worst: Connection, controls: Sequence[Connection], address: str, port: int) -> _Blame:
    """Who sent the RST: the far end, unless a control connection shows that it came from somewhere nearer."""
    took = _first_known(worst.rtt_ms, worst.waited_ms, worst.duration_ms)
    settle_by = "Compare a capture on the WAN side: an RST that is not in it is the customer's own firewall's."
    reached = [control.rtt_ms for control in controls if control.failure is None and control.rtt_ms is not None]
    if reached and took is not None:
        control_ms = min(reached)
        if control_ms > _RTT_NOISE_MS and took < control_ms * _NEARER:
            return _Blame(
                FaultDomain.UNDETERMINED,
                Confidence.POSSIBLE,
                settle_by=settle_by,
                sentence=f"The RST came after {took:.0f} ms, but another port of that address answers after "
                f"{control_ms:.0f} ms: something nearer sends it.",
            )
        if control_ms > _RTT_NOISE_MS:
            return _Blame(
                FaultDomain.PROVIDER,
                Confidence.POSSIBLE,
                remedy=f"Ask the provider whether {address} serves SIP on TCP {port}, and to whom.",
                settle_by=settle_by,
                sentence=f"The RST took as long as the answer of another port of that address, {control_ms:.0f} ms: it "
                "is probably the far end's.",
            )
    return _Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=settle_by)


def _first_known(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


_HOW = {
    Failure.REFUSED: "refused (RST)",
    Failure.RESET: "reset while connecting (RST)",
    Failure.CONNECT_TIMEOUT: "no answer to SYN",
    Failure.KERNEL_TIMEOUT: "no answer to SYN",
    Failure.LOCAL_DENIED: "denied by this host's own firewall",
    Failure.ADDRESS_UNAVAILABLE: "the source address is not one of this host's",
}


def _how(attempt: Connection) -> str:
    assert attempt.failure is not None
    told = _HOW.get(attempt.failure, str(attempt.failure).replace("_", " "))
    if attempt.failure in _TIMEOUTS and attempt.waited_ms is not None:
        told += f" in {attempt.waited_ms / 1000:.1f} s"
    if attempt.icmp is not None and attempt.icmp.address is not None:
        told += f", by ICMP from {attempt.icmp.address}"
    return told


def _tell_controls(controls: Sequence[Connection]) -> str:
    told = []
    for control in controls:
        if control.failure is None:
            told.append(f"TCP {control.port} of the same address accepts connections.")
        elif control.failure is not Failure.CANCELLED:
            told.append(f"TCP {control.port} of the same address: {_how(control)}.")
    return "".join(f" {sentence}" for sentence in dict.fromkeys(told))


def _rtt_measures(rtts: Sequence[float], warn: float | None = None) -> tuple[Measure, ...]:
    if not rtts:
        return ()
    return (
        Measure(name="rtt_min_ms", value=round(min(rtts), 3), unit="ms"),
        Measure(name="rtt_median_ms", value=round(statistics.median(rtts), 3), unit="ms", warn=warn),
        Measure(name="rtt_max_ms", value=round(max(rtts), 3), unit="ms"),
    )


def _count(name: str, value: int) -> Measure:
    return Measure(name=name, value=value, unit="count")


# --- OPTIONS


@dataclass(frozen=True, slots=True)
class _CodeRow:
    """What a status code says. The table is the evidence rule; the words are the field's."""

    status: Status
    reason: str | None  # None: status_CODE
    says: str


_W, _F, _P = Status.WARN, Status.FAIL, Status.PASS
_CODES: dict[int, _CodeRow] = {
    400: _CodeRow(_W, None, "the server read the request and finds it malformed: something may have altered it"),
    401: _CodeRow(_W, "authentication_required", "the server asks for credentials instead of knowing our address"),
    407: _CodeRow(_W, "authentication_required", "the server asks for credentials instead of knowing our address"),
    403: _CodeRow(_F, "forbidden", "the server refuses us: our address is not whitelisted, or the domain is wrong"),
    404: _CodeRow(_P, None, "a SIP server that does not know this user; it is alive"),
    405: _CodeRow(_P, None, "a SIP server that does not take OPTIONS; it is alive"),
    408: _CodeRow(_W, None, "something behind the server did not answer it in time"),
    420: _CodeRow(_W, None, "the server misses an extension"),
    480: _CodeRow(_W, None, "the server says that it is unavailable for now"),
    483: _CodeRow(_W, None, "the request went in a loop behind the server"),
    484: _CodeRow(_W, None, "the server wants a complete (E.164) number"),
    486: _CodeRow(_W, None, "the server says that it is busy"),
    488: _CodeRow(_W, None, "the server wants another media offer (G.711)"),
    501: _CodeRow(_P, None, "a SIP server that does not have OPTIONS; it is alive"),
    503: _CodeRow(_F, "service_unavailable", "the server, or the routing behind it, is out of service or overloaded"),
    504: _CodeRow(_F, None, "something behind the server did not answer it in time"),
}


def code_row(code: int) -> _CodeRow | None:
    """What a final status code says; None for a number that is none.

    A 4xx that the table does not list is a `warn`: a SIP server read our request and has something against the
    request, which is more than reachability and less than a trunk that works.
    """
    if row := _CODES.get(code):
        return row
    match code // 100:
        case 2:
            return _CodeRow(_P, None, "a SIP server answers")
        case 3:
            return _CodeRow(_W, None, "the server sends us elsewhere")
        case 4:
            return _CodeRow(_W, None, "the server has something against this request")
        case 5:
            return _CodeRow(_F, None, "the server failed")
        case 6:
            return _CodeRow(_F, None, "the server declines, for itself and all others")
        case _:
            return None


@dataclass(frozen=True, slots=True)
class _Answered:
    """What one OPTIONS exchange says by itself."""

    exchange: Exchange
    status: Status
    reason: str
    kind: str  # "answer": a matched final one; "wrong": something that no SIP server of ours sends; "lost"; "unread"
    sentence: str
    blame: _Blame | None = None
    response: SipResponse | None = None
    failure: Failure | None = None


def _judge_options(target: Target, connect: Finding, facts: Facts, profile: Profile, settings: Settings) -> Finding:
    if target.why_not is not None or target.address is None:
        return _untried(OPTIONS, target)
    port = profile.signalling.port
    exchanges = [
        exchange
        for exchange in facts.of(Exchange, "sip")
        if exchange.name == target.name
        and exchange.remote_address == target.address
        and exchange.remote_port == port
        and exchange.purpose in ("options", "keepalive")
    ]
    asked = [each for each in exchanges if each.purpose == "options" and each.failure is not Failure.CANCELLED]
    if not asked:
        if connect.status is Status.SKIP:
            return _finding(OPTIONS, target.key, Status.SKIP, connect.reason, connect.summary)
        connected = connect.status in (Status.PASS, Status.WARN)
        return _finding(
            OPTIONS,
            target.key,
            Status.UNKNOWN,
            "not_measured" if connected or connect.reason == "not_measured" else "not_connected",
            f"{target.address} was asked nothing: "
            + ("the run ended first." if connected or connect.reason == "not_measured" else "there is no connection."),
            settle_by="See sip.connect." if not connected else "Run again, with a longer --deadline.",
            blame=_Blame(connect.fault_domain or FaultDomain.UNDETERMINED, Confidence.POSSIBLE),
        )
    ponged = {each.connection for each in exchanges if each.purpose == "keepalive" and each.failure is None}
    seen = [_read_exchange(each, each.connection in ponged, facts, profile, settings) for each in asked]
    answered = [each for each in seen if each.kind == "answer"]
    wrong = [each for each in seen if each.kind == "wrong"]
    lost = [each for each in seen if each.kind == "lost"]
    unread = [each for each in seen if each.kind == "unread"]
    rtts = [each.exchange.rtt_ms for each in answered if each.exchange.rtt_ms is not None]
    measures = (
        *_rtt_measures(rtts, SLOW_OPTIONS_MS),
        _count("sent", len(seen)),
        _count("answered", len(answered)),
        Measure(name="loss_ratio", value=round(1 - len(answered) / len(seen), 4), unit="ratio", warn=0.0),
    )

    def verdict(
        status: Status, reason: str, summary: str, cause: _Answered | None = None, blame: _Blame | None = None
    ) -> Finding:
        codes = [cause.response.status] if cause is not None and cause.response is not None else []
        guided = any(code in row.codes for row in profile.troubleshooting for code in codes)
        return _finding(
            OPTIONS,
            target.key,
            status,
            reason,
            summary,
            facts=exchanges,
            blame=blame or (cause.blame if cause else None),
            failure=cause.failure if cause else None,
            guide_section="Troubleshooting" if guided else None,
            measures=measures,
        )

    tally = _tally(seen)
    if failing := [each for each in (*answered, *wrong) if each.status is Status.FAIL]:
        worst = failing[0]
        return verdict(Status.FAIL, worst.reason, f"{worst.sentence}{tally}", worst)
    if not answered:
        if lost:
            worst = min(lost, key=lambda each: _LOST_ORDER.index(each.reason))
            return verdict(Status.FAIL, worst.reason, f"{worst.sentence}{tally}", worst)
        return verdict(Status.UNKNOWN, unread[0].reason, f"{unread[0].sentence}{tally}", unread[0])
    warned = [each for each in answered if each.status is Status.WARN]
    best = answered[0]
    in_time = f" in {statistics.median(rtts):.0f} ms" if rtts else ""
    if warned:
        return verdict(Status.WARN, warned[0].reason, f"{warned[0].sentence}{tally}", warned[0])
    summary = f"{best.sentence} {len(answered)} of {len(seen)} OPTIONS answered{in_time}."
    if lost or unread:
        odd = (*lost, *unread)[0]
        blame = _Blame(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            settle_by="Run again a few times: several servers behind one address, or a limit on requests.",
        )
        reason = "lost_some" if lost else "damaged_some"
        return verdict(Status.WARN, reason, f"{summary} But once: {odd.sentence}", odd, blame)
    if rtts and statistics.median(rtts) > SLOW_OPTIONS_MS:
        blame = _Blame(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            settle_by=f"Compare with the time of the connection: {_connect_time(connect)}. "
            "If that is short, it is the server that takes its time.",
        )
        return verdict(Status.WARN, "slow", f"{summary} That is slow: above {SLOW_OPTIONS_MS:.0f} ms.", None, blame)
    return verdict(Status.PASS, "answered", f"{summary} That shows a live SIP server, not that it would accept a call.")


def _connect_time(connect: Finding) -> str:
    value = next((measure.value for measure in connect.measures if measure.name == "rtt_median_ms"), None)
    return f"{value:.0f} ms" if value is not None else "unknown"


def _tally(seen: Sequence[_Answered]) -> str:
    """How often what came, where it was not always the same."""
    if len(seen) == 1:
        return " (Asked once.)"
    told = Counter(f"{each.response.status}" if each.response else each.reason.replace("_", " ") for each in seen)
    if len(told) == 1:
        return f" ({len(seen)} of {len(seen)} times.)"
    return " (Of " + f"{len(seen)}: " + ", ".join(f"{count} × {what}" for what, count in told.items()) + ".)"


# What tells more about a connection on which nothing was answered, the first first.
_LOST_ORDER = (
    "local_denied",
    "reset_after_request",
    "closed_after_request",
    "incomplete_answer",
    "no_final_answer",
    "options_ignored",
    "silent_after_accept",
)


def _read_exchange(exchange: Exchange, ponged: bool, facts: Facts, profile: Profile, settings: Settings) -> _Answered:
    """The recorded messages, read again, and what they say by themselves."""
    request, received = sent_and_received(exchange)
    finals = [each for each in received if isinstance(each, SipResponse) and each.status >= 200]
    failure = exchange.failure
    if request is not None and failure is None:
        for final in finals:
            if not altered_fields(request, final):
                return _read_answer(exchange, final, facts, profile, settings)
    if failure is Failure.NOT_SIP:
        return _not_sip(exchange, exchange.detail)
    if failure is Failure.TOO_LARGE:
        return _Answered(
            exchange,
            Status.FAIL,
            "too_large",
            "wrong",
            f"What answers OPTIONS sends more than any SIP server would ({sanitise(exchange.detail or 'no end')}).",
            _Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=_SETTLE_BY_TRACE),
            failure=failure,
        )
    if finals and request is not None and altered_fields(request, finals[-1]):
        return _altered(exchange, request, finals[-1])
    if any(
        isinstance(each, SipRequest) and request is not None and each.call_id == request.call_id for each in received
    ):
        return _Answered(
            exchange,
            Status.FAIL,
            "echoed",
            "wrong",
            "Our own request came back: what answers is no SIP server.",
            _Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=_SETTLE_BY_TRACE),
            failure=Failure.NOT_SIP,
        )
    if failure in (Failure.MALFORMED, None, Failure.OTHER):
        return _Answered(
            exchange,
            Status.UNKNOWN,
            "malformed",
            "unread",
            f"What answers OPTIONS is damaged beyond reading ({sanitise(exchange.detail or 'no final answer')}).",
            _UNREAD,
            failure=failure,
        )
    return _lost(exchange, failure, ponged, received, facts, profile)


_SETTLE_BY_TRACE = "Compare captures (sngrep, tcpdump) on this host and on the WAN side."
_UNREAD = _Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=_SETTLE_BY_TRACE)


def _not_sip(exchange: Exchange, detail: str | None) -> _Answered:
    kinds = {
        "http": ("an HTTP server answers: a captive portal or a transparent proxy", _SETTLE_BY_TRACE),
        "html": ("a web page comes back: a captive portal or a transparent proxy", _SETTLE_BY_TRACE),
        "tls": ("a TLS server answers", "Check port and transport: the guide has TCP 5070 without TLS."),
    }
    what, settle_by = kinds.get(detail or "", (f"something else answers ({sanitise(detail or 'unknown')})", None))
    return _Answered(
        exchange,
        Status.FAIL,
        "not_sip",
        "wrong",
        f"Not SIP: {what}.",
        _Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=settle_by or _SETTLE_BY_TRACE),
        failure=Failure.NOT_SIP,
    )


def _altered(exchange: Exchange, request: SipRequest, final: SipResponse) -> _Answered:
    """An answer that is not quite to our request, which was the only one outstanding."""
    altered = {each.field: each for each in match_response(request, final) if each.field != "from_tag"}
    names = {"branch": "the Via branch", "sent_by": "sent-by of Via", "call_id": "the Call-ID"}
    tampered = [names[name] for name in names if name in altered]
    if not tampered:
        return _Answered(
            exchange,
            Status.FAIL,
            "mismatch",
            "wrong",
            "The answer is to another request: its CSeq is not ours.",
            _Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=_SETTLE_BY_TRACE),
            failure=Failure.MISMATCH,
        )
    details = "; ".join(
        f"{name} was {sanitise(altered[name].sent or 'absent', max_length=60)}, "
        f"came back as {sanitise(altered[name].received or 'absent', max_length=60)}"
        for name in names
        if name in altered
    )
    # Addresses are what a SIP ALG rewrites. Who would change a branch or a Call-ID cannot be told from here, nor who
    # left out a Via or garbled it: that is no address written over ours.
    by_alg = "sent_by" in altered and altered["sent_by"].received is not None
    return _Answered(
        exchange,
        Status.FAIL,
        "altered",
        "wrong",
        f"{_sentence(' and '.join(tampered)).rstrip('.')} came back altered ({details}): something on the way rewrites "
        "SIP, and a PBX has to discard such an answer.",
        _Blame(
            FaultDomain.LOCAL_NETWORK if by_alg else FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            remedy="Turn off SIP ALG (SIP helper, SIP inspection) in the router and the firewall." if by_alg else None,
            settle_by=_SETTLE_BY_TRACE,
        ),
        failure=Failure.MISMATCH,
    )


def _lost(
    exchange: Exchange,
    failure: Failure,
    ponged: bool,
    received: Sequence[SipRequest | SipResponse],
    facts: Facts,
    profile: Profile,
) -> _Answered:
    """Nothing final came, and nothing wrong either."""
    bytes_received = sum(message.size for message in exchange.messages if not message.sent and message.text.strip())
    provisional = any(isinstance(each, SipResponse) for each in received)
    whitelist = f"Ask {profile.provider} whether {_our_address(facts)} is whitelisted."
    from_provider = _Blame(FaultDomain.PROVIDER, Confidence.POSSIBLE, whitelist, _SETTLE_BY_TRACE)

    def lost(reason: str, sentence: str, blame: _Blame) -> _Answered:
        return _Answered(exchange, Status.FAIL, reason, "lost", sentence, blame, failure=failure)

    match failure:
        case Failure.LOCAL_DENIED:
            return lost(
                "local_denied",
                "This host's own firewall lets the connection be made, and nothing through it.",
                _Blame(FaultDomain.HOST, Confidence.PROVEN, "Correct this host's own firewall."),
            )
        case Failure.RESET:
            return lost(
                "reset_after_request",
                "The connection is accepted, and reset after our request: a server that does not know us, or "
                "inspection on the way.",
                from_provider,
            )
        case Failure.CLOSED_EARLY:
            return lost(
                "closed_after_request",
                "The connection is accepted, and closed after our request without a whole answer: a server that does "
                "not know us, or inspection on the way.",
                from_provider,
            )
    if provisional:
        return lost(
            "no_final_answer",
            "A SIP server answers provisionally, and never finally.",
            _Blame(FaultDomain.PROVIDER, Confidence.POSSIBLE, f"Ask {profile.provider} about it.", _SETTLE_BY_TRACE),
        )
    if any(isinstance(each, SipRequest) for each in received):
        return lost(
            "options_ignored",
            "SIP is alive there (it sends requests of its own), and OPTIONS is ignored: ask about whitelisting.",
            _Blame(FaultDomain.PROVIDER, Confidence.LIKELY, whitelist, _SETTLE_BY_TRACE),
        )
    if bytes_received:
        return lost(
            "incomplete_answer",
            f"{bytes_received} bytes of an answer came, and not the rest in time.",
            _Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=_SETTLE_BY_TRACE),
        )
    if ponged:
        return lost(
            "options_ignored",
            "SIP is alive there (it answers a keep-alive), and OPTIONS is ignored: ask about whitelisting.",
            _Blame(FaultDomain.PROVIDER, Confidence.LIKELY, whitelist, _SETTLE_BY_TRACE),
        )
    return lost(
        "silent_after_accept",
        "The connection is accepted, and nothing answers, neither OPTIONS nor a keep-alive.",
        from_provider,
    )


def _read_answer(
    exchange: Exchange, response: SipResponse, facts: Facts, profile: Profile, settings: Settings
) -> _Answered:
    """A final answer to our request, by its code, with the guide's advice and the headers that support asks for."""
    row = code_row(response.status)
    phrase = sanitise(f"{response.status} {response.reason}".strip(), max_length=80)
    if row is None:
        return _Answered(
            exchange,
            Status.UNKNOWN,
            "malformed",
            "unread",
            f"The answer has a status that is none ({phrase}).",
            _UNREAD,
            failure=Failure.MALFORMED,
        )
    parts = [f"{phrase}: {row.says}."]
    for header in ("Server", "User-Agent"):
        if value := response.header(header):
            parts.append(f"{header}: {sanitise(value, max_length=60)}.")
            break
    for header in ("X-Exotel-ErrorCode", "Retry-After", "Reason", "Warning"):
        if row.status is not Status.PASS and (value := response.header(header)):
            parts.append(f"{header}: {sanitise(value, max_length=80)}.")
    status, reason = row.status, row.reason or f"status_{response.status}"
    blame = _blame_code(response.status, exchange, facts, profile, settings)
    broken = _broken_rules(exchange, response)
    if broken or _is_odd(response.reason):
        rules = ", ".join(broken[:3])
        parts.append(f"The answer breaks rules of SIP: {rules}." if rules else "Its reason phrase is no plain text.")
        if status is Status.PASS:
            status, reason = Status.WARN, "odd_answer"
            blame = _Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=_SETTLE_BY_TRACE)
    for trouble in profile.troubleshooting:
        if row.status is not Status.PASS and response.status in trouble.codes:
            parts.append(f"The guide: {trouble.cause}; {trouble.resolution}.")
    return _Answered(
        exchange,
        status,
        reason,
        "answer",
        " ".join(parts),
        None if status is Status.PASS else blame,
        response,
    )


def _broken_rules(exchange: Exchange, response: SipResponse) -> list[str]:
    """The codes of the rules that an answer breaks, each once."""
    broken = list(dict.fromkeys(deviation.code for deviation in response.errors))
    # RFC 3261 §20.14: on a stream nothing else tells where a message ends. Recorded text is read without the stream.
    cut_by_recording = any(message.truncated for message in exchange.messages if not message.sent)
    if exchange.transport != "udp" and response.header("Content-Length") is None and not cut_by_recording:
        broken.append("content_length_missing")
    return broken


def _is_odd(reason: str) -> bool:
    """Whether a reason phrase holds what only somebody who aims at its reader would put there."""
    return sanitise(reason, max_length=1000) != reason or _MARKUP.search(reason) is not None


def _blame_code(code: int, exchange: Exchange, facts: Facts, profile: Profile, settings: Settings) -> _Blame:
    """The server that answered is who decided; what it decided by is not always known."""
    ask = f"Ask {profile.provider}"
    if code in (401, 403, 407):
        who = _our_address(facts)
        settle_by = None
        if settings.account_sid is None:
            settle_by = (
                "Run again with --account-sid: the request then carries the account's own domain, so that an answer "
                "which stays the same is about the address."
            )
        return _Blame(
            FaultDomain.PROVIDER,
            Confidence.LIKELY,
            f"{ask} to whitelist {who}; and check that the PBX sends the account's own domain and no credentials.",
            settle_by,
        )
    if code == 400:
        return _Blame(FaultDomain.UNDETERMINED, Confidence.POSSIBLE, settle_by=_SETTLE_BY_TRACE)
    confidence = Confidence.LIKELY if code >= 500 else Confidence.POSSIBLE
    return _Blame(FaultDomain.PROVIDER, confidence, f"{ask} about the {code} of {exchange.remote_address} to OPTIONS.")


# --- redundancy


def _address_status(connect: Finding, options: Finding) -> Status:
    """What an address is worth to the trunk: both findings pass, or the worse of them."""
    both = (connect.status, options.status)
    for status in (Status.FAIL, Status.UNKNOWN, Status.WARN, Status.PASS):
        if status in both:
            return status
    return Status.SKIP


def _judge_redundancy(
    judged: Sequence[tuple[Target, Finding, Finding]], profile: Profile, settings: Settings
) -> Finding:
    primary = settings.primary
    counted = [row for row in judged if primary is None or row[0].name == primary]
    statuses = [(row[0], _address_status(row[1], row[2])) for row in counted]
    considered = [(target, status) for target, status in statuses if status is not Status.SKIP]
    names = list(dict.fromkeys(target.name for target, _ in considered))
    told = "; ".join(
        f"{name}: "
        + ", ".join(f"{row.address or 'no address'} {status}" for row, status in considered if row.name == name)
        for name in names
    )
    alone = f" Only {primary} decides (--primary)." if primary is not None else ""
    evidence = [finding for _, connect, options in counted for finding in (connect, options)]
    facts = tuple(dict.fromkeys(fact for finding in evidence for fact in finding.facts))

    def verdict(status: Status, reason: str, summary: str, *, settle_by: str | None = None) -> Finding:
        guilty = [
            finding
            for finding in evidence
            if finding.status in (Status.FAIL, Status.WARN) and finding.fault_domain is not None
        ]
        return Finding(
            id=REDUNDANCY,
            target=None,
            status=status,
            reason=reason,
            summary=f"{summary} {told}.{alone}" if told else f"{summary}{alone}",
            fault_domain=None if status is Status.PASS else _common_domain(guilty),
            confidence=Confidence.PROVEN if status is Status.PASS else _least_confidence(guilty),
            remedy=next((finding.remedy for finding in guilty if finding.remedy), None),
            settle_by=settle_by or next((finding.settle_by for finding in guilty if finding.settle_by), None),
            facts=facts,
        )

    values = {status for _, status in considered}
    if not considered or values == {Status.UNKNOWN}:
        return verdict(
            Status.UNKNOWN,
            "not_judged",
            "No signalling address could be judged.",
            settle_by="See dns.resolution and sip.connect.",
        )
    if not values & {Status.PASS, Status.WARN}:
        return verdict(Status.FAIL, "none_answers", "No signalling address answers as it should.")
    if values == {Status.PASS}:
        count = len(names)
        summary = f"All {len(considered)} signalling addresses of {count} names answer."
        if count == 1:
            summary = "The signalling addresses answer."
        return verdict(Status.PASS, "all_answer", summary)
    if Status.FAIL in values:
        return verdict(Status.WARN, "some_fail", "Some signalling addresses answer, some do not.")
    if Status.UNKNOWN in values:
        return verdict(
            Status.WARN,
            "some_unknown",
            "Some signalling addresses answer, some could not be judged.",
            settle_by="See dns.resolution and sip.connect of those that could not be judged.",
        )
    return verdict(Status.WARN, "some_warn", "The signalling addresses answer, not all as they should.")


def _common_domain(guilty: Sequence[Finding]) -> FaultDomain:
    domains = {finding.fault_domain for finding in guilty}
    only = next(iter(domains)) if len(domains) == 1 else None
    return only or FaultDomain.UNDETERMINED


_CONFIDENCES = (Confidence.POSSIBLE, Confidence.LIKELY, Confidence.PROVEN)


def _least_confidence(guilty: Sequence[Finding]) -> Confidence:
    told = [finding.confidence for finding in guilty if finding.confidence in _CONFIDENCES]
    return (
        min(told, key=_CONFIDENCES.index)
        if told and _common_domain(guilty) is not FaultDomain.UNDETERMINED
        else (Confidence.POSSIBLE)
    )


CHECK = Check(
    name="sip",
    title="SIP signalling",
    finding_ids=(CONNECT, OPTIONS, IN_DIALOG_FINDING, REDUNDANCY, ALG, SIZE_FINDING),
    needs=("dns",),
    measure=measure,
    judge=judge,
)
