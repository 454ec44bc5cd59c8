"""Metrics that Prometheus' own tools find nothing to say about, and that never tell a figure that was not measured."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from render.fixture import FIRST, FIRST_IP, HOSTILE, check_golden, make_healthy, make_report, make_single, poison

from vsipcheck.model import Finding, Measure, Report, Status
from vsipcheck.render import render

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Series:
    """Every sample, as Prometheus' reader for Python has it; a series stands there once."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    series = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(series) == len(samples)
    return series


def value(series: Series, name: str, **labels: str) -> float | None:
    return series.get((name, frozenset(labels.items())))


def promtool(*arguments: str, text: str = "") -> str:
    """What it complains about."""
    if shutil.which("promtool") is None:
        missing = "promtool is not installed: `tests/run` installs it as root on Debian"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    ended = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, check=False)
    return "" if ended.returncode == 0 and not ended.stderr else ended.stdout + ended.stderr


@pytest.mark.parametrize("make", [make_report, make_healthy, make_single])
def test_promtool_has_nothing_to_say(make: Callable[[], Report]) -> None:
    assert promtool("check", "metrics", text=render(make(), "prometheus")) == ""


def test_page_is_the_golden_one() -> None:
    check_golden("metrics.prom", render(make_report(), "prometheus"))


def test_units_are_base_units_and_states_are_sets() -> None:
    series = read(render(make_report(), "prometheus"))
    target = f"{FIRST}@{FIRST_IP}"
    assert value(series, "vsipcheck_sip_options_rtt_seconds", target=target) == 0.0325
    assert value(series, "vsipcheck_sip_options_loss_ratio", target=target) == 0.333
    assert value(series, "vsipcheck_sip_options_answers", target=target) == 2
    assert value(series, "vsipcheck_run_duration_seconds") == 5.3127
    assert value(series, "vsipcheck_run_timestamp_seconds") == 1764032400.123
    states = {
        state: value(series, "vsipcheck_finding_status", id="sip.options", target=target, status=state)
        for state in ("pass", "warn", "fail", "unknown", "skip")
    }
    assert states == {"pass": 0, "warn": 0, "fail": 1, "unknown": 0, "skip": 0}
    assert value(series, "vsipcheck_overall", overall="not_ready") == 1
    assert value(series, "vsipcheck_public_address_answers", address="198.51.100.7") == 2


def test_what_was_not_measured_has_no_sample() -> None:
    assert "retry_after" not in render(make_report(), "prometheus")
    measures = tuple(Measure(name=f"m{n}_ms", value=v, unit="ms") for n, v in enumerate((math.nan, math.inf, None)))
    finding = Finding(id="nat.rest", target=None, status=Status.PASS, reason="x", summary="x", measures=measures)
    assert "vsipcheck_nat_rest_m" not in render(make_report(findings=(finding,)), "prometheus")


def test_single_check_has_no_overall_verdict() -> None:
    assert "vsipcheck_overall" not in render(make_single(), "prometheus")


@pytest.mark.parametrize(
    "name", ["calls_total", "calls_count", "calls_sum_count", "calls_bucket", "count", "Rtt-Max", "", "é"]
)
def test_names_mean_nothing_else_to_prometheus(name: str) -> None:
    measure = Measure(name=name, value=1, unit="count")
    finding = Finding(id="nat.rest", target=None, status=Status.PASS, reason="x", summary="x", measures=(measure,))
    text = render(make_report(findings=(finding,)), "prometheus")
    assert promtool("check", "metrics", text=text) == ""


def test_same_series_twice_is_told_once() -> None:
    finding = make_report().findings[0]
    report = make_report(findings=(finding, finding))
    assert read(render(report, "prometheus")) == read(render(make_report(findings=(finding,)), "prometheus"))


@pytest.mark.parametrize("text", [HOSTILE, 'a"b\\c\nd', "{}", "\udcff", "# EOF\n"])
def test_hostile_text_stays_in_its_label(text: str) -> None:
    page = render(poison(make_report(), text), "prometheus")
    names = {name for name, _ in read(page)}
    assert all(name.startswith("vsipcheck_") for name in names)
    assert all(line.isprintable() for line in page.split("\n"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(max_size=200))
def test_any_text_is_read_back(text: str) -> None:
    read(render(poison(make_report(), text), "prometheus"))
