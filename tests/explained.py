"""Watches what judges return in this process: every finding has to be explained."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import msgspec

from vsipcheck.explanations import explained_ids, load_explanation
from vsipcheck.model import Finding

# Module -> its functions that return findings. Tests import them after they were wrapped: see conftest.
JUDGES = {
    "dns.check": ("judge",),
    "dns.resolution": ("judge",),
    "dns.authority": ("judge",),
    "sip.check": ("judge",),
    "sip.alg": ("judge_alg",),
    "sip.size": ("judge_sizes",),
    "media.check": ("judge",),
    "nat.check": ("judge",),
    "path.check": ("judge",),
    "config.check": ("judge",),
    "message.check": ("judge",),
    "pbx.check": ("judge",),
}

_explanations = {finding_id: load_explanation(finding_id) for finding_id in explained_ids()}
unexplained: set[str] = set()


def lacks(finding: Finding) -> str | None:
    """What the explanations do not say of a finding; None where they say all."""
    explanation = _explanations.get(finding.id)
    if explanation is None:
        return f"{finding.id} has no explanation"
    reason = explanation.reason(finding.reason)
    if reason is None:
        return f"{finding.id}: no explanation of the reason {finding.reason} ({finding.status})"
    if finding.status not in reason.statuses:
        return f"{finding.id}: {finding.reason} is not explained as {finding.status}"
    return None


def watch(judge: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(judge)
    def watched(*args: Any, **kwargs: Any) -> Any:
        judged = judge(*args, **kwargs)
        findings: Iterable[Finding] = [judged] if isinstance(judged, Finding) else judged
        unexplained.update(lack for finding in findings if (lack := lacks(finding)) is not None)
        return judged

    return watched


def watch_all() -> None:
    """Wrap every judge, and those of the registry."""
    modules = {name: import_module(f"vsipcheck.checks.{name}") for name in JUDGES}
    for name, module in modules.items():
        for function in JUDGES[name]:
            setattr(module, function, watch(getattr(module, function)))
    for module in modules.values():
        if (check := getattr(module, "CHECK", None)) is not None:
            module.CHECK = msgspec.structs.replace(check, judge=watch(check.judge))  # type: ignore[attr-defined]
