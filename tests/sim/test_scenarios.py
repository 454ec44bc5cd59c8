"""The scenarios as data, and whole runs against each of them."""

from __future__ import annotations

import ast
import asyncio
import ipaddress
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

import vsipcheck.sim
from vsipcheck.checks.registry import CHECKS
from vsipcheck.model import ChecklistRow, Finding, Report, Settings
from vsipcheck.profiles import load_profile
from vsipcheck.runner import run
from vsipcheck.sim import SCENARIOS, open_simulation
from vsipcheck.sim.scenario import Expected, Scenario, _merge, load_scenarios
from vsipcheck.wire.ip import is_public

PROFILE = load_profile("exotel-tcp-mumbai")
NAMES = [
    "healthy",
    "not-whitelisted",
    "forbidden",
    "sip-silent",
    "tcp-refused",
    "one-pop-down",
    "service-unavailable",
    "slow",
    "hostile-peer",
    "not-sip",
    "sip-alg",
    "sip-alg-repaired",
    "dns-nxdomain",
    "dns-hijack",
    "dns-dead-resolver",
    "dns-servfail",
    "dns-one-lies",
    "dns-intercepted",
    "cgnat",
    "cgnat-on-interface",
    "double-nat",
    "double-nat-told",
    "cgnat-told",
    "access-router",
    "port-masking",
    "port-remap",
    "several-uplinks",
    "media-prohibited",
    "media-partial",
    "media-blocked-isp",
    "media-some-addresses",
    "media-host-firewall",
    "no-icmp",
    "captive-portal",
    "offline",
]


def test_the_scenarios_are_complete_and_in_order() -> None:
    assert list(SCENARIOS) == NAMES
    assert all(scenario.name == name for name, scenario in SCENARIOS.items())


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_each_scenario_is_told_in_one_line_and_says_what_it_must_end_with(scenario: Scenario) -> None:
    assert scenario.about.isprintable()
    assert len(scenario.about) <= 110
    assert scenario.expect.findings
    if scenario.name != "healthy":
        assert msgspec.structs.replace(scenario, name="", about="", expect=SCENARIOS["healthy"].expect) != (
            msgspec.structs.replace(SCENARIOS["healthy"], name="", about="")
        )


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_addresses_fit_the_default_profile_and_the_checks_opinions(scenario: Scenario) -> None:
    assert {address.address for address in PROFILE.media.addresses} <= set(scenario.targets)
    assert {pop.fqdn for pop in PROFILE.signalling.pops} == set(scenario.dns.names)
    helpers = len(PROFILE.echo_services) + len(PROFILE.stun_servers)
    assert len(set(scenario.helpers.addresses)) >= helpers  # so that every server is another destination
    assert not set(scenario.helpers.addresses) & set(scenario.targets)
    for name in scenario.dns.names.values():
        assert set(name.addresses) <= set(scenario.targets)
    for address in (scenario.nat.public_address, *scenario.targets, *scenario.helpers.addresses):
        assert is_public(address)
    network = ipaddress.ip_network(f"{scenario.host.address}/{scenario.host.netmask}", strict=False)
    assert ipaddress.ip_address(scenario.host.gateway) in network
    assert scenario.host.gateway == scenario.routers[0].address
    assert 0 <= scenario.nat.at_hop <= len(scenario.routers)
    for block in scenario.blocks:
        assert block.first_port <= block.last_port


def test_a_wrong_table_is_refused() -> None:
    tables = msgspec.toml.decode(Path(vsipcheck.sim.__file__).with_name("scenarios.toml").read_bytes())
    with pytest.raises(msgspec.ValidationError, match="typo"):
        msgspec.convert(_merge(tables["healthy"], {"name": "x", "nat": {"typo": 1}}), Scenario)
    assert dict(load_scenarios()) == SCENARIOS


def test_the_simulation_never_imports_the_checks() -> None:
    """It may import `model`, `wire`, `profiles` and `net`, so that it can't share the checks' mistakes."""
    allowed = {"model", "wire", "profiles", "net", "sim"}
    for path in Path(vsipcheck.sim.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = []
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                modules = [node.module]
            elif isinstance(node, ast.Import):
                modules = [name.name for name in node.names]
            for module in modules:
                parts = module.split(".")
                assert parts[0] != "vsipcheck" or parts[1] in allowed, f"{path.name} imports {module}"


# Whole runs: the real checks, the default profile. Most of the time they wait for silence, so they do it together.

# One worker makes all of the runs, and few at once: a starved process reads its own delay as a slow peer's.
pytestmark = pytest.mark.xdist_group("scenarios")
SIDE_BY_SIDE = 3
# Long enough for the three SYNs that prove silence, and no longer (RFC 6298: at 0, 1 and 3 s).
SETTINGS = Settings(checks=tuple(CHECKS), timeout_s=3.2)


@pytest.fixture(scope="module")
def reports() -> dict[str, Report]:
    async def run_all() -> dict[str, Report]:
        turns = asyncio.Semaphore(SIDE_BY_SIDE)

        async def run_one(scenario: Scenario) -> Report:
            async with turns, open_simulation(scenario, PROFILE) as network:
                return await run(network, PROFILE, SETTINGS)

        return dict(zip(SCENARIOS, await asyncio.gather(*map(run_one, SCENARIOS.values())), strict=True))

    return asyncio.run(run_all())


@pytest.mark.parametrize("name", NAMES)
def test_a_run_ends_as_the_scenario_expects(name: str, reports: dict[str, Report]) -> None:
    report, expect = reports[name], SCENARIOS[name].expect
    wrong = [f"{check}: {evidence.error}" for check, evidence in report.evidence.items() if evidence.error]
    for expected in expect.findings:
        matching = [f for f in report.findings if f.id == expected.id and expected.target in (None, f.target)]
        wrong += discrepancies(expected, matching)
    for expected in expect.rows:
        wrong += discrepancies(expected, [row for row in report.checklist if row.id == expected.id])
    assert not wrong, "\n".join(wrong)
    assert (report.overall, report.exit_code) == (expect.overall, expect.exit_code)


def discrepancies(expected: Expected, got: Iterable[Finding | ChecklistRow]) -> list[str]:
    """One line for each finding or row that is not as expected, or for their absence."""
    lines = []
    for item in got:
        if item.status is not expected.status or (expected.by is not None and item.fault_domain is not expected.by):
            lines.append(
                f"{item.id} {getattr(item, 'target', None)}: {item.status} {item.fault_domain}, "
                f"expected {expected.status} {expected.by or ''}: {item.summary}"
            )
    return lines if list(got) else [f"{expected.id} {expected.target}: not in the report"]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_says_that_it_was_simulated_and_is_fit_to_be_read(name: str, reports: dict[str, Report]) -> None:
    report = reports[name]
    assert report.simulated
    assert not report.interrupted
    assert {destination.address for destination in report.traffic.by_destination}.isdisjoint({"127.0.0.1"})
    for finding in report.findings:
        assert finding.summary.isprintable(), finding.summary
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
