"""The bundled profile says what the provider's guide says."""

from __future__ import annotations

import pytest

from vsipcheck.profiles import DEFAULT_PROFILE, list_profiles, load_profile, profile_text

PROFILE = load_profile(DEFAULT_PROFILE)


@pytest.mark.parametrize("name", list_profiles())
def test_every_bundled_profile_loads_and_is_named_after_its_file(name: str) -> None:
    assert load_profile(name).name == name
    assert profile_text(name).startswith("#")


def test_signalling_is_the_guides() -> None:
    signalling = PROFILE.signalling
    assert (signalling.transport, signalling.port) == ("tcp", 5070)
    assert (signalling.in_dialog_port, signalling.customer_port) == (443, 5061)
    assert [(pop.region, pop.fqdn) for pop in signalling.pops] == [
        ("Mumbai DC", "pstn.in2.exotel.com"),
        ("Mumbai Cloud", "pstn.in4.exotel.com"),
    ]
    assert signalling.domain_pattern.replace("{account_sid}", "exotelt") == "exotelt.pstn.exotel.com"
    assert signalling.calls_per_minute == 200
    assert (signalling.authentication, signalling.registration) == ("ip_whitelist", False)


def test_media_is_the_guides() -> None:
    media = PROFILE.media
    assert (media.transport, media.first_port, media.last_port) == ("udp", 10000, 40000)
    assert media.codecs == ("PCMA", "PCMU")
    assert [(entry.region, entry.address) for entry in media.addresses] == [
        ("Mumbai DC", "182.76.143.61"),
        ("Mumbai DC", "122.15.8.184"),
        ("KA DC", "14.194.10.247"),
        ("KA DC", "61.246.82.75"),
    ]


def test_release_status_and_dates_are_told() -> None:
    assert (PROFILE.release, PROFILE.sla) == ("alpha", False)
    assert {name: source.ours for name, source in PROFILE.sources.items()} == {"guide": False, "ours": True}
    assert {source.dated for source in PROFILE.sources.values()} == {"2026-11-25"}


def test_every_row_of_the_checklist_has_its_precheck() -> None:
    rows = {(check.stage, check.row) for check in PROFILE.prechecks}
    before = {"public_address", "cgnat", "port_masking", "static_address", "names_resolve", "signalling_out"}
    before |= {"signalling_in", "media_out", "media_in", "pbx_transport", "pbx_codecs"}
    during = {"codec_order", "no_registration", "nat_settings", "headers_logged"}
    after = {"test_calls", "transport_match", "caller_id", "rtp_flow"}
    wanted = (
        {("before", row) for row in before} | {("during", row) for row in during} | {("after", row) for row in after}
    )
    assert wanted <= rows


def test_troubleshooting_has_the_guides_four_rows() -> None:
    assert [(row.id, row.codes) for row in PROFILE.troubleshooting] == [
        ("no_invite", ()),
        ("drops_after_30_s", ()),
        ("one_way_audio", ()),
        ("forbidden", (403,)),
    ]


def test_headers_are_those_of_the_guides_two_tables() -> None:
    def names(direction: str, mandatory: bool) -> list[str]:
        return [row.name for row in PROFILE.headers if (row.direction, row.mandatory) == (direction, mandatory)]

    both = ["Call-ID", "CSeq", "Allow", "Content-Type", "Content-Length", "Max-Forwards", "SDP"]
    assert names("from_provider", True) == [
        *("Request-URI", "Via", "From", "To", "Call-ID", "CSeq", "Allow", "X-Exotel-CallSid"),
        *both[3:],
    ]
    assert names("from_provider", False) == [
        *("Record-Route", "Supported", "X-Exotel-LegSid", "X-Exotel-TrunkSid"),
        *("P-Asserted-Identity", "P-Early-Media", "Contact"),
    ]
    assert names("to_provider", True) == ["Request-URI", "Via", "From", "To", *both]
    assert names("to_provider", False) == ["Contact", "Supported"]


def test_helpers_are_of_different_operators_and_one_stun_server_listens_inside_the_media_range() -> None:
    assert len({service.operator for service in PROFILE.echo_services}) >= 3
    assert len({server.operator for server in PROFILE.stun_servers}) >= 2
    inside = range(PROFILE.media.first_port, PROFILE.media.last_port + 1)
    assert any(server.port in inside for server in PROFILE.stun_servers)
    assert len(PROFILE.controls.udp_ports) >= 2
    assert not any(port in inside for port in PROFILE.controls.udp_ports)
    assert 443 in PROFILE.controls.tcp_ports


def test_our_own_choices_are_marked_as_ours() -> None:
    sources = PROFILE.sources
    ours = [*PROFILE.echo_services, *PROFILE.stun_servers, PROFILE.controls]
    theirs = [*PROFILE.headers, *PROFILE.signalling.pops, *PROFILE.media.addresses, PROFILE.signalling, PROFILE.media]
    assert all(sources[item.source].ours for item in ours)
    assert not any(sources[item.source].ours for item in theirs)
