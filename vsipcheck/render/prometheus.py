"""The report as metrics, for node_exporter's textfile collector and for our own exporter.

Names and units follow Prometheus' conventions: base units in names (seconds, ratio, bytes), one series a state.
A figure that was not measured has no sample: it is never 0.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from vsipcheck.model import Finding, Measure, Overall, Report, Status
from vsipcheck.render.digest import addresses_seen
from vsipcheck.render.safe import clean

PREFIX = "vsipcheck"

# Our units: suffix of the name, and what the value is multiplied by. Anything else is a plain number.
_UNITS = {"ms": ("_seconds", 0.001), "s": ("_seconds", 1.0), "ratio": ("_ratio", 1.0), "bytes": ("_bytes", 1.0)}
# Endings that mean a counter, a histogram or a summary to Prometheus.
_RESERVED = re.compile(r"_(count|sum|bucket|total|created)$")
_STATES = tuple(status for status in Status if status is not Status.OTHER)
_OVERALLS = tuple(overall for overall in Overall if overall is not Overall.OTHER)
_MAX_LABEL = 200


def render_prometheus(report: Report) -> str:
    """The report in Prometheus' text format."""
    return exposition(families(report))


def exposition(metrics: Iterable[Metric]) -> str:
    """The families in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(list(metrics)))
    return generate_latest(registry).decode()


class _Given(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


class _Table:
    """Metric families by name. A series that is there already is not added again: Prometheus refuses the whole page."""

    def __init__(self) -> None:
        self.families: dict[str, GaugeMetricFamily] = {}
        self._seen: set[tuple[str, tuple[str, ...]]] = set()

    def add(self, name: str, text: str, value: float | None, **labels: str | None) -> None:
        if value is None or not math.isfinite(value):
            return
        values = tuple(clean(label or "", limit=_MAX_LABEL) for label in labels.values())
        family = self.families.get(name)
        if family is None:
            family = self.families[name] = GaugeMetricFamily(name, text, labels=tuple(labels))
        if (name, values) not in self._seen:
            self._seen.add((name, values))
            family.add_metric(values, round(value, 9))

    def add_states(self, name: str, text: str, state: str, states: Iterable[str], **labels: str | None) -> None:
        """One series for each of `states`: 1 for the one that holds. A state that is none of them leaves all at 0."""
        label = name.rpartition("_")[2]
        for one in states:
            self.add(name, text, 1.0 if one == state else 0.0, **labels, **{label: one})


def families(report: Report) -> list[GaugeMetricFamily]:
    """One run as metric families."""
    table = _Table()
    _run(table, report)
    for row in report.checklist:
        table.add_states(
            f"{PREFIX}_checklist_status",
            "Verdict of a row of the provider's checklist: 1 for the status that holds.",
            row.status,
            _STATES,
            row=row.id,
            stage=row.stage,
        )
    for row in report.checklist:
        table.add(
            f"{PREFIX}_checklist_gating",
            "1 where the row decides the overall verdict.",
            float(row.gating),
            row=row.id,
            stage=row.stage,
        )
    for finding in report.findings:
        table.add_states(
            f"{PREFIX}_finding_status",
            "Verdict of a finding: 1 for the status that holds.",
            finding.status,
            _STATES,
            id=finding.id,
            target=finding.target,
        )
    for finding in report.findings:
        table.add(
            f"{PREFIX}_finding_info",
            "What a finding rests on, and who has to act.",
            1.0,
            id=finding.id,
            target=finding.target,
            reason=finding.reason,
            failure=finding.failure,
            fault_domain=finding.fault_domain,
            confidence=finding.confidence,
        )
    for finding in report.findings:
        for measure in finding.measures:
            _measure(table, finding, measure)
    return list(table.families.values())


def _run(table: _Table, report: Report) -> None:
    profile = report.profile
    table.add(
        f"{PREFIX}_info",
        "The program and the profile that the run was made with.",
        1.0,
        version=report.tool.version,
        profile=profile.name,
        profile_dated=profile.dated,
        provider=profile.provider,
    )
    table.add(f"{PREFIX}_run_timestamp_seconds", "When the run began, in Unix time.", _unix_time(report.started_at))
    table.add(f"{PREFIX}_run_duration_seconds", "How long the run took.", report.duration_ms / 1000)
    table.add(
        f"{PREFIX}_run_exit_code",
        "0 all proven, 1 failed, 3 something that counts is unknown, 130 interrupted.",
        float(report.exit_code),
    )
    table.add(f"{PREFIX}_run_interrupted", "1 when the run was ended early.", float(report.interrupted))
    table.add(f"{PREFIX}_run_simulated", "1 when no packet left the host: a demonstration.", float(report.simulated))
    table.add(f"{PREFIX}_run_sent_packets", "Packets that the run sent.", float(report.traffic.packets_sent))
    table.add(f"{PREFIX}_run_sent_bytes", "Payload bytes that the run sent.", float(report.traffic.bytes_sent))
    if report.overall is not None:  # a single check gives none
        table.add_states(
            f"{PREFIX}_overall",
            "What the rows that count say together: 1 for the verdict that holds.",
            report.overall,
            _OVERALLS,
        )
    for address, answers in addresses_seen(report):
        table.add(
            f"{PREFIX}_public_address_answers",
            "How many answers saw this host come from the address.",
            float(answers),
            address=address,
        )


def _measure(table: _Table, finding: Finding, measure: Measure) -> None:
    suffix, scale = _UNITS.get(measure.unit, ("", 1.0))
    stem = _word(f"{finding.id}_{measure.name.removesuffix(f'_{measure.unit}')}")
    # `loss_ratio` and `loss` in the unit ratio are one name.
    name = f"{PREFIX}_{stem.removesuffix(suffix) if suffix else stem}{suffix}"
    while _RESERVED.search(name):
        name = _RESERVED.sub("", name)
    value = None if measure.value is None else measure.value * scale
    text = f"{_word(measure.name.removesuffix(f'_{measure.unit}')).replace('_', ' ')} of {_word(finding.id, '.')}."
    table.add(name, text.capitalize(), value, target=finding.target)


def _word(text: str, keep: str = "") -> str:
    return re.sub(rf"[^a-z0-9{re.escape(keep)}]+", "_", text.lower(), flags=re.ASCII).strip("_") or "unnamed"


def _unix_time(started_at: str) -> float | None:
    try:
        return datetime.datetime.fromisoformat(started_at).timestamp()
    except ValueError:
        return None
