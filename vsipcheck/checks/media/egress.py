"""Whether UDP to a media address leaves the customer's network, on all ports of the range.

What can be seen → what may be said, one finding a media address:

| seen | said |
| --- | --- |
| each sampled port seen at a hop behind the customer's edge, some as far as any control | pass: leaves your network |
| a datagram or port-unreachable from the target itself | pass |
| the same, but a router that is not the target said port-unreachable | fail: that router rejects |
| any other ICMP type 3 | fail, and its sender is who blocks |
| EPERM, no route | fail, this host |
| probes stop at hop k again and again, while a control sent right after each got past k | fail, whose hop k..k+1 is |
| the same for a part of the sample | fail, with the spans |
| the same silence without an answered control | no data: rate limit, loss, or a path that carries nothing |
| some sampled ports without an answer or a contrast | warn: only a part could be judged |
| no hop answers, or none behind the edge for anything | unknown |

"Leaves your network, nothing blocks it on the way out" is the strongest thing to say; never "ports open": a relay that
got the packet and one that did not are equally silent.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from vsipcheck.checks.base import Facts
from vsipcheck.checks.media.targets import CALL_SETTLES, GUIDE_SECTION, is_wanted
from vsipcheck.checks.media.view import View
from vsipcheck.checks.paths import Blame, blame_icmp, is_expired
from vsipcheck.checks.zones import Place, name_hop, place_between
from vsipcheck.model import (
    Confidence,
    Failure,
    FaultDomain,
    Finding,
    Measure,
    Note,
    PortSpan,
    Profile,
    Settings,
    Status,
)

EGRESS = "media.egress"


def judge_egress(facts: Facts, profile: Profile, settings: Settings, target: str) -> Finding:
    """`media.egress` of one media address: whoever stops it nearest to this host is told, else how far it got."""
    if not is_wanted(target, settings.family):
        return _finding(target, Status.SKIP, "family", f"{target} is not of the IP version that was asked for")
    view = View(facts, target)
    if not view.sample:
        error = facts.error_of("media")
        return _unknown(target, "not_measured", f"UDP towards {target} was not measured: {error or 'no facts'}", view)
    for decide in (_locally_denied, _rejected, _dropped):
        finding = decide(view, profile)
        if finding is not None:
            return finding
    return _passing(view, profile)


def _finding(target: str, status: Status, reason: str, summary: str, **more: object) -> Finding:
    return Finding(
        id=EGRESS,
        target=target,
        status=status,
        reason=reason,
        summary=f"{summary[0].upper()}{summary[1:].rstrip('.')}.",
        guide_section=GUIDE_SECTION,
        **more,  # type: ignore[arg-type]
    )


def _unknown(target: str, reason: str, summary: str, view: View, settle_by: str = CALL_SETTLES) -> Finding:
    return _finding(
        target,
        Status.UNKNOWN,
        reason,
        summary,
        fault_domain=FaultDomain.UNDETERMINED,
        settle_by=settle_by,
        facts=view.ids(),
        measures=_measures(view),
    )


def _measures(view: View) -> tuple[Measure, ...]:
    judged = [s for s in view.sample if view.passed(s) or view.blocked(s)]
    farthest = max(view.in_range_reach, view.control_reach)
    return (
        Measure(name="ports_sampled", value=len(view.sample), unit="count"),
        Measure(name="ports_judged", value=len(judged), unit="count"),
        Measure(name="ports_blocked", value=sum(view.blocked(s) for s in view.sample), unit="count"),
        Measure(name="contrasts", value=sum(s.controls_answered for s in view.fine), unit="count"),
        Measure(name="in_range_hops", value=view.in_range_reach or None, unit="hops"),
        Measure(name="control_hops", value=view.control_reach or None, unit="hops"),
        Measure(
            name="ports_to_farthest_hop",
            value=sum(s.reached_ttl is not None and s.reached_ttl >= farthest > 0 for s in view.sample),
            unit="count",
        ),
    )


def _extent(
    view: View,
    guilty: Sequence[PortSpan],
    is_guilty: Callable[[PortSpan], bool],
    passes: Callable[[PortSpan], bool],
    profile: Profile,
) -> str:
    """Which ports: `UDP 10000-40000`, or the spans with their boundaries as far as they are known."""
    if len(guilty) == len(view.fine):
        return _range(profile)
    if not any(passes(s) for s in view.fine):
        sampled = [s for s in guilty if s.method == "sample"]
        seen = f" (seen at {len(sampled)} of {len(view.sample)} sampled ports)"
        return _range(profile) + (seen if len(sampled) < len(view.sample) else "")
    return "; ".join(_spans_in_words(view, is_guilty, passes, profile))


def _spans_in_words(
    view: View, is_guilty: Callable[[PortSpan], bool], passes: Callable[[PortSpan], bool], profile: Profile
) -> Iterator[str]:
    known = [(s, is_guilty(s)) for s in view.fine if is_guilty(s) or passes(s)]
    runs = [(guilty, [s for s, _ in run]) for guilty, run in itertools.groupby(known, key=lambda pair: pair[1])]
    for position, (guilty, run) in enumerate(runs):
        if not guilty:
            continue
        low, high = run[0].first_port, run[-1].last_port
        text = f"UDP {low}-{high}" if low != high else f"UDP {low}"
        before = runs[position - 1][1][-1].last_port if position else None
        after = runs[position + 1][1][0].first_port if position + 1 < len(runs) else None
        gaps = []
        if before is not None and before != low - 1:
            gaps.append(f"the lower edge lies between {before} and {low}")
        if after is not None and after != high + 1:
            gaps.append(f"the upper edge lies between {high} and {after}")
        if before is None and low > profile.media.first_port:
            gaps.append(f"nothing is known of those below {low}")
        if after is None and high < profile.media.last_port:
            gaps.append(f"nothing is known of those above {high}")
        yield text + (f" ({'; '.join(gaps)})" if gaps else "")


def _locally_denied(view: View, profile: Profile) -> Finding | None:
    guilty = [s for s in view.spans if s.outcome == "local"]
    if not guilty:
        return None
    failures = {s.failure for s in guilty}
    failure = guilty[0].failure
    whole = not any(view.passed(s) or view.dropped(s) for s in view.fine)
    if failures <= {Failure.LOCAL_DENIED}:
        ports = _extent(view, guilty, lambda s: s.outcome == "local", view.passed, profile)
        return _finding(
            view.target,
            Status.FAIL,
            "local_denied" if whole else "part_local_denied",
            f"This host's own firewall refuses {ports} to {view.target} (EPERM)",
            failure=Failure.LOCAL_DENIED,
            fault_domain=FaultDomain.HOST,
            confidence=Confidence.PROVEN,
            remedy=f"Allow outgoing {_range(profile)} to {view.target} in this host's firewall (OUTPUT chain).",
            facts=view.ids(guilty),
            measures=_measures(view),
        )
    return _finding(
        view.target,
        Status.FAIL,
        "no_route" if failure in (Failure.NO_ROUTE, Failure.NET_UNREACHABLE) else "local_error",
        f"this host cannot send to {view.target}: {failure.value if failure else 'local error'}",
        failure=failure,
        fault_domain=FaultDomain.HOST,
        confidence=Confidence.PROVEN,
        remedy=f"Give this host a route to {view.target} (default gateway), or choose the right --source.",
        facts=view.ids(guilty),
        measures=_measures(view),
    )


def _range(profile: Profile) -> str:
    return f"UDP {profile.media.first_port}-{profile.media.last_port}"


def _rejected(view: View, profile: Profile) -> Finding | None:
    guilty = [s for s in view.spans if view.rejected(s)]
    if not guilty:
        return None
    icmp = guilty[0].icmp
    assert icmp is not None
    failure = guilty[0].failure
    floor = max(s.reached_ttl or 0 for s in guilty)
    blame = blame_icmp(view.facts, icmp, view.target, view.hops_with(icmp.address, floor))
    fine = [s for s in guilty if s.method != "sweep"]
    passes = view.passed_beyond(max(floor, view.distance_of(icmp.address, floor)))
    part = any(passes(s) for s in view.fine)
    if fine:
        # What the router fell silent about, beside answered controls, is as blocked as what it spoke of.
        blocked = [s for s in view.fine if view.rejected(s) or view.dropped(s)]
        ports = _extent(view, blocked, lambda s: s in blocked, passes, profile)
    else:
        ports = "; ".join(f"UDP {s.first_port}-{s.last_port}" for s in guilty[:6])
    name = failure.value if failure is not None else "icmp"
    return _finding(
        view.target,
        Status.FAIL,
        f"part_{name}" if part else name,
        f"{ports} to {view.target} is rejected: {blame.sentence}",
        failure=failure,
        fault_domain=blame.domain,
        confidence=blame.confidence,
        remedy=f"Allow {_range(profile)} to {view.target} on {icmp.address or 'this host'}, which rejects it.",
        settle_by=blame.settle_by,
        facts=view.ids(guilty),
        measures=_measures(view),
    )


def _dropped(view: View, profile: Profile) -> Finding | None:
    guilty = [s for s in view.fine if view.dropped(s)]
    if not guilty:
        return None
    reached = max((s.reached_ttl or 0 for s in guilty), default=0)
    # Only where these ports were missed beside a control: a hop in between that was never asked says nothing.
    beyond = min((s.stopped_ttl for s in guilty if s.stopped_ttl is not None and s.stopped_ttl > reached), default=0)
    if not beyond:  # these ports stop at different places: the nearest is told
        nearest = min(guilty, key=lambda s: s.stopped_ttl or 0)
        reached, beyond = nearest.reached_ttl or 0, nearest.stopped_ttl or 0
    place = place_between(reached, beyond, view.hops, view.target, view.own)
    passes = view.passed_beyond(beyond - 1)
    part = any(passes(s) for s in view.fine)
    ports = _extent(view, guilty, view.dropped, passes, profile)
    witness = "Other ports" if part else "Controls"
    rejecter = _rejecter_between(view, reached, beyond)
    if rejecter is not None:
        sender, about, blame = rejecter
        place = Place(blame.domain, Confidence.LIKELY, place.where, blame.settle_by)
    who = {
        FaultDomain.LOCAL_NETWORK: f"Allow outgoing {_range(profile)} to {view.target} in your firewall or router",
        FaultDomain.ISP: f"Ask your ISP to let {_range(profile)} to {view.target} through",
        FaultDomain.PROVIDER: f"Ask {profile.provider} whether its edge filters {_range(profile)} to {view.target}",
    }.get(
        place.domain,
        f"Allow outgoing {_range(profile)} to {view.target} in your router; if it already does, ask the ISP behind it",
    )
    also = ""
    if rejecter is not None:
        also = f" {sender}, which is there, rejects UDP to {about} and says so only so many times a second."
        who = f"Allow {_range(profile)} to {view.target} on {sender}, which rejects it to {about}"
    return _finding(
        view.target,
        Status.FAIL,
        "part_blocked" if part else "blocked",
        f"{ports} to {view.target} is dropped {place.where}. {witness} to the same address, sent at the same moment, "
        f"get to {name_hop(max(view.control_reach, view.in_range_reach), view.hops)}.{also}",
        failure=Failure.NO_ANSWER,
        fault_domain=place.domain,
        confidence=place.confidence,
        remedy=f"{who}: it is dropped {place.where}.",
        settle_by=place.settle_by,
        facts=view.ids(guilty),
        measures=_measures(view),
    )


def _rejecter_between(view: View, reached: int, beyond: int) -> tuple[str, str, Blame] | None:
    """A router in that gap that rejects in-range ports to another media address: (its address, the other, its blame).

    Routers limit ICMP errors, so that of one rule for several addresses only some are told.
    """
    for span in view.facts.of(PortSpan, "media"):
        if span.target == view.target or span.outcome != "icmp" or span.icmp is None:
            continue
        sender = span.icmp.address
        if sender in (None, span.target):
            continue
        if reached <= view.distance_of(sender, reached) < beyond:
            hops = view.hops_with(sender, reached)
            return str(sender), span.target, blame_icmp(view.facts, span.icmp, view.target, hops)
    return None


def _passing(view: View, profile: Profile) -> Finding:
    target = view.target
    answered = [s for s in view.spans if view.from_target(s)]
    passed = [s for s in view.sample if view.passed(s)]
    sampled = len(view.sample)
    common = {"facts": view.ids(), "measures": _measures(view)}
    if not passed and not answered:
        platform = view.facts.of(Note, "media")
        reason = next((note.text for note in platform if note.topic == "platform"), None)
        if reason is not None:
            return _unknown(target, "platform", f"nothing can be said of UDP to {target} here: {reason}", view)
        if not any(is_expired(hop) for hop in view.hop_facts):
            return _unknown(
                target,
                "no_hop_answers",
                f"no router on the way to {target} answers, so silence tells nothing of UDP",
                view,
            )
        if view.outside is not None and view.control_reach >= view.outside > view.in_range_reach:
            return _unknown(
                target,
                "too_few_contrasts",
                f"controls to {target} get to {name_hop(view.control_reach, view.hops)}, and no in-range port was seen "
                "that far; but controls were answered too seldom at the same moment to call that a block",
                view,
                "run it again, or use more time: --deadline",
            )
        return _unknown(
            target,
            "nothing_beyond_edge",
            f"probes of every kind to {target} stop at "
            f"{name_hop(max(view.in_range_reach, view.control_reach), view.hops)}: nothing is told about ports",
            view,
            "a capture on the WAN side of your router: are the UDP probes seen leaving?",
        )
    if view.in_range_reach < view.control_reach and not answered:
        return _finding(
            target,
            Status.WARN,
            "short_of_controls",
            f"{len(passed)} of {sampled} sampled ports leave your network towards {target}, but none was seen as far "
            f"as a control was ({name_hop(view.control_reach, view.hops)})",
            fault_domain=FaultDomain.UNDETERMINED,
            confidence=Confidence.POSSIBLE,
            settle_by=CALL_SETTLES,
            **common,
        )
    if len(passed) < sampled and not (answered and len(passed) + len(answered) >= sampled):
        return _finding(
            target,
            Status.WARN,
            "partly_judged",
            f"{len(passed)} of {sampled} sampled ports leave your network towards {target}; the others got no answer "
            "and no control showed why (routers limit their answers, or the path loses packets)",
            fault_domain=FaultDomain.UNDETERMINED,
            confidence=Confidence.POSSIBLE,
            settle_by="run it again, or use more time: --deadline",
            **common,
        )
    if answered:
        return _finding(
            target,
            Status.PASS,
            "target_answered",
            f"{target} itself answered probes to {len(answered)} port{'s' * (len(answered) != 1)}: UDP gets there",
            confidence=Confidence.PROVEN,
            **common,
        )
    deepest = sum(s.reached_ttl is not None and s.reached_ttl >= view.in_range_reach for s in passed)
    return _finding(
        target,
        Status.PASS,
        "leaves_network",
        f"All {sampled} sampled ports leave your network towards {target}. {deepest} of them were followed to "
        f"{name_hop(view.in_range_reach, view.hops)}, as far as any control; nothing blocks them on the way out.",
        confidence=Confidence.PROVEN,
        **common,
    )
