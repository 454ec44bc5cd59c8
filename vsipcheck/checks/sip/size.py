"""Whether large requests get through (`sip.size`, only where asked for): a path-MTU black hole, or a server's limit.

Small requests answered and large ones hanging is what a black hole looks like (RFC 4821 §1, RFC 2923 §2.1): a link on
the way out has a smaller MTU than ours, and the ICMP that says so (type 3 code 4) is lost or blocked. TCP then sends
the same segment again and again. What else looks like it, and what tells it apart:

- Loss: the same size, sent again on a connection of its own, is answered.
- A server that takes the large request and says nothing: its kernel has acknowledged the bytes, or a small request
  that was sent after it, on the same connection, is answered (TCP keeps the order).
- A server that has gone away or shuts us out: a small request on a new connection is not answered either.
- A server's limit: 413 or 513, a close or a reset. Large requests arrive there.

Where the link is, and which router drops the ICMP, a connection does not say: the party stays open. Only requests are
made large; the way back may have a black hole of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vsipcheck.checks.base import Facts
from vsipcheck.checks.sip.addresses import sent_and_received
from vsipcheck.checks.sip.dialogue import SIZE, SIZE_CONTROL
from vsipcheck.checks.sip.verdict import SETTLE_BY_TRACE, Fault, build_finding
from vsipcheck.model import (
    Confidence,
    Connection,
    Exchange,
    Failure,
    FaultDomain,
    Finding,
    Measure,
    Note,
    Profile,
    Settings,
    Status,
)
from vsipcheck.wire.sip.message import SipResponse

SIZE_FINDING = "sip.size"

_REFUSALS = (413, 513)
_CLAMP = (
    "Clamp the TCP MSS to the path's MTU in the router (on PPPoE, a VPN or a tunnel above all), and let ICMP type 3 "
    "code 4 through in every firewall."
)


@dataclass(frozen=True, slots=True)
class _Step:
    """One request of a known size, and how it ended."""

    exchange: Exchange
    size: int
    code: int | None  # of the final answer, None without

    @property
    def hangs(self) -> bool:
        return self.code is None and self.exchange.failure is Failure.NO_ANSWER


def judge_sizes(facts: Facts, profile: Profile, settings: Settings) -> list[Finding]:
    """A finding for each address that large requests were to be sent to; none where they were not asked for."""
    if not settings.size:
        return []
    connections = [fact for fact in facts.of(Connection, "sip") if fact.purpose == SIZE]
    keys = dict.fromkeys((fact.name, fact.address) for fact in connections)
    if not keys:
        return [
            build_finding(
                SIZE_FINDING,
                None,
                Status.UNKNOWN,
                "not_connected",
                "No signalling address could be connected to, so that no large request was sent.",
                settle_by="See sip.connect.",
            )
        ]
    return [
        _judge(
            name,
            address,
            [fact for fact in connections if (fact.name, fact.address) == (name, address)],
            facts,
            profile,
        )
        for name, address in keys
    ]


def _judge(
    name: str | None, address: str, connections: Sequence[Connection], facts: Facts, profile: Profile
) -> Finding:
    target = address if name in (None, address) else f"{name}@{address}"
    by_attempt = {connection.attempt: connection for connection in connections}
    steps = {
        attempt: [
            _step(exchange)
            for exchange in facts.of(Exchange, "sip")
            if exchange.connection == connection.id and exchange.failure is not Failure.CANCELLED
        ]
        for attempt, connection in by_attempt.items()
    }
    first = [step for step in steps.get(1, []) if step.exchange.purpose == SIZE]
    again = [step for step in steps.get(2, []) if step.exchange.purpose == SIZE]
    same = next((step for step in steps.get(1, []) if step.exchange.purpose == SIZE_CONTROL), None)
    anew = next((step for step in steps.get(2, []) if step.exchange.purpose == SIZE_CONTROL), None)
    answered = [step for step in first if step.code is not None]
    stopped = next((step for step in first if step.code is None), None)
    largest = max((step.size for step in answered), default=None)
    queues = [
        fact
        for fact in facts.of(Note, "sip")
        if fact.topic == "send_queue" and fact.values.get("connection") in {each.id for each in connections}
    ]
    mss = next((fact.values["mss"] for fact in queues if fact.values.get("mss")), None)
    evidence: list[Connection | Exchange | Note] = [
        *connections,
        *(step.exchange for attempt in steps.values() for step in attempt),
        *queues,
    ]
    measures = tuple(
        Measure(name=title, value=value, unit="bytes")
        for title, value in (
            ("largest_answered", largest),
            ("smallest_unanswered", stopped.size if stopped else None),
            ("segment", mss),
        )
        if value is not None
    )
    fits = ""
    if stopped is not None and isinstance(mss, int):
        fits = (
            f" A segment may carry {mss} bytes, so that the hanging request "
            f"{'fits into one' if stopped.size <= mss else 'takes several'}."
        )
    got = f"Requests of up to {largest} bytes are answered" if largest is not None else "No request is answered"

    def found(
        status: Status,
        reason: str,
        summary: str,
        *,
        domain: FaultDomain = FaultDomain.UNDETERMINED,
        confidence: Confidence = Confidence.POSSIBLE,
        remedy: str | None = None,
        settle_by: str | None = None,
        failure: Failure | None = None,
    ) -> Finding:
        return build_finding(
            SIZE_FINDING,
            target,
            status,
            reason,
            summary,
            facts=evidence,
            blame=Fault(domain, confidence, remedy, settle_by),
            failure=failure,
            measures=measures,
        )

    if not first or (largest is None and stopped is not None):
        return found(
            Status.UNKNOWN,
            "not_answered",
            "No small request was answered, so that nothing can be said of large ones.",
            settle_by="See sip.options.",
        )
    if stopped is None:
        refused = next((step for step in answered if step.code in _REFUSALS), None)
        if refused is not None:
            return found(
                Status.WARN,
                "refused_by_server",
                f"Large requests arrive, but the server refuses {refused.size} bytes with {refused.code}.",
                domain=FaultDomain.PROVIDER,
                settle_by=f"Ask {profile.provider} how large a request may be.",
            )
        return found(
            Status.PASS,
            "all_answered",
            f"{got}: no path-MTU black hole on the way out. The way back was not tried.",
        )
    if not stopped.hangs:
        how = "resets" if stopped.exchange.failure is Failure.RESET else "closes"
        once = anew is not None and anew.code is not None and any(step.code is not None for step in again)
        return found(
            Status.WARN,
            "unsteady" if once else "closed_by_server",
            f"{got}; at {stopped.size} the far end {how} the connection"
            + (", but not the second time." if once else ": a limit of the server's, or inspection on the way."),
            settle_by=SETTLE_BY_TRACE,
            failure=stopped.exchange.failure,
        )
    hanging = f"{got}, and {stopped.size} bytes hang."
    if anew is None or anew.code is None:
        return found(
            Status.UNKNOWN,
            "server_gone",
            f"{hanging} But afterwards a small request on a new connection was not answered either.",
            settle_by="Run again: an outage or a limit of the server's looks the same.",
        )
    if any(step.code is not None for step in again):
        return found(
            Status.WARN,
            "unsteady",
            f"{got}; {stopped.size} bytes hung once and were answered the second time: loss, not size.",
            settle_by="Run again a few times.",
        )
    if not again:
        return found(Status.UNKNOWN, "not_repeated", f"{hanging} It was not repeated.", settle_by="Run again.")
    pending = [fact.values.get("unacknowledged") for fact in queues]
    if (same is not None and same.code is not None) or (pending and all(each == 0 for each in pending)):
        return found(
            Status.WARN,
            "ignored_by_server",
            f"{hanging} They arrive (TCP acknowledges them), and get no answer: a limit of the server's, or of a "
            "firewall that takes its place.",
            domain=FaultDomain.PROVIDER,
            settle_by=f"Ask {profile.provider} how large a request may be.",
            failure=Failure.NO_ANSWER,
        )
    if not all(step.hangs for step in again) or any(each is None or each == 0 for each in pending):
        return found(
            Status.WARN,
            "large_unanswered",
            f"{hanging} Whether they arrive could not be seen.{fits}",
            remedy=_CLAMP,
            settle_by="Send `ping -M do` of growing size to the same address, or run it on Linux.",
            failure=Failure.NO_ANSWER,
        )
    return found(
        Status.FAIL,
        "mtu_black_hole",
        f"{hanging} TCP never gets them acknowledged, twice, while a small request in between is answered: a path-MTU "
        f"black hole (RFC 4821). An INVITE with SDP is easily that large.{fits}",
        confidence=Confidence.LIKELY,
        remedy=_CLAMP,
        settle_by="Send `ping -M do -s SIZE` to the routers on the way, one after the other: the first that large "
        "packets do not reach lies behind the link.",
        failure=Failure.NO_ANSWER,
    )


def _step(exchange: Exchange) -> _Step:
    _, received = sent_and_received(exchange)
    codes = [each.status for each in received if isinstance(each, SipResponse) and each.status >= 200]
    return _Step(exchange, exchange.messages[0].size, codes[-1] if codes else None)
