"""`vsipcheck demo`: the same run as `all`, against a simulated provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING

from vsipcheck.cli.options import Request, UsageError
from vsipcheck.cli.output import write_stdout
from vsipcheck.cli.run import run_checks
from vsipcheck.model import Profile, Settings

if TYPE_CHECKING:
    from vsipcheck.net import Network


def list_scenarios() -> int:
    """Name every scenario on stdout."""
    from vsipcheck.sim import SCENARIOS

    width = max(map(len, SCENARIOS))
    write_stdout("".join(f"{name:{width}}  {scenario.about}\n" for name, scenario in SCENARIOS.items()))
    return 0


def run_demo(request: Request) -> int:
    """Run every check against the scenario; the exit code. Raises UsageError for one that there is not."""
    from vsipcheck.sim import SCENARIOS, open_simulation

    scenario = SCENARIOS.get(request.scenario)
    if scenario is None:
        near = get_close_matches(request.scenario, SCENARIOS, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "demo --list names them"
        raise UsageError(f"demo: there is no scenario {request.scenario!r}; {hint}")

    @asynccontextmanager
    async def open_network(profile: Profile, settings: Settings) -> AsyncIterator[Network]:
        async with open_simulation(scenario, profile) as network:
            yield network

    return run_checks(request, open_network=open_network)
