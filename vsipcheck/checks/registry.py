"""The checks there are, in the order in which their evidence stands in a report."""

from __future__ import annotations

from vsipcheck.checks import dns, media, nat, sip
from vsipcheck.checks.base import Check

CHECKS: dict[str, Check] = {check.name: check for check in (dns.CHECK, sip.CHECK, media.CHECK, nat.CHECK)}
