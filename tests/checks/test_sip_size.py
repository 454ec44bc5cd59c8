"""`sip.size`: one row for every verdict, and peers that stop answering where a size is passed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from checks.fakes import LOCAL, FakeNetwork, Handler, measured, serving

from vsipcheck.checks.base import Facts
from vsipcheck.checks.dns import check as dns_check
from vsipcheck.checks.sip import check as sip_check
from vsipcheck.checks.sip.dialogue import SIZE, SIZE_CONTROL, SIZES
from vsipcheck.checks.sip.size import judge_sizes
from vsipcheck.model import (
    AnyFact,
    CheckEvidence,
    Connection,
    Exchange,
    Failure,
    Family,
    FaultDomain,
    Finding,
    Message,
    Note,
    Settings,
    Status,
)
from vsipcheck.net import SystemLookup
from vsipcheck.profiles import load_profile, override
from vsipcheck.wire.sip.building import build_answer
from vsipcheck.wire.sip.message import SipRequest
from vsipcheck.wire.sip.reading import parse_message
from vsipcheck.wire.text import escape, unescape

PROFILE = load_profile("exotel-tcp-mumbai")
NAME = PROFILE.signalling.pops[0].fqdn
ONE = "182.76.143.101"
PORT = PROFILE.signalling.port
SETTINGS = Settings(checks=("sip",), timeout_s=0.3, size=True)

PASS, WARN, FAIL, UNKNOWN = Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN
PROVIDER, OPEN = FaultDomain.PROVIDER, FaultDomain.UNDETERMINED
HANGS, RESET = Failure.NO_ANSWER, Failure.RESET


def connection(attempt: int, failure: Failure | None = None) -> Connection:
    return Connection(
        id=f"sip.{attempt}", name=NAME, address=ONE, port=PORT, purpose=SIZE, attempt=attempt, failure=failure
    )


def step(attempt: int, size: int, end: int | Failure, purpose: str = SIZE) -> Exchange:
    messages = [Message(sent=True, offset_ms=0.0, text="OPTIONS", size=size)]
    if isinstance(end, int):
        answer = f"SIP/2.0 {end} X\r\nContent-Length: 0\r\n\r\n".encode()
        messages.append(Message(sent=False, offset_ms=1.0, text=escape(answer), size=len(answer)))
    return Exchange(
        protocol="sip",
        purpose=purpose,
        connection=f"sip.{attempt}",
        name=NAME,
        transport="tcp",
        local_address=LOCAL,
        local_port=1,
        remote_address=ONE,
        remote_port=PORT,
        messages=tuple(messages),
        failure=None if isinstance(end, int) else end,
    )


def queue(attempt: int, unacknowledged: int | None, mss: int = 1448) -> Note:
    values = {"connection": f"sip.{attempt}", "size": 1400, "unacknowledged": unacknowledged, "mss": mss}
    return Note(topic="send_queue", text="", values=values)


def small(attempt: int, end: int | Failure) -> Exchange:
    return step(attempt, 600, end, SIZE_CONTROL)


GROWS = [connection(1), step(1, 600, 200), step(1, 1300, 200), step(1, 1400, HANGS)]
AGAIN = [connection(2), small(2, 200), step(2, 1400, HANGS)]
ROWS: list[tuple[str, Sequence[AnyFact], tuple[Status, str, FaultDomain | None]]] = [
    ("nothing connected", [], (UNKNOWN, "not_connected", OPEN)),
    ("not connected", [connection(1, Failure.REFUSED)], (UNKNOWN, "not_answered", OPEN)),
    ("a small one hangs", [connection(1), step(1, 600, HANGS)], (UNKNOWN, "not_answered", OPEN)),
    ("all answered", [connection(1), *(step(1, size, 200) for size in SIZES)], (PASS, "all_answered", None)),
    ("404 is an answer", [connection(1), *(step(1, size, 404) for size in SIZES)], (PASS, "all_answered", None)),
    ("513", [connection(1), step(1, 600, 200), step(1, 4000, 513)], (WARN, "refused_by_server", PROVIDER)),
    (
        "a black hole",
        [*GROWS, queue(1, 1400), small(1, HANGS), *AGAIN, queue(2, 1400)],
        (FAIL, "mtu_black_hole", OPEN),
    ),
    (
        "acknowledged",
        [*GROWS, queue(1, 0), small(1, HANGS), *AGAIN, queue(2, 0)],
        (WARN, "ignored_by_server", PROVIDER),
    ),
    (
        "a small one behind it is answered",
        [*GROWS, queue(1, None), small(1, 200), *AGAIN, queue(2, None)],
        (WARN, "ignored_by_server", PROVIDER),
    ),
    (
        "a system that does not say what is acknowledged",
        [*GROWS, queue(1, None), small(1, HANGS), *AGAIN, queue(2, None)],
        (WARN, "large_unanswered", OPEN),
    ),
    (
        "acknowledged once of two",
        [*GROWS, queue(1, 1400), small(1, HANGS), *AGAIN, queue(2, 0)],
        (WARN, "large_unanswered", OPEN),
    ),
    (
        "answered the second time",
        [*GROWS, queue(1, 1400), small(1, HANGS), connection(2), small(2, 200), step(2, 1400, 200)],
        (WARN, "unsteady", OPEN),
    ),
    (
        "gone afterwards",
        [*GROWS, queue(1, 1400), small(1, HANGS), connection(2), small(2, HANGS)],
        (UNKNOWN, "server_gone", OPEN),
    ),
    (
        "shut out afterwards",
        [*GROWS, queue(1, 1400), small(1, HANGS), connection(2, Failure.REFUSED)],
        (UNKNOWN, "server_gone", OPEN),
    ),
    ("cut short", [*GROWS, queue(1, 1400), connection(2), small(2, 200)], (UNKNOWN, "not_repeated", OPEN)),
    (
        "reset",
        [*GROWS[:-1], step(1, 1400, RESET), connection(2), small(2, 200), step(2, 1400, RESET)],
        (WARN, "closed_by_server", OPEN),
    ),
    (
        "reset once",
        [*GROWS[:-1], step(1, 1400, RESET), connection(2), small(2, 200), step(2, 1400, 200)],
        (WARN, "unsteady", OPEN),
    ),
]


def facts_of(*facts: AnyFact) -> Facts:
    numbered = tuple(
        fact if fact.id else msgspec.structs.replace(fact, id=f"sip.{number}") for number, fact in enumerate(facts, 10)
    )
    return Facts({"sip": CheckEvidence(version=1, offset_ms=0.0, duration_ms=0.0, error=None, facts=numbered)})


def judge(*facts: AnyFact) -> Finding:
    (finding,) = judge_sizes(facts_of(*facts), PROFILE, SETTINGS)
    assert finding.id == "sip.size"
    assert (finding.fault_domain is None) == (finding.status is PASS)
    assert finding.status is PASS or finding.settle_by
    return finding


@pytest.mark.parametrize(("facts", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_verdict(facts: Sequence[AnyFact], expected: tuple[Status, str, FaultDomain | None]) -> None:
    finding = judge(*facts)
    assert (finding.status, finding.reason, finding.fault_domain) == expected
    assert finding.target == (f"{NAME}@{ONE}" if facts else None)


def test_a_black_hole_is_told_with_its_sizes() -> None:
    finding = judge(*GROWS, queue(1, 1400), small(1, HANGS), *AGAIN, queue(2, 1400))
    assert {measure.name: measure.value for measure in finding.measures} == {
        "largest_answered": 1300,
        "smallest_unanswered": 1400,
        "segment": 1448,
    }
    assert "fits into one" in finding.summary
    assert "MSS" in (finding.remedy or "")


def test_nothing_is_told_where_nothing_was_asked_for() -> None:
    assert judge_sizes(facts_of(*GROWS), PROFILE, msgspec.structs.replace(SETTINGS, size=False)) == []


# --- measure


def limited(limit: int, then: str) -> Handler:
    """A peer that answers requests up to `limit` bytes; with a larger one it does as `then` says."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stuck = False
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            request = parse_message(head)
            assert isinstance(request, SipRequest)
            large = len(head) > limit
            if large and then == "close":
                return
            stuck = stuck or (large and then == "stuck")
            if stuck or (large and then == "ignore"):
                continue
            status = 513 if large and then == "refuse" else 200
            writer.write(build_answer(request, status, "X", to_tag="t", received="49.36.10.7", rport=1))
            await writer.drain()

    return handle


