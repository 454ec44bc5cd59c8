"""The sample configurations hold what the provider asks for, and their own lint finds nothing wrong with them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from vsipcheck.checks.base import Facts
from vsipcheck.checks.config.check import judge
from vsipcheck.checks.config.files import read_all
from vsipcheck.model import CheckEvidence, Finding, MediaAddress, Note, PoP, Profile, Settings, Status
from vsipcheck.profiles import load_profile
from vsipcheck.samples import SAMPLES, sample
from vsipcheck.wire.asterisk import parse_asterisk
from vsipcheck.wire.freeswitch import parse_freeswitch
from vsipcheck.wire.secrets import mask_secrets

PROFILE = load_profile("exotel-tcp-mumbai")
ADDRESS = "192.175.48.1"  # a global address of nobody's trunk
NAMES = {"asterisk-pjsip": "pjsip.conf", "asterisk-chan-sip": "sip.conf", "freeswitch": "freeswitch.xml"}

# Nothing of another provider's may come from anywhere but its profile.
OTHER = msgspec.structs.replace(
    PROFILE,
    name="other",
    title="Another trunk",
    provider="Acme",
    signalling=msgspec.structs.replace(
        PROFILE.signalling,
        port=5080,
        domain_pattern="{account_sid}.sip.acme.example",
        customer_port=5090,
        calls_per_minute=77,
        pops=(
            PoP(id="a", region="A", fqdn="a.acme.example", source="guide", addresses=("192.0.2.1",)),
            PoP(id="b", region="B", fqdn="b.acme.example", source="guide", addresses=("192.0.2.2", "192.0.2.3")),
        ),
    ),
    media=msgspec.structs.replace(
        PROFILE.media,
        first_port=20000,
        last_port=21999,
        codecs=("PCMU", "PCMA"),
        addresses=(MediaAddress(address="198.51.100.7", region="A", source="guide"),),
    ),
)


def lint(folder: Path, name: str, text: str, profile: Profile, **settings: str) -> list[Finding]:
    path = folder / name
    path.write_text(text)
    notes: list[Note] = []
    read_all([str(path)], notes.append)
    numbered = tuple(msgspec.structs.replace(note, id=f"config.{number}") for number, note in enumerate(notes, 1))
    evidence = CheckEvidence(version=1, offset_ms=0.0, duration_ms=0.0, error=None, facts=numbered)
    asked = Settings(checks=("config",), pbx_config=(str(path),), **settings)  # type: ignore[arg-type]
    return judge(Facts({"config": evidence}), profile, asked)


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("profile", [PROFILE, OTHER], ids=["exotel", "other"])
def test_a_sample_passes_its_own_lint(tmp_path: Path, kind: str, profile: Profile) -> None:
    text = sample(kind, profile, account_sid="acme1", public_ip=ADDRESS)
    findings = lint(tmp_path, NAMES[kind], text, profile, account_sid="acme1", public_address=ADDRESS)
    wrong = {(found.id, found.reason) for found in findings if found.status in (Status.WARN, Status.FAIL)}
    # What chan_sip is cannot be mended in its configuration.
    old = {("config.channel_driver", "removed_in_21")} if kind == "asterisk-chan-sip" else set()
    assert wrong == old
    told = {found.id: found.status for found in findings}
    for proven in (
        "peer",
        "registration",
        "domain",
        "dtmf",
        "nat",
        "external_address",
        "media_path",
        "caller_id",
        "logging",
    ):
        assert told[f"config.{proven}"] is Status.PASS


@pytest.mark.parametrize("kind", SAMPLES)
def test_what_was_not_given_is_a_placeholder_that_the_lint_points_at(tmp_path: Path, kind: str) -> None:
    text = sample(kind, PROFILE)
    findings = lint(tmp_path, NAMES[kind], text, PROFILE)
    failed = {(found.id, found.reason) for found in findings if found.status is Status.FAIL}
    assert failed == {("config.domain", "placeholder"), ("config.external_address", "placeholder")}


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_sample_is_read_without_a_deviation_and_has_no_secret(kind: str) -> None:
    text = sample(kind, PROFILE, account_sid="acme1", public_ip=ADDRESS)
    parse = parse_freeswitch if kind == "freeswitch" else parse_asterisk
    assert parse(text, "f").deviations == ()
    assert mask_secrets(text) == (text, 0)
    assert text.endswith("\n")
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_value_comes_from_the_profile(kind: str) -> None:
    text = sample(kind, OTHER, account_sid="acme1", public_ip=ADDRESS)
    for word in ("xotel", "5070", "5061", "200 ", "10000", "40000", "mumbai", "182.76", "122.15"):
        assert word not in text
    for word in ("a.acme.example", "b.acme.example", "acme1.sip.acme.example", "5080", "5090", "77", "20000", "21999"):
        assert word in text
    assert "X-Acme-CallSid" in text


def test_an_access_list_is_written_where_the_signalling_addresses_are_published() -> None:
    (access,) = parse_freeswitch(sample("freeswitch", OTHER), "f").access_lists
    assert (access.name, access.default) == ("acme", "deny")
    assert [node.cidr for node in access.nodes] == ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "198.51.100.7/32"]
    assert parse_freeswitch(sample("freeswitch", PROFILE), "f").access_lists == ()


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("hostile", ["x;--y", "a\nb=1\n[general]", "--> <evil/>", "<!ENTITY x>", '"&<>', "--;"])
def test_no_word_of_a_profile_or_an_option_changes_what_the_sample_says(kind: str, hostile: str) -> None:
    profile = msgspec.structs.replace(PROFILE, title=hostile, dated=hostile)
    text = sample(kind, profile, account_sid=hostile, public_ip=hostile)
    if kind == "freeswitch":
        xml = parse_freeswitch(text, "f")
        assert xml.deviations == ()
        assert len(xml.gateways) == 2
        assert xml.profiles[0].last("auth-calls") is not None
        return
    config, plain = parse_asterisk(text, "f"), parse_asterisk(sample(kind, PROFILE), "f")
    assert config.deviations == ()
    assert [section.name for section in config.sections] == [section.name for section in plain.sections]
    assert [[found.name for found in section.variables] for section in config.sections] == [
        [found.name for found in section.variables] for section in plain.sections
    ]


def test_of_another_kind_there_is_none() -> None:
    with pytest.raises(KeyError):
        sample("kamailio", PROFILE)
