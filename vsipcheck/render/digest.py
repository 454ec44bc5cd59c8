"""What a reader wants from a report first, for all formats: order, names of parties, counts, what decided."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from vsipcheck.model import (
    AddressSeen,
    ChecklistRow,
    Confidence,
    FaultDomain,
    Finding,
    Key,
    Measure,
    Overall,
    Profile,
    Report,
    Status,
    SupportRequest,
    fill_pattern,
    pattern_of,
)
from vsipcheck.render.safe import clean

# Worst first: what an eye has to meet before it tires.
SEVERITY = (Status.FAIL, Status.WARN, Status.UNKNOWN, Status.OTHER, Status.PASS, Status.SKIP)

_OVERALL = {
    Overall.READY: "READY",
    Overall.READY_WITH_WARNINGS: "READY, WITH WARNINGS",
    Overall.NOT_READY: "NOT READY",
    Overall.NOT_PROVEN: "NOT PROVEN",
    Overall.OTHER: "VERDICT NOT KNOWN TO THIS VERSION",
}

# Who says from where they see us. A router's own WAN address (NAT-PMP, UPnP) need not be the public one.
_WITHIN = (
    *("nat_pmp", "upnp", "pcp"),
    *("stun_mapping", "stun_filtering_address_and_port", "stun_filtering_port", "stun_filtering_control"),
)

_UTC = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z", re.ASCII)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Findings that say the same of several targets."""

    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding:
        return self.findings[0]

    @property
    def alike(self) -> bool:
        """Their summaries are one and the same."""
        return len({finding.summary for finding in self.findings}) == 1

    @property
    def summary(self) -> str | None:
        """One sentence for all of them, where their summaries differ in nothing but the target; else None."""
        if len({pattern_of(finding.summary, finding.target) for finding in self.findings}) > 1:
            return None
        first = self.first
        return fill_pattern(pattern_of(first.summary, first.target), [finding.target for finding in self.findings])

    @property
    def remedy(self) -> str | None:
        """What has to be done about all of them."""
        first = self.first
        if first.remedy is None:
            return None
        return fill_pattern(pattern_of(first.remedy, first.target), [finding.target for finding in self.findings])


def overall_words(overall: Overall) -> str:
    return _OVERALL[overall]


def party_name(party: FaultDomain, profile: Profile) -> str:
    """The party as a person calls it."""
    return {
        FaultDomain.HOST: "this host",
        FaultDomain.LOCAL_NETWORK: "your network",
        FaultDomain.ISP: "your ISP",
        FaultDomain.PROVIDER: profile.provider,
        FaultDomain.PBX: "your PBX",
        FaultDomain.UNDETERMINED: "not determined",
        FaultDomain.OTHER: "a party this version does not know",
    }[party]


def before_sending(report: Report, request: SupportRequest) -> str | None:
    """What the sender of a letter has to settle first."""
    if report.redacted:
        return "Addresses and names in it were replaced: send the one of the report as it was."
    return request.before_sending


def blame(finding: Finding, profile: Profile) -> str | None:
    """Who has to act, and how sure that is; None where nobody has to."""
    if finding.fault_domain is None:
        return None
    name = party_name(finding.fault_domain, profile)
    if finding.confidence in (None, Confidence.OTHER) or finding.fault_domain is FaultDomain.UNDETERMINED:
        return name
    return f"{name} ({finding.confidence})"


def counts(statuses: Iterable[Status]) -> list[tuple[Status, int]]:
    """How many there are of each status that occurs, worst first."""
    counted = Counter(statuses)
    return [(status, counted[status]) for status in SEVERITY if counted[status]]


def counts_words(statuses: Iterable[Status], separator: str = ", ") -> str:
    return separator.join(f"{number} {status}" for status, number in counts(statuses))


def deciding(report: Report) -> list[ChecklistRow]:
    """The checklist rows that made `overall` what it is; none when it is ready."""
    rows = report.checklist
    match report.overall:
        case Overall.NOT_READY:
            failed = [row for row in rows if row.status is Status.FAIL and row.gating]
            # With --strict a warning is enough.
            return failed or [row for row in rows if row.status is Status.WARN]
        case Overall.NOT_PROVEN:
            return [row for row in rows if row.status in (Status.UNKNOWN, Status.OTHER) and row.gating]
        case Overall.READY_WITH_WARNINGS:
            return [row for row in rows if row.status in (Status.FAIL, Status.WARN)]
    return []


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The findings by severity; within one, in the report's order."""
    return sorted(findings, key=lambda finding: SEVERITY.index(finding.status))


