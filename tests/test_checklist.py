"""Findings → rows → overall, exit code, actions."""

from __future__ import annotations

import itertools

import pytest

from vsipcheck.checklist import ROW_IDS, actions_of, build_checklist, exit_code_of, overall_of
from vsipcheck.model import ChecklistRow, FaultDomain, Finding, Overall, Settings, Stage, Status
from vsipcheck.profiles import load_profile

PROFILE = load_profile("exotel-tcp-mumbai")
ALL = Settings(checks=("dns", "sip", "media", "nat"))
GATING = ("nat.public_address", "nat.cgnat", "nat.port_masking", "dns.resolution", "sip.redundancy", "media.egress")


def finding(id_: str, status: Status, *, target: str | None = None, domain: FaultDomain | None = None) -> Finding:
    if domain is None and status not in (Status.PASS, Status.SKIP):
        domain = FaultDomain.UNDETERMINED
    return Finding(
        id=id_,
        target=target,
        status=status,
        reason="r",
        summary=f"{id_} {status}",
        fault_domain=domain,
        remedy="mend it" if status in (Status.FAIL, Status.WARN) else None,
    )


def healthy(**changed: Status) -> list[Finding]:
    statuses = dict.fromkeys(GATING, Status.PASS) | {
        "media.return": Status.UNKNOWN,
        "nat.static_address": Status.UNKNOWN,
    }
    statuses |= {name.replace("__", "."): status for name, status in changed.items()}
    return [finding(id_, status) for id_, status in statuses.items()]


def rows_of(findings: list[Finding]) -> tuple[ChecklistRow, ...]:
    return build_checklist(findings, PROFILE)


def test_the_rows_stand_in_the_guides_order() -> None:
    rows = rows_of(healthy())
    assert tuple(row.id for row in rows) == ROW_IDS
    assert [stage for stage, _ in itertools.groupby(row.stage for row in rows)] == [
        Stage.BEFORE,
        Stage.DURING,
        Stage.AFTER,
    ]


def test_every_pre_check_of_the_profile_has_a_row() -> None:
    assert {precheck.row for precheck in PROFILE.prechecks} <= set(ROW_IDS)


def test_a_skip_never_gates_and_nothing_unasked_passes() -> None:
    rows = rows_of(healthy())
    for row in rows:
        if row.status is Status.SKIP:
            assert not row.gating
        if not row.findings:
            assert row.status in (Status.SKIP, Status.UNKNOWN)


@pytest.mark.parametrize(
    ("changed", "overall", "exit_code"),
    [
        ({}, Overall.READY, 0),
        ({"media__return": Status.PASS}, Overall.READY, 0),
        ({"nat__cgnat": Status.WARN}, Overall.READY_WITH_WARNINGS, 0),
        ({"nat__cgnat": Status.UNKNOWN}, Overall.NOT_PROVEN, 3),
        ({"nat__cgnat": Status.OTHER}, Overall.NOT_PROVEN, 3),
        ({"nat__cgnat": Status.UNKNOWN, "dns__resolution": Status.FAIL}, Overall.NOT_READY, 1),
        ({"nat__static_address": Status.WARN}, Overall.READY_WITH_WARNINGS, 0),
        ({"nat__static_address": Status.FAIL}, Overall.READY_WITH_WARNINGS, 0),  # it does not gate
        ({"media__egress": Status.SKIP}, Overall.READY, 0),
        (dict.fromkeys((name.replace(".", "__") for name in GATING), Status.SKIP), Overall.NOT_PROVEN, 3),
    ],
)
def test_overall_and_exit_code(changed: dict[str, Status], overall: Overall, exit_code: int) -> None:
    rows = rows_of(healthy(**changed))
    assert overall_of(rows) is overall
    assert exit_code_of(rows, ALL, interrupted=False) == exit_code


def test_a_warning_that_stands_on_no_row_is_told_and_does_not_gate() -> None:
    beside = finding("sip.in_dialog", Status.FAIL)
    rows = rows_of([*healthy(), beside])
    assert overall_of(rows, [beside]) is Overall.READY_WITH_WARNINGS
    assert exit_code_of(rows, ALL, interrupted=False) == 0
    assert overall_of(rows, [finding("sip.connect", Status.FAIL)]) is Overall.READY  # on a row, which has judged it


@pytest.mark.parametrize(
    ("status", "strict", "overall", "exit_code"),
    [
        (Status.PASS, False, Overall.READY, 0),
        (Status.WARN, False, Overall.READY_WITH_WARNINGS, 0),
        (Status.WARN, True, Overall.READY_WITH_WARNINGS, 1),
        (Status.FAIL, False, Overall.NOT_READY, 1),
        (Status.UNKNOWN, False, Overall.READY, 0),
    ],
)
@pytest.mark.parametrize("id_", ["pbx.media_address", "config.media_path", "message.sdp"])
def test_what_was_handed_in_counts_without_a_row(
    id_: str, status: Status, strict: bool, overall: Overall, exit_code: int
) -> None:
    rows, found = rows_of(healthy()), [finding(id_, status)]
    assert overall_of(rows, found) is overall
    settings = Settings(checks=ALL.checks, strict=strict)
    assert exit_code_of(rows, settings, interrupted=False, findings=found) == exit_code


