"""What is asked of the customer's own PBX, its configuration and its messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cli.conftest import Ended, Runs

from vsipcheck.checks.registry import STANDING
from vsipcheck.model import AddressSeen, CheckEvidence, Report

Call = Callable[..., Ended]


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("pbx.example.net", "pbx.example.net:5061"),
        ("PBX.Example.NET.:5060", "pbx.example.net:5060"),
        ("192.0.2.7", "192.0.2.7:5061"),
        ("2001:db8::7", "[2001:db8::7]:5061"),
        ("[2001:DB8::0:7]:5080", "[2001:db8::7]:5080"),
        ("localhost", "localhost:5061"),
    ],
)
def test_the_pbx_has_the_port_that_the_provider_calls(vsipcheck: Call, runs: Runs, typed: str, asked: str) -> None:
    assert vsipcheck("pbx", typed).code == 0
    assert (runs.settings.checks, runs.settings.pbx) == (("pbx",), asked)
    assert (runs.settings.invite, runs.settings.rtp, runs.settings.deadline_s) == (None, False, 30.0)


def test_a_call_gets_its_time(vsipcheck: Call, runs: Runs) -> None:
    typed = "pbx 192.0.2.7 --invite +911234567890 --caller +919876543210 --rtp --ring 10"
    assert vsipcheck(*typed.split()).code == 0
    settings = runs.settings
    assert (settings.invite, settings.caller, settings.rtp) == ("+911234567890", "+919876543210", True)
    assert settings.ring_s == 10
    assert settings.deadline_s == 65


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is named has to be there."""
    monkeypatch.chdir(tmp_path)
    for name in ("sip.conf", "rtp.conf", "calls.txt", "f"):
        (tmp_path / name).touch()


def test_all_joins_what_it_is_given(vsipcheck: Call, runs: Runs) -> None:
    typed = "all --pbx 192.0.2.7 --invite 100 --pbx-config sip.conf --pbx-config rtp.conf --pbx-config sip.conf"
    typed += " --trace calls.txt --exophone +911140000000"
    assert vsipcheck(*typed.split()).code == 0
    settings = runs.settings
    assert settings.checks == (*STANDING, "pbx", "config", "message")
    assert settings.pbx_config == ("sip.conf", "rtp.conf")
    assert (settings.message, settings.exophones) == ("calls.txt", ("+911140000000",))


def test_a_lint_is_a_check(vsipcheck: Call, runs: Runs) -> None:
    assert vsipcheck("config", "lint", "sip.conf", "rtp.conf", "--account-sid", "acme").code == 0
    assert (runs.settings.checks, runs.settings.pbx_config) == (("config",), ("sip.conf", "rtp.conf"))
    assert runs.settings.account_sid == "acme"
    assert vsipcheck("message", "lint", "-", "--exophone", "+911140000000").code == 0
    assert (runs.settings.checks, runs.settings.message) == (("message",), "-")


def with_address(report: Report, address: str) -> Report:
    """The report with two operators that agree on one public address."""
    seen = tuple(
        AddressSeen(id=f"nat.{name}", method="https_echo", source=name, operator=name, transport="tcp", address=address)
        for name in ("one", "two")
    )
    nat = CheckEvidence(version=1, offset_ms=0.0, duration_ms=1.0, error=None, facts=seen)
    return msgspec.structs.replace(report, evidence={"nat": nat}, simulated=False)


def test_a_reports_public_address_is_taken(
    vsipcheck: Call, runs: Runs, refused: Callable[..., str], tmp_path: Path
) -> None:
    assert vsipcheck("dns", "--json").code == 0
    report = msgspec.json.decode(vsipcheck("dns", "--json").out, type=Report)
    path = tmp_path / "report.json"
    measured = with_address(report, "49.36.10.7")
    path.write_bytes(msgspec.json.encode(measured))
    for command in ("config lint sip.conf", "pbx 192.0.2.7", "message lint -"):
        assert vsipcheck(*command.split(), "--report", str(path)).code == 0
        assert runs.settings.public_address == "49.36.10.7"
        runs.given.clear()
    for other, said in (
        (msgspec.structs.replace(measured, redacted=True), "were replaced"),
        (msgspec.structs.replace(measured, simulated=True), "a demo measured no address of yours"),
        (msgspec.structs.replace(measured, evidence={}), "no public address was measured"),
    ):
        path.write_bytes(msgspec.json.encode(other))
        assert said in refused("config", "lint", "sip.conf", "--report", str(path))


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("pbx", "pbx: missing argument"),
        ("pbx a_b!", "expected the PBX as HOST, HOST:PORT or [ADDRESS]:PORT, found 'a_b!'"),
        ("pbx 192.0.2.7:0", "expected a port of the PBX from 1 to 65535, found 0"),
        ("pbx 192.0.2.7:99999", "expected a port of the PBX from 1 to 65535, found 99999"),
        ("pbx sip:192.0.2.7", "expected the PBX as HOST"),
        ("pbx 192.0.2.7 --invite 1;2", "--invite: expected a number as in +911234567890, found '1;2'"),
        ("pbx 192.0.2.7 --invite 1 --caller a@b", "--caller: expected a number"),
        ("pbx 192.0.2.7 --rtp", "--rtp: expected --invite NUMBER as well"),
        ("pbx 192.0.2.7 --invite 1 --ring 0", "--ring: expected seconds above 0"),
        ("all --invite 1", "--invite: expected --pbx HOST[:PORT] as well"),
        ("config lint", "config lint: missing argument"),
        ("config", "config: missing command"),
        ("config sample", "config sample: missing argument"),
        ("config sample asterisk", "config sample: invalid value"),
        ("config sample freeswitch --public-ip x", "--public-ip: expected an IP address, found 'x'"),
        ("config sample freeswitch --public-ip 192.0.2.1 --report r", "--public-ip and --report exclude each other"),
        ("config lint f --report /nonexistent", "/nonexistent: No such file"),
        ("config lint sip.conf nosuch.conf", "nosuch.conf: No such file or directory"),
        ("config lint /", "/: Is a directory"),
        ("message lint nosuch", "nosuch: No such file or directory"),
        ("all --pbx-config nosuch", "nosuch: No such file or directory"),
        ("message lint f --exophone <1>", "--exophone: expected a number"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(refused: Callable[..., str], typed: str, told: str) -> None:
    assert told in refused(*typed.split())
