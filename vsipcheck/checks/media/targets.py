"""Which media addresses a run asks, and what holds for both findings about one."""

from __future__ import annotations

from vsipcheck.model import Family

GUIDE_SECTION = "Best Practices and Pre-checks: Before Configuration"
CALL_SETTLES = "an inbound call with RTP from the media addresses, watched with tcpdump or sngrep"


def is_wanted(address: str, family: Family) -> bool:
    """Whether the address is of the IP version that was asked for."""
    if family is Family.IPV4:
        return ":" not in address
    if family is Family.IPV6:
        return ":" in address
    return True
