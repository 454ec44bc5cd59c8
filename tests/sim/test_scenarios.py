"""The scenarios as data, and whole runs against each of them."""

from __future__ import annotations

import ast
import ipaddress
from pathlib import Path

import msgspec
import pytest

import vsipcheck.sim
from vsipcheck.profiles import load_profile
from vsipcheck.sim import SCENARIOS
from vsipcheck.sim.scenario import Scenario, _merge, load_scenarios
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
    "dns-nxdomain",
    "dns-hijack",
    "dns-dead-resolver",
    "dns-servfail",
    "cgnat",
    "cgnat-on-interface",
    "double-nat",
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