def grouped(findings: Iterable[Finding]) -> list[Group]:
    """Findings that share id, verdict, blame and advice, put together, so that four targets with one fault read as one.

    The order is that of each group's first finding.
    """
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        key = (
            finding.id,
            finding.status,
            finding.reason,
            finding.failure,
            finding.fault_domain,
            finding.confidence,
            pattern_of(finding.remedy or "", finding.target),
            finding.settle_by,
            finding.guide_section,
            finding.location,
            finding.patch,
        )
        groups.setdefault(key, []).append(finding)
    return [Group(findings=tuple(members)) for members in groups.values()]


def patch_lines(finding: Finding) -> list[str]:
    """The patch of a finding in clean lines, with its tabs: without them it would not apply."""
    lines = (finding.patch or "").split("\n")[:-1]
    return ["\t".join(map(clean, line.removesuffix("\r").split("\t"))) for line in lines]


def fact_words(ids: Sequence[str]) -> str:
    """Fact ids with runs told by their ends: `media.6-media.30, nat.2`."""
    runs: list[list[str]] = []
    for fact in ids:
        check, _, number = fact.rpartition(".")
        if runs and number.isdecimal():
            before, _, last = runs[-1][-1].rpartition(".")
            if before == check and last.isdecimal() and int(number) == int(last) + 1:
                runs[-1].append(fact)
                continue
        runs.append([fact])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def find(report: Report, keys: Sequence[Key]) -> list[Finding]:
    """The findings with these keys, as far as the report has them."""
    by_key = {(finding.id, finding.target): finding for finding in report.findings}
    return [by_key[key.id, key.target] for key in keys if (key.id, key.target) in by_key]


def key_words(key: Key | Finding) -> str:
    return key.id if key.target is None else f"{key.id} {key.target}"


def addresses_seen(report: Report) -> list[tuple[str, int]]:
    """The addresses that others have seen this host come from, and how many of them, most first."""
    seen = Counter(
        fact.address
        for evidence in report.evidence.values()
        for fact in evidence.facts
        if isinstance(fact, AddressSeen) and fact.address is not None and fact.method not in _WITHIN
    )
    return seen.most_common()


def asked_for_addresses(report: Report) -> bool:
    """Somebody was asked, whether or not they answered."""
    return any(isinstance(fact, AddressSeen) for evidence in report.evidence.values() for fact in evidence.facts)


def release_words(profile: Profile) -> str:
    """What the provider promises: the release, and whether a service level stands behind it."""
    return f"{profile.release} release, {'with an SLA' if profile.sla else 'no SLA'}"


def moment(started_at: str) -> str:
    """The report's start as a person writes it; unchanged if it is not in the form that we write."""
    match = _UTC.fullmatch(started_at)
    return f"{match[1]} {match[2]} UTC" if match else started_at


def time_span(milliseconds: float | None) -> str:
    """A duration in the unit that fits: `0.4 ms`, `38 ms`, `4.2 s`, `3 min 5 s`."""
    if milliseconds is None:
        return "unknown"
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 119_950:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return f"{minutes} min {seconds} s"


def measure_words(measure: Measure) -> str:
    """One figure with its thresholds. A figure that was not measured says so; it is never 0."""
    name = measure.name.removesuffix(f"_{measure.unit}").replace("_", " ")
    if measure.value is None:
        return f"{name} not measured"
    limits = ", ".join(
        f"{word} {'below' if measure.floor else 'at'} {_figure(limit, measure.unit)}"
        for word, limit in (("warn", measure.warn), ("fail", measure.fail))
        if limit is not None
    )
    return f"{name} {_figure(measure.value, measure.unit)}" + (f" ({limits})" if limits else "")


def _figure(value: float, unit: str) -> str:
    if unit == "ratio":
        return f"{value * 100:.3g} %"
    figure = str(value) if isinstance(value, int) else f"{value:.1f}".removesuffix(".0")
    return figure if unit in ("count", "") else f"{figure} {unit}"
