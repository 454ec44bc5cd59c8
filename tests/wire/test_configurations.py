"""Whole configurations in the styles that real ones come in, read with all that they include."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from vsipcheck.wire.asterisk import AsteriskConfig, Fault, Place, allowed_codecs, parse_asterisk
from vsipcheck.wire.freeswitch import FreeSwitchConfig, XmlFault, parse_freeswitch
from vsipcheck.wire.secrets import MASK, mask_secrets

CONFIGS = Path(__file__).parents[1] / "configs"


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def asterisk(name: str) -> AsteriskConfig:
    root = CONFIGS / name

    def read(pattern: str, place: Place) -> Sequence[tuple[str, str]]:
        return [(str(path.relative_to(CONFIGS)), text_of(path)) for path in sorted(root.parent.glob(pattern))]

    return parse_asterisk(text_of(root), name, read)


def freeswitch(name: str) -> FreeSwitchConfig:
    def read(pattern: str, place: Place) -> Sequence[tuple[str, str]]:
        wanted = os.path.normpath((CONFIGS / place.path).parent / pattern)
        found = sorted(Path("/").glob(wanted.lstrip("/")))
        return [(str(path.relative_to(CONFIGS)), text_of(path)) for path in found]

    return parse_freeswitch(text_of(CONFIGS / name), name, read)


def test_generated_files_and_the_lines_of_ones_own_are_one_configuration() -> None:
    config = asterisk("freepbx/pjsip.conf")
    assert [(str(found.place), found.fault) for found in config.deviations] == [
        ("freepbx/pjsip.conf:15", Fault.MISSING_TRYINCLUDE)
    ]
    endpoint = config.first("exotel")
    assert endpoint is not None
    domain = endpoint.last("from_domain")
    assert domain is not None
    assert (domain.value, str(domain.place)) == ("acme1.pstn.exotel.com", "freepbx/pjsip.endpoint_custom.conf:2")
    assert allowed_codecs(endpoint.variables).names == ("ulaw", "alaw", "gsm", "g726")
    # The semicolon takes the transport away.
    contacts = [found for section in config.named("Exotel") for found in section.all("contact")]
    assert [(found.value, found.comment) for found in contacts] == [("sip:pstn.in2.exotel.com:5070", ";transport=tcp")]
    # "[Exotel](+)" adds to the first [Exotel], which is the endpoint: the identify never sees it.
    assert [found.value for found in endpoint.all("match")] == ["182.76.143.61,122.15.8.184"]


def test_a_second_general_is_never_seen() -> None:
    config = asterisk("issabel/sip.conf")
    general = config.section("general")
    assert general is not None
    assert general.last("tcpenable") is None
    external = general.last("externip")
    assert external is not None
    assert external.place.path == "issabel/sip_general_custom.conf"
    peer = config.section("exotel-out")
    assert peer is not None
    codecs = allowed_codecs(peer.variables)
    assert (codecs.names, codecs.unknown) == ((), ("g729&ulaw&alaw",))


def test_a_transport_that_inherits_from_another_goes_by_its_own_values() -> None:
    config = asterisk("wizard/pjsip.conf")
    transport = config.section("transport-tcp")
    assert transport is not None
    protocol = transport.last("protocol")
    assert protocol is not None
    assert (protocol.value, protocol.inherited_from) == ("tcp", None)
    wizard = asterisk("wizard/pjsip_wizard.conf").section("exotel")
    assert wizard is not None
    allow = wizard.last("endpoint/allow")
    assert allow is not None
    assert (allow.value, allow.inherited_from) == ("!all,ulaw:20,alaw:20", "trunk_defaults")


def test_what_is_commented_out_as_a_block_is_not_there() -> None:
    config = asterisk("hand/pjsip.conf")
    assert config.deviations == ()
    assert [kind.value for section in config.named("exotel") for kind in section.all("type")] == [
        "endpoint",
        "identify",
    ]
    endpoint = config.first("exotel")
    assert endpoint is not None
    assert allowed_codecs(endpoint.variables).names == ("alaw", "ulaw")
    assert config.first("200") is not None


def test_old_files_with_their_line_ends_and_letters_are_read() -> None:
    config = asterisk("legacy/sip.conf")
    assert config.deviations == ()
    peer = config.section("exotel")
    assert peer is not None
    assert peer.last("port") is None
    assert allowed_codecs(peer.variables).names == ("alaw", "ulaw", "gsm")


def test_the_guides_own_sample_is_read_whole() -> None:
    config = asterisk("guide/sip.conf")
    assert config.deviations == ()
    peer = config.section("exotelvsip")
    assert peer is not None
    assert len(peer.variables) == 15


def test_a_command_that_is_commented_out_runs_all_the_same() -> None:
    config = freeswitch("freeswitch/freeswitch.xml")
    assert [(str(found.place), found.fault) for found in config.deviations] == [
        ("freeswitch/vars.xml:5", XmlFault.COMMENTED_COMMAND),
        ("freeswitch/vars.xml:9", XmlFault.EXEC),
        ("freeswitch/sip_profiles/external.xml:28", XmlFault.UNKNOWN_VARIABLE),
    ]
    (profile,) = config.profiles
    port = profile.last("sip-port")
    assert port is not None
    assert port.value == "5080"
    (gateway,) = config.gateways
    assert (gateway.profile, gateway.place.path) == ("external", "freeswitch/sip_profiles/external/exotel.xml")
    assert gateway.last("password") is None
    assert [found.name for found in config.access_lists] == ["carriers"]
    switch = config.configuration("switch.conf")
    assert switch is not None
    assert switch.last("rtp-start-port") is None


def test_a_gateway_in_a_profile_that_is_written_by_a_program_is_read() -> None:
    config = freeswitch("fusionpbx/external.xml")
    (gateway,) = config.gateways
    assert gateway.profile == "external"
    register = gateway.last("register")
    assert register is not None
    assert register.value == "true"
    assert [found.value for found in gateway.variables] == ["rpid"]
    assert {found.fault for found in config.deviations} == {XmlFault.UNKNOWN_VARIABLE}


FILES = sorted(path for path in CONFIGS.rglob("*.*") if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_no_invented_secret_survives_masking(path: Path) -> None:
    text = text_of(path)
    masked, count = mask_secrets(text)
    secrets = [word for word in ("Pa55-of-the-trunk", "s3cr3t", "3n9wU8q1", "=1234") if word in text]
    assert (count > 0) == bool(secrets)
    assert (MASK in masked) == bool(secrets)
    assert not [word for word in secrets if word in masked]
