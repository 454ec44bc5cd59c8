"""Whether the public address stays the same, by earlier runs: one that was the same yesterday is not static."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from vsipcheck.checks.base import fact_ids
from vsipcheck.checks.nat.verdict import Verdict
from vsipcheck.checks.nat.view import View
from vsipcheck.checks.nat.words import counted
from vsipcheck.checks.public_address import is_public_ipv4
from vsipcheck.model import Confidence, Measure, PastRun, Status

STATIC_ADDRESS = "nat.static_address"
# Our own: fewer runs, or a shorter time, say nothing about tomorrow.
MIN_PAST_RUNS = 3
MIN_HISTORY = timedelta(hours=24)


def judge_static_address(view: View) -> Verdict:
    """Whether the address was another one in an earlier run."""
    past = sorted(
        (run for run in view.facts.of(PastRun) if is_public_ipv4(run.public_address)), key=lambda run: run.started_at
    )
    now = view.trunk_address
    expected = view.settings.expect_ip
    addresses = [str(run.public_address) for run in past] + ([now] if now is not None else [])
    changes = [(one, other) for one, other in pairwise(addresses) if one != other]
    ids = (*fact_ids(past), *view.sighting_ids)
    runs = sum(run.runs for run in past)
    measures = (
        Measure(name="past_runs", value=runs, unit="count"),
        Measure(name="changes", value=len(changes), unit="count"),
    )
    since = past[0].started_at if past else None
    ask = "Ask your ISP for a static address, and whether this line has one."
    if expected is not None and now is not None and now != expected and expected in addresses:
        return Verdict(
            Status.FAIL,
            "changed_away_from_expected",
            f"The public address was {expected}, which was handed in for whitelisting, and is {now} now.",
            facts=ids,
            confidence=Confidence.LIKELY,
            remedy=ask,
            settle_by="Look whether the line lost its address, or traffic leaves by another line.",
            measures=measures,
        )
    if len(changes) > 1:
        return Verdict(
            Status.FAIL,
            "changed_repeatedly",
            f"The public address changed {len(changes)} times since {since}: {' -> '.join(_runs_of(addresses)[-5:])}.",
            facts=ids,
            confidence=Confidence.PROVEN,
            remedy=ask,
            settle_by="Addresses that come back are several uplinks or a pool; ever new ones are a dynamic address.",
            measures=measures,
        )
    if changes:
        one, other = changes[0]
        return Verdict(
            Status.WARN,
            "changed_once",
            f"The public address changed once since {since}, from {one} to {other}.",
            facts=ids,
            confidence=Confidence.PROVEN,
            remedy=ask,
            settle_by="If the line was changed on purpose, nothing is wrong; go on watching.",
            measures=measures,
        )
    if runs >= MIN_PAST_RUNS and _spans(past) >= MIN_HISTORY and now is not None:
        return Verdict(
            Status.PASS,
            "unchanged",
            f"The public address, {now}, is unchanged since {since}, over {runs} earlier runs.",
            facts=ids,
            confidence=Confidence.LIKELY,
            measures=measures,
        )
    summary = f"Whether the address stays the same shows only over time: {counted(runs, 'earlier run', 'earlier runs')}"
    summary += f" since {since}, all with {addresses[0]}." if past else " to compare with."
    if past and now is None:
        summary += " This run could not tell the address."
    return Verdict(
        Status.UNKNOWN,
        "too_little_history",
        summary,
        facts=ids,
        confidence=Confidence.POSSIBLE,
        settle_by=f"Run it at least {MIN_PAST_RUNS} times over 24 hours or more, or ask your ISP whether the address "
        "is a static one.",
        measures=measures,
    )


def _spans(past: Sequence[PastRun]) -> timedelta:
    moments = []
    for run in past:
        try:
            moment = datetime.fromisoformat(run.started_at)
        except ValueError:
            continue
        if moment.tzinfo is not None:
            moments.append(moment)
    return max(moments) - min(moments) if moments else timedelta(0)


def _runs_of(addresses: Sequence[str]) -> list[str]:
    """The addresses with neighbours that are equal told once."""
    return [address for i, address in enumerate(addresses) if i == 0 or addresses[i - 1] != address]
