"""Findings → the guide's checklist → the overall line, actions and the exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vsipcheck.model import (
    PARTIES,
    Action,
    ChecklistRow,
    ExitCode,
    FaultDomain,
    Finding,
    Key,
    Overall,
    Profile,
    Settings,
    Stage,
    Status,
    fill_pattern,
    first_sentence,
    pattern_of,
)

# For a row that needs all of its findings: what one of them says of the row.
_WORST_FIRST = (Status.FAIL, Status.UNKNOWN, Status.WARN, Status.PASS, Status.SKIP, Status.OTHER)


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the guide. `decides` names the findings that give it its status, `shows` those that it lists too.

    A row that nothing decides says what settles it.
    """

    id: str
    stage: Stage
    title: Callable[[Profile], str]
    decides: tuple[str, ...]
    gating: bool
    shows: tuple[str, ...] = ()
    not_asked: str = "not asked for"
    settles: str | None = None  # a row that no run of this version can prove


def _fixed(text: str) -> Callable[[Profile], str]:
    return lambda profile: text


def _signalling_port(profile: Profile) -> str:
    return f"{profile.signalling.transport.upper()} {profile.signalling.port}"


def _media_ports(profile: Profile) -> str:
    return f"UDP {profile.media.first_port}-{profile.media.last_port}"


_ROWS = (
    _Row("public_address", Stage.BEFORE, _fixed("Public address known"), ("nat.public_address",), True),
    _Row("cgnat", Stage.BEFORE, _fixed("No CG-NAT"), ("nat.cgnat",), True),
    _Row("port_masking", Stage.BEFORE, _fixed("No port masking"), ("nat.port_masking",), True),
    _Row("static_address", Stage.BEFORE, _fixed("Address stays the same"), ("nat.static_address",), False),
    _Row("names_resolve", Stage.BEFORE, _fixed("Names resolve"), ("dns.resolution",), True),
    _Row(
        "signalling_out",
        Stage.BEFORE,
        lambda p: f"{_signalling_port(p)} out, answered by SIP",
        ("sip.redundancy",),
        True,
        shows=("sip.connect", "sip.options"),
    ),
    _Row(
        "signalling_in",
        Stage.BEFORE,
        lambda p: f"{p.signalling.transport.upper()} in, to the PBX's own port",
        (),
        False,
        settles="settled by an inbound call: this host cannot dial itself from the provider's side",
    ),
    _Row("media_out", Stage.BEFORE, lambda p: f"{_media_ports(p)} out", ("media.egress",), True),
    _Row("media_in", Stage.BEFORE, lambda p: f"{_media_ports(p)} in", ("media.return",), False),
    _Row("pbx_transport", Stage.BEFORE, _fixed("PBX speaks SIP over TCP"), ("pbx.transport",), True),
    _Row(
        "pbx_codecs",
        Stage.BEFORE,
        lambda p: f"PBX offers {' and '.join(p.media.codecs)}",
        ("pbx.codecs",),
        True,
    ),
    _Row(
        "codec_order",
        Stage.DURING,
        lambda p: f"{p.media.codecs[0]} first in the PBX's configuration" if p.media.codecs else "Codec order",
        ("config.codec_order",),
        True,
        not_asked="no PBX configuration was given",
    ),
    _Row(
        "no_registration",
        Stage.DURING,
        _fixed("No registration, static peer"),
        ("config.registration", "config.peer"),
        True,
        not_asked="no PBX configuration was given",
    ),
    _Row(
        "nat_settings",
        Stage.DURING,
        _fixed("NAT settings"),
        ("config.nat", "config.external_address"),
        True,
        not_asked="no PBX configuration was given",
    ),
    _Row(
        "headers_logged",
        Stage.DURING,
        lambda p: f"Call-ID and X-{p.provider}-* headers logged",
        ("config.logging",),
        True,
        not_asked="no PBX configuration was given",
    ),
    _Row("test_calls", Stage.AFTER, _fixed("Test calls"), ("call.test",), True, not_asked="place a test call each way"),
    _Row(
        "transport_match",
        Stage.AFTER,
        lambda p: f"Via transport matches port {p.signalling.port}",
        ("call.transport",),
        True,
        not_asked="look at the Via of your INVITE in a trace",
    ),
    _Row(
        "caller_id",
        Stage.AFTER,
        _fixed("From is an authorised caller ID"),
        ("call.caller_id",),
        True,
        not_asked="look at the From of your INVITE in a trace",
    ),
    _Row(
        "rtp_flow",
        Stage.AFTER,
        _fixed("RTP both ways, good audio"),
        ("call.rtp",),
        True,
        not_asked="watch a test call with sngrep or tcpdump",
    ),
)

ROW_IDS = tuple(row.id for row in _ROWS)
_ON_A_ROW = frozenset(finding_id for row in _ROWS for finding_id in (*row.decides, *row.shows))
# The guide has no row for most of what a PBX, its configuration or its messages can break. Who hands them in wants to
# know whether calls will work: there a failure counts without a row.
_COUNT_BY_THEMSELVES = ("pbx.", "config.", "message.")
# Whether what was handed in could be read at all.
_READINGS = ("config.files", "message.framing")


def build_checklist(
    findings: Sequence[Finding], profile: Profile, ids: Iterable[str] | None = None
) -> tuple[ChecklistRow, ...]:
    """The rows of the guide, in its order. With `ids` (finding ids of the checks that ran), only those they decide."""
    wanted = None if ids is None else set(ids)
    rows = []
    for row in _ROWS:
        if wanted is not None and wanted.isdisjoint(row.decides):
            continue
        rows.append(_build_row(row, findings, profile))
    return tuple(rows)


