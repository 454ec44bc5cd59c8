"""What the facts say of our address, read once for all judges: who sees which, and what this host's own is."""

from __future__ import annotations

from vsipcheck.checks.base import Facts, fact_ids
from vsipcheck.checks.public_address import (
    SIP_RECEIVED,
    is_public_ipv4,
    sightings,
    trunk_address,
    trunk_sources,
)
from vsipcheck.model import AddressSeen, Route, Settings


class View:
    """The facts as the four judges need them."""

    def __init__(self, facts: Facts, settings: Settings) -> None:
        self.facts = facts
        self.settings = settings
        self.sightings = sightings(facts)
        self.received = [one for one in self.sightings if one.method == SIP_RECEIVED]
        self.helpers = [one for one in self.sightings if one.method != SIP_RECEIVED]
        self.addresses = tuple(dict.fromkeys(one.address for one in self.sightings))
        self.methods = tuple(dict.fromkeys(one.method for one in self.sightings))
        self.sources = trunk_sources(facts)
        self.source = self.sources[0] if self.sources else None
        self.public_source = self.source if is_public_ipv4(self.source) else None
        self.trunk_address = trunk_address(facts)
        self.routes = [route for route in facts.of(Route) if route.source_address in self.sources]
        self.ended_early = facts.error_of("nat") in ("deadline", "interrupted")

    @property
    def helper_answers(self) -> list[AddressSeen]:
        """What echo services and STUN servers gave, failures included."""
        return [fact for fact in self.facts.of(AddressSeen, "nat") if fact.method in ("https_echo", "stun")]

    @property
    def sighting_ids(self) -> tuple[str, ...]:
        return tuple(one.fact_id for one in self.sightings)

    @property
    def source_ids(self) -> tuple[str, ...]:
        return fact_ids(self.routes)
