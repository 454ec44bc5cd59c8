"""Small reports for the tests of what outlives a run: one name, a few findings, the rows that gate."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from cli.reports import make_report

from vsipcheck.model import (
    AddressSeen,
    CheckEvidence,
    ChecklistRow,
    Finding,
    Lookup,
    Measure,
    Overall,
    Report,
    Stage,
    Status,
)

START = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
TARGET = "pstn.in2.exotel.com@182.76.143.101"


def moment(hours: float) -> str:
    return (START + datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def run_at(
    hours: float,
    status: Status = Status.PASS,
    *,
    address: str | None = "49.36.10.7",
    resolved: tuple[str, ...] = ("182.76.143.101",),
    rtt_ms: float | None = 20.0,
    **changes: Any,
) -> Report:
    """A run whose sip.options, and the row that it decides, have `status`."""
    exit_code = {Status.FAIL: 1, Status.UNKNOWN: 3}.get(status, 0)
    overall = {Status.FAIL: Overall.NOT_READY, Status.UNKNOWN: Overall.NOT_PROVEN}.get(status, Overall.READY)
    measures = (Measure(name="rtt_median_ms", value=rtt_ms, unit="ms"), Measure(name="sent", value=3, unit="count"))
    findings = (
        Finding(id="sip.options", target=TARGET, status=status, reason=f"r_{status}", summary="s", measures=measures),
        Finding(id="nat.public_address", target=None, status=Status.PASS, reason="seen", summary="s"),
        Finding(id="pbx.codecs", target=None, status=Status.SKIP, reason="not_asked", summary="s"),
    )
    rows = (
        _row("public_address", Status.PASS),
        _row("signalling_out", status),
        _row("media_in", Status.UNKNOWN, gating=False),
    )
    facts: list[Any] = [
        Lookup(
            id="dns.1",
            name="pstn.in2.exotel.com",
            record_type="A",
            purpose="trunk",
            server=None,
            addresses=resolved,
        )
    ]
    if address is not None:
        facts += [
            AddressSeen(id=f"dns.{n}", method="stun", source=f"s{n}", operator=f"o{n}", address=address) for n in (2, 3)
        ]
    values: dict[str, Any] = {
        "run_id": str(uuid.uuid4()),
        "started_at": moment(hours),
        "overall": overall,
        "exit_code": exit_code,
        "findings": findings,
        "checklist": rows,
        "evidence": {
            "dns": CheckEvidence(version=1, offset_ms=0.0, duration_ms=5.0, error=None, facts=tuple(facts)),
        },
    }
    return make_report(**{**values, **changes})


def _row(id_: str, status: Status, *, gating: bool = True) -> ChecklistRow:
    return ChecklistRow(id=id_, stage=Stage.BEFORE, title=id_, status=status, gating=gating, summary="s")
