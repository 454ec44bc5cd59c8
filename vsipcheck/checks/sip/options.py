"""`sip.options`: what became of all OPTIONS that were sent to an address, taken together."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

import msgspec

from vsipcheck.checks.base import Facts
from vsipcheck.checks.sip.answers import Answered, read_exchange
from vsipcheck.checks.sip.connect import CONNECT
from vsipcheck.checks.sip.target import Target
from vsipcheck.checks.sip.verdict import Fault, build_finding, count, rtt_measures, untried
from vsipcheck.model import Confidence, Exchange, Failure, FaultDomain, Finding, Measure, Profile, Settings, Status

OPTIONS = "sip.options"
# Ours: an edge in the same country answers in tens of milliseconds, one across the world in 300.
SLOW_OPTIONS_MS = 1000.0


def judge_options(target: Target, connect: Finding, facts: Facts, profile: Profile, settings: Settings) -> Finding:
    """`sip.options` for a target whose `sip.connect` is known."""
    if target.why_not is not None or target.address is None:
        return untried(OPTIONS, target)
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
            return build_finding(OPTIONS, target.key, Status.SKIP, connect.reason, connect.summary)
        connected = connect.status in (Status.PASS, Status.WARN)
        return build_finding(
            OPTIONS,
            target.key,
            Status.UNKNOWN,
            "not_measured" if connected or connect.reason == "not_measured" else "not_connected",
            f"{target.address} was asked nothing: "
            + ("the run ended first." if connected or connect.reason == "not_measured" else "there is no connection."),
            settle_by="See sip.connect." if not connected else "Run again, with a longer --deadline.",
            blame=Fault(connect.fault_domain or FaultDomain.UNDETERMINED, Confidence.POSSIBLE),
        )
    ponged = {each.connection for each in exchanges if each.purpose == "keepalive" and each.failure is None}
    seen = [read_exchange(each, each.connection in ponged, facts, profile, settings) for each in asked]
    answered = [each for each in seen if each.kind == "answer"]
    wrong = [each for each in seen if each.kind == "wrong"]
    lost = [each for each in seen if each.kind == "lost"]
    unread = [each for each in seen if each.kind == "unread"]
    rtts = [each.exchange.rtt_ms for each in answered if each.exchange.rtt_ms is not None]
    measures = (
        *rtt_measures(rtts, SLOW_OPTIONS_MS),
        count("sent", len(seen)),
        count("answered", len(answered)),
        Measure(name="loss_ratio", value=round(1 - len(answered) / len(seen), 4), unit="ratio", warn=0.0),
    )

    def verdict(
        status: Status, reason: str, summary: str, cause: Answered | None = None, blame: Fault | None = None
    ) -> Finding:
        codes = [cause.response.status] if cause is not None and cause.response is not None else []
        guided = any(code in row.codes for row in profile.troubleshooting for code in codes)
        return build_finding(
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
        blame = Fault(
            FaultDomain.UNDETERMINED,
            Confidence.POSSIBLE,
            settle_by="Run again a few times: several servers behind one address, or a limit on requests.",
        )
        reason = "lost_some" if lost else "damaged_some"
        return verdict(Status.WARN, reason, f"{summary} But once: {odd.sentence}", odd, blame)
    if rtts and statistics.median(rtts) > SLOW_OPTIONS_MS:
        blame = Fault(
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


def _tally(seen: Sequence[Answered]) -> str:
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
_NO_SIP_SERVER = frozenset(
    {"silent_after_accept", "reset_after_request", "closed_after_request", "not_sip", "options_ignored"}
)


def by_nearer(options: Finding, connect: Finding) -> Finding:
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
