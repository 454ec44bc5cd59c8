"""What every finding checks, how its verdict is reached, and what its reasons mean: one TOML file a finding."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import msgspec

from vsipcheck.model import Status

T = TypeVar("T")

_FOLDER = Path(__file__).parent
_EVERY = "_every"  # reasons that any finding can have


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Reason(_Table, frozen=True, kw_only=True):
    """One reason code of a finding. What asks for nothing to be done has no `fix`."""

    statuses: tuple[Status, ...]
    means: str
    alike: str | None = None  # what else would look the same
    fix: str | None = None


class Explanation(_Table, frozen=True, kw_only=True):
    """One finding. `reasons` may hold patterns (`status_*`); a reason that is there by name goes before them."""

    id: str
    target: str  # what one finding is about
    title: str
    checks: str
    verdict: str
    guide: tuple[str, ...]  # sections of the provider's guide
    rfcs: tuple[str, ...]
    statuses: dict[str, str]  # what each status of this finding means
    reasons: dict[str, Reason]

    def reason(self, code: str) -> Reason | None:
        """The reason of that code, or the pattern that covers it."""
        name = self.reason_name(code)
        return None if name is None else self.reasons[name]

    def reason_name(self, code: str) -> str | None:
        """The entry of `reasons` that `code` falls under."""
        if code in self.reasons:
            return code
        return next((name for name in self.reasons if "*" in name and fnmatchcase(code, name)), None)


class ExplanationError(Exception):
    """A file of this package is not as it has to be."""


def explained_ids() -> tuple[str, ...]:
    """The ids of all findings that are explained, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml") if path.stem != _EVERY))


def load_explanation(finding_id: str) -> Explanation:
    """The explanation of a finding. Raises KeyError for an unknown id, ExplanationError for a faulty file."""
    if finding_id not in explained_ids():
        raise KeyError(finding_id)
    explanation = _read(finding_id, Explanation)
    every = _read(_EVERY, _Every)
    if explanation.id != finding_id:
        raise ExplanationError(f"{finding_id}.toml: id: expected {finding_id}, found {explanation.id}")
    for code, reason in explanation.reasons.items():
        for status in reason.statuses:
            if status is Status.OTHER or status not in explanation.statuses:
                raise ExplanationError(f"{finding_id}.toml: reasons.{code}.statuses: {status} has no meaning here")
    given = {str(status) for reason in explanation.reasons.values() for status in reason.statuses}
    if idle := set(explanation.statuses) - given - {"unknown"}:
        raise ExplanationError(f"{finding_id}.toml: statuses: no reason has {', '.join(sorted(idle))}")
    return msgspec.structs.replace(explanation, reasons={**explanation.reasons, **every.reasons})


def near_ids(typed: str) -> list[str]:
    """Ids that look like what was typed; those of its stem, or that end so, where it is one."""
    ids = explained_ids()
    within = [each for each in ids if each.partition(".")[0] == typed or each.partition(".")[2] == typed]
    return within or get_close_matches(typed, ids, n=3, cutoff=0.5)


class _Every(_Table, frozen=True, kw_only=True):
    reasons: dict[str, Reason]


def _read(name: str, kind: type[T]) -> T:
    try:
        raw = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
        return msgspec.convert(raw, kind)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ExplanationError(f"{name}.toml: {error}") from None
