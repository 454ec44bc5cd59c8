"""`show`, `diff`, `--ticket` and `--redact`, as they are typed."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli.conftest import Ended
from render.fixture import make_report as make_rich_report

from vsipcheck.checks.registry import CHECKS
from vsipcheck.model import Report, Settings, Status
from vsipcheck.profiles import DEFAULT_PROFILE, load_profile
from vsipcheck.reading import read_report
from vsipcheck.render import FORMATS, render
from vsipcheck.runner import run
from vsipcheck.sim import SCENARIOS, open_simulation
from vsipcheck.ticket import Case, build_ticket, conversations, sip_text

Vsipcheck = Callable[..., Ended]


def simulated(name: str) -> Report:
    async def measured() -> Report:
        profile = load_profile(DEFAULT_PROFILE)
        async with open_simulation(SCENARIOS[name], profile) as network:
            return await run(network, profile, Settings(checks=tuple(CHECKS), account_sid="acmecorp1"))

    return asyncio.run(measured())


@pytest.fixture(scope="module")
def healthy() -> Report:
    return simulated("healthy")


@pytest.fixture(scope="module")
def forbidden() -> Report:
    return simulated("forbidden")


@pytest.fixture(scope="module")
def reset() -> Report:
    return simulated("not-whitelisted")


def stored(folder: Path, report: Report, name: str = "r.json") -> str:
    path = folder / name
    path.write_text(render(report, "json"))
    return str(path)


def foreign(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        missing = f"{program} is not installed: `tests/run` installs it as root on Debian"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return found


# --- show


@pytest.mark.parametrize("format", FORMATS)
def test_a_stored_report_is_shown_in_any_format(vsipcheck: Vsipcheck, tmp_path: Path, format: str) -> None:
    report = make_rich_report()
    ended = vsipcheck("show", stored(tmp_path, report), "--format", format)
    assert ended.err == ""
    assert ended.code == (2 if format == "nagios" else 0)
    if format != "terminal":  # whose width is the terminal's
        assert ended.out == render(read_report(render(report, "json").encode()), format)


def test_json_comes_out_as_it_went_in(vsipcheck: Vsipcheck, tmp_path: Path, healthy: Report) -> None:
    path = stored(tmp_path, healthy)
    ended = vsipcheck("show", path, "--json", "-o", str(tmp_path / "again.md"))
    assert ended.out == Path(path).read_text()
    assert (tmp_path / "again.md").read_text() == render(healthy, "markdown")


def test_a_report_on_stdin(tmp_path: Path, healthy: Report) -> None:
    with open(stored(tmp_path, healthy), "rb") as file:
        ended = subprocess.run(
            [sys.executable, "-m", "vsipcheck", "show", "-", "-q"],
            stdin=file,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("SIMULATED: ")


def test_judged_again_by_the_same_rules_nothing_differs(vsipcheck: Vsipcheck, tmp_path: Path, healthy: Report) -> None:
    ended = vsipcheck("show", stored(tmp_path, healthy), "--rejudge", "-q")
    assert ended.code == 0
    assert "every verdict is the same" in ended.out


def test_judged_again_what_differs_is_shown(vsipcheck: Vsipcheck, tmp_path: Path, forbidden: Report) -> None:
    findings = tuple(
        msgspec.structs.replace(one, status=Status.PASS, reason="answered", fault_domain=None)
        if one.id == "sip.options"
        else one
        for one in forbidden.findings
    )
    path = stored(tmp_path, msgspec.structs.replace(forbidden, findings=findings))
    ended = vsipcheck("show", path, "--rejudge")
    assert ended.code == 1
    told = ended.out.partition("these verdicts differ")[2]
    assert "sip.options pstn.in2.exotel.com@182.76.143.101: pass (answered) -> fail (" in told
    assert "NOT READY" in ended.out
    machine = vsipcheck("show", path, "--rejudge", "--json")
    assert machine.code == 1
    assert read_report(machine.out.encode()).findings == forbidden.findings
    assert "these verdicts differ" in machine.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"hello", "not a report: not JSON"),
        (b'{"schema": "vsipcheck.report/9"}', "this version of vsipcheck reads"),
        (b"PK\x03\x04garbage", "a zip file without a readable report.json"),
        (None, "No such file"),
    ],
)
@pytest.mark.parametrize("command", ["show", "diff"])
def test_what_is_no_report_is_one_line(
    refused: Callable[..., str], tmp_path: Path, content: bytes | None, told: str, command: str
) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    line = refused(command, str(path), *([str(path)] if command == "diff" else []))
    assert told in line
    assert str(path) in line


def test_facts_of_tomorrow_are_told_of(vsipcheck: Vsipcheck, tmp_path: Path, healthy: Report) -> None:
    document = json.loads(render(healthy, "json"))
    document["evidence"]["dns"]["facts"].append({"kind": "dream", "id": "dns.99", "offset_ms": 1})
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document))
    ended = vsipcheck("show", str(path), "--rejudge", "-v")
    assert ended.code == 0
    assert "1 facts of kinds that this version does not know were kept unread" in ended.err
    assert "dream" in ended.out


# --- diff


def test_nothing_changed(vsipcheck: Vsipcheck, tmp_path: Path, healthy: Report) -> None:
    path = stored(tmp_path, healthy)
    ended = vsipcheck("diff", path, path)
    assert (ended.code, ended.err) == (0, "")
    assert "nothing changed" in ended.out


def test_what_changed_in_the_checkers_words(
    vsipcheck: Vsipcheck, tmp_path: Path, healthy: Report, forbidden: Report
) -> None:
    old, new = stored(tmp_path, healthy, "a.json"), stored(tmp_path, forbidden, "b.json")
    ended = vsipcheck("diff", old, new)
    assert ended.code == 1
    assert "  overall: ready_with_warnings -> not_ready\n" in ended.out or "-> not_ready\n" in ended.out
    assert "  row signalling_out: pass -> fail\n" in ended.out
    assert "  sip.options pstn.in2.exotel.com@182.76.143.101: pass (answered) -> fail (" in ended.out
    assert "provider to act" in ended.out
    assert "media.egress" not in ended.out
    document = json.loads(vsipcheck("diff", old, new, "--json").out)
    assert {"what": "row", "id": "signalling_out"}.items() <= document["differences"][1].items()
    assert document["before"]["run_id"] == healthy.run_id
    back = vsipcheck("diff", new, old)
    assert "  row signalling_out: fail -> pass\n" in back.out


def test_an_address_that_changed(vsipcheck: Vsipcheck, tmp_path: Path, healthy: Report) -> None:
    moved = stored(tmp_path, healthy, "b.json")
    Path(moved).write_text(Path(moved).read_text().replace("49.36.10.7", "49.36.10.99"))
    ended = vsipcheck("diff", stored(tmp_path, healthy), moved)
    assert ended.code == 1
    assert "  public address by stun: 49.36.10.7 -> 49.36.10.99\n" in ended.out


def test_how_it_was_made_is_told_and_is_no_change(vsipcheck: Vsipcheck, tmp_path: Path, healthy: Report) -> None:
    other = msgspec.structs.replace(
        healthy, settings=msgspec.structs.replace(healthy.settings, timeout_s=9.0), tool=type(healthy.tool)(version="9")
    )
    ended = vsipcheck("diff", stored(tmp_path, healthy), stored(tmp_path, other, "b.json"))
    assert ended.code == 0
    assert "made with another version: " in ended.out
    assert "made with another setting timeout_s: 5.0 -> 9.0" in ended.out


# --- tickets


def unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_ticket_holds_what_support_asks_for(vsipcheck: Vsipcheck, tmp_path: Path, forbidden: Report) -> None:
    path = tmp_path / "t.zip"
    ended = vsipcheck(
        *("show", stored(tmp_path, forbidden), "-q", "--ticket", str(path), "--account-sid", "acmecorp1"),
        *("--call-time", "2026-11-25T14:05+05:30", "--number", "+91 98765 43210", "--number", "08047112345"),
    )
    assert (ended.code, ended.err) == (0, "")
    files = unpacked(path.read_bytes())
    assert list(files) == ["summary.md", "report.html", "report.json", "sip.txt", "sip.pcap"]
    assert read_report(files["report.json"]) == forbidden
    summary = files["summary.md"].decode()
    for told in (
        "Account SID: acmecorp1",
        "2026-11-25T14:05:00+05:30 (2026-11-25 08:35:00 UTC)",
        "+91 98765 43210, 08047112345",
        "NOT READY",
    ):
        assert told in summary
    trace = files["sip.txt"].decode()
    assert trace.count("SIP/2.0 403 ") >= 2
    assert "192.168.1.50:" in trace
    assert files["report.html"].startswith(b"<!doctype html>")
    # A ticket is a report, too.
    assert vsipcheck("show", str(path), "--json").out == files["report.json"].decode()


def test_a_ticket_is_the_same_for_the_same_report(healthy: Report) -> None:
    assert build_ticket(healthy, Case()) == build_ticket(healthy, Case())


def tshark(file: Path, *arguments: str) -> list[list[str]]:
    command = [foreign("tshark"), "-n", "-r", str(file), "-d", "tcp.port==5070,sip", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [line.split("\t") for line in ended.stdout.splitlines()]


def test_the_capture_is_what_was_said(tmp_path: Path, forbidden: Report) -> None:
    file = tmp_path / "sip.pcap"
    file.write_bytes(unpacked(build_ticket(forbidden, Case()))["sip.pcap"])
    wanted = (
        "frame.time_epoch",
        "ip.src",
        "tcp.srcport",
        "ip.dst",
        "tcp.dstport",
        "sip.Method",
        "sip.Status-Code",
        "sip.Call-ID",
    )
    seen = tshark(file, "-Y", "sip", "-T", "fields", *(word for name in wanted for word in ("-e", name)))
    facts: list[Any] = [
        fact
        for recorded in forbidden.evidence.values()
        for fact in recorded.facts
        if type(fact).__name__ == "Exchange" and fact.protocol == "sip"
    ]
    messages = [(fact, message) for fact in facts for message in fact.messages]
    assert len(seen) == len(messages) >= 12
    requests = [packet for packet in seen if packet[5] == "OPTIONS"]
    answers = [packet for packet in seen if packet[6] == "403"]
    assert {packet[1] for packet in requests} == {packet[3] for packet in answers} == {"192.168.1.50"}
    assert {(packet[3], packet[4]) for packet in requests} == {("182.76.143.101", "5070"), ("3.108.10.20", "5070")}
    assert {packet[2] for packet in requests} == {str(fact.local_port) for fact in facts}
    assert {packet[7] for packet in requests} == {packet[7] for packet in answers}
    import datetime

    began = datetime.datetime.fromisoformat(forbidden.started_at).timestamp()
    times = sorted(began + message.offset_ms / 1000 for _, message in messages)
    assert sorted(float(packet[0]) for packet in seen) == pytest.approx(times, abs=1e-3)
    assert tshark(file, "-Y", "tcp.analysis.flags || _ws.malformed") == []


def test_connections_that_nobody_answered_are_told_too(tmp_path: Path, reset: Report) -> None:
    told = list(conversations(reset))
    assert {one.client[0] for one in told} == {"192.168.1.50"}
    assert {one.end for one in told} == {"open"}
    assert all(one.chunks == () for one in told)
    assert "no connection to 182.76.143.101:5070 (pstn.in2.exotel.com): connect_timeout" in sip_text(reset)
    file = tmp_path / "sip.pcap"
    file.write_bytes(unpacked(build_ticket(reset, Case()))["sip.pcap"])
    assert {packet[0].replace("·", "") for packet in tshark(file, "-T", "fields", "-e", "tcp.flags.str")} == {"S"}


def test_connections_that_were_refused(healthy: Report) -> None:
    told = list(conversations(simulated("tcp-refused")))
    assert told
    assert {one.end for one in told} == {"reset"}


def test_sngrep_lists_the_dialogs(tmp_path: Path, healthy: Report) -> None:
    file, dialogs = tmp_path / "sip.pcap", tmp_path / "dialogs.pcap"
    file.write_bytes(unpacked(build_ticket(healthy, Case()))["sip.pcap"])
    subprocess.run(
        [foreign("sngrep"), "-N", "-q", "-I", str(file), "-O", str(dialogs)],
        check=True,
        timeout=60,
        capture_output=True,
        env={**os.environ, "TERM": "xterm"},
    )
    statuses = tshark(dialogs, "-Y", "sip.Status-Code", "-T", "fields", "-e", "sip.Status-Code")
    assert ["200"] in statuses


def test_a_hostile_trace_acts_on_no_terminal() -> None:
    text = sip_text(make_rich_report())
    assert "\x1b" not in text
    assert all(character.isprintable() or character == "\n" for character in text.replace("\t", " "))


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("all --ticket t.zip --call-time yesterday", "--call-time: expected a time such as"),
        ("all --ticket t.zip --number call-me", "--number: expected a telephone number"),
        ("all --number +919876543210", "--number: expected together with --ticket"),
        ("all --call-time 2026-11-25", "--call-time: expected together with --ticket"),
        ("all --ticket -", "--ticket: expected a file name"),
        ("show", "missing argument"),
        ("diff a", "missing argument"),
    ],
)
def test_tickets_that_cannot_be_made(refused: Callable[..., str], typed: str, told: str) -> None:
    assert told in refused(*typed.split())


def test_a_ticket_that_cannot_be_written_is_a_lost_output(
    vsipcheck: Vsipcheck, tmp_path: Path, healthy: Report
) -> None:
    ended = vsipcheck("show", stored(tmp_path, healthy), "-q", "--ticket", "/proc/none/t.zip")
    assert ended.code == 4
    assert ended.err.startswith("vsipcheck: cannot write /proc/none/t.zip: ")
    assert ended.out


# --- redaction


def test_a_redacted_ticket_holds_nothing_that_identifies(
    vsipcheck: Vsipcheck, tmp_path: Path, forbidden: Report
) -> None:
    path = tmp_path / "t.zip"
    ended = vsipcheck(
        *("show", stored(tmp_path, forbidden), "-v", "--ticket", str(path), "--redact-public"),
        *("--account-sid", "acmecorp1", "--number", "+91 98765-43210", "-o", str(tmp_path / "o.html")),
    )
    assert (ended.code, ended.err) == (0, "")
    files = {**unpacked(path.read_bytes()), "stdout": ended.out.encode(), "o": (tmp_path / "o.html").read_bytes()}
    for name, data in files.items():
        for secret in (b"192.168.1.50", b"49.36.10.7", b"acmecorp1", b"98765", b"43210"):
            assert secret not in data, name
    assert bytes((192, 168, 1, 50)) not in files["sip.pcap"]
    assert bytes((49, 36, 10, 7)) not in files["sip.pcap"]
    shown = read_report(files["report.json"])
    assert shown.redacted
    # Consistent: the trace, the capture and the report speak of one host.
    source = next(one.client[0] for one in conversations(shown))
    assert f"{source}:" in files["sip.txt"].decode()
    assert source.encode() in files["report.html"]
    again = vsipcheck("show", str(path), "--rejudge", "-q")
    assert again.code == 0, again.out
    assert "every verdict is the same" in again.out


def test_a_run_of_its_own_is_redacted(vsipcheck: Vsipcheck, tmp_path: Path) -> None:
    state = tmp_path / "h.sqlite"
    ended = vsipcheck("demo", "healthy", "--json", "--redact", "--record", "--state", str(state))
    report = read_report(ended.out.encode())
    assert report.redacted
    assert "192.168.1.50" not in ended.out
    assert "49.36.10.7" in ended.out
    assert ended.code == report.exit_code
    # What stays on this machine stays as it is.
    assert "49.36.10.7" in vsipcheck("history", "--state", str(state)).out
