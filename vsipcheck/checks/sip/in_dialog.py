"""`sip.in_dialog`: whether connections get to the port that ACK and BYE of a call are sent to."""

from __future__ import annotations

from vsipcheck.checks.base import Facts
from vsipcheck.checks.sip.blame import blame_connect, how_it_failed, most_telling
from vsipcheck.checks.sip.connect import CONNECT
from vsipcheck.checks.sip.dialogue import IN_DIALOG
from vsipcheck.checks.sip.target import Target
from vsipcheck.checks.sip.verdict import build_finding, rtt_measures, untried
from vsipcheck.model import Connection, Failure, Finding, Profile, Status

IN_DIALOG_FINDING = "sip.in_dialog"


def judge_in_dialog(target: Target, port: int, facts: Facts, profile: Profile) -> Finding:
    """Whether connections get to where the provider's Record-Route sends ACK and BYE (RFC 3261 §16.12)."""
    if target.why_not is not None or target.address is None:
        return untried(IN_DIALOG_FINDING, target)
    attempts = [
        attempt
        for attempt in facts.of(Connection, "sip")
        if attempt.purpose == IN_DIALOG
        and (attempt.name, attempt.address, attempt.port) == (target.name, target.address, port)
        and attempt.failure is not Failure.CANCELLED
    ]
    where = f"TCP {port} of {target.address}, where the provider's Record-Route sends ACK and BYE,"
    if not attempts or all(attempt.failure is Failure.NO_ROUTE for attempt in attempts):
        return build_finding(
            IN_DIALOG_FINDING,
            target.key,
            Status.UNKNOWN,
            "not_measured",
            f"{where} was not tried.",
            settle_by=f"See {CONNECT}, and run again.",
        )
    good = [attempt for attempt in attempts if attempt.failure is None]
    measures = rtt_measures([attempt.rtt_ms for attempt in good if attempt.rtt_ms is not None])
    if good:
        return build_finding(
            IN_DIALOG_FINDING,
            target.key,
            Status.PASS,
            "connected",
            f"{where} accepts connections.",
            facts=attempts,
            measures=measures,
        )
    worst = most_telling(attempts)
    status, reason, blame = blame_connect(worst, attempts, (), target, facts, profile, port)
    signalling = profile.signalling.port
    return build_finding(
        IN_DIALOG_FINDING,
        target.key,
        status,
        reason,
        f"{where} cannot be reached: {how_it_failed(worst)}. Calls are then set up over TCP {signalling}, and may "
        "break off when ACK or BYE get lost.",
        facts=attempts,
        blame=blame,
        failure=worst.failure,
        measures=measures,
    )
