"""The plugin's output: one line that Nagios can take apart, its states, and nothing hostile in it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from render.fixture import HOSTILE, check_golden, make_healthy, make_report, make_single, poison

from vsipcheck.model import Finding, Measure, Overall, Report, Settings, Status
from vsipcheck.render import render
from vsipcheck.render.nagios import MAX_OUTPUT, State, state_of

# One item of performance data, as the Monitoring Plugins Development Guidelines write it. No label of ours needs a
# doubled quote.
ITEM = re.compile(
    r"'(?P<label>[^'=]+)'=(?P<value>-?\d+(\.\d+)?|U)(?P<unit>ms|s|%|B|c|)"
    r"(;(?P<warn>(-?\d+(\.\d+)?:?)?))?(;(?P<fail>(-?\d+(\.\d+)?:?)?))?(;(-?\d+(\.\d+)?)?)?(;(-?\d+(\.\d+)?)?)?"
)


def taken_apart(output: str) -> tuple[str, dict[str, re.Match[str]], list[str]]:
    """The text of the first line, its performance data by label, and the long output."""
    first, *long_output = output.removesuffix("\n").split("\n")
    text, bar, data = first.partition("|")
    assert bar, first
    items = [ITEM.fullmatch(word) for word in data.split()]
    assert all(items), data
    by_label = {item["label"]: item for item in items if item}
    assert len(by_label) == len(items), "labels are unique"
    return text, by_label, long_output


@pytest.mark.parametrize(("name", "make"), [("nagios.txt", make_report), ("nagios-healthy.txt", make_healthy)])
def test_output_is_the_golden_one(name: str, make: Callable[[], Report]) -> None:
    check_golden(name, render(make(), "nagios"))


def test_line_states_verdict_then_figures_with_units_and_thresholds() -> None:
    text, items, long_output = taken_apart(render(make_report(), "nagios"))
    assert text.startswith("VSIPCHECK CRITICAL - NOT READY: signalling_out fail (provider)")
    rtt = items["sip.options.rtt_pstn.in2.exotel.com@203.0.113.20"]
    assert (rtt["value"], rtt["unit"], rtt["warn"], rtt["fail"]) == ("32.5", "ms", "300", "2000")
    loss = items["sip.options.loss_pstn.in2.exotel.com@203.0.113.20"]
    assert (loss["value"], loss["unit"]) == ("33.3", "%")
    assert items["sip.options.retry_after_pstn.in2.exotel.com@203.0.113.20"]["value"] == "U"
    assert (items["gating_failed"]["value"], items["gating_failed"]["fail"]) == ("2", "0")
    assert any(line.startswith("TO DO, Exotel: Whitelist 198.51.100.7") for line in long_output)


def test_figure_that_is_better_high_alerts_below_its_threshold() -> None:
    measure = Measure(name="udp_alive_s", value=30.0, unit="s", warn=120.0, floor=True)
    finding = Finding(
        id="nat.lifetime", target=None, status=Status.WARN, reason="short", summary="x", measures=(measure,)
    )
    _, items, _ = taken_apart(render(make_report(findings=(finding,)), "nagios"))
    assert (items["nat.lifetime.udp_alive"]["value"], items["nat.lifetime.udp_alive"]["warn"]) == ("30", "120:")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_figure_that_is_no_number_is_u(value: float | None) -> None:
    measure = Measure(name="rtt_ms", value=value, unit="ms", warn=value)
    finding = Finding(id="a.b", target=None, status=Status.PASS, reason="x", summary="x", measures=(measure,))
    _, items, _ = taken_apart(render(make_report(findings=(finding,)), "nagios"))
    assert (items["a.b.rtt"]["value"], items["a.b.rtt"]["warn"]) == ("U", "")


@pytest.mark.parametrize(
    ("report", "state"),
    [
        (make_healthy(), State.OK),
        (make_report(), State.CRITICAL),
        (make_report(overall=Overall.READY_WITH_WARNINGS, exit_code=0), State.WARNING),
        (make_report(overall=Overall.READY_WITH_WARNINGS, exit_code=1), State.CRITICAL),  # --strict
        (make_report(overall=Overall.NOT_PROVEN, exit_code=3), State.UNKNOWN),
        (make_report(overall=Overall.NOT_PROVEN, exit_code=0), State.WARNING),  # --allow-unknown, with warnings
        (make_report(overall=Overall.NOT_PROVEN, exit_code=0, findings=(), checklist=()), State.OK),
        (make_report(overall=Overall.NOT_PROVEN, exit_code=130, interrupted=True), State.UNKNOWN),
        (make_report(overall=Overall.NOT_READY, exit_code=130, interrupted=True), State.CRITICAL),
        (make_report(overall=Overall.READY, exit_code=4), State.UNKNOWN),
        (make_report(overall=Overall.OTHER, exit_code=0), State.UNKNOWN),
        (make_single(), State.WARNING),
        (msgspec.structs.replace(make_single(), exit_code=3), State.UNKNOWN),
    ],
)
def test_state(report: Report, state: State) -> None:
    assert state_of(report) is state
    assert render(report, "nagios").startswith(f"VSIPCHECK {state.name} - ")


def test_simulation_says_so_first() -> None:
    assert render(make_report(simulated=True), "nagios").startswith("VSIPCHECK CRITICAL - SIMULATED: ")


@pytest.mark.parametrize("text", [HOSTILE, "a | b=1 'c'=2", "<script>alert(1)</script>", "`id` $(id) & ;", "\n|\n", ""])
def test_hostile_text_stays_text(text: str) -> None:
    output = render(poison(make_report(), text), "nagios")
    assert output.isascii()
    text_of_line, _, long_output = taken_apart(output)
    for line in (text_of_line, *long_output):
        assert line.isprintable()
        assert not set("|<>&`$") & set(line), line


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(max_size=300))
def test_any_text_can_be_taken_apart(text: str) -> None:
    output = render(poison(make_report(), text), "nagios")
    assert len(output) <= MAX_OUTPUT
    taken_apart(output)


def test_output_fits_what_nagios_reads() -> None:
    findings = tuple(
        Finding(
            id="sip.options",
            target=f"host{number}.example@192.0.2.{number % 250}",
            status=Status.FAIL,
            reason="x",
            summary="y" * 500,
            measures=tuple(Measure(name=f"m{n}_ms", value=1.0, unit="ms") for n in range(5)),
        )
        for number in range(200)
    )
    output = render(make_report(findings=findings), "nagios")
    assert len(output) <= MAX_OUTPUT
    assert "cut here" in output.splitlines()[-1]
    taken_apart(output)


def test_strict_and_lenient_settings_do_not_change_the_figures() -> None:
    def labels(**changes: Any) -> set[str]:
        report = make_report(settings=Settings(checks=(), **changes))
        return {*taken_apart(render(report, "nagios"))[1]}

    assert labels() == labels(strict=True) == labels(allow_unknown=True)