@pytest.mark.parametrize("id_", ["config.files", "message.framing"])
def test_what_could_not_be_read_is_not_proven(id_: str) -> None:
    rows, found = rows_of(healthy()), [finding(id_, Status.UNKNOWN)]
    assert overall_of(rows, found) is Overall.NOT_PROVEN
    assert exit_code_of(rows, ALL, interrupted=False, findings=found) == 3


def test_a_row_of_several_findings_is_as_bad_as_the_worst() -> None:
    registers_not, wrong_port = finding("config.registration", Status.PASS), finding("config.peer", Status.FAIL)
    rows = {row.id: row for row in build_checklist([registers_not, wrong_port], PROFILE)}
    assert rows["no_registration"].status is Status.FAIL
    assert len(rows["no_registration"].findings) == 2
    assert rows["no_registration"].gating
    assert not rows["nat_settings"].gating


def test_strict_lets_warnings_fail_and_allow_unknown_lets_unknowns_be() -> None:
    warned = rows_of(healthy(nat__cgnat=Status.WARN))
    unknown = rows_of(healthy(nat__cgnat=Status.UNKNOWN))
    strict = Settings(checks=ALL.checks, strict=True)
    lenient = Settings(checks=ALL.checks, allow_unknown=True)
    assert exit_code_of(warned, strict, interrupted=False) == 1
    assert exit_code_of(unknown, strict, interrupted=False) == 3
    assert exit_code_of(unknown, lenient, interrupted=False) == 0
    assert overall_of(unknown) is Overall.NOT_PROVEN
    assert exit_code_of(rows_of(healthy(nat__cgnat=Status.FAIL)), lenient, interrupted=False) == 1


def test_an_interrupted_run_says_so() -> None:
    assert exit_code_of(rows_of(healthy()), ALL, interrupted=True) == 130


@pytest.mark.parametrize(
    ("statuses", "row_status"),
    [
        ([Status.PASS, Status.PASS], Status.PASS),
        ([Status.PASS, Status.WARN], Status.WARN),
        ([Status.WARN, Status.UNKNOWN], Status.UNKNOWN),  # all of them must be proven
        ([Status.UNKNOWN, Status.FAIL], Status.FAIL),
        ([Status.SKIP, Status.PASS], Status.PASS),
        ([Status.SKIP, Status.SKIP], Status.SKIP),
    ],
)
def test_a_row_that_needs_all(statuses: list[Status], row_status: Status) -> None:
    findings = [finding("media.egress", status, target=f"t{i}") for i, status in enumerate(statuses)]
    row = next(row for row in rows_of(findings) if row.id == "media_out")
    assert row.status is row_status


def test_one_check_alone_gets_only_its_rows() -> None:
    rows = build_checklist([finding("dns.resolution", Status.PASS, target="a")], PROFILE, ["dns.resolution"])
    assert [row.id for row in rows] == ["names_resolve"]


def test_actions_name_each_party_once_for_the_same_work() -> None:
    findings = [
        finding("media.egress", Status.FAIL, target="a", domain=FaultDomain.ISP),
        finding("media.egress", Status.FAIL, target="b", domain=FaultDomain.ISP),
        finding("nat.port_masking", Status.WARN, domain=FaultDomain.LOCAL_NETWORK),
        finding("dns.resolution", Status.PASS, target="c"),
    ]
    actions = actions_of(findings)
    assert [(action.party, len(action.because)) for action in actions] == [
        (FaultDomain.LOCAL_NETWORK, 1),
        (FaultDomain.ISP, 2),
    ]


def test_single_checks_lack_no_row_that_was_skipped() -> None:
    """A run of everything has to prove something; a lint of an inbound message has no row to answer."""
    skipped = rows_of(healthy(**dict.fromkeys((name.replace(".", "__") for name in GATING), Status.SKIP)))
    for rows in ((), skipped):
        assert exit_code_of(rows, ALL, interrupted=False, whole=True) == 3
        assert exit_code_of(rows, ALL, interrupted=False, whole=False) == 0
        unread = [finding("message.framing", Status.UNKNOWN)]
        assert exit_code_of(rows, ALL, interrupted=False, findings=unread, whole=False) == 3
    unknown = rows_of(healthy(nat__cgnat=Status.UNKNOWN))
    assert exit_code_of(unknown, ALL, interrupted=False, whole=False) == 3
