"""What was typed becomes settings, or one line that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli.conftest import Ended, Runs

from vsipcheck.cli import options
from vsipcheck.cli.app import app
from vsipcheck.model import Family, Settings
from vsipcheck.profiles import DEFAULT_PROFILE, profile_text


def test_defaults_are_those_of_the_settings(vsipcheck: Callable[..., Ended], runs: Runs) -> None:
    assert vsipcheck("dns").code == 0
    assert runs.settings == Settings(checks=("dns",))
    assert runs.profile.name == options.DEFAULT_PROFILE == DEFAULT_PROFILE


def test_all_runs_every_check(vsipcheck: Callable[..., Ended], runs: Runs) -> None:
    from vsipcheck.checks.registry import STANDING

    assert vsipcheck("all").code == 0
    assert runs.settings.checks == STANDING


def test_every_option_of_all_reaches_the_run(vsipcheck: Callable[..., Ended], runs: Runs) -> None:
    typed = "--fqdn SIP.example.net. --fqdn 192.0.2.1 --port 5071 --media 192.0.2.2 --primary sip.example.net"
    typed += " --account-sid exotelt --expect-ip 2001:DB8::0:1 -4 --source 127.0.0.1 --timeout 2.5 --deadline 7"
    typed += " --resolver 192.0.2.53 --resolver 192.0.2.53:5353 --resolver 2001:db8::53 --resolver [2001:db8::53]:053"
    typed += " --options 4 --connections 3 --ports 8 --seed 9 --rate 500 --strict --allow-unknown"
    ended = vsipcheck("all", *typed.split())
    assert (ended.code, ended.err) == (0, "")
    settings, profile = runs.settings, runs.profile
    assert [pop.fqdn for pop in profile.signalling.pops] == ["sip.example.net", "192.0.2.1"]
    assert (profile.signalling.port, [entry.address for entry in profile.media.addresses]) == (5071, ["192.0.2.2"])
    assert (settings.primary, settings.account_sid, settings.expect_ip) == ("sip.example.net", "exotelt", "2001:db8::1")
    assert (settings.family, settings.source) == (Family.IPV4, "127.0.0.1")
    assert (settings.timeout_s, settings.deadline_s) == (2.5, 7.0)
    assert settings.resolvers == ("192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:53")
    assert (settings.options_count, settings.options_connections) == (4, 3)
    assert (settings.ports_per_address, settings.seed, settings.rate) == (8, 9, 500)
    assert (settings.strict, settings.allow_unknown, settings.sweep) == (True, True, False)


@pytest.mark.parametrize("command", ["dns", "sip", "media", "nat"])
def test_a_single_check_is_named_after_its_command(vsipcheck: Callable[..., Ended], runs: Runs, command: str) -> None:
    assert vsipcheck(command, "--quiet").code == 0
    assert runs.settings.checks == (command,)


def test_a_sweep_is_announced_and_gets_its_time(vsipcheck: Callable[..., Ended], runs: Runs) -> None:
    ended = vsipcheck("media", "--sweep", "--rate", "20000")
    assert "120,004 packets in about 6 s" in ended.err
    assert runs.settings.deadline_s == pytest.approx(30 + 120_004 / 20_000)
    assert vsipcheck("media", "--sweep", "--deadline", "9", "--quiet").err == ""
    assert runs.settings.deadline_s == 9


def test_large_requests_are_for_sip_alone(
    vsipcheck: Callable[..., Ended], runs: Runs, refused: Callable[..., str]
) -> None:
    assert "--size" in refused("all", "--size")
    assert vsipcheck("sip", "--size").code == 0
    assert runs.settings.size
    assert vsipcheck("sip").code == 0
    assert not runs.settings.size


def test_more_connections_than_requests_are_not_opened(vsipcheck: Callable[..., Ended], runs: Runs) -> None:
    assert vsipcheck("sip", "--options", "1").code == 0
    assert runs.settings.options_connections == 1


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("all --port 70000", "--port: expected a port from 1 to 65535, found 70000"),
        ("all --port 0", "--port: expected a port from 1 to 65535, found 0"),
        ("all --port x", "'--port'"),
        ("all --timeout -1", "--timeout: expected seconds above 0, at most 600; found -1"),
        ("all --timeout 0", "found 0"),
        ("all --timeout nan", "found nan"),
        ("all --timeout inf", "found inf"),
        ("all --timeout soon", "'--timeout'"),
        ("all --deadline nan", "--deadline: expected seconds above 0"),
        ("all --source 192.0.2.99", "--source: expected an address of this host, found 192.0.2.99"),
        ("all --source 0.0.0.0", "--source: expected an address of this host"),
        ("all --source eth0", "--source: expected an IP address, found 'eth0'"),
        ("all --source ::1 -4", "--source: expected an address of the family"),
        ("all --expect-ip 203.0.113.300", "--expect-ip: expected an IP address, found '203.0.113.300'"),
        ("all --expect-ip example.net", "--expect-ip: expected an IP address"),
        ("all -4 -6", "-4 and -6 exclude each other"),
        ("all --primary sip.example.net", "--primary: expected pstn.in2.exotel.com or pstn.in4.exotel.com"),
        ("all --fqdn a --primary pstn.in2.exotel.com", "--primary: expected a, found"),
        ("all --fqdn a_b", "--fqdn: expected a host name or an IP address, found 'a_b'"),
        ("all --media pstn.in2.exotel.com", "--media: expected an IP address"),
        ("all --account-sid a/b", "--account-sid: expected letters"),
        ("all --resolver ns.example.net", "--resolver: expected ADDRESS"),
        ("all --resolver 192.0.2.1:", "--resolver: expected ADDRESS"),
        ("all --resolver 192.0.2.1:70000", "--resolver: expected a port"),
        ("all --resolver [::1", "--resolver: expected ADDRESS"),
        ("all --options 0", "--options: expected a number from 1 to 100, found 0"),
        ("all --connections 99", "--connections: expected a number from 1 to 20"),
        ("all --ports 0", "--ports: expected a number from 1"),
        ("all --rate 0", "--rate: expected a number from 1"),
        ("all --seed -1", "--seed: expected a number from 0"),
        ("all --format yaml", "--format: expected terminal or json or nagios or "),
        ("all --json --format terminal", "--json and --format terminal exclude each other"),
        ("all --quiet --verbose", "--quiet and --verbose exclude each other"),
        ("all -o yaml:x", "html before the colon, found 'yaml' (a file: ./yaml:x)"),
        ("all -o json:", "--output: expected a file name"),
        ("all -o -", "--output: expected a file name, found '-'"),
        ("all --profile no-such", "no-such: expected one of exotel-tcp-mumbai, or a file, found no such profile"),
        ("all --profile ./no-such.toml", "./no-such.toml: cannot be read: No such file or directory"),
        ("all extra", "unexpected extra argument"),
        ("all --prot 1", "all: no such option: --prot"),
        ("al", "no such command 'al'"),
        ("--frob all", "no such option: --frob"),
        ("profile", "missing command"),
        ("profile check no-such", "no-such: expected one of"),
        ("completion tcsh", "'tcsh'"),
        ("demo no-such", "demo: there is no scenario 'no-such'; demo --list names them"),
        ("demo cgnatt", "did you mean cgnat"),
        ("dns --port 5060", "dns: no such option: --port"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(refused: Callable[..., str], typed: str, told: str) -> None:
    assert told in refused(*typed.split())


@pytest.mark.parametrize(
    "option",
    ["--profile", "--fqdn", "--port", "--media", "--source", "--resolver", "--primary", "--expect-ip", "-4", "-6"],
)
def test_the_demo_refuses_to_choose_a_target(refused: Callable[..., str], option: str) -> None:
    assert f"demo: {option} is not taken" in refused("demo", option, "x")


def test_what_was_typed_is_told_back_harmlessly(refused: Callable[..., str]) -> None:
    assert "\x1b" not in refused("all", "--profile", "\x1b[2J\nx.toml")
    assert "\x1b" not in refused("all", "--\x1b[2J")


def test_a_wrong_profile_is_told_with_file_key_expected_and_found(refused: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "trunk.toml"
    path.write_text(profile_text(DEFAULT_PROFILE).replace('"pstn.in4.exotel.com"', "7"))
    for command in (["all", "--profile"], ["profile", "check"], ["profile", "show"]):
        told = refused(*command, str(path))
        assert told == f"vsipcheck: {path}: signalling.pops[1].fqdn: expected a string, found 7\n"


def test_no_command_is_a_mistake_that_shows_the_help(vsipcheck: Callable[..., Ended]) -> None:
    ended = vsipcheck()
    assert (ended.code, ended.out) == (2, "")
    assert "Commands:" in ended.err


@pytest.mark.parametrize("typed", ["--help", "-h", "all --help", "all -h", "demo --help", "profile show --help"])
def test_help_is_on_stdout(vsipcheck: Callable[..., Ended], typed: str) -> None:
    ended = vsipcheck(*typed.split())
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Usage: vsipcheck")


def test_all_accepts_every_option_but_those_of_the_longer_tests() -> None:
    from typer.main import get_command

    command = get_command(app)
    accepted = {name for parameter in command.commands["all"].params for name in parameter.opts}  # type: ignore[attr-defined]
    longer = {"--size", "--lifetime", "--lifetime-max", "--pcp-map"}
    others = {"--list", "--listen", "--min-interval", "--csv", "--demo", "--every", "--rejudge", "--since"}
    before_calls = {"--report", "--public-ip"}  # a run of everything measures the address itself
    assert options.option_names() - accepted == others | longer | before_calls


def test_the_help_names_every_format(vsipcheck: Callable[..., Ended]) -> None:
    from vsipcheck.render import FORMATS

    *first, last = FORMATS
    assert f"What stdout carries: {', '.join(first)} or {last}." in " ".join(vsipcheck("all", "--help").out.split())
