"""What changed between two reports, in the checker's words: verdicts and what they rest on, no prose, no timings."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from vsipcheck.model import AddressSeen, Finding, Lookup, Report


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `before` or `after` is None where there was nothing."""

    what: str  # "overall", "row", "finding", "public_address", "name"
    id: str
    target: str | None = None
    before: str | None
    after: str | None
    because: str | None = None  # the later summary, for a person


class Circumstance(msgspec.Struct, frozen=True, kw_only=True):
    """Something else that differs, which may be why, and is no change of what was seen."""

    what: str  # "version", "profile", "settings", "host", "simulated"
    before: str
    after: str


def compare(old: Report, new: Report) -> tuple[Difference, ...]:
    """Every change from `old` to `new`: the overall verdict, checklist rows, findings, addresses, names."""
    return (
        *_overall(old, new),
        *_rows(old, new),
        *_findings(old, new),
        *_values("public_address", _addresses(old), _addresses(new)),
        *_values("name", _names(old), _names(new)),
    )


def circumstances(old: Report, new: Report) -> tuple[Circumstance, ...]:
    """What differs in how the two were made."""
    found = []
    for what, before, after in (
        ("version", old.tool.version, new.tool.version),
        ("profile", f"{old.profile.name} of {old.profile.dated}", f"{new.profile.name} of {new.profile.dated}"),
        ("simulated", _yes(old.simulated), _yes(new.simulated)),
        ("redacted", _yes(old.redacted), _yes(new.redacted)),
        ("interrupted", _yes(old.interrupted), _yes(new.interrupted)),
    ):
        if before != after:
            found.append(Circumstance(what=what, before=before, after=after))
    before_settings, after_settings = msgspec.to_builtins(old.settings), msgspec.to_builtins(new.settings)
    for name, after in after_settings.items():
        if name != "seed" and before_settings.get(name) != after:
            found.append(Circumstance(what=f"setting {name}", before=str(before_settings.get(name)), after=str(after)))
    return tuple(found)


def verdict_words(finding: Finding) -> str:
    """The verdict of a finding as it is compared: status, reason, and who has to act."""
    words = f"{finding.status} ({finding.reason})"
    return f"{words}, {finding.fault_domain} to act" if finding.fault_domain else words


def _overall(old: Report, new: Report) -> Iterator[Difference]:
    if old.overall != new.overall:
        yield Difference(
            what="overall",
            id="overall",
            before=None if old.overall is None else str(old.overall),
            after=None if new.overall is None else str(new.overall),
        )


def _rows(old: Report, new: Report) -> Iterator[Difference]:
    before = {row.id: row for row in old.checklist}
    after = {row.id: row for row in new.checklist}
    for id_ in dict.fromkeys((*after, *before)):
        one, other = before.get(id_), after.get(id_)
        if (one.status if one else None) != (other.status if other else None):
            yield Difference(
                what="row",
                id=id_,
                before=str(one.status) if one else None,
                after=str(other.status) if other else None,
                because=other.summary if other else None,
            )


def _findings(old: Report, new: Report) -> Iterator[Difference]:
    before = {(finding.id, finding.target): finding for finding in old.findings}
    after = {(finding.id, finding.target): finding for finding in new.findings}
    for key in dict.fromkeys((*after, *before)):
        one, other = before.get(key), after.get(key)
        words = verdict_words(one) if one else None, verdict_words(other) if other else None
        if words[0] != words[1]:
            yield Difference(
                what="finding",
                id=key[0],
                target=key[1],
                before=words[0],
                after=words[1],
                because=other.summary if other else None,
            )


def _values(what: str, before: dict[str, str], after: dict[str, str]) -> Iterator[Difference]:
    """Only where both know a value: who could not tell has seen no change."""
    for id_, value in after.items():
        if id_ in before and before[id_] != value:
            yield Difference(what=what, id=id_, before=before[id_], after=value)


def _addresses(report: Report) -> dict[str, str]:
    seen: dict[str, set[str]] = {}
    for recorded in report.evidence.values():
        for fact in recorded.facts:
            if isinstance(fact, AddressSeen) and fact.address and fact.failure is None:
                seen.setdefault(fact.method, set()).add(fact.address)
    return {method: ", ".join(sorted(found)) for method, found in seen.items()}


def _names(report: Report) -> dict[str, str]:
    seen: dict[str, set[str]] = {}
    for recorded in report.evidence.values():
        for fact in recorded.facts:
            if isinstance(fact, Lookup) and fact.purpose == "trunk" and fact.server is None and fact.addresses:
                seen.setdefault(fact.name, set()).update(fact.addresses)
    return {name: ", ".join(sorted(found)) for name, found in seen.items()}


def _yes(value: bool) -> str:
    return "yes" if value else "no"
