"""A report for the command line's tests, which look at where it goes and not at what it says."""

from __future__ import annotations

from typing import Any

from vsipcheck.model import Host, Profile, Report, Settings, Tool, Traffic
from vsipcheck.profiles import DEFAULT_PROFILE, load_profile


def make_report(profile: Profile | None = None, settings: Settings | None = None, **changes: Any) -> Report:
    values: dict[str, Any] = {
        "schema": "vsipcheck.report/1",
        "run_id": "00000000-0000-4000-8000-000000000000",
        "tool": Tool(version="0"),
        "host": Host(os="Linux", python="3.11", icmp_errors=True),
        "profile": profile or load_profile(DEFAULT_PROFILE),
        "settings": settings or Settings(checks=("dns",)),
        "started_at": "2026-11-25T00:00:00.000Z",
        "duration_ms": 1.0,
        "interrupted": False,
        "simulated": False,
        "redacted": False,
        "overall": None,
        "exit_code": 0,
        "actions": (),
        "findings": (),
        "checklist": (),
        "evidence": {},
        "traffic": Traffic(packets_sent=0, bytes_sent=0, by_destination=()),
    }
    return Report(**{**values, **changes})
