"""The simulated internet of the demo: a provider edge on loopback, and a `Network` that maps real names onto it.

Nothing here leaves 127.0.0.1. Names, addresses and ports are the default profile's where it has them; all others are
stand-ins that only look routable, because the checks have opinions about documentation space. The edge shares some of
our codecs, so it proves nothing about them. It never imports the checks, and knows nothing of their verdicts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vsipcheck.model import Profile
from vsipcheck.sim.network import SimNetwork
from vsipcheck.sim.scenario import Scenario, load_scenarios

STAND_INS = (
    "All of it is simulated on loopback. The addresses are stand-ins: no host of these scenarios is the provider's, "
    "an ISP's or anybody else's."
)
SCENARIOS: dict[str, Scenario] = dict(load_scenarios())

__all__ = ["SCENARIOS", "STAND_INS", "Scenario", "SimNetwork", "open_simulation"]


@asynccontextmanager
async def open_simulation(scenario: Scenario, profile: Profile) -> AsyncIterator[SimNetwork]:
    """A network on which the scenario is up and answering, until the block ends; nothing of it is open afterwards."""
    network = SimNetwork(scenario, profile)
    try:
        await network.start()
        yield network
    finally:
        await network.close()