def run_against(handler: Handler) -> Facts:
    async def run() -> Facts:
        async with serving(handler) as port:
            network = FakeNetwork(
                names={(NAME, Family.IPV4): SystemLookup((ONE,), 3.0)}, tcp={(ONE, PORT): port}, local=LOCAL
            )
            return await measured(
                network, [dns_check.CHECK, sip_check.CHECK], override(PROFILE, fqdns=[NAME]), SETTINGS
            )

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("handler", "status", "reason"),
    [
        (limited(5000, "ignore"), PASS, "all_answered"),
        (limited(1000, "close"), WARN, "closed_by_server"),
        (limited(1000, "refuse"), WARN, "refused_by_server"),
        (limited(1000, "ignore"), WARN, "ignored_by_server"),
        (limited(1000, "stuck"), WARN, "ignored_by_server"),
    ],
    ids=["healthy", "closes", "refuses", "ignores", "is stuck"],
)
def test_measured(handler: Handler, status: Status, reason: str) -> None:
    (finding,) = judge_sizes(run_against(handler), PROFILE, SETTINGS)
    assert (finding.status, finding.reason) == (status, reason)


def test_what_is_sent_has_the_size_that_it_says_and_is_whole_sip() -> None:
    sent = [each.messages[0] for each in run_against(limited(5000, "ignore")).of(Exchange) if each.purpose == SIZE]
    assert tuple(message.size for message in sent) == SIZES
    for message in sent:
        request = parse_message(unescape(message.text))
        assert isinstance(request, SipRequest)
        assert request.deviations == ()
        assert max(map(len, message.text.split("\r\n"))) < 200
