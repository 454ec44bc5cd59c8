"""Whole configurations in the styles of the field: what the lint says of each, and that its diffs mend it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from checks.config_lint import PROFILE, SID, apply, lint, lint_paths, only

from vsipcheck.model import Finding, Status
from vsipcheck.samples import SAMPLES, sample

FIXTURES = Path(__file__).parents[1] / "configs"
PUBLIC = "203.0.113.9"  # the customer's in these files

# What is not in order in each, by id; and what nothing that was given decides.
VERDICTS: dict[str, tuple[tuple[str, ...], dict[str, str], dict[str, str]]] = {
    "guide": (
        ("sip.conf",),
        {
            "config.channel_driver": "removed_in_21",  # the guide's sample is chan_sip
            "config.listener": "tcp_disabled",  # it says transport = tcp of the peer, and tcpenable nowhere
            "config.identification": "part_of_the_pops",  # one host, and there are two signalling names
            "config.domain": "placeholder",
            "config.nat": "no_symmetric_rtp",  # force_rport is for SIP alone
            "config.external_address": "placeholder",
        },
        {
            "config.rtp_range": "not_read",
            "config.call_rate": "not_seen",
            "config.logging": "dialplan_not_given",
        },
    ),
    "legacy": (
        ("sip.conf",),
        {
            "config.channel_driver": "removed_in_21",
            "config.peer": "wrong_port",
            "config.listener": "other_port",
            "config.identification": "part_of_the_pops",
            "config.domain": "no_domain",
            "config.caller_id": "user_is_no_number",
            "config.external_address": "by_name",
            "config.media_path": "redirected",
            "config.context": "default_context",
        },
        {"config.rtp_range": "not_read", "config.call_rate": "not_seen", "config.logging": "dialplan_not_given"},
    ),
    "issabel": (
        ("sip.conf",),
        {
            "config.files": "second_general",  # where tcpenable stands, and nobody reads it
            "config.channel_driver": "removed_in_21",
            "config.peer": "not_tcp",
            "config.listener": "tcp_disabled",
            "config.registration": "registers",
            "config.identification": "part_of_the_pops",
            "config.domain": "other_domain",
            "config.caller_id": "user_is_no_number",
            "config.codec_order": "no_g711",  # "&" parts no codecs
            "config.dtmf": "inband",
        },
        {"config.rtp_range": "not_read", "config.call_rate": "not_seen", "config.logging": "dialplan_not_given"},
    ),
    "freepbx": (
        ("pjsip.conf", "rtp.conf"),
        {
            "config.peer": "object_refused",  # the match lines; and calls go over UDP, by the semicolon
            "config.identification": "part_of_the_pops",
            "config.codec_order": "other_order",
            "config.external_address": "missing",  # the trunk's own transport has none, and the others do
        },
        {"config.call_rate": "not_seen", "config.logging": "dialplan_not_given"},
    ),
    "wizard": (
        ("pjsip.conf", "pjsip_wizard.conf"),
        {
            "config.peer": "not_tcp",
            "config.registration": "registers",
            "config.identification": "media_regions",
            "config.caller_id": "identity_not_exchanged",
            "config.codec_order": "other_order",
            "config.external_address": "by_name",
        },
        {"config.rtp_range": "not_read", "config.call_rate": "not_seen", "config.logging": "dialplan_not_given"},
    ),
    "hand": (
        ("pjsip.conf", "extensions.conf", "rtp.conf"),
        {"config.context": "takes_no_plus"},
        {"config.call_rate": "not_seen"},
    ),
    "fusionpbx": (
        ("v_exotel.xml", "external.xml", "vars.xml"),
        {
            "config.peer": "not_tcp",
            "config.listener": "other_port",
            "config.registration": "registers",
            "config.domain": "other_domain",
            "config.caller_id": "user_is_no_number",
            "config.codec_order": "other_order",
        },
        {"config.rtp_range": "not_read", "config.call_rate": "not_seen", "config.logging": "dialplan_not_given"},
    ),
    "freeswitch": (
        ("freeswitch.xml",),
        {
            "config.files": "odd_line",
            "config.peer": "contact_transport",
            "config.listener": "other_port",
            "config.identification": "part_of_the_pops",  # its one address is a media region's
        },
        {
            "config.external_address": "learned_at_start",
            "config.call_rate": "not_limited_here",
            "config.logging": "dialplan_not_given",
        },
    ),
}


@pytest.fixture
def work(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(FIXTURES / request.param, tmp_path / "etc")
    monkeypatch.chdir(tmp_path / "etc")
    return tmp_path / "etc"


def linted(name: str) -> list[Finding]:
    return lint_paths(*VERDICTS[name][0], account_sid=SID, public_address=PUBLIC)


@pytest.mark.parametrize(("work", "name"), [(name, name) for name in VERDICTS], indirect=["work"])
def test_verdicts(work: Path, name: str) -> None:
    _, wrong, unseen = VERDICTS[name]
    findings = linted(name)
    told = [(each.id, each.reason) for each in findings]
    assert {each.id: each.reason for each in findings if each.status in (Status.WARN, Status.FAIL)} == wrong, told
    assert {each.id: each.reason for each in findings if each.status is Status.UNKNOWN} == unseen


@pytest.mark.parametrize(("work", "name"), [(name, name) for name in VERDICTS], indirect=["work"])
def test_diffs_mend(work: Path, name: str) -> None:
    for found in linted(name):
        if found.patch is None:
            continue
        assert found.id != "config.registration" or name != "issabel"
        paths = [line[4:] for line in found.patch.split("\n") if line.startswith("--- ")]
        kept = {path: Path(path).read_bytes() for path in paths}
        # As bytes: a carriage return stays one, and what is no UTF-8 is in no diff.
        shown = {path: data.decode("utf-8", errors="replace") for path, data in kept.items()}
        for path, text in apply(found.patch, shown).items():
            Path(path).write_text(text, newline="")
        after = only(linted(name), found.id, found.target)
        # A registration whose password is a line of its own is gone, and the password is not.
        assert after.status is Status.PASS or (found.id, after.reason) == ("config.registration", "has_credentials")
        for path, data in kept.items():
            Path(path).write_bytes(data)


@pytest.mark.parametrize(("work", "name"), [(name, name) for name in VERDICTS], indirect=["work"])
def test_no_secret_of_theirs_is_told(work: Path, name: str) -> None:
    told = str(linted(name))
    for secret in ("Pa55-of-the-trunk", "s3cr3t-of-1001", "3n9wU8q1"):
        assert secret not in told


def test_there_is_a_row_for_every_style() -> None:
    assert {path.name for path in FIXTURES.iterdir() if path.is_dir()} == set(VERDICTS)


@pytest.mark.parametrize("kind", SAMPLES)
def test_samples_pass(kind: str) -> None:
    """What a sample leaves open stands in files that were not given; chan_sip's is of a driver that is gone."""
    name = {"asterisk-pjsip": "pjsip.conf", "asterisk-chan-sip": "sip.conf"}.get(kind, "freeswitch.xml")
    text = sample(kind, PROFILE, account_sid=SID, public_ip=PUBLIC)
    findings = lint({name: text}, account_sid=SID, public_address=PUBLIC)
    wrong = {each.id: each.reason for each in findings if each.status in (Status.WARN, Status.FAIL)}
    assert wrong == ({"config.channel_driver": "removed_in_21"} if kind == "asterisk-chan-sip" else {})
    assert {each.id for each in findings if each.status is Status.UNKNOWN} <= {
        *("config.rtp_range", "config.call_rate", "config.logging"),
    }
    trunks = {each.target for each in findings if each.id == "config.peer"}
    assert len(trunks) == len(PROFILE.signalling.pops)


@pytest.mark.parametrize("kind", SAMPLES)
def test_placeholders_of_samples_are_pointed_at(kind: str) -> None:
    name = {"asterisk-pjsip": "pjsip.conf", "asterisk-chan-sip": "sip.conf"}.get(kind, "freeswitch.xml")
    findings = lint({name: sample(kind, PROFILE)})
    reasons = {each.id: each.reason for each in findings if each.status is Status.FAIL}
    assert reasons == {"config.domain": "placeholder", "config.external_address": "placeholder"}
