"""What is judged: every address of every signalling name."""

from __future__ import annotations

from dataclasses import dataclass

from vsipcheck.checks.base import Facts
from vsipcheck.checks.dns.names import is_address, record_types, signalling_names
from vsipcheck.checks.sip.dialogue import MAX_ADDRESSES, is_dialled
from vsipcheck.model import Lookup, Profile, Settings


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to judge: an address of a name, or the name alone where it has none (`address` is None)."""

    name: str
    address: str | None
    why_not: str | None = None  # "no_address", "not_measured", "special_purpose_address", "left_out"

    @property
    def key(self) -> str:
        return self.name if self.address is None else f"{self.name}@{self.address}"


def targets(facts: Facts, profile: Profile, settings: Settings) -> list[Target]:
    """Every address of every signalling name that the system's own resolution gave, in order."""
    found: list[Target] = []
    for name in signalling_names(profile):
        if is_address(name):
            found.append(Target(name, name))
            continue
        lookups = [
            lookup
            for lookup in facts.of(Lookup, "dns")
            if lookup.server is None and lookup.name == name and lookup.record_type in record_types(settings)
        ]
        mine: list[Target] = []
        for lookup in lookups:
            dialled = 0
            for address in dict.fromkeys(lookup.addresses):
                why_not = None
                if not is_dialled(name, address):
                    why_not = "special_purpose_address"
                elif (dialled := dialled + 1) > MAX_ADDRESSES:
                    why_not = "left_out"
                mine.append(Target(name, address, why_not))
        found.extend(mine or [Target(name, None, "no_address" if lookups else "not_measured")])
    return found
