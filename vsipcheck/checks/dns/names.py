"""The signalling names as DNS is asked about them."""

from __future__ import annotations

import ipaddress

from vsipcheck.model import Family, Profile, Settings

FAMILY = {"A": Family.IPV4, "AAAA": Family.IPV6}


def signalling_names(profile: Profile) -> list[str]:
    """The FQDNs of the signalling PoPs in the profile's order, each once; address literals among them."""
    return list(dict.fromkeys(pop.fqdn for pop in profile.signalling.pops))


def is_address(name: str) -> bool:
    """Whether a "name" is an IP address and needs no resolution."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def record_types(settings: Settings) -> tuple[str, ...]:
    """The record types that are asked for: those of the families that the run may use."""
    return tuple(rtype for rtype, family in FAMILY.items() if settings.family in (Family.ANY, family))
