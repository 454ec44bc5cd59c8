"""`vsipcheck explain`: what is printed, and what there is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cli.conftest import Ended

from vsipcheck.explanations import explained_ids, load_explanation

Call = Callable[..., Ended]


def test_without_an_id_each_has_a_line(vsipcheck: Call) -> None:
    ended = vsipcheck("explain")
    assert (ended.code, ended.err) == (0, "")
    assert [line.split()[0] for line in ended.out.splitlines()] == list(explained_ids())


@pytest.mark.parametrize("finding_id", explained_ids())
def test_all_that_is_known_is_printed(vsipcheck: Call, finding_id: str) -> None:
    ended = vsipcheck("explain", finding_id)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("\n")
    assert max(map(len, ended.out.splitlines())) <= 80
    told = " ".join(ended.out.split())
    explanation = load_explanation(finding_id)
    for text in (explanation.target, explanation.checks, explanation.verdict, *explanation.statuses.values()):
        assert text in told
    for code, reason in explanation.reasons.items():
        assert f"{code} (" in told
        assert reason.means in told
        assert reason.fix is None or reason.fix in told
    for source in (*explanation.rfcs, *explanation.guide):
        assert source in told


def test_one_reason_alone(vsipcheck: Call) -> None:
    ended = vsipcheck("explain", "sip.options", "silent_after_accept")
    assert "silent_after_accept (FAIL)" in ended.out
    assert "forbidden" not in ended.out
    assert "RFC 3261" in ended.out


def test_a_reason_that_a_pattern_covers(vsipcheck: Call) -> None:
    assert "status_488 (WARN or FAIL)" in vsipcheck("explain", "sip.options", "status_488").out


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["sip.optoins"], "explain: there is no finding 'sip.optoins'; did you mean sip.options"),
        (["media"], "explain: there is no finding 'media'; did you mean media.egress or media.return?"),
        (["zzz"], "explain: there is no finding 'zzz'; `vsipcheck explain` names them all"),
        (["../model"], "explain: there is no finding '../model'; `vsipcheck explain` names them all"),
        (["sip.options", "forbiden"], "explain: sip.options has no reason 'forbiden'; did you mean forbidden?"),
        (
            ["sip.options", "zzz"],
            "explain: sip.options has no reason 'zzz'; `vsipcheck explain sip.options` names them",
        ),
    ],
)
def test_what_there_is_not_is_one_line(refused: Callable[..., str], typed: list[str], said: str) -> None:
    assert refused("explain", *typed).startswith(f"vsipcheck: {said}")
