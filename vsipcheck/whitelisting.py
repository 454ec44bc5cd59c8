"""The request that asks the provider to whitelist our address, ready to be sent; none where that is not the action."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from vsipcheck.model import (
    Connection,
    Exchange,
    FaultDomain,
    Finding,
    Key,
    Report,
    Status,
    SupportRequest,
    first_sentence,
)

_CONNECT, _OPTIONS = "sip.connect", "sip.options"
# What a server does to whom it does not know.
_OPTIONS_REASONS = frozenset(
    {"forbidden", "silent_after_accept", "options_ignored", "reset_after_request", "closed_after_request"}
)
_CALL_ID = re.compile(r"(?:^|\\n)Call-ID:\s*([^\s\\]+)", re.IGNORECASE | re.MULTILINE)
# What the provider's servers say about a refusal: support asks for it.
_ERROR_CODE = re.compile(r"\bX-[A-Za-z]+-ErrorCode: [^ ]+")
_WIDTH = 72
_TIMES_SHOWN = 6
_UNKNOWN_ADDRESS = "<your public IPv4 address>"


def requests_of(report: Report, addresses: Sequence[str], told_by: str) -> tuple[SupportRequest, ...]:
    """The whitelisting request of a report, or nothing.

    `addresses`: our public ones as the trunk sees them, or as helpers do; none where nobody said. `told_by` says who
    did, in words that follow an address.
    """
    asked = [finding for finding in report.findings if asks_for_whitelisting(finding)]
    if not asked:
        return ()
    ours = " or ".join(addresses) or _UNKNOWN_ADDRESS
    account = f", account {report.settings.account_sid}" if report.settings.account_sid else ""
    return (
        SupportRequest(
            party=FaultDomain.PROVIDER,
            subject=f"Please whitelist {ours} for the SIP trunk{account}",
            text="\n".join(_lines(report, asked, ours, addresses, told_by)),
            before_sending=" ".join(_before_sending(report, addresses)) or None,
            because=tuple(Key(id=finding.id, target=finding.target) for finding in asked),
        ),
    )


def asks_for_whitelisting(finding: Finding) -> bool:
    """Whether the provider has to let our address in, as far as this finding knows."""
    if finding.status is not Status.FAIL or finding.fault_domain is not FaultDomain.PROVIDER:
        return False
    return finding.id == _CONNECT or (finding.id == _OPTIONS and finding.reason in _OPTIONS_REASONS)


def _lines(
    report: Report, asked: Sequence[Finding], ours: str, addresses: Sequence[str], told_by: str
) -> Iterator[str]:
    profile, settings = report.profile, report.settings
    signalling, media = profile.signalling, profile.media
    transport = f"{signalling.transport.upper()} {signalling.port}"
    closed = {_place(finding) for finding in asked}
    failing = [place for place in dict.fromkeys(_place(each) for each in report.findings) if place in closed]
    yield f"To: {profile.provider} support"
    yield ""
    yield from _wrapped(
        f"Our SIP trunk cannot use {' and '.join(failing)}. Please whitelist the public address below, or tell us what "
        "else is missing."
    )
    yield ""
    yield from _field("Public address", f"{ours} ({told_by})" if addresses else ours)
    yield from _field("Account SID", settings.account_sid or "<your account SID>")
    yield from _field("Signalling", f"SIP over {transport}, from any source port")
    for name in dict.fromkeys(_name(finding) for finding in report.findings if finding.id == _CONNECT):
        yield from _field("", _with_addresses(report, name))
    if media.addresses:
        listed = ", ".join(each.address for each in media.addresses)
        yield from _field("Media", f"RTP over UDP {media.first_port}-{media.last_port}, with {listed}")
    yield ""
    yield "What we saw (times are UTC):"
    for connect in (finding for finding in report.findings if finding.id == _CONNECT):
        options = next((f for f in report.findings if f.id == _OPTIONS and f.target == connect.target), None)
        told = connect if options is None or connect.status in (Status.FAIL, Status.UNKNOWN, Status.SKIP) else options
        yield ""
        yield from _wrapped(f"{_place(connect)}: {_seen(told)}")
        yield from _attempts(report, told, signalling.port)
    yield ""
    yield from _wrapped(
        f"Please tell us whether these attempts arrive at your edge, and, once {ours} is whitelisted, since when."
    )
    yield ""
    yield from _wrapped(f"Measured by vsipcheck {report.tool.version}, run {report.run_id}.")


def _before_sending(report: Report, addresses: Sequence[str]) -> Iterator[str]:
    """What the sender has to settle first."""
    if report.simulated:
        yield "This run was simulated: do not send it."
    if not addresses:
        yield "Fill in your public address: nobody told it (see nat.public_address)."
    elif len(addresses) > 1:
        yield "Strike out the address that the trunk does not leave by (see nat.public_address)."
    if report.settings.account_sid is None:
        yield "Fill in your account SID, or run again with --account-sid."
    expected = report.settings.expect_ip
    if expected is not None and addresses and expected not in addresses:
        yield f"{expected} was handed in before: let the trunk leave by the line that has it, or send this."
    for finding in report.findings:
        if finding.id == "nat.cgnat" and finding.status is Status.FAIL:
            yield "The address is not this line's own (see nat.cgnat): settle that first."
        if finding.id == "nat.static_address" and finding.status is Status.FAIL:
            yield "The address changes (see nat.static_address): settle that first."


def _name(finding: Finding) -> str:
    return (finding.target or "").partition("@")[0]


def _place(finding: Finding) -> str:
    name, at, address = (finding.target or "").partition("@")
    return f"{name} ({address})" if at and address != name else name


def _with_addresses(report: Report, name: str) -> str:
    """The name, its region, and the addresses that it had in this run."""
    targets = [f.target or "" for f in report.findings if f.id == _CONNECT and _name(f) == name]
    addresses = [address for target in targets if (address := target.partition("@")[2]) and address != name]
    region = next((pop.region for pop in report.profile.signalling.pops if pop.fqdn == name), None)
    told = f"{name} ({', '.join(addresses)})" if addresses else name
    return f"{told}, {region}" if region else told


def _seen(finding: Finding) -> str:
    """What was seen, as we would write it: the first sentence, and for a connection how far it got."""
    said = finding.summary.split(" The guide: ")[0]
    if finding.id == _OPTIONS:
        said = " ".join([f"{first_sentence(said)}.", *_ERROR_CODE.findall(said)])
    return said.replace("your ", "our ")


def _attempts(report: Report, finding: Finding, port: int) -> Iterator[str]:
    """When it was tried, out of which ports of ours, and the Call-IDs of what was sent."""
    wanted = frozenset(finding.facts)
    tried = [
        fact
        for evidence in report.evidence.values()
        for fact in evidence.facts
        if fact.id in wanted
        and (
            (isinstance(fact, Exchange) and fact.purpose == "options" and finding.id == _OPTIONS)
            or (isinstance(fact, Connection) and fact.purpose == "sip" and fact.port == port and fact.ttl is None)
        )
    ]
    if not tried:
        return
    tried.sort(key=lambda fact: fact.offset_ms)
    times = [_moment(report.started_at, fact.offset_ms) for fact in tried]
    shown = list(dict.fromkeys(times))[:_TIMES_SHOWN]
    yield from _indented(f"at {', '.join(shown)} ({len(times)} attempt{'s' * (len(times) != 1)})")
    ports = list(dict.fromkeys(str(fact.local_port) for fact in tried if fact.local_port))
    if ports:
        yield from _indented(f"from local port {', '.join(ports)} (a NAT may have changed it)")
    calls = [
        found[1]
        for fact in tried
        if isinstance(fact, Exchange)
        for message in fact.messages
        if message.sent and (found := _CALL_ID.search(message.text))
    ]
    for call in list(dict.fromkeys(calls))[:_TIMES_SHOWN]:
        yield f"    Call-ID {call}"


def _moment(started_at: str, offset_ms: float) -> str:
    """A moment of the run in UTC, to the second as logs have it; what started_at says where it is none."""
    try:
        begun = datetime.fromisoformat(started_at)
    except ValueError:
        return f"{started_at} + {offset_ms / 1000:.1f} s"
    if begun.tzinfo is None:
        begun = begun.replace(tzinfo=UTC)
    at = begun.astimezone(UTC) + timedelta(milliseconds=offset_ms)
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _field(label: str, value: str) -> Iterator[str]:
    column = 17
    lines = textwrap.wrap(value, _WIDTH - column, break_long_words=False, break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        lead = f"{label}:" if label and not number else ""
        yield f"{lead:<{column}}{line}"


def _wrapped(text: str) -> Iterator[str]:
    yield from textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _indented(text: str) -> Iterator[str]:
    for line in textwrap.wrap(text, _WIDTH - 4, break_long_words=False, break_on_hyphens=False):
        yield f"    {line}"
