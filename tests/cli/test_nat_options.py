"""The options of `vsipcheck nat` that cost time, or that change something on a router."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cli.conftest import Ended, Runs


def test_nothing_is_changed_or_waited_for_unasked(vsipcheck: Callable[..., Ended], runs: Runs) -> None:
    assert vsipcheck("nat").code == 0
    assert (runs.settings.pcp_map, runs.settings.lifetime, runs.settings.deadline_s) == (False, False, 30)


def test_lifetime_extends_the_deadline_by_itself(vsipcheck: Callable[..., Ended], runs: Runs) -> None:
    assert vsipcheck("nat", "--lifetime").code == 0
    assert (runs.settings.lifetime, runs.settings.lifetime_max_s) == (True, 180)
    assert runs.settings.deadline_s == 30 + 180 + 10
    assert vsipcheck("nat", "--lifetime", "--lifetime-max", "30").code == 0
    assert (runs.settings.lifetime_max_s, runs.settings.deadline_s) == (30, 70)
    assert vsipcheck("nat", "--lifetime", "--deadline", "9").code == 0
    assert runs.settings.deadline_s == 9


def test_pcp_map_is_asked_for_and_its_price_told(vsipcheck: Callable[..., Ended], runs: Runs) -> None:
    assert vsipcheck("nat", "--pcp-map").code == 0
    assert runs.settings.pcp_map
    told = " ".join(vsipcheck("nat", "--help").out.split())
    assert "which takes a port mapping" in told
    assert "removed at once" in told


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "3601", "x"])
def test_idle_time_out_of_range_is_refused(vsipcheck: Callable[..., Ended], runs: Runs, seconds: str) -> None:
    ended = vsipcheck("nat", "--lifetime", "--lifetime-max", seconds)
    assert ended.code == 2
    assert "--lifetime-max" in ended.err


@pytest.mark.parametrize("option", ["--pcp-map", "--lifetime", "--lifetime-max"])
def test_they_are_for_nat_alone(vsipcheck: Callable[..., Ended], runs: Runs, option: str) -> None:
    assert vsipcheck("all", option).code == 2