def _build_row(row: _Row, findings: Sequence[Finding], profile: Profile) -> ChecklistRow:
    deciding = [finding for finding in findings if finding.id in row.decides]
    shown = [finding for finding in findings if finding.id in row.shows]
    if row.settles is not None:
        status, summary = Status.UNKNOWN, row.settles
    elif not deciding:
        status, summary = Status.SKIP, row.not_asked
    else:
        status = min((finding.status for finding in deciding), key=_WORST_FIRST.index)
        summary = _summarise(deciding, status)
    worst = [f for f in (*deciding, *shown) if f.status is status and f.fault_domain is not None]
    if status in (Status.PASS, Status.SKIP):
        domain = None
    elif worst:
        domains = {f.fault_domain for f in worst}
        domain = worst[0].fault_domain if len(domains) == 1 else FaultDomain.UNDETERMINED
    else:
        domain = FaultDomain.UNDETERMINED
    return ChecklistRow(
        id=row.id,
        stage=row.stage,
        title=row.title(profile),
        status=status,
        gating=row.gating and status is not Status.SKIP,
        summary=summary,
        fault_domain=domain,
        findings=tuple(Key(id=f.id, target=f.target) for f in (*deciding, *shown)),
    )


def _summarise(deciding: Sequence[Finding], status: Status) -> str:
    """What the row says: the findings that gave it its status, those that say the same told once."""
    telling = [finding for finding in deciding if finding.status is status]
    if len(deciding) == 1:
        return telling[0].summary
    alike: dict[str, list[Finding]] = {}
    for finding in telling:
        alike.setdefault(finding.reason, []).append(finding)
    told = []
    for findings in alike.values():
        first = findings[0]
        text = first_sentence(first.summary)
        if len({pattern_of(first_sentence(f.summary), f.target) for f in findings}) == 1:
            told.append(fill_pattern(pattern_of(text, first.target), [f.target for f in findings]))
        elif len(findings) == 1:
            told.append(text)
        else:
            told.append(f"{text}; much the same for {len(findings) - 1} more")
    return f"{len(telling)} of {len(deciding)}: {'. '.join(told)}."


def _unread(findings: Iterable[Finding]) -> bool:
    """Whether something that was handed in could not be read."""
    return any(finding.id in _READINGS and finding.status is Status.UNKNOWN for finding in findings)


def overall_of(rows: Sequence[ChecklistRow], findings: Sequence[Finding] = ()) -> Overall:
    """What the gating rows say together. A warning anywhere on the list is told, and so is one of a finding that stands
    on no row because the guide has none for it."""
    gating = {row.status for row in rows if row.gating}
    if Status.FAIL in gating or any(_counts(finding, Status.FAIL) for finding in findings):
        return Overall.NOT_READY
    if _unread(findings) or not gating or gating & {Status.UNKNOWN, Status.OTHER}:
        return Overall.NOT_PROVEN
    if any(row.status in (Status.WARN, Status.FAIL) for row in rows) or any(
        finding.status in (Status.WARN, Status.FAIL) and finding.id not in _ON_A_ROW for finding in findings
    ):
        return Overall.READY_WITH_WARNINGS
    return Overall.READY


def _counts(finding: Finding, *statuses: Status) -> bool:
    """Whether a finding with one of these statuses counts although it stands on no row."""
    return finding.status in statuses and finding.id not in _ON_A_ROW and finding.id.startswith(_COUNT_BY_THEMSELVES)


def exit_code_of(
    rows: Sequence[ChecklistRow],
    settings: Settings,
    *,
    interrupted: bool,
    findings: Sequence[Finding] = (),
    whole: bool = True,
) -> ExitCode:
    """The process's exit code: 130 interrupted, else 1 failed, 3 a gating row unknown, 0.

    A run of single checks (not `whole`) may have no row, or have each of its rows skipped: then none is lacking.
    """
    if interrupted:
        return ExitCode.INTERRUPTED
    overall = overall_of(rows, findings)
    if overall is Overall.NOT_READY:
        return ExitCode.FAILED
    if settings.strict and (
        any(row.status in (Status.WARN, Status.FAIL) for row in rows)
        or any(_counts(finding, Status.WARN) for finding in findings)
    ):
        return ExitCode.FAILED
    lacking = whole or _unread(findings) or any(row.gating for row in rows)
    if overall is Overall.NOT_PROVEN and lacking and not settings.allow_unknown:
        return ExitCode.NOT_PROVEN
    return ExitCode.OK


def actions_of(findings: Sequence[Finding]) -> tuple[Action, ...]:
    """Who has to do what, failures before warnings, one entry for what is the same for several targets."""
    grouped: dict[tuple[FaultDomain, str], list[Finding]] = {}
    for status in (Status.FAIL, Status.WARN):
        for finding in findings:
            if finding.status is not status or not finding.remedy:
                continue
            party = finding.fault_domain or FaultDomain.UNDETERMINED
            grouped.setdefault((party, pattern_of(finding.remedy, finding.target)), []).append(finding)
    told: dict[tuple[FaultDomain, str], list[Finding]] = {}
    for (party, pattern), members in grouped.items():
        # A finding over all targets repeats the word of the one that decided it.
        what = fill_pattern(pattern, [finding.target for finding in members])
        told.setdefault((party, what), []).extend(members)
    order = sorted(told, key=lambda key: PARTIES.index(key[0]))
    return tuple(
        Action(
            party=party,
            what=what,
            because=tuple(Key(id=finding.id, target=finding.target) for finding in told[party, what]),
        )
        for party, what in order
    )
